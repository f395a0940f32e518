"""XINFO: what a stream, its groups and their consumers are like."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.stream_groups import SECOND, named_group, wrong_subcommand
from ironkv.commands.stream_ids import entry_reply, id_text, stream_at
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.radix import node_count
from ironkv.keyspace.stream_blocks import ID_MOST, signed
from ironkv.keyspace.stream_groups import NEVER, UNKNOWN, Consumer, Group
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import Reply

FULL_COUNT: Final = 10

HELP: Final = help_of(
    "XINFO",
    """
CONSUMERS <key> <groupname>
    Show consumers of <groupname>.
GROUPS <key>
    Show the stream consumer groups.
STREAM <key> [FULL [COUNT <count>]
    Show information about the stream.
""",
)


@command(
    "XINFO",
    -2,
    Route.READ,
    "",
    group="stream",
    since="5.0.0",
    complexity="Depends on subcommand.",
    summary="A container for stream introspection commands.",
)
def xinfo(db: Database, args: Args, now_ms: int) -> Reply:
    """XINFO subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


def _stream_of(db: Database, key: bytes) -> Stream:
    stream = stream_at(db, key)
    if stream is None:
        raise CommandError("ERR no such key")
    return stream


@command(
    "XINFO|HELP",
    2,
    Route.READ,
    "loading stale",
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def xinfo_help(db: Database, args: Args, now_ms: int) -> Reply:
    """XINFO HELP"""
    return HELP


@command(
    "XINFO|CONSUMERS",
    4,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns a list of the consumers in a consumer group.",
)
def xinfo_consumers(db: Database, args: Args, now_ms: int) -> Reply:
    """XINFO CONSUMERS key group: milliseconds since each asked for entries, and since he got some."""
    group = named_group(_stream_of(db, args[2]), args[2], args[3])
    return [
        {
            b"name": each.name,
            b"pending": len(each.ids),
            b"idle": max(0, now_ms - each.seen_ms),
            b"inactive": NEVER if each.active_ms == NEVER else now_ms - each.active_ms,
        }
        for each in group.in_order()
    ]


@command(
    "XINFO|GROUPS",
    3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns a list of the consumer groups of a stream.",
)
def xinfo_groups(db: Database, args: Args, now_ms: int) -> Reply:
    """XINFO GROUPS key"""
    stream = _stream_of(db, args[2])
    return [
        {
            b"name": name,
            b"consumers": len(group.consumers),
            b"pending": len(group.pending),
            **_progress(stream, group),
        }
        for name, group in stream.groups_in_order()
    ]


def _progress(stream: Stream, group: Group) -> dict[bytes, Any]:
    return {
        b"last-delivered-id": id_text(group.last_id),
        b"entries-read": None if group.entries_read == UNKNOWN else group.entries_read,
        b"lag": stream.lag(group),
    }


# -- XINFO STREAM


@command(
    "XINFO|STREAM",
    -3,
    Route.READ,
    "readonly",
    keys=SECOND,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns information about a stream.",
)
def xinfo_stream(db: Database, args: Args, now_ms: int) -> Reply:
    """XINFO STREAM key [FULL [COUNT count]]"""
    stream = _stream_of(db, args[2])
    options = [word.upper() for word in args[3:]]
    if options not in ([], [b"FULL"]) and (len(options) != 3 or options[:2] != [b"FULL", b"COUNT"]):
        raise wrong_subcommand(args)
    count = integer(args[5]) if len(options) == 3 else FULL_COUNT
    beginning = {
        b"length": len(stream),
        b"radix-tree-keys": len(stream.entries.keys),
        b"radix-tree-nodes": node_count(stream.entries.keys),
        b"last-generated-id": id_text(stream.last_id),
        b"max-deleted-entry-id": id_text(stream.max_deleted),
        b"entries-added": signed(stream.added),
        b"recorded-first-entry-id": id_text(stream.entries.first()),
    }
    if options:
        return beginning | _in_full(stream, count if count >= 0 else FULL_COUNT)
    first = next(map(entry_reply, stream.entries.between(0, ID_MOST)), None)
    last = next(map(entry_reply, stream.entries.between_backwards(0, ID_MOST)), None)
    return beginning | {b"groups": len(stream.groups), b"first-entry": first, b"last-entry": last}


def _in_full(stream: Stream, count: int) -> dict[bytes, Any]:
    """Up to `count` entries of each kind; all for 0."""
    most = count or None
    return {
        b"entries": list(map(entry_reply, islice(stream.entries.between(0, ID_MOST), most))),
        b"groups": [
            {
                b"name": name,
                **_progress(stream, group),
                b"pel-count": len(group.pending),
                b"pending": [
                    [id_text(id_), each.consumer.name, each.delivered_ms, each.deliveries]
                    for id_, each in islice(group.pending.items(), most)
                ],
                b"consumers": [_consumer_in_full(group, each, most) for each in group.in_order()],
            }
            for name, group in stream.groups_in_order()
        ],
    }


def _consumer_in_full(group: Group, consumer: Consumer, most: int | None) -> dict[bytes, Any]:
    found = ((id_, group.pending[id_]) for id_ in islice(consumer.ids, most))
    return {
        b"name": consumer.name,
        b"seen-time": consumer.seen_ms,
        b"active-time": consumer.active_ms,
        b"pel-count": len(consumer.ids),
        b"pending": [[id_text(id_), each.delivered_ms, each.deliveries] for id_, each in found],
    }
