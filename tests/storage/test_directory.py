"""A data directory belongs to one process, one node, one cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ironkv.errors import Fault
from ironkv.raft.configuration import Address, Configuration
from ironkv.storage.directory import DataDirectory

HOLD = """
import sys
from pathlib import Path
from ironkv.storage.directory import DataDirectory
held = DataDirectory(Path(sys.argv[1]), "node1", "c")
print("held", flush=True)
sys.stdin.read()
"""


def test_it_opens_again_for_the_same_node(tmp_path: Path) -> None:
    for _ in range(3):
        DataDirectory(tmp_path / "a" / "b", "node1", "c").close()


def test_not_for_another_node_nor_another_cluster(tmp_path: Path) -> None:
    DataDirectory(tmp_path, "node1", "c").close()
    with pytest.raises(Fault, match="belongs to node 'node1', this is node 'node2'"):
        DataDirectory(tmp_path, "node2", "c")
    with pytest.raises(Fault, match="belongs to cluster 'c', this is cluster 'd'"):
        DataDirectory(tmp_path, "node1", "d")
    DataDirectory(tmp_path, "node1", "c").close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Fault, match="in use by another process"):
            DataDirectory(tmp_path, "node1", "c")
        holder.kill()
        holder.wait()
        DataDirectory(tmp_path, "node1", "c").close()


def test_not_twice_in_one_process_either(tmp_path: Path) -> None:
    first = DataDirectory(tmp_path, "node1", "c")
    with pytest.raises(Fault, match="in use"):
        DataDirectory(tmp_path, "node1", "c")
    first.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"null", b'"node1"', b"\xff\xfe", b"{}"])
def test_an_identity_that_makes_no_sense(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity").write_bytes(content)
    with pytest.raises(Fault):
        DataDirectory(tmp_path, "node1", "c")
    assert (tmp_path / "identity").read_bytes() == content, "evidence is kept"


def test_a_journal_without_an_identity(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(Fault, match="no identity"):
        DataDirectory(tmp_path, "node1", "c")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fault, match="file"):
        DataDirectory(tmp_path / "file" / "data", "node1", "c")


def test_a_directory_goes_on_with_the_members_it_was_made_with(tmp_path: Path) -> None:
    first = Configuration(frozenset({"n1", "n2"}), addresses=(("n2", Address("h", 1, 2)),))
    DataDirectory(tmp_path, "n3", "c", first).close()
    again = DataDirectory(tmp_path, "n3", "c", Configuration(frozenset({"n3"})))
    assert again.first == first
    again.close()
