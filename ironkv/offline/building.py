"""Data directories for a new cluster: whole, or refused by every node and tool.

Snapshot and journal of a directory are written first, read again and compared; its identity comes last.
Without one a directory is nobody's: what a crash or a full disk interrupts is never taken for an empty node.
"""

from __future__ import annotations

import secrets
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import lmdb

from ironkv import images
from ironkv.errors import Fault, IronKVError
from ironkv.imaging import Imaging
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.raft.configuration import ALONE, Configuration
from ironkv.storage.chunks import Cutter, Digests, extras
from ironkv.storage.directory import locked, release, write_identity
from ironkv.storage.journal import Journal
from ironkv.storage.snapshots import Chunk, Manifest, Snapshots
from ironkv.storage.stopped import Progress

BATCH: Final = 32
"""Chunks in one transaction."""


def must_be_empty(nodes: dict[str, Path]) -> None:
    """Raise FileExistsError for a directory that holds anything."""
    for path in nodes.values():
        if path.exists() and any(path.iterdir()):
            unfinished = "" if (path / "identity").exists() else " (unfinished? remove it)"
            raise FileExistsError(f"{path} is not empty{unfinished}")


def founders(nodes: dict[str, Path]) -> Configuration:
    """Who belongs to the new cluster; nobody, for a node on its own."""
    return Configuration(frozenset(nodes)) if len(nodes) > 1 else ALONE


def parent_of(nodes: dict[str, Path]) -> Path:
    """Where there is room for what is made on the way."""
    parent = next(iter(nodes.values())).absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    return parent


def build(
    machine: Machine, term: int, nodes: dict[str, Path], cluster: str, tell: Progress, members: Configuration
) -> Manifest:
    """Make the directories of a new cluster whose state is that of `machine`. Raises OSError, Fault."""
    must_be_empty(nodes)
    with TemporaryDirectory(prefix="ironkv-", dir=parent_of(nodes)) as scratch:
        source = Path(scratch) / "snapshots"
        manifest = write_snapshot(source, machine, term, tell)
        lay_out(nodes, cluster, members, source, manifest, tell)
    return manifest


def lay_out(
    nodes: dict[str, Path],
    cluster: str,
    members: Configuration,
    source: Path,
    manifest: Manifest,
    tell: Progress,
) -> None:
    """Make the directories from the environment `source`, which holds a snapshot. Nothing is left of what
    could not be finished. Raises Fault."""
    held: list[int] = []
    begun: list[Path] = []
    try:
        for path in nodes.values():
            path.mkdir(parents=True, exist_ok=True)
            held += locked(path, make=True)
            begun.append(path)
            (path / "snapshots").mkdir()  # from here on it is no empty directory
        for path in begun:
            _write_parts(path, members, source, manifest)
            verify_parts(path, manifest.index, manifest.digest, tell)
        for name, path in nodes.items():
            write_identity(path, name, cluster, members, secrets.randbits(62))
    except (IronKVError, OSError, lmdb.Error):
        for path in begun:
            shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        release(held)


def _write_parts(path: Path, members: Configuration, source: Path, manifest: Manifest) -> None:
    """The snapshot, and a journal that goes on behind it."""
    old, new = Snapshots(source, readonly=True), Snapshots(path / "snapshots")
    try:
        for group, index in old.plan(manifest):
            new.put_records(old.records(group, index))
        new.finish(replace(manifest, membership=(0, members)))
    finally:
        old.close()
        new.close()
    journal = Journal(path / "journal")
    try:
        # All members begin with the same committed entries, and none has voted: they are not fresh.
        journal.reset(manifest.index, manifest.term, fresh=False)
    finally:
        journal.close()


def write_snapshot(
    path: Path, machine: Machine, term: int, tell: Progress, *, received: bool = False
) -> Manifest:
    """An environment that holds the machine's whole state as its one snapshot. Raises Fault."""
    path.mkdir(parents=True)
    snapshots = Snapshots(path)
    try:
        for database in machine.keyspace.used():
            database.mark_all()
        imaging = Imaging(machine.keyspace)
        cutter, digests = Cutter(), Digests()
        batch: list[Chunk] = []
        written = 0
        for group, piece in imaging.walk():
            if (chunk := cutter.take(group, piece)) is None:
                continue
            digests.add(chunk)
            batch.append(chunk)
            if len(batch) >= BATCH:
                written += snapshots.put(machine.applied, batch)
                batch = []
                tell("writing the snapshot", imaging.progress)
        batch.append(extras(imaging.extras))
        written += snapshots.put(machine.applied, batch)
        stamp_ms = machine.keyspace.stamp_ms
        held = {group: digest for group, digest in digests.by_group.items() if digest}
        digest = images.digest_of_state(held, imaging.extras, stamp_ms)
        manifest = Manifest(
            machine.applied, term, machine.applied, stamp_ms, digest, machine.membership,
            stamp_ms, keys=imaging.keys, bytes_written=written,
        )  # fmt: skip
        snapshots.finish(manifest, received=received)
        return manifest
    finally:
        snapshots.close()


def verify_parts(path: Path, index: int, digest: bytes, tell: Progress) -> None:
    """Open what was written in `path`, a snapshot and a journal behind it, and compare. Raises Fault."""
    snapshots, journal = (
        Snapshots(path / "snapshots", readonly=True),
        Journal(path / "journal", readonly=True),
    )
    try:
        keyspace = Keyspace()
        newest = snapshots.newest
        if newest is None or newest.index != index:
            raise Fault(f"{path}: the new snapshot is not there; nothing was changed")
        for done in snapshots.load(newest, keyspace):
            tell("verifying", done)
        if images.digest_of_keyspace(keyspace) != digest:
            raise Fault(f"{path}: the new snapshot makes another state; nothing was changed")
        if journal.first_index != index + 1:
            raise Fault(f"{path}: the new journal begins at entry {journal.first_index}; nothing was changed")
        for _ in journal.replay():
            pass
    finally:
        snapshots.close()
        journal.close()
