"""`ironkv-compact`: smaller, and the very same state, wherever it was interrupted."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ironkv import images
from ironkv.offline import compact, verify
from ironkv.storage.stopped import StoppedNode
from tests.offline.conftest import Builder, fill
from tests.small_disk import small_disk


def state(path: Path) -> tuple[int, bytes]:
    with StoppedNode(path) as node:
        machine = node.state()
        return machine.applied, images.digest_of_keyspace(machine.keyspace)


class Crash(BaseException):
    pass


def silent(doing: str, done: float) -> None:
    pass


def test_it_folds_the_log_and_gives_room_back(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    fill(builder, 300)
    for _ in range(300):
        builder.write(f"SET big {'x' * 5000}")
    builder.write("SET unsure x", commit=False)
    digest, applied = images.digest_of_keyspace(builder.machine.keyspace), builder.machine.applied
    path = builder.stop()
    assert compact.main([str(path), "--dry-run"]) == 0
    assert "would fold" in capsys.readouterr().out
    assert compact.main([str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes_after"] < facts["bytes_before"] / 5
    assert (facts["folded_up_to"], facts["entries_kept"], facts["digest"]) == (applied, 1, digest.hex())
    assert state(path) == (applied, digest)
    with StoppedNode(path) as node:
        assert [entry.index for entry in node.entries()] == [applied + 1], "what may be committed stays"
        assert (node.journal.term_now, node.journal.voted_for) == (1, "n1")
    assert verify.main([str(path)]) == 0


STEPS = ("clear", "snapshots", "journal", "verify", "swap snapshots", "swap journal", "tidy")


@pytest.mark.parametrize("at", STEPS)
def test_interrupted_at_any_step_nothing_is_lost(builder: Builder, at: str) -> None:
    fill(builder)
    builder.write("SET unsure x", commit=False)
    expected = builder.machine.applied, images.digest_of_keyspace(builder.machine.keyspace)
    path = builder.stop()

    def step(name: str) -> None:
        if name == at:
            raise Crash

    with StoppedNode(path) as node, pytest.raises(Crash):
        compact.compact(node, silent, step)
    assert state(path) == expected
    with StoppedNode(path) as node:
        assert node.last == expected[0] + 1
    assert compact.main([str(path)]) == 0
    assert state(path) == expected
    assert not (path / compact.ASIDE).exists()


def test_a_full_disk_leaves_all_as_it_was(builder: Builder, tmp_path: Path) -> None:
    fill(builder)
    chance = random.Random(4)
    for n in range(60):
        builder.write(f"SET random{n} {chance.randbytes(10_000).hex()}")
    expected = builder.machine.applied, images.digest_of_keyspace(builder.machine.keyspace)
    path = builder.stop()
    size_kb = sum(file.stat().st_size for file in path.rglob("*")) >> 10
    ended = []
    for spare_kb in (24, 64, 120, 300, 700, 900, 1_100, 8_000):
        with small_disk(tmp_path / f"disk{spare_kb}", size_kb + spare_kb) as disk:
            node = shutil.copytree(path, disk / "node", ignore=shutil.ignore_patterns("lock.mdb"))
            done = subprocess.run(
                [sys.executable, "-m", "ironkv.offline.compact", node], capture_output=True, check=False
            )
            ended.append(done.returncode)
            assert done.returncode in (0, 1, 70), "no crash"
            assert state(node) == expected
            assert not (node / compact.ASIDE).exists()
    assert ended[0] != 0
    assert ended[-1] == 0


def test_a_directory_in_use_and_one_that_is_none(builder: Builder, tmp_path: Path) -> None:
    fill(builder)
    assert compact.main([str(builder.path)]) == 69
    builder.crash()
    assert compact.main([str(tmp_path / "nowhere")]) == 66
    assert compact.main([str(tmp_path)]) == 70


def test_nothing_to_fold(builder: Builder, capsys: pytest.CaptureFixture[str]) -> None:
    path = builder.stop()
    assert compact.main([str(path)]) == 0
    assert "nothing to fold" in capsys.readouterr().out
