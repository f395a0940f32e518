"""`ironkv-compact`: smaller, and the very same state, wherever it was interrupted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ironkv import images
from ironkv.offline import compact, verify
from ironkv.storage.stopped import StoppedNode
from tests.offline.conftest import Builder, fill


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
