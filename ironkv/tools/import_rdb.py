"""`ironkv-import dump.rdb`: put the keys of a file that Redis saved into a running cluster.

Every key goes as one RESTORE, many in a pipeline; one that is too large for that goes in parts. One batch is
in memory at a time. What a node refused because it does not lead, or has no leader, was not done: it is sent
again, to the leader. When a connection breaks it is unknown which keys of the last batch were written, and
the import ends and says so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ironkv.errors import Fault
from ironkv.keyspace.values import Value, type_name
from ironkv.machine import Machine
from ironkv.offline.building import build, founders
from ironkv.offline.restore import directories
from ironkv.rdb import file, payload
from ironkv.rdb.corrupt import Corrupt
from ironkv.tools.client import Client, ErrorReply, ProtocolFault

BATCH_KEYS: Final = 500
BATCH_BYTES: Final = 1 << 20
WHOLE_MOST: Final = 8 << 20
"""Bytes of a payload up to which a key goes as one command."""
PART_ITEMS: Final = 2_000
PART_BYTES: Final = 1 << 20
PATIENCE_S: Final = 60.0
"""How long there may be no leader."""
CLIENT_TIMEOUT_S: Final = 60.0

NOTHING_DONE: Final = ("NOTLEADER", "CLUSTERDOWN", "TRYAGAIN", "LOADING")
_ADDED_BY: Final = {b"list": b"RPUSH", b"set": b"SADD", b"hash": b"HSET", b"zset": b"ZADD"}
_leader_in = re.compile(r" at (\S+):(\d+)$").search

Command = list[bytes]


class Refused(Exception):
    """The import cannot go on; the message says why."""


class Cluster:
    """A connection to whichever node leads, with a database selected."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._client: Client | None = None
        self._db = 0

    def run(self, db: int, commands: list[Command]) -> list[object]:
        """The replies, in order. Raises Refused."""
        replies: list[object] = [None] * len(commands)
        waiting = list(range(len(commands)))
        give_up = time.monotonic() + PATIENCE_S
        while waiting:
            asked = [commands[place] for place in waiting]
            again = []
            for place, reply in zip(waiting, self._ask(db, asked), strict=True):
                replies[place] = reply
                if isinstance(reply, ErrorReply) and reply.code in NOTHING_DONE:
                    again.append(place)
            if again:
                self._go_on_elsewhere(str(replies[again[0]]), give_up)
            waiting = again
        return replies

    def _ask(self, db: int, commands: list[Command]) -> list[object]:
        try:
            if self._client is None:
                self._client, self._db = Client(*self._address, CLIENT_TIMEOUT_S), 0
            if db != self._db:
                self._client.call("SELECT", db)
                self._db = db
            return list(self._client.pipeline(commands))
        except ErrorReply as error:
            raise Refused(f"database {db}: {error}") from error
        except (OSError, ProtocolFault) as error:
            host, port = self._address
            what = f"{host}:{port}: {error}"
            if self._client is None:
                raise Refused(what) from error
            raise Refused(
                f"{what}; of the last {len(commands)} commands it is unknown whether they were carried out"
            ) from error

    def _go_on_elsewhere(self, refusal: str, give_up: float) -> None:
        if time.monotonic() > give_up:
            raise Refused(f"no leader for {PATIENCE_S:.0f} s: {refusal}")
        found = _leader_in(refusal)
        if found and (found[1], int(found[2])) != self._address:
            self.close()
            self._address = found[1], int(found[2])
        else:
            time.sleep(0.2)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class Import:
    """What is done with the keys of a file, and what came of it."""

    def __init__(self, cluster: Cluster, *, replace: bool) -> None:
        self.written = 0
        self.there_already = 0
        self.expired = 0
        """Keys whose time was over in 1970: with a deadline of 0, which RESTORE takes for none."""
        self._cluster = cluster
        self._replace = replace
        self._batch: list[Command] = []
        self._size = 0
        self._db = 0

    def add(self, item: file.Item) -> None:
        """Raises Refused."""
        if item.deadline_ms is not None and item.deadline_ms <= 0:
            self.expired += 1
            return
        if item.db != self._db:
            self.flush()
            self._db = item.db
        whole = payload.dump(item.value)
        if len(whole) > WHOLE_MOST and type_name(item.value) != b"stream":
            self.flush()
            self._add_in_parts(item)
            return
        command = [b"RESTORE", item.key, b"%d" % (item.deadline_ms or 0), whole, b"ABSTTL"]
        self._batch.append([*command, b"REPLACE"] if self._replace else command)
        self._size += len(whole) + len(item.key)
        if len(self._batch) >= BATCH_KEYS or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is gathered. Raises Refused."""
        if self._batch:
            replies = self._cluster.run(self._db, self._batch)
            for command, reply in zip(self._batch, replies, strict=True):
                self._count(command[1], reply)
        self._batch, self._size = [], 0

    def _count(self, key: bytes, reply: object) -> None:
        if isinstance(reply, ErrorReply) and reply.code == "BUSYKEY":
            self.there_already += 1
        elif isinstance(reply, ErrorReply):
            raise Refused(f"key {key!r} in database {self._db}: {reply}")
        else:
            self.written += 1

    def _add_in_parts(self, item: file.Item) -> None:
        def ask(*command: bytes) -> object:
            (reply,) = self._cluster.run(self._db, [list(command)])
            if isinstance(reply, ErrorReply):
                raise Refused(f"key {item.key!r} in database {self._db}: {reply}")
            return reply

        if not self._replace and ask(b"EXISTS", item.key):
            self.there_already += 1
            return
        ask(b"DEL", item.key)
        for part in parts(item.key, item.value):
            ask(*part)
        if item.deadline_ms is not None:
            ask(b"PEXPIREAT", item.key, b"%d" % item.deadline_ms)
        self.written += 1


def parts(key: bytes, value: Value) -> Iterator[Command]:
    """Commands that make a large value bit by bit. Of any type but a stream."""
    if type(value) is bytes:
        for at in range(0, len(value), PART_BYTES):
            yield [b"APPEND", key, value[at : at + PART_BYTES]]
        return
    name = _ADDED_BY[value.type_name]
    words = (word for piece in value.pieces(PART_ITEMS) for word in piece)
    command, size = [name, key], 0
    for group in _groups(words, value.type_name):
        command += group
        size += sum(map(len, group))
        if size >= PART_BYTES or len(command) > PART_ITEMS:
            yield command
            command, size = [name, key], 0
    if len(command) > 2:
        yield command


def _groups(words: Iterable[bytes | float], kind: bytes) -> Iterator[list[bytes]]:
    """What must stay together: an element, or a field and its value, or a score and its member."""
    if kind in (b"list", b"set"):
        for word in words:
            assert isinstance(word, bytes)
            yield [word]
        return
    pairs = iter(words)
    for first, second in zip(pairs, pairs, strict=True):
        if kind == b"zset":
            first, second = repr(second).encode(), first
        assert isinstance(first, bytes)
        assert isinstance(second, bytes)
        yield [first, second]


# -- the command


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="ironkv-import",
        description="Put the keys of a file that Redis saved (up to Redis 7.2) into a running cluster.",
        epilog="Exit status: 0 all keys are there; 1 it failed, or keys were there already; 2 wrong usage.",
    )
    parser.add_argument("file", help="the file; - for standard input")
    parser.add_argument("--host", default="127.0.0.1", help="of any node (default: %(default)s)")
    parser.add_argument("--port", type=int, default=6379, help="of that node (default: %(default)s)")
    parser.add_argument(
        "--into",
        action="append",
        metavar="ID=DIR",
        help="make a new node's data directory instead; for each node of a new cluster",
    )
    parser.add_argument("--cluster", default="ironkv", help="with --into: its name (default: %(default)s)")
    parser.add_argument("--replace", action="store_true", help="write over keys that are there already")
    parser.add_argument("--json", action="store_true", help="say what was done as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file, found whole by its checksum if it is one, and its size."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    with Path(name).open("rb") as stream:
        file.verify(stream)
        stream.seek(0)
        yield stream, Path(name).stat().st_size


@contextlib.contextmanager
def _bar(size: int | None, quiet: bool) -> Iterator[tuple[Progress, TaskID]]:
    columns = TextColumn("importing"), BarColumn(), DownloadColumn(binary_units=True), TimeRemainingColumn()
    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        yield bars, bars.add_task("", total=size)


def run(options: argparse.Namespace) -> int:
    """Import; the exit status. Raises Refused, Corrupt, OSError."""
    if options.into:
        return _into_directories(options)
    began = time.monotonic()
    cluster = Cluster(options.host, options.port)
    todo = Import(cluster, replace=options.replace)
    try:
        with (
            _opened(options.file) as (stream, size),
            _bar(size, options.quiet or options.json) as (bars, task),
        ):
            reading = file.read(stream)
            for number, item in enumerate(reading):
                todo.add(item)
                if number % BATCH_KEYS == 0:
                    bars.update(task, completed=reading.offset)
            todo.flush()
    finally:
        cluster.close()
    _report(todo, reading, time.monotonic() - began, as_json=options.json)
    return 1 if todo.there_already else 0


def _into_directories(options: argparse.Namespace) -> int:
    """Make the directories of a new cluster that holds the file's keys."""
    began = time.monotonic()
    nodes = directories(options.into)
    machine, expired = Machine(), 0
    machine.keyspace.advance(time.time_ns() // 1_000_000)
    with _opened(options.file) as (stream, size), _bar(size, options.quiet or options.json) as (bars, task):
        reading = file.read(stream)
        for number, item in enumerate(reading):
            if item.deadline_ms is not None and item.deadline_ms <= machine.keyspace.stamp_ms:
                expired += 1
            else:
                database = machine.keyspace.database(item.db)
                database.restore(item.key, item.value, item.deadline_ms)
            if number % BATCH_KEYS == 0:
                bars.update(task, completed=reading.offset)
    machine.applied = 1
    manifest = build(machine, 1, nodes, options.cluster, lambda doing, done: None, founders(nodes))
    seconds = round(time.monotonic() - began, 3)
    if options.json:
        print(json.dumps({"written": manifest.keys, "expired": expired, "seconds": seconds}))
    else:
        print(f"{manifest.keys:,} keys in {', '.join(map(str, nodes.values()))}, in {seconds:.1f} s")
    return 0


def _report(done: Import, reading: file.Reading, seconds: float, *, as_json: bool) -> None:
    passed_over = [f"{reading.functions} libraries of functions"] if reading.functions else []
    passed_over += [f"data of the module {name}" for name in reading.modules]
    if as_json:
        document = {
            "written": done.written,
            "there_already": done.there_already,
            "expired": done.expired,
            "passed_over": passed_over,
            "bytes": reading.offset,
            "seconds": round(seconds, 3),
            "redis_version": reading.aux.get(b"redis-ver", b"").decode(errors="replace"),
        }
        print(json.dumps(document))
        return
    print(f"{done.written:,} keys written in {seconds:.1f} s")
    if done.expired:
        print(f"{done.expired:,} keys had expired")
    if done.there_already:
        print(f"{done.there_already:,} keys were there already and stay (--replace writes over them)")
    for what in passed_over:
        print(f"passed over: {what}")


def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    options = _options(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except (Refused, Corrupt, OSError, Fault, ValueError) as error:
        print(f"ironkv-import: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
