"""Files that LMDB itself would end the process over: every one is a Fault with a name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ironkv import images
from ironkv.errors import Fault
from ironkv.storage.directory import DataDirectory
from ironkv.storage.environment import opened
from ironkv.storage.probe import look_first
from ironkv.storage.stopped import StoppedNode
from ironkv.tools.cluster import free_ports, surroundings
from tests.offline.conftest import Builder, fill

PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    builder = Builder(tmp_path_factory.mktemp("whole") / "data")
    fill(builder, 200)
    return builder.stop()


def digest(path: Path) -> bytes:
    with StoppedNode(path) as node:
        return images.digest_of_keyspace(node.state().keyspace)


def damaged(whole: Path, path: Path, part: str, damage: Callable[[bytes], bytes]) -> Path:
    shutil.copytree(whole, path)
    file = path / part / "data.mdb"
    file.write_bytes(damage(file.read_bytes()))
    return path


@pytest.mark.parametrize("part", ["journal", "snapshots"])
def test_a_file_cut_short_or_with_a_page_emptied_is_found_or_harmless(
    whole: Path, tmp_path: Path, part: str
) -> None:
    expected, path = digest(whole), shutil.copytree(whole, tmp_path / "data")
    file = path / part / "data.mdb"
    data = file.read_bytes()
    found = set()
    pages = len(data) // PAGE
    for page in (*range(6), *range(6, pages, 1 + pages // 12)):
        at = page * PAGE
        for cut in (True, False):
            file.write_bytes(data[:at] if cut else data[:at] + bytes(PAGE) + data[at + PAGE :])
            try:
                assert digest(path) == expected
            except Fault:
                found.add((page, cut))
    assert {(page, True) for page in range(4)} <= found
    assert len([page for page, cut in found if not cut]) > 2


def test_a_newest_first_page_that_is_passed_over(whole: Path, tmp_path: Path) -> None:
    """LMDB would go by the older one: one transaction less, and no word."""
    numbers = [
        int.from_bytes((whole / "journal/data.mdb").read_bytes()[at : at + 8], "little") for at in META
    ]
    newest = META[numbers[1] > numbers[0]]

    def older(data: bytes) -> bytes:
        return data[:newest] + bytes(8) + data[newest + 8 :]

    with pytest.raises(Fault, match="contradict each other"):
        StoppedNode(damaged(whole, tmp_path / "a", "journal", older))


META = (16 + 128, PAGE + 16 + 128)
"""Where the numbers of the newest two transactions are."""


def test_a_node_says_so_too_and_leaves_all_as_it_is(whole: Path, tmp_path: Path) -> None:
    path = damaged(whole, tmp_path / "data", "snapshots", lambda data: data[: 3 * PAGE])
    words = ["--node-id", "n1", "--data-dir", str(path), "--port", str(free_ports(1)[0])]
    done = subprocess.run(
        [sys.executable, "-m", "ironkv", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=surroundings() | {"IRONKV_CLUSTER_NAME": "c", "IRONKV_HTTP_ENABLED": "false"},
    )
    assert done.returncode == 70, done.stderr
    assert "data.mdb is damaged: it is cut short" in done.stderr
    assert (path / "snapshots" / "data.mdb").stat().st_size == 3 * PAGE


def test_one_that_is_in_use_is_left_to_whoever_opens_it(whole: Path, tmp_path: Path) -> None:
    path = damaged(whole, tmp_path / "data", "journal", lambda data: data[:PAGE])
    holder = DataDirectory(path, "n1", "c")
    look_first(path)
    holder.close()
    with pytest.raises(Fault):
        look_first(path)
    look_first(tmp_path / "none")


def test_a_lock_file_alone_is_no_environment(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    opened(path, 1 << 20, (b"entries",), readonly=False).close()
    os.remove(path / "data.mdb")
    environment = opened(path, 1 << 20, (b"entries",), readonly=False)
    environment.open_db(b"entries", create=False)
    environment.close()
