"""`ironkv-restore`: data directories for a new cluster, from a backup and, if wanted, a journal behind it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from ironkv import batch
from ironkv.errors import Fault
from ironkv.machine import Machine
from ironkv.offline import console
from ironkv.offline.backup_file import Reader
from ironkv.offline.building import founders, lay_out, must_be_empty, parent_of, write_snapshot
from ironkv.offline.console import as_json, line
from ironkv.raft.messages import Entry, EntryKind
from ironkv.storage.snapshots import Manifest, Snapshots
from ironkv.storage.stopped import Progress, StoppedNode

EPILOG = """\
examples:
  ironkv-restore monday.backup --cluster shop2 --into node1=data/node1 --into node2=data/node2 ...
  ironkv-restore monday.backup --cluster shop2 --into a=data/a --journal old/a --at 2026-11-23T10:15:00Z

The new cluster has a name of its own, so that no node of the old one can join it: set `cluster.name` (and the
nodes' ids) accordingly. A single --into makes a node that runs alone. With --journal, a stopped node's data
directory, the certainly committed entries behind the backup are added, up to --at (an entry or a time)."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ironkv-restore",
        description="Make data directories for a new cluster from a backup.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="made by ironkv-backup")
    parser.add_argument(
        "--into", action="append", required=True, metavar="ID=DIR", help="a node and its directory"
    )
    parser.add_argument("--cluster", required=True, metavar="NAME", help="the new cluster's name")
    parser.add_argument(
        "--same-name", action="store_true", help="let the new cluster have the old one's name"
    )
    parser.add_argument(
        "--journal", type=Path, metavar="DIR", help="a stopped node with entries behind the backup"
    )
    parser.add_argument("--at", metavar="INDEX|TIME", help="with --journal: stop there")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    if options.at and not options.journal:
        parser.error("--at needs --journal: a backup alone holds one moment")
    try:
        nodes = directories(options.into)
    except ValueError as error:
        parser.error(str(error))
    return console.guarded(lambda: _restore(options, nodes))


def directories(words: Sequence[str]) -> dict[str, Path]:
    """`ID=DIR` words by id. Raises ValueError."""
    nodes = dict(text.partition("=")[::2] for text in words)
    if min(len(nodes), len({*nodes.values()})) != len(words) or not all(nodes) or not all(nodes.values()):
        raise ValueError("--into takes ID=DIR, each id and each directory once")
    return {name: Path(path) for name, path in nodes.items()}


def _restore(options: argparse.Namespace, nodes: dict[str, Path]) -> int:
    must_be_empty(nodes)
    with Reader(console.must_exist(options.file)) as reader, console.progress(options.json) as tell:
        header = reader.header
        if header.cluster == options.cluster and not options.same_name:
            raise Fault(
                f"the backup is of a cluster named {options.cluster!r}: nodes of it could join a new one of "
                "that name (--same-name if there are none)"
            )
        with TemporaryDirectory(prefix="ironkv-restore-", dir=parent_of(nodes)) as scratch:
            source = Path(scratch) / "snapshots"
            manifest = _unpack(reader, source)
            if options.journal:
                manifest, source = _wind_on(source, manifest, header.cluster, options, Path(scratch), tell)
            lay_out(nodes, options.cluster, founders(nodes), source, manifest, tell)
    if options.json:
        directories = {name: str(path) for name, path in nodes.items()}
        as_json({"index": manifest.index, "digest": manifest.digest.hex(), "directories": directories})
    else:
        names = ", ".join(f"{name} in {path}" for name, path in nodes.items())
        line(f"cluster {options.cluster}: {names}; entry {manifest.index:,}, {manifest.keys:,} keys")
        line(f"state {manifest.digest.hex()}")
    return 0


def _unpack(reader: Reader, path: Path) -> Manifest:
    """The backup's snapshot as an environment of its own."""
    path.mkdir()
    snapshots = Snapshots(path)
    try:
        for records in reader.records():
            snapshots.put_records(records)
        manifest = replace(reader.header.manifest, base=reader.header.manifest.index)
        snapshots.finish(manifest)
        return manifest
    finally:
        snapshots.close()


def _load(path: Path, manifest: Manifest, tell: Progress) -> Machine:
    snapshots = Snapshots(path, readonly=True)
    try:
        machine = Machine()
        for done in snapshots.load(manifest, machine.keyspace):
            tell("loading the backup", done)
        machine.applied = manifest.index
        return machine
    finally:
        snapshots.close()


def _wind_on(
    source: Path,
    manifest: Manifest,
    cluster: str,
    options: argparse.Namespace,
    scratch: Path,
    tell: Progress,
) -> tuple[Manifest, Path]:
    """The state further on: entries of a stopped node, up to an index or a time."""
    machine = _load(source, manifest, tell)
    term = manifest.term
    with StoppedNode(console.must_exist(options.journal)) as node:
        if node.identity.get("cluster") != cluster:
            raise Fault(
                f"{options.journal} is of cluster {node.identity.get('cluster')!r}, the backup of {cluster!r}"
            )
        if node.journal.first_index > manifest.index + 1:
            raise Fault(
                f"{options.journal} begins at entry {node.journal.first_index}, the backup ends at "
                f"{manifest.index}: entries are missing between them"
            )
        if node.journal.last_index >= manifest.index and node.journal.term(manifest.index) != manifest.term:
            raise Fault(f"{options.journal} has another entry {manifest.index} than the backup")
        index, until_ms = _limit(options.at)
        if index < manifest.index or until_ms < manifest.stamp_ms:
            raise Fault(f"--at {options.at} lies before the backup: take an older one")
        if node.committed < index < 1 << 62:
            raise Fault(f"{options.journal} is certain up to entry {node.committed}: {index} is out of reach")
        for entry in node.entries(manifest.index + 1, min(index, node.committed)):
            if _stamp(entry) > until_ms:
                break
            machine.apply(entry)
            term = entry.term
    path = scratch / "later"
    return write_snapshot(path, machine, term, tell), path


def _stamp(entry: Entry) -> int:
    return batch.decode(entry.data)[0] if entry.kind is EntryKind.BATCH else 0


def _limit(at: str | None) -> tuple[int, int]:
    """(last index, last stamp in ms). A number below 10^11 is an index, a larger one a time in ms."""
    unlimited = 1 << 62
    if at is None:
        return unlimited, unlimited
    if at.isdecimal() and at.isascii():
        return (int(at), unlimited) if int(at) < 10**11 else (unlimited, int(at))
    try:
        return unlimited, int(datetime.fromisoformat(at).timestamp() * 1000)
    except ValueError as error:
        raise Fault(f"--at {at}: neither an entry nor a time such as 2026-11-23T10:15:00Z") from error


if __name__ == "__main__":
    sys.exit(main())
