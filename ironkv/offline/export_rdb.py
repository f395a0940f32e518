"""`ironkv-export DIR dump.rdb`: the state in a stopped node's data directory, as a file that Redis loads.

A node writes down only now and then up to where its entries are committed. So everything that it has is
exported, unless asked otherwise: every write that it has acknowledged, and perhaps, at the end, some whose
outcome the clients never learnt.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.offline import console, contents
from ironkv.rdb import file
from ironkv.rdb.file import Item
from ironkv.rdb.values import VERSION, VERSION_MOST
from ironkv.storage.directory import replacing
from ironkv.storage.stopped import StoppedNode


def items(keyspace: Keyspace) -> Iterator[Item]:
    """Every key that is alive at the state's own time."""
    for key in contents.keys(keyspace):
        yield Item(key.database, key.name, key.value, key.deadline_ms)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ironkv-export",
        description="Write the state in a stopped node's data directory as a file that Redis loads. The "
        "directory is not changed.",
        epilog="Export from the node that led last: a follower may lack the last writes. "
        "Exit status: 0 done, 1 failed, 2 wrong usage.",
    )
    parser.add_argument("directory", type=Path, help="the data directory, such as data/node1")
    parser.add_argument("file", type=Path, help="the file to write, such as dump.rdb")
    upto = parser.add_mutually_exclusive_group()
    upto.add_argument("--at", type=int, metavar="INDEX", help="the state as of this entry of the log")
    upto.add_argument(
        "--certain",
        action="store_true",
        help="only what this directory alone proves to be committed: the last writes may be missing",
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument(
        "--rdb-version",
        type=int,
        choices=range(VERSION, VERSION_MOST + 1),
        default=VERSION,
        help="10: Redis 7.0 and later; 11: Redis 7.2 and later, with when consumers of streams were last "
        "active (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser.parse_args(arguments)


def _index(node: StoppedNode, options: argparse.Namespace) -> int:
    if options.certain:
        return node.committed
    return node.last if options.at is None else int(options.at)


def run(options: argparse.Namespace) -> int:
    """Export; the exit status. Raises Fault, OSError."""
    began = time.monotonic()
    if options.file.exists() and not options.force:
        raise FileExistsError(f"{options.file} is there already (--force writes over it)")
    with StoppedNode(options.directory) as node:
        with console.progress(options.quiet or options.json) as tell:
            machine = node.state(_index(node, options), tell)
        aux = {"redis-ver": "7.2.0", "redis-bits": "64", "ctime": str(int(time.time()))}
        aux |= {"ironkv-node": str(node.identity["node"]), "ironkv-index": str(machine.applied)}
        with replacing(options.file) as stream:
            count = file.write(stream, items(machine.keyspace), aux=aux, version=options.rdb_version)
    seconds = time.monotonic() - began
    if options.json:
        size = options.file.stat().st_size
        print(
            json.dumps({"keys": count, "index": machine.applied, "bytes": size, "seconds": round(seconds, 3)})
        )
    else:
        print(f"{count:,} keys as of entry {machine.applied:,} written to {options.file} in {seconds:.1f} s")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _options(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except (Fault, OSError) as error:
        print(f"ironkv-export: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
