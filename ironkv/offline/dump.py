"""`ironkv-dump`: what a stopped node's directory holds, now or at any index its journal reaches back to."""

from __future__ import annotations

import argparse
import csv
import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ironkv import batch
from ironkv.machine import Machine
from ironkv.offline import console, contents
from ironkv.offline.console import as_json, out, quoted, said, shown, table
from ironkv.offline.contents import Key
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Entry, EntryKind
from ironkv.storage.stopped import StoppedNode
from ironkv.tools.client import encode

BIGGEST = 10
VALUE_SHOWN = 200
"""Bytes or elements of a value that are shown without --full."""

EPILOG = """\
examples:
  ironkv-dump data/node1                        what it is, what it holds, how big
  ironkv-dump data/node1 --log --from 1000      the commands behind entry 999, one a line
  ironkv-dump data/node1 --keys 'user:*'        keys with type, size and deadline
  ironkv-dump data/node1 --key user:7 --at 900  that key as it was behind entry 900
  ironkv-dump data/node1 --format resp | redis-cli -p 6390 --pipe
                                                everything into another Redis or IronKV

The node must be stopped; nothing is changed. Entries that may not have been committed are marked `?`: only
the running cluster knows. The state shown is that behind the last entry that certainly is (see --at)."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)

    def run() -> int:
        with StoppedNode(console.must_exist(options.directory)) as node:
            if options.log:
                _log(node, options)
            else:
                _state(node, options)
        return 0

    return console.guarded(run)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ironkv-dump",
        description="Show what a stopped node's data directory holds.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the node's data directory")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--log", action="store_true", help="the journal's entries, one command a line")
    what.add_argument("--keys", metavar="PATTERN", help="the keys that match a glob pattern")
    what.add_argument("--key", metavar="KEY", help="one key: type, encoding, deadline, value")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="I", help="first entry of --log")
    parser.add_argument(
        "--to", type=int, default=1 << 62, dest="last", metavar="J", help="last entry of --log"
    )
    parser.add_argument("--at", type=int, metavar="INDEX", help="the state as of this entry")
    parser.add_argument("--db", type=int, metavar="N", help="only this database")
    parser.add_argument("--full", action="store_true", help="show values whole")
    parser.add_argument("--format", choices=("table", "json", "resp", "csv"), default="table")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="as --format json")
    return parser


# -- the log


def _log(node: StoppedNode, options: argparse.Namespace) -> None:
    writer = csv.writer(sys.stdout) if options.format == "csv" else None
    for entry in node.entries(options.first, options.last):
        sure = entry.index <= node.committed
        stamp_ms, lines = _lines(entry)
        for database, words in lines:
            if options.db is not None and database not in (options.db, None):
                continue
            if options.format == "json":
                record = {
                    "index": entry.index, "term": entry.term, "stamp_ms": stamp_ms, "committed": sure,
                    "db": database, "command": [shown(word) for word in words],
                }  # fmt: skip
                print(json.dumps(record))
            elif options.format == "resp":
                if words and words[0] not in (b"NOOP", b"TICK", b"MEMBERS"):
                    sys.stdout.buffer.write(encode([b"SELECT", b"%d" % (database or 0)]) + encode(words))
            elif writer is not None:
                writer.writerow([entry.index, entry.term, stamp_ms, int(sure), database, *map(shown, words)])
            else:
                text = " ".join([words[0].decode("ascii", "replace"), *map(quoted, words[1:])])
                mark = " " if sure else "?"
                print(f"{entry.index}{mark} t{entry.term} {_time(stamp_ms)} {_db(database)} {text}")


def _lines(entry: Entry) -> tuple[int, list[tuple[int | None, list[bytes]]]]:
    """(stamp_ms, [(database, command)]); what an entry without commands is stands in place of one."""
    if entry.kind is EntryKind.CONFIG:
        return 0, [(None, [b"MEMBERS", entry.data])]
    if entry.kind is not EntryKind.BATCH:
        return 0, [(None, [b"NOOP"])]
    stamp_ms, items = batch.decode(entry.data)
    return stamp_ms, list(_commands(items)) or [(None, [b"TICK"])]


def _commands(items: Iterable[Any]) -> Iterator[tuple[int | None, list[bytes]]]:
    database = 0
    for item in items:
        if isinstance(item, int):
            database = item
        elif item[0] == b"EXEC" and len(item) == 3 and isinstance(item[2], list):
            yield database, [b"MULTI"]
            yield from _commands([database, *item[2]])
            yield database, [b"EXEC"]
        else:
            yield database, item


def _db(database: int | None) -> str:
    return "-" if database is None else f"db{database}"


def _time(ms: int) -> str:
    if not ms:
        return "-"
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


# -- the state


def _state(node: StoppedNode, options: argparse.Namespace) -> None:
    with console.progress(options.format != "table") as tell:
        machine = node.state(options.at, tell)
    pattern = b"*" if options.keys is None else options.keys.encode("utf-8", "surrogateescape")
    if options.key is not None:
        name = options.key.encode("utf-8", "surrogateescape")
        found = [key for key in contents.keys(machine.keyspace, options.db) if key.name == name]
        if not found:
            raise FileNotFoundError(f"no key {shown(name)} at entry {machine.applied}")
        _values(found, options)
    elif options.format == "resp":
        _as_commands(contents.keys(machine.keyspace, options.db, pattern))
    elif options.keys is not None or options.format == "csv":
        _keys(contents.keys(machine.keyspace, options.db, pattern), options)
    else:
        _overview(node, machine, options)


def _as_commands(keys: Iterable[Key]) -> None:
    write, database = sys.stdout.buffer.write, None
    for key in keys:
        if key.database != database:
            database = key.database
            write(encode([b"SELECT", b"%d" % database]))
        for command in contents.commands(key):
            write(encode(command))
    sys.stdout.buffer.flush()


def _row(key: Key) -> dict[str, Any]:
    return {
        "db": key.database,
        "key": shown(key.name),
        "type": key.type,
        "encoding": key.encoding,
        "elements": key.elements,
        "bytes": key.bytes,
        "deadline_ms": key.deadline_ms,
    }


def _keys(keys: Iterable[Key], options: argparse.Namespace) -> None:
    if options.format == "json":
        for key in keys:
            print(json.dumps(_row(key)))
    elif options.format == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(["db", "key", "type", "encoding", "elements", "bytes", "deadline_ms"])
        writer.writerows(_row(key).values() for key in keys)
    else:
        rows = table("", "db", "key", "type", "encoding", ">elements", ">bytes", "dies")
        for key in keys:
            row = _row(key)
            console.row(
                rows, str(key.database), row["key"], key.type, key.encoding, f"{key.elements:,}",
                f"{key.bytes:,}", _time(key.deadline_ms or 0),
            )  # fmt: skip
        console.tell(rows)


def _values(keys: Sequence[Key], options: argparse.Namespace) -> None:
    if options.format == "json":
        as_json([{**_row(key), "value": contents.plain(key.value)} for key in keys])
        return
    if options.format == "resp":
        _as_commands(keys)
        return
    if options.format == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerows(parts for key in keys for parts in _parts(contents.plain(key.value), 0))
        return
    for key in keys:
        where = f"  db{key.database}  {key.type} ({key.encoding})"
        out.print(said(shown(key.name), where, "bold"), soft_wrap=True)
        unit = "bytes" if type(key.value) is bytes else "elements"
        dies = f", dies {_time(key.deadline_ms)}" if key.deadline_ms else ""
        out.print(f"{key.elements:,} {unit}{dies}")
        _value(contents.plain(key.value), 0 if options.full else VALUE_SHOWN)


def _value(value: Any, most: int) -> None:
    if isinstance(value, bytes):
        print(shown(value, most))
        return
    for parts in islice(_parts(value, most), most or None):
        print("  " + "  ".join(parts))
    if most and len(value) > most:
        print(f"  … and {len(value) - most:,} more (--full shows them)")


def _parts(value: Any, most: int) -> Iterator[list[str]]:
    """A line for each element: the element, or its name and what it holds."""
    if isinstance(value, bytes):
        yield [shown(value, most)]
        return
    for item in value.items() if isinstance(value, dict) else value:
        flat: list[Any] = []
        for part in item if isinstance(item, tuple) else (item,):
            flat.extend(part if isinstance(part, list | tuple) else (part,))
        yield [shown(part, most) if isinstance(part, bytes) else str(part) for part in flat]


# -- the whole


def _overview(node: StoppedNode, machine: Machine, options: argparse.Namespace) -> None:
    facts = overview(node, machine)
    if options.format == "json":
        as_json(facts)
        return
    for name in ("node", "journal"):
        rows = table(name, "", "")
        for key, value in facts[name].items():
            console.row(rows, key, console.size(value) if key.startswith("bytes") else str(value))
        out.print(rows, "")
    rows = table("snapshots", ">index", ">term", "taken", ">keys", ">written", "digest")
    for each in facts["snapshots"]:
        console.row(
            rows,
            f"{each['index']:,}", str(each["term"]), _time(each["taken_ms"]), f"{each['keys']:,}",
            console.size(each["bytes_written"]), each["digest"],
        )  # fmt: skip
    out.print(rows, "")
    state = facts["state"]
    where = f" at entry {state['index']:,}, {_time(state['stamp_ms'])}: {state['keys']:,} keys"
    out.print(said("state", where, "bold"))
    out.print(f"{state['with_deadline']:,} with a deadline, {state['dead']:,} dead and not purged yet\n")
    rows = table("keys by type", "db", "type", ">keys", ">elements", ">bytes")
    for each in state["types"]:
        console.row(
            rows,
            str(each["db"]),
            each["type"],
            f"{each['keys']:,}",
            f"{each['elements']:,}",
            console.size(each["bytes"]),
        )
    out.print(rows, "")
    rows = table("biggest keys", "db", "key", "type", ">elements", ">bytes")
    for each in state["biggest"]:
        console.row(
            rows,
            str(each["db"]),
            each["key"],
            each["type"],
            f"{each['elements']:,}",
            console.size(each["bytes"]),
        )
    out.print(rows)


def _members(configuration: Configuration) -> str:
    """As of the shown entry."""
    leaving = configuration.outgoing - configuration.voters
    shown = [*sorted(configuration.voters), *(f"{each} (learner)" for each in sorted(configuration.learners))]
    return ", ".join([*shown, *(f"{each} (leaving)" for each in sorted(leaving))]) or "alone"


def overview(node: StoppedNode, machine: Machine) -> dict[str, Any]:
    """All there is to say, for JSON."""
    journal = node.journal
    view = journal.view()
    hard = journal.hard
    return {
        "node": {
            "node": node.identity.get("node"),
            "cluster": node.identity.get("cluster"),
            "members": _members(machine.membership[1]),
            "term": journal.term_now,
            "voted for": journal.voted_for or "nobody",
            "fresh": "yes: it does not vote yet" if hard is not None and hard.fresh else "no",
        },
        "journal": {
            "first entry": journal.first_index,
            "last entry": journal.last_index,
            "certainly committed up to": node.committed,
            "state can be shown at": f"{node.reach[0]} to {node.reach[1]}",
            "bytes": int(view["bytes_used"]),
            "bytes free in it": int(view["bytes_free"]),
            "bytes of snapshots": node.snapshots.view()["bytes_used"] if node.snapshots else 0,
            "bytes free in these": node.snapshots.view()["bytes_free"] if node.snapshots else 0,
        },
        "snapshots": [
            {
                "index": each.index, "term": each.term, "taken_ms": each.taken_ms, "keys": each.keys,
                "bytes_written": each.bytes_written, "digest": each.digest.hex(),
            }
            for each in node.manifests
        ],
        "state": _census(machine),
    }  # fmt: skip


def _census(machine: Machine) -> dict[str, Any]:
    counts: Counter[tuple[int, str]] = Counter()
    elements: Counter[tuple[int, str]] = Counter()
    sizes: Counter[tuple[int, str]] = Counter()
    biggest: list[tuple[int, int, dict[str, Any]]] = []
    mortal = 0
    for number, key in enumerate(contents.keys(machine.keyspace)):
        kind, weight = (key.database, key.type), key.bytes
        counts[kind] += 1
        elements[kind] += key.elements
        sizes[kind] += weight
        mortal += key.deadline_ms is not None
        if len(biggest) < BIGGEST:
            heapq.heappush(biggest, (weight, number, _row(key)))
        elif weight > biggest[0][0]:
            heapq.heapreplace(biggest, (weight, number, _row(key)))
    return {
        "index": machine.applied,
        "stamp_ms": machine.keyspace.stamp_ms,
        "keys": counts.total(),
        "with_deadline": mortal,
        "dead": sum(map(len, machine.keyspace.used())) - counts.total(),
        "types": [
            {"db": db, "type": kind, "keys": count, "elements": elements[db, kind], "bytes": sizes[db, kind]}
            for (db, kind), count in sorted(counts.items())
        ],
        "biggest": [row for _, _, row in sorted(biggest, key=lambda each: each[:2], reverse=True)],
    }


if __name__ == "__main__":
    sys.exit(main())
