"""Reading streams: ranges of ids, and what is new since an id (XREAD) or for a group (XREADGROUP).

XREAD and XREADGROUP are made of three steps, so that a client that blocks can take the last of them again:
`parse_read`, `starting_ids` (for XREAD), and `new_entries` or `deliver`, which give None for nothing new.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import INT64_MAX, integer
from ironkv.commands.later import NothingYet
from ironkv.commands.stream_ids import (
    entry_reply,
    group_at,
    id_text,
    parse_id,
    parse_start,
    parse_stop,
    stream_at,
)
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.stream_blocks import ID_MOST, Id
from ironkv.keyspace.stream_groups import Consumer, Group
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import NULL_ARRAY, Keyed, Reply

NEW: Final = ID_MOST
"""What `>` stands for."""


@command(
    "XLEN",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="stream",
    since="5.0.0",
    complexity="O(1)",
    summary="Return the number of messages in a stream.",
)
def xlen(db: Database, args: Args, now_ms: int) -> Reply:
    """XLEN key"""
    stream = stream_at(db, args[1])
    return 0 if stream is None else len(stream)


# -- ranges


@command(
    "XRANGE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="stream",
    since="5.0.0",
    complexity="O(N) with N being the number of elements being returned. If N is constant (e.g. always "
    "asking for the first 10 elements with COUNT), you can consider it O(1).",
    summary="Returns the messages from a stream within a range of IDs.",
)
def xrange(db: Database, args: Args, now_ms: int) -> Reply:
    """XRANGE key start end [COUNT count]"""
    return _range(db, args, parse_start(args[2]), parse_stop(args[3]), backwards=False)


@command(
    "XREVRANGE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="stream",
    since="5.0.0",
    complexity="O(N) with N being the number of elements returned. If N is constant (e.g. always asking for "
    "the first 10 elements with COUNT), you can consider it O(1).",
    summary="Returns the messages from a stream within a range of IDs in reverse order.",
)
def xrevrange(db: Database, args: Args, now_ms: int) -> Reply:
    """XREVRANGE key end start [COUNT count]"""
    return _range(db, args, parse_start(args[3]), parse_stop(args[2]), backwards=True)


def _range(db: Database, args: Args, first: Id, last: Id, *, backwards: bool) -> Reply:
    count = _parse_count(args[4:])
    stream = stream_at(db, args[1])
    if stream is None:
        return []
    if count is not None and count <= 0:
        return NULL_ARRAY
    entries = stream.entries
    found = entries.between_backwards(first, last) if backwards else entries.between(first, last)
    return list(map(entry_reply, islice(found, count)))


def _parse_count(words: Args) -> int | None:
    """[COUNT count]; the last one counts."""
    count = None
    for place in range(0, len(words), 2):
        if words[place].upper() != b"COUNT" or place + 1 == len(words):
            raise SyntaxFault
        count = integer(words[place + 1])
    return count


# -- arguments of XREAD and XREADGROUP


class ReadRequest(NamedTuple):
    """What XREAD or XREADGROUP was asked for."""

    keys: list[bytes]
    ids: list[bytes]
    """As they were written, one for each key."""
    most: int | None
    """Entries of each stream; None for all."""
    block_ms: int | None
    """How long to wait for entries, 0 for ever; None for not at all."""
    group: bytes | None
    consumer: bytes
    noack: bool


def parse_read(args: Args) -> ReadRequest:
    """[GROUP group consumer] [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]"""
    of_group = args[0].upper() == b"XREADGROUP"
    count, block_ms, group, consumer, noack = 0, None, None, b"", False
    place = 1
    while True:
        more, width = len(args) - place - 1, 2
        option = args[place].upper() if more >= 0 else b""
        if option == b"STREAMS" and more:
            break
        if option == b"BLOCK" and more:
            block_ms = _parse_block(args[place + 1])
        elif option == b"COUNT" and more:
            count = integer(args[place + 1])
        elif option == b"GROUP" and more > 1:
            _only_of_group(option, of_group)
            group, consumer = args[place + 1 : place + 3]
            width = 3
        elif option == b"NOACK":
            _only_of_group(option, of_group)
            noack, width = True, 1
        else:
            raise SyntaxFault
        place += width
    keys, ids = _parse_streams(args, place + 1)
    if of_group and group is None:
        raise CommandError("ERR Missing GROUP option for XREADGROUP")
    return ReadRequest(keys, ids, count if count > 0 else None, block_ms, group, consumer, noack)


def _only_of_group(word: bytes, of_group: bool) -> None:
    if not of_group:
        raise CommandError(
            f"ERR The {word.decode()} option is only supported by XREADGROUP. You called XREAD instead."
        )


def _parse_block(text: bytes) -> int:
    try:
        block_ms = integer(text)
    except NotInteger:
        raise CommandError("ERR timeout is not an integer or out of range") from None
    if block_ms < 0:
        raise CommandError("ERR timeout is negative")
    return block_ms


def _parse_streams(args: Args, place: int) -> tuple[list[bytes], list[bytes]]:
    """key [key ...] id [id ...] -> (keys, ids)"""
    count, odd = divmod(len(args) - place, 2)
    if odd:
        name, sign = args[0].decode().lower(), ">" if args[0].upper() == b"XREADGROUP" else "$"
        raise CommandError(
            f"ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{sign}' must be "
            "specified."
        )
    return args[place : place + count], args[place + count :]


def find_keys(args: Args) -> list[bytes]:
    """The keys, whatever else is wrong with the request. Raises CommandError."""
    widths = {b"BLOCK": 2, b"COUNT": 2, b"GROUP": 3}
    place = 1
    while place < len(args) and (word := args[place].upper()) != b"STREAMS":
        place += widths.get(word, 1)
    if place >= len(args):
        raise SyntaxFault
    return args[place + 1 : place + 1 + (len(args) - place - 1) // 2]


def check_timeout(request: ReadRequest, now_ms: int) -> None:
    """Refuse to wait until a time that has no number."""
    if request.block_ms is not None and request.block_ms > INT64_MAX - now_ms:
        raise CommandError("ERR timeout is out of range")


# -- XREAD


@command(
    "XREAD",
    -4,
    Route.READ,
    "readonly blocking movablekeys",
    find_keys=find_keys,
    group="stream",
    since="5.0.0",
    complexity="For each stream mentioned: O(N) with N being the number of elements being returned.",
    summary="Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a "
    "message is available otherwise.",
)
def xread(db: Database, args: Args, now_ms: int) -> Reply:
    """XREAD [COUNT count] [BLOCK milliseconds] (STREAMS key [key ...] id [id ...])"""
    request = parse_read(args)
    check_timeout(request, now_ms)
    starts = starting_ids(db, request)
    found = new_entries(db, request, starts)
    if found is None and request.block_ms is not None:
        raise NothingYet((request, starts))
    return NULL_ARRAY if found is None else found


def starting_ids(db: Database, request: ReadRequest) -> list[Id]:
    """The ids behind which to read, `$` being what is the last id now. Raises CommandError, Due."""
    starts = []
    for key, text in zip(request.keys, request.ids, strict=True):
        stream = stream_at(db, key)
        if text == b"$":
            starts.append(0 if stream is None else stream.last_id)
        elif text == b">":
            raise CommandError(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
                "<consumer> option."
            )
        else:
            starts.append(parse_id(text))
    return starts


def new_entries(db: Database, request: ReadRequest, starts: list[Id]) -> Keyed | None:
    """What stands behind these ids, of each stream that has something there. Raises WrongType, Due."""
    found = Keyed()
    for key, start in zip(request.keys, starts, strict=True):
        stream = stream_at(db, key)
        if stream is not None and stream.entries.last() > start:
            entries = islice(stream.entries.between(start + 1, ID_MOST), request.most)
            found.append([key, list(map(entry_reply, entries))])
    return found or None


# -- XREADGROUP


def parse_group_read(args: Args) -> tuple[ReadRequest, list[Id]]:
    """The request, and behind which ids to read: NEW for `>`. Raises CommandError."""
    request = parse_read(args)
    return request, list(map(_group_start, request.ids))


def _group_start(text: bytes) -> Id:
    if text == b"$":
        raise CommandError(
            "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this "
            "consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just "
            "return an empty result set."
        )
    return NEW if text == b">" else parse_id(text)


@command(
    "XREADGROUP",
    -7,
    Route.WRITE,
    "write blocking movablekeys",
    check=parse_group_read,
    find_keys=find_keys,
    group="stream",
    since="5.0.0",
    complexity="For each stream mentioned: O(M) with M being the number of elements returned. If M is "
    "constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the "
    "other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked "
    "on the stream getting new data.",
    summary="Returns new or historical messages from a stream for a consumer in a group. Blocks until a "
    "message is available otherwise.",
)
def xreadgroup(db: Database, args: Args, now_ms: int) -> Reply:
    """XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] (STREAMS key [key ...] id [id ...])"""  # noqa: E501
    request, starts = parse_group_read(args)
    check_timeout(request, now_ms)
    found = deliver(db, request, starts, now_ms)
    return NULL_ARRAY if found is None else found


def deliver(db: Database, request: ReadRequest, starts: list[Id], now_ms: int) -> Keyed | None:
    """Give a consumer what is new for his group, or what is pending for him. Raises CommandError."""
    name = request.group
    assert name is not None, "XREADGROUP names a group"
    where = " in XREADGROUP with GROUP option"
    served = [group_at(db, key, name, where) for key in request.keys]
    found = Keyed()
    for key, start, (stream, group) in zip(request.keys, starts, served, strict=True):
        consumer = consumer_of(db, key, group, request.consumer, now_ms)
        if start != NEW:
            found.append([key, _history(stream, group, consumer, start, request.most, now_ms)])
        elif stream.entries.last() > group.last_id:
            found.append([key, _deliver_new(stream, group, consumer, request, now_ms)])
    return found or None


def consumer_of(db: Database, key: bytes, group: Group, name: bytes, now_ms: int) -> Consumer:
    """The consumer who asks, made if he is new."""
    consumer = group.consumers.get(name)
    if consumer is None:
        consumer = group.add_consumer(name, now_ms)
        db.notify(b"xgroup-createconsumer", key)
    consumer.seen_ms = now_ms
    return consumer


def _deliver_new(
    stream: Stream, group: Group, consumer: Consumer, request: ReadRequest, now_ms: int
) -> Reply:
    entries = list(islice(stream.entries.between(group.last_id + 1, ID_MOST), request.most))
    for id_, _ in entries:
        stream.pass_on(group, id_)
        if request.noack:
            continue
        pending = group.pending.get(id_)
        if pending is None:
            group.hold(id_, consumer, now_ms, 1)
        else:  # XGROUP SETID has set the group back
            group.hand_over(id_, pending, consumer)
            pending.delivered_ms, pending.deliveries = now_ms, 1
        consumer.active_ms = now_ms
    return list(map(entry_reply, entries))


def _history(
    stream: Stream, group: Group, consumer: Consumer, start: Id, most: int | None, now_ms: int
) -> Reply:
    """What is pending for a consumer; without fields what is not in the stream any more."""
    found = []
    for id_ in islice(consumer.ids.irange(start + 1), most):
        items = stream.entries.get(id_)
        found.append([id_text(id_), NULL_ARRAY if items is None else items])
        if items is not None:
            group.pending[id_].deliver_again(now_ms)
    return found
