"""The data directory of a stopped node, to look at: nothing is changed, and no node may start meanwhile.

A committed entry is never lost from view, but which entries are committed only a running cluster knows. What
is certain here is the commit hint, updated every few writes; what lies behind it was acknowledged or was
not, and is marked `unsure` wherever it is shown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from ironkv.errors import Fault
from ironkv.machine import Machine
from ironkv.raft.messages import Entry
from ironkv.storage.coherence import contradiction
from ironkv.storage.directory import READABLE, first_of, locked, release
from ironkv.storage.journal import Journal
from ironkv.storage.probe import look_through
from ironkv.storage.snapshots import Manifest, Snapshots


class InUse(Fault):
    """A node runs on the directory."""


Progress = Callable[[str, float], None]


def _silent(doing: str, done: float) -> None:
    pass


class StoppedNode:
    """Raises Fault when the directory is none, is in use, or does not verify."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "identity").is_file():
            raise Fault(f"{path} is no data directory of an IronKV node: it has no identity file")
        self.identity = _identity(path / "identity")
        self.first = first_of(self.identity)
        """Who belonged to the cluster when the directory was made."""
        self._locks = _taken(path)
        try:
            look_through(path)
            self.journal = Journal(path / "journal", readonly=True)
            there = (path / "snapshots" / "data.mdb").exists()
            self.snapshots = Snapshots(path / "snapshots", readonly=True) if there else None
        except BaseException:
            release(self._locks)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.journal.close()
        if self.snapshots is not None:
            self.snapshots.close()
        release(self._locks)

    @property
    def manifests(self) -> list[Manifest]:
        """The snapshots that are whole, oldest first."""
        return self.snapshots.manifests if self.snapshots is not None else []

    @property
    def committed(self) -> int:
        """Up to here every entry is certainly committed: what a restarted node applies by itself."""
        newest = self.manifests[-1].index if self.manifests else 0
        return max(newest, min(self.journal.commit, self.journal.last_index))

    @property
    def last(self) -> int:
        """The last entry there is, committed or not."""
        return max(self.committed, self.journal.last_index)

    @property
    def reach(self) -> tuple[int, int]:
        """The first and the last index at which the state can be shown."""
        first = min((manifest.index for manifest in self.manifests if self._joins(manifest)), default=0)
        return (first if self.manifests else self.journal.first_index - 1), self.last

    @property
    def contradiction(self) -> str | None:
        """Why the journal cannot be the one behind the newest snapshot."""
        return contradiction(self.journal, self.snapshots) if self.snapshots is not None else None

    def _joins(self, manifest: Manifest) -> bool:
        """Whether the journal goes on behind the snapshot without a gap."""
        return self.journal.first_index <= manifest.index + 1

    def entries(self, first: int = 0, last: int = 1 << 62) -> Iterator[Entry]:
        """Entries of the journal, verified as they are read."""
        for entry in self.journal.replay(first):
            if entry.index > last:
                return
            yield entry

    def state(self, index: int | None = None, progress: Progress = _silent) -> Machine:
        """The state as of entry `index` (by default `committed`). Raises Fault, Damaged."""
        index = self.committed if index is None else index
        machine = Machine()
        machine.membership = 0, self.first
        begin = self._snapshot_before(index)
        if begin is not None:
            assert self.snapshots is not None
            for done in self.snapshots.load(begin, machine.keyspace):
                progress("loading the snapshot", done)
            machine.applied = begin.index
            if begin.membership[0]:
                machine.membership = begin.membership
        first = machine.applied + 1
        for entry in self.entries(first, index):
            machine.apply(entry)
            progress("replaying the journal", (entry.index + 1 - first) / max(index + 1 - first, 1))
        if machine.applied != index:
            raise Fault(f"{self.path} ends at entry {machine.applied}, entry {index} is not there")
        return machine

    def _snapshot_before(self, index: int) -> Manifest | None:
        found = [
            each
            for each in self.manifests
            if each.index == index or (each.index < index and self._joins(each))
        ]
        if found:
            return found[-1]
        if self.journal.first_index > 1:
            first, last = self.reach
            raise Fault(f"{self.path} reaches from entry {first} to {last}: {index} is out of reach")
        return None


def _identity(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise Fault(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict) or "node" not in found:
        raise Fault(f"{file} is no identity file of an IronKV node")
    if found.get("format") not in READABLE:
        raise Fault(f"{file} has format {found.get('format')!r}, this ironkv reads {READABLE[-1]}")
    return found


def _taken(path: Path) -> list[int]:
    try:
        return locked(path, make=False)
    except BlockingIOError as error:
        raise InUse(f"{path} is in use: stop its node first") from error
    except OSError as error:
        raise Fault(f"{path}: {error.strerror}") from error
