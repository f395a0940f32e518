"""Consumer groups: XGROUP, acknowledging, and what is pending."""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.stream_ids import (
    group_at,
    id_text,
    parse_end,
    parse_id,
    parse_ids,
    parse_start,
    parse_stop,
    shown,
    stream_at,
)
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.stream_blocks import Id
from ironkv.keyspace.stream_groups import UNKNOWN, Group
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import NULL_ARRAY, OK, Reply

SECOND: Final = (2, 2, 1)

HELP: Final = help_of(
    "XGROUP",
    """
CREATE <key> <groupname> <id|$> [option]
    Create a new consumer group. Options are:
    * MKSTREAM
      Create the empty stream if it does not exist.
    * ENTRIESREAD entries_read
      Set the group's entries_read counter (internal use).
CREATECONSUMER <key> <groupname> <consumer>
    Create a new consumer in the specified group.
DELCONSUMER <key> <groupname> <consumer>
    Remove the specified consumer.
DESTROY <key> <groupname>
    Remove the specified group.
SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]
    Set the current group ID and entries_read counter.
""",
)


@command(
    "XGROUP",
    -2,
    Route.WRITE,
    "",
    group="stream",
    since="5.0.0",
    complexity="Depends on subcommand.",
    summary="A container for consumer groups commands.",
)
def xgroup(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


def wrong_subcommand(args: Args) -> CommandError:
    """Redis's answer to a subcommand whose arguments do not fit."""
    return CommandError(
        f"ERR unknown subcommand or wrong number of arguments for '{shown(args[1])[:128]}'. "
        f"Try {args[0].decode().upper()} HELP."
    )


def _stream_of(db: Database, key: bytes) -> Stream:
    stream = stream_at(db, key)
    if stream is None:
        raise CommandError(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use "
            "the MKSTREAM option to create an empty stream automatically."
        )
    return stream


def _group_of(db: Database, key: bytes, name: bytes) -> tuple[Stream, Group]:
    stream = _stream_of(db, key)
    return stream, named_group(stream, key, name)


def named_group(stream: Stream, key: bytes, name: bytes) -> Group:
    """A group of a stream that is there. Raises CommandError."""
    group = stream.groups.get(name)
    if group is None:
        raise CommandError(f"NOGROUP No such consumer group '{shown(name)}' for key name '{shown(key)}'")
    return group


# -- XGROUP CREATE, SETID


class Position(NamedTuple):
    """Where a group is to stand."""

    last_id: Id | None
    """None for `$`."""
    make: bool
    entries_read: int


def parse_position(args: Args) -> Position:
    """key group id | $ [MKSTREAM] [ENTRIESREAD entries-read]: the former option only of CREATE"""
    creating = args[1].upper() == b"CREATE"
    make, entries_read = False, UNKNOWN
    words = iter(args[5:])
    for word in words:
        option = word.upper()
        if creating and option == b"MKSTREAM":
            make = True
        elif option == b"ENTRIESREAD" and (text := next(words, None)) is not None:
            entries_read = integer(text)
            if entries_read < 0 and entries_read != UNKNOWN:
                raise CommandError("ERR value for ENTRIESREAD must be positive or -1")
        else:
            raise wrong_subcommand(args)
    if len(args) > (8 if creating else 7):
        raise wrong_subcommand(args)
    if args[4] == b"$":
        return Position(None, make, entries_read)
    # SETID takes `-` and `+`, too.
    return Position(parse_id(args[4]) if creating else parse_end(args[4]), make, entries_read)


@command(
    "XGROUP|CREATE",
    -5,
    Route.WRITE,
    "write denyoom",
    keys=SECOND,
    check=parse_position,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Creates a consumer group.",
)
def xgroup_create(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP CREATE key group (id | $) [MKSTREAM] [ENTRIESREAD entries-read]"""
    last_id, make, entries_read = parse_position(args)
    key, name = args[2], args[3]
    if make and stream_at(db, key) is None:
        db.set(key, Stream())
    stream = _stream_of(db, key)
    if name in stream.groups:
        raise CommandError("BUSYGROUP Consumer Group name already exists")
    stream.groups[name] = Group(stream.last_id if last_id is None else last_id, entries_read)
    db.notify(b"xgroup-create", key)
    return OK


@command(
    "XGROUP|SETID",
    -5,
    Route.WRITE,
    "write",
    keys=SECOND,
    check=parse_position,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Sets the last-delivered ID of a consumer group.",
)
def xgroup_setid(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP SETID key group (id | $) [ENTRIESREAD entries-read]"""
    last_id, _, entries_read = parse_position(args)
    stream, group = _group_of(db, args[2], args[3])
    group.last_id = stream.last_id if last_id is None else last_id
    group.entries_read = entries_read
    db.notify(b"xgroup-setid", args[2])
    return OK


@command(
    "XGROUP|DESTROY",
    4,
    Route.WRITE,
    "write",
    keys=SECOND,
    group="stream",
    since="5.0.0",
    complexity="O(N) where N is the number of entries in the group's pending entries list (PEL).",
    summary="Destroys a consumer group.",
)
def xgroup_destroy(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP DESTROY key group: whether it was there."""
    if _stream_of(db, args[2]).groups.pop(args[3], None) is None:
        return 0
    db.notify(b"xgroup-destroy", args[2])
    return 1


# -- XGROUP CREATECONSUMER, DELCONSUMER


@command(
    "XGROUP|CREATECONSUMER",
    5,
    Route.WRITE,
    "write denyoom",
    keys=SECOND,
    group="stream",
    since="6.2.0",
    complexity="O(1)",
    summary="Creates a consumer in a consumer group.",
)
def xgroup_createconsumer(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP CREATECONSUMER key group consumer: whether he is new."""
    _, group = _group_of(db, args[2], args[3])
    if args[4] in group.consumers:
        return 0
    group.add_consumer(args[4], now_ms)
    db.notify(b"xgroup-createconsumer", args[2])
    return 1


@command(
    "XGROUP|DELCONSUMER",
    5,
    Route.WRITE,
    "write",
    keys=SECOND,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Deletes a consumer from a consumer group.",
)
def xgroup_delconsumer(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP DELCONSUMER key group consumer: how many entries were pending for him."""
    _, group = _group_of(db, args[2], args[3])
    if args[4] not in group.consumers:
        return 0
    pending = group.remove_consumer(args[4])
    db.notify(b"xgroup-delconsumer", args[2])
    return pending


@command(
    "XGROUP|HELP",
    2,
    Route.READ,
    "loading stale",
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def xgroup_help(db: Database, args: Args, now_ms: int) -> Reply:
    """XGROUP HELP"""
    return HELP


# -- XACK


@command(
    "XACK",
    -4,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=lambda args: parse_ids(args[3:]),
    group="stream",
    since="5.0.0",
    complexity="O(1) for each message ID processed.",
    summary="Returns the number of messages that were successfully acknowledged by the consumer group member "
    "of a stream.",
)
def xack(db: Database, args: Args, now_ms: int) -> Reply:
    """XACK key group id [id ...]: how many were pending."""
    ids = parse_ids(args[3:])
    stream = stream_at(db, args[1])
    group = None if stream is None else stream.groups.get(args[2])
    return 0 if group is None else sum(map(group.release, ids))


# -- XPENDING


class Wanted(NamedTuple):
    """What of the pending entries XPENDING is to show."""

    first: Id
    last: Id
    most: int
    idle_ms: int
    consumer: bytes | None


def _parse_pending(args: Args) -> Wanted | None:
    """[[IDLE min-idle-time] start end count [consumer]]: None for the summary. Raises CommandError."""
    if len(args) == 3:
        return None
    if not 6 <= len(args) <= 9:
        raise SyntaxFault
    place, idle_ms = 3, 0
    if args[3].upper() == b"IDLE":
        idle_ms = integer(args[4])
        if len(args) < 8:
            raise SyntaxFault
        place = 5
    count = integer(args[place + 2])
    first, last = parse_start(args[place]), parse_stop(args[place + 1])
    # Redis looks at no argument behind the consumer.
    return Wanted(first, last, max(0, count), idle_ms, args[place + 3] if place + 3 < len(args) else None)


@command(
    "XPENDING",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="stream",
    since="5.0.0",
    complexity="O(N) with N being the number of elements returned, so asking for a small fixed number of "
    "entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE "
    "filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) "
    "time; otherwise, an additional O(N) time for iterating every consumer.",
    summary="Returns the information and entries from a stream consumer group's pending entries list.",
)
def xpending(db: Database, args: Args, now_ms: int) -> Reply:
    """XPENDING key group [[IDLE min-idle-time] start end count [consumer]]"""
    wanted = _parse_pending(args)
    _, group = group_at(db, args[1], args[2])
    return _summary(group) if wanted is None else _listed(group, wanted, now_ms)


def _summary(group: Group) -> Reply:
    """How many are pending, the lowest and the highest id, and how many for each consumer."""
    ids = group.pending.keys()
    if not ids:
        return [0, None, None, NULL_ARRAY]
    shares = [[each.name, b"%d" % len(each.ids)] for each in group.in_order() if each.ids]
    return [len(ids), id_text(ids[0]), id_text(ids[-1]), shares]


def _listed(group: Group, wanted: Wanted, now_ms: int) -> Reply:
    """Each with its consumer, the milliseconds since it was delivered, and how often it was."""
    ids = group.pending
    if wanted.consumer is not None:
        consumer = group.consumers.get(wanted.consumer)
        if consumer is None:
            return []
        ids = consumer.ids
    shown_ids = (
        id_
        for id_ in ids.irange(wanted.first, wanted.last)
        if not wanted.idle_ms or now_ms - group.pending[id_].delivered_ms >= wanted.idle_ms
    )
    found = ((id_, group.pending[id_]) for id_ in islice(shown_ids, wanted.most))
    return [
        [id_text(id_), each.consumer.name, max(0, now_ms - each.delivered_ms), each.deliveries]
        for id_, each in found
    ]
