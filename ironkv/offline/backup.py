"""`ironkv-backup`: the state of a running node, at one entry, in one file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

from ironkv.errors import Fault
from ironkv.images import GROUPS
from ironkv.keyspace.keyspace import Keyspace
from ironkv.offline import console
from ironkv.offline.backup_file import Header, Reader, Writer, now_ms
from ironkv.offline.console import as_json, line, size
from ironkv.storage.directory import replacing
from ironkv.storage.snapshots import Group, Manifest, Record, Snapshots, check_whole, loading
from ironkv.storage.stopped import Progress
from ironkv.tools.access import access, add_options
from ironkv.tools.client import Client, ErrorReply

PATIENCE_S: Final = 600.0

EPILOG = """\
Any node will do, and it serves meanwhile. The backup holds everything that this node had applied when it was
asked: with --leader that is all that was ever acknowledged. `ironkv-restore` makes directories of it."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ironkv-backup",
        description="Back up a running node into one file, or verify such a file.",
        epilog=EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup")
    add_options(parser)
    parser.add_argument("--leader", action="store_true", help="ask the leader, which the node names")
    parser.add_argument("--verify", action="store_true", help="read FILE and check all of it")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    return console.guarded(lambda: _verify(options) if options.verify else make(options))


def make(options: argparse.Namespace) -> int:
    """Back up a node into `options.file`. Raises Fault, OSError."""
    if options.file.exists() and not options.force:
        raise FileExistsError(f"{options.file} is there already (--force replaces it)")
    began = time.monotonic()
    way = access(options)
    if options.leader:
        found = way.to_leader()
        if found is None:
            raise Fault(f"{way.host}:{way.port} knows of no leader")
        way = found
    with console.progress(options.json) as tell:
        try:
            with way.connect(timeout=PATIENCE_S) as client:
                manifest = fetch(client, options.file, tell)
        except ErrorReply as error:
            raise Fault(f"{way.host}:{way.port} says: {error}") from error
    _say(options, manifest, f"backed up in {time.monotonic() - began:.1f} s")
    return 0


def fetch(client: Client, path: Path, tell: Progress) -> Manifest:
    """Have a snapshot taken and write it to a file."""
    packed, cluster, version = _begin(client)
    manifest = Manifest.unpacked(packed)
    header = Header(manifest, cluster.decode(), version.decode(), now_ms())
    with replacing(path) as out:
        writer = Writer(out, header)
        after = b""
        while True:
            flat: Any = client.call("IRONKV", "RECORDS", manifest.index, after)
            if not flat:
                break
            writer.add(flat)
            after = flat[-2]
            tell("reading the snapshot", min(0.99, after[0] / 255 + int.from_bytes(after[1:3], "big") / 2048))
        writer.finish()
    return manifest


def _begin(client: Client) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return client.call("IRONKV", "BACKUP")
        except ErrorReply as error:
            if "in progress" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _verify(options: argparse.Namespace) -> int:
    with Reader(console.must_exist(options.file)) as reader, console.progress(options.json) as tell:
        manifest, keyspace = reader.header.manifest, Keyspace()
        images = groupby(chain.from_iterable(reader.records()), lambda record: Snapshots.group_of(record[0]))
        held = (_whole(options.file, group, list(records)) for group, records in images)
        for done, _ in enumerate(loading(options.file, manifest, held, keyspace, {})):
            tell("verifying", min(0.99, done / (GROUPS * max(len(keyspace.used()), 1))))
    if (keys := sum(map(len, keyspace.used()))) != manifest.keys:
        raise Fault(f"{options.file} holds {keys} keys, but was made with {manifest.keys}")
    _say(options, manifest, "whole")
    return 0


def _whole(path: Path, group: Group, records: list[Record]) -> list[Record]:
    check_whole(path, group, records)
    return records


def _say(options: argparse.Namespace, manifest: Manifest, what: str) -> None:
    written = options.file.stat().st_size
    if options.json:
        as_json(
            {
                "file": str(options.file), "index": manifest.index, "term": manifest.term,
                "keys": manifest.keys, "stamp_ms": manifest.stamp_ms, "digest": manifest.digest.hex(),
                "bytes": written,
            }
        )  # fmt: skip
    else:
        line(
            f"{options.file}: {what}; entry {manifest.index:,}, {manifest.keys:,} keys, {size(written)}, "
            f"state {manifest.digest.hex()}"
        )


if __name__ == "__main__":
    sys.exit(main())
