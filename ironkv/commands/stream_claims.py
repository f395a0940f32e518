"""Claiming: pending entries become another consumer's (XCLAIM, XAUTOCLAIM)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import INT64_MAX, INT64_MIN, integer_between
from ironkv.commands.numbered_keys import number_between
from ironkv.commands.stream_ids import entry_reply, group_at, id_text, parse_id, parse_start, shown
from ironkv.commands.stream_reads import consumer_of
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.stream_blocks import Id
from ironkv.keyspace.stream_groups import Consumer, Group, Pending
from ironkv.keyspace.streams import Stream
from ironkv.resp.replies import Reply

ATTEMPTS: Final = 10
"""Pending entries that XAUTOCLAIM looks at, for each that it may claim."""
COUNT_MOST: Final = INT64_MAX // 16
DEFAULT_COUNT: Final = 100

_WITH_VALUE: Final = (b"IDLE", b"TIME", b"RETRYCOUNT", b"LASTID")
"""Options of XCLAIM that an argument follows."""


def _number(text: bytes, what: str) -> int:
    """Raises CommandError; `what` says of what it is no number."""
    return integer_between(text, INT64_MIN, INT64_MAX, f"ERR Invalid {what} argument for XCLAIM")


class Claim(NamedTuple):
    """What XCLAIM was asked to do."""

    idle_ms: int
    """How long an entry must have been pending."""
    ids: list[Id]
    new_idle_ms: int | None = None
    """How long ago it is to have been delivered; or, of more weight, the time itself:"""
    delivered_ms: int | None = None
    deliveries: int | None = None
    force: bool = False
    just_ids: bool = False
    last_id: Id = 0


def parse_xclaim(args: Args) -> Claim:
    """key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds]
    [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]"""
    idle_ms = max(0, _number(args[4], "min-idle-time"))
    ids = list(_leading_ids(args[5:]))
    claim = Claim(idle_ms, ids)
    words = iter(args[5 + len(ids) :])
    for word in words:
        option = word.upper()
        if option == b"FORCE":
            claim = claim._replace(force=True)
        elif option == b"JUSTID":
            claim = claim._replace(just_ids=True)
        elif option in _WITH_VALUE and (text := next(words, None)) is not None:
            claim = _with_value(claim, option, text)
        else:
            raise CommandError(f"ERR Unrecognized XCLAIM option '{shown(word)}'")
    return claim


def _leading_ids(words: Args) -> Iterator[Id]:
    for word in words:
        try:
            yield parse_id(word)
        except CommandError:
            return


def _with_value(claim: Claim, option: bytes, text: bytes) -> Claim:
    if option == b"LASTID":
        return claim._replace(last_id=parse_id(text))
    number = _number(text, f"{option.decode()} option")
    if option == b"RETRYCOUNT":
        return claim._replace(deliveries=number if number >= 0 else None)
    if option == b"IDLE":
        return claim._replace(new_idle_ms=number, delivered_ms=None)
    return claim._replace(delivered_ms=number, new_idle_ms=None)


@command(
    "XCLAIM",
    -6,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_xclaim,
    group="stream",
    since="5.0.0",
    complexity="O(log N) with N being the number of messages in the PEL of the consumer group.",
    summary="Changes, or acquires, ownership of a message in a consumer group, as if the message was "
    "delivered a consumer group member.",
)
def xclaim(db: Database, args: Args, now_ms: int) -> Reply:
    """XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]"""  # noqa: E501
    claim = parse_xclaim(args)
    stream, group = group_at(db, args[1], args[2])
    group.last_id = max(group.last_id, claim.last_id)
    consumer = consumer_of(db, args[1], group, args[3], now_ms)
    claimed = [id_ for id_ in claim.ids if _claim(stream, group, consumer, claim, id_, now_ms)]
    if claimed:
        consumer.active_ms = now_ms
    return _claimed(stream, claimed, claim.just_ids)


def _claim(stream: Stream, group: Group, consumer: Consumer, claim: Claim, id_: Id, now_ms: int) -> bool:
    """Let a pending id be the consumer's, if it may be; one that is not in the stream is pending no more."""
    pending: Pending | None = group.pending.get(id_)
    if id_ not in stream.entries:
        group.release(id_)
        return False
    if pending is None:
        if not claim.force:
            return False
        pending = group.hold(id_, consumer, now_ms, 1)
    elif claim.idle_ms and now_ms - pending.delivered_ms < claim.idle_ms:
        return False
    group.hand_over(id_, pending, consumer)
    if not claim.just_ids:
        pending.deliver_again(now_ms)
    pending.delivered_ms = _delivery_time(claim, now_ms)
    if claim.deliveries is not None:
        pending.deliveries = claim.deliveries
    return True


def _delivery_time(claim: Claim, now_ms: int) -> int:
    delivered_ms = claim.delivered_ms
    if claim.new_idle_ms is not None:
        delivered_ms = now_ms - claim.new_idle_ms
    return delivered_ms if delivered_ms is not None and 0 <= delivered_ms <= now_ms else now_ms


def _claimed(stream: Stream, ids: list[Id], just_ids: bool) -> Reply:
    if just_ids:
        return list(map(id_text, ids))
    return [entry_reply((id_, stream.entries.get(id_) or [])) for id_ in ids]


# -- XAUTOCLAIM


class AutoClaim(NamedTuple):
    """What XAUTOCLAIM was asked to do."""

    idle_ms: int
    start: Id
    most: int
    just_ids: bool


def parse_xautoclaim(args: Args) -> AutoClaim:
    """key group consumer min-idle-time start [COUNT count] [JUSTID]"""
    complaint = "ERR Invalid min-idle-time argument for XAUTOCLAIM"
    idle_ms = max(0, integer_between(args[4], INT64_MIN, INT64_MAX, complaint))
    start = parse_start(args[5])
    most, just_ids = DEFAULT_COUNT, False
    words = iter(args[6:])
    for word in words:
        option = word.upper()
        if option == b"JUSTID":
            just_ids = True
        elif option == b"COUNT" and (text := next(words, None)) is not None:
            most = number_between(text, 1, COUNT_MOST, "ERR COUNT must be > 0")
        else:
            raise SyntaxFault
    return AutoClaim(idle_ms, start, most, just_ids)


@command(
    "XAUTOCLAIM",
    -6,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_xautoclaim,
    group="stream",
    since="6.2.0",
    complexity="O(1) if COUNT is small.",
    summary="Changes, or acquires, ownership of messages in a consumer group, as if the messages were "
    "delivered to as consumer group member.",
)
def xautoclaim(db: Database, args: Args, now_ms: int) -> Reply:
    """XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]"""
    idle_ms, start, most, just_ids = parse_xautoclaim(args)
    stream, group = group_at(db, args[1], args[2])
    consumer = consumer_of(db, args[1], group, args[3], now_ms)
    claimed: list[Id] = []
    deleted: list[Id] = []
    ids = group.pending.irange(start)
    for id_ in islice(ids, most * ATTEMPTS):
        pending = group.pending[id_]
        if id_ not in stream.entries:
            deleted.append(id_)
        elif not idle_ms or now_ms - pending.delivered_ms >= idle_ms:
            claimed.append(id_)
        if len(claimed) + len(deleted) == most:
            break
    following = id_text(next(ids, 0))
    for id_ in deleted:
        group.release(id_)
    for id_ in claimed:
        _take(group, consumer, id_, now_ms, again=not just_ids)
    return [following, _claimed(stream, claimed, just_ids), list(map(id_text, deleted))]


def _take(group: Group, consumer: Consumer, id_: Id, now_ms: int, *, again: bool) -> None:
    pending = group.pending[id_]
    group.hand_over(id_, pending, consumer)
    if again:
        pending.deliver_again(now_ms)
    pending.delivered_ms = consumer.active_ms = now_ms
