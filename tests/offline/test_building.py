"""Directories for a new cluster are whole, or no node and no tool takes them for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from ironkv.errors import Fault
from ironkv.offline import building
from ironkv.storage.directory import DataDirectory
from ironkv.storage.stopped import StoppedNode
from tests.offline.conftest import Builder, fill

STEPS = ("_write_parts", "verify_parts", "write_identity")


class Crash(BaseException):
    pass


def build(machine: Any, nodes: dict[str, Path]) -> None:
    building.build(machine, 3, nodes, "c2", lambda doing, done: None, building.founders(nodes))


def failing(step: str, number: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step fails when it is taken for the `number`th time."""
    real: Callable[..., object] = getattr(building, step)
    times = 0

    def instead(*arguments: Any) -> object:
        nonlocal times
        times += 1
        if times == number:
            raise error
        return real(*arguments)

    monkeypatch.setattr(building, step, instead)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_leaves_no_node_that_is_empty(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fill(builder)
    builder.stop()
    nodes = {"a": tmp_path / "a", "b": tmp_path / "b"}
    failing(step, 2, Crash(), monkeypatch)
    with pytest.raises(Crash):
        build(builder.machine, nodes)
    whole = 0
    for name, path in nodes.items():
        if (path / "identity").exists():
            with StoppedNode(path) as node:
                assert node.state().applied == builder.machine.applied
            whole += 1
        else:
            with pytest.raises(Fault, match="no identity"):
                StoppedNode(path)
            with pytest.raises(Fault, match="no identity file: it was not finished"):
                DataDirectory(path, name, "c2")
    assert whole == (step == "write_identity")


@pytest.mark.parametrize("step", STEPS)
def test_what_fails_leaves_nothing(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    fill(builder)
    builder.stop()
    nodes = {"a": tmp_path / "new" / "a", "b": tmp_path / "new" / "b"}
    failing(step, 2, OSError(28, "No space left on device"), monkeypatch)
    with pytest.raises(OSError, match="No space"):
        build(builder.machine, nodes)
    assert list((tmp_path / "new").iterdir()) == []


def test_what_was_written_is_read_again(
    builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(builder)
    builder.stop()
    real = building._write_parts

    def carelessly(path: Path, *others: Any) -> None:
        real(path, *others)
        environment = lmdb.open(str(path / "snapshots"), max_dbs=2)
        with environment.begin(write=True, db=environment.open_db(b"images")) as txn:
            cursor = txn.cursor()
            assert cursor.first()
            cursor.delete()
        environment.close()

    monkeypatch.setattr(building, "_write_parts", carelessly)
    with pytest.raises(Fault, match="not whole"):
        build(builder.machine, {"a": tmp_path / "new"})
    assert not (tmp_path / "new").exists()
