"""A stopped node's directory, made by a real node's own parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from ironkv import batch
from ironkv.machine import Machine
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Entry, EntryKind, Mark, Persist
from ironkv.storage.directory import DataDirectory
from ironkv.storage.journal import Journal
from tests.storage.test_snapshots import Disk

STAMP_MS = 1_800_000_000_000


class Builder:
    """Writes a directory as a node would, and knows what it must hold."""

    def __init__(self, path: Path, node: str = "n1", members: Iterable[str] = ()) -> None:
        self.path = path
        self.directory = DataDirectory(path, node, "c", Configuration(frozenset(members)))
        self.journal = Journal(path / "journal", 64 << 20)
        self.disk = Disk(path / "snapshots")
        self.index = 0

    @property
    def machine(self) -> Machine:
        return self.disk.machine

    def write(self, *commands: str, commit: bool = True, term: int = 1) -> None:
        """One entry."""
        self.index += 1
        items: list[batch.Item] = [command.encode().split() for command in commands]
        data = batch.encode(STAMP_MS + self.index, items)
        entry = Entry(self.index, term, EntryKind.BATCH, data)
        self.journal.write(Persist(Mark(1, term, self.index), term, "n1", self.index - 1, (entry,)))
        if commit:
            self.machine.apply(entry)

    def stop(self) -> Path:
        self.journal.note_commit(self.machine.applied)
        self.crash()
        return self.path

    def crash(self) -> None:
        self.disk.snapshots.close()
        self.journal.close()
        self.directory.close()


def fill(builder: Builder, entries: int = 30) -> None:
    """Something of every type, some of it covered by a snapshot, some of the log trimmed."""
    builder.write("SET text hello", "SET soon x PX 5000", "SET later x PXAT 1900000000000")
    builder.write(
        "HSET hash a 1 b 2", "RPUSH list x y z", "SADD set 1 2 3", "SADD names m n", "ZADD z 1.5 a 2 b"
    )
    builder.write("XADD stream 5-1 f v", "XGROUP CREATE stream g 0", "SETBIT bits 7 1", "PFADD hll a b")
    for number in range(entries):
        builder.write(f"SET key{number} value{number}", "INCR counter")
    builder.disk.snapshot()
    builder.journal.trim_to(builder.index - 5)
    builder.journal.trim()
    builder.write("SET behind x", "DEL key1")
    builder.write("APPEND behind y")


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "data")
