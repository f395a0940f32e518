"""Ranges of sorted sets: by rank, by score and by the bytes of members; to count, return, store, remove."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.list_elements import span
from ironkv.commands.lists import FROM_TO
from ironkv.commands.removing import delete
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.commands.zsets import take, zset_at
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.zsets import LexBound, SortedSet
from ironkv.resp.replies import Pairs, Reply

RANK, SCORE, LEX = b"BYRANK", b"BYSCORE", b"BYLEX"

NOT_A_FLOAT: Final = "ERR min or max is not a float"
NOT_A_LEX_BOUND: Final = "ERR min or max not valid string range item"
LIMIT_BY_RANK: Final = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
SCORES_BY_LEX: Final = "ERR syntax error, WITHSCORES not supported in combination with BYLEX"

_number = re.compile(
    rb"[ \t\n\v\f\r]*([+-]?)(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?)"
    rb"|(0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?\d+)?))\Z",
    re.I,
).match

Range = tuple[int, int]
"""(start, stop): ranks from `start` to before `stop`."""
Find = Callable[[SortedSet], Range]


# -- the ends of ranges


def _c_float(text: bytes) -> float:
    """What C's strtod reads up to the first NUL, leading blanks included: nothing is 0, too much infinity.
    Raises CommandError for what is no number and for NaN."""
    text = text.partition(b"\0")[0]
    if not text:
        return 0.0
    match = _number(text)
    if match is None:
        raise CommandError(NOT_A_FLOAT)
    sign, decimal, hexadecimal = match.groups()
    if decimal is not None:
        size = float(decimal)
    else:
        try:
            size = float.fromhex(hexadecimal.decode())
        except OverflowError:
            size = float("inf")
    return -size if sign == b"-" else size


def _score_bound(text: bytes) -> tuple[float, bool]:
    """`1.5` or `(1.5` -> (score, exclusive)"""
    exclusive = text[:1] == b"("
    return _c_float(text[1:] if exclusive else text), exclusive


def _lex_bound(text: bytes) -> LexBound:
    kind = text[:1]
    if kind in (b"[", b"("):
        return LexBound(text[1:], exclusive=kind == b"(")
    if kind in (b"-", b"+") and text[1:2] in (b"", b"\0"):
        return LexBound(infinite=-1 if kind == b"-" else 1)
    raise CommandError(NOT_A_LEX_BOUND)


def by_rank(first: bytes, last: bytes, *, backwards: bool = False) -> Find:
    """Ranks as the client wrote them; `backwards`: counted from the highest score. Raises NotInteger."""
    start, end = integer(first), integer(last)

    def find(zset: SortedSet) -> Range:
        low, high = span(start, end, len(zset))
        return (len(zset) - high, len(zset) - low) if backwards else (low, high)

    return find


def by_score(lowest: bytes, highest: bytes, *, backwards: bool = False) -> Find:
    """Scores as the client wrote them. Raises CommandError."""
    low, above = _score_bound(lowest)
    high, below = _score_bound(highest)

    def find(zset: SortedSet) -> Range:
        start = zset.up_to_score(low) if above else zset.below_score(low)
        stop = zset.below_score(high) if below else zset.up_to_score(high)
        return start, max(start, stop)

    return find


def by_lex(lowest: bytes, highest: bytes, *, backwards: bool = False) -> Find:
    """Members as the client wrote them. Raises CommandError."""
    lower, upper = _lex_bound(lowest), _lex_bound(highest)
    return lambda zset: zset.lex_range(lower, upper, backwards=backwards)


FINDERS: Final[dict[bytes, Callable[..., Find]]] = {RANK: by_rank, SCORE: by_score, LEX: by_lex}


# -- counting


@command(
    "ZCOUNT",
    4,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    summary="Returns the count of members in a sorted set that have scores within a range.",
)
def zcount(db: Database, args: Args, now_ms: int) -> Reply:
    """ZCOUNT key min max"""
    return _count(db, args[1], by_score(args[2], args[3]))


@command(
    "ZLEXCOUNT",
    4,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.8.9",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    summary="Returns the number of members in a sorted set within a lexicographical range.",
)
def zlexcount(db: Database, args: Args, now_ms: int) -> Reply:
    """ZLEXCOUNT key min max"""
    return _count(db, args[1], by_lex(args[2], args[3]))


def _count(db: Database, key: bytes, find: Find) -> int:
    zset = zset_at(db, key)
    if zset is None:
        return 0
    start, stop = find(zset)
    return stop - start


# -- returning


class RangeQuery(NamedTuple):
    """A range that was asked for, and how to return it."""

    find: Find
    backwards: bool
    with_scores: bool
    offset: int
    limit: int
    """Negative: no limit."""

    def within(self, zset: SortedSet) -> Range:
        """The range, less what is left out at its beginning and end."""
        start, stop = self.find(zset)
        offset = self.offset if self.offset >= 0 else stop - start
        if self.backwards:
            stop = max(start, stop - offset)
            return (max(start, stop - self.limit), stop) if self.limit >= 0 else (start, stop)
        start = min(stop, start + offset)
        return (start, min(stop, start + self.limit)) if self.limit >= 0 else (start, stop)


def _parse_range(
    words: list[bytes], kind: bytes | None = None, backwards: bool | None = None, *, stores: bool = False
) -> RangeQuery:
    """min max [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]; `kind` and `backwards` are given
    where the command's name says them. Raises CommandError."""
    with_scores = False
    offset, limit = 0, -1
    rest = iter(words[2:])
    left = len(words) - 2
    for word in rest:
        left -= 1
        option = word.upper()
        if option == b"WITHSCORES" and not stores:
            with_scores = True
        elif option == b"LIMIT" and left >= 2:
            offset, limit = integer(next(rest)), integer(next(rest))
            left -= 2
        elif option == b"REV" and backwards is None:
            backwards = True
        elif option in (SCORE, LEX) and kind is None:
            kind = option
        else:
            raise SyntaxFault
    backwards, kind = bool(backwards), kind or RANK
    if limit != -1 and kind == RANK:
        raise CommandError(LIMIT_BY_RANK)
    if with_scores and kind == LEX:
        raise CommandError(SCORES_BY_LEX)
    first, last = words[:2]
    if backwards and kind != RANK:
        first, last = last, first
    if kind == RANK:
        offset = 0
    return RangeQuery(FINDERS[kind](first, last, backwards=backwards), backwards, with_scores, offset, limit)


def _reply(db: Database, key: bytes, query: RangeQuery) -> Reply:
    zset = zset_at(db, key)
    if zset is None:
        return []
    start, stop = query.within(zset)
    found: list[bytes] | Pairs
    found = Pairs(zset.scored(start, stop)) if query.with_scores else zset.members(start, stop)
    if query.backwards:
        found.reverse()
    return found


@command(
    "ZRANGE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements returned.",
    summary="Returns members in a sorted set within a range of indexes.",
)
def zrange(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]"""
    return _reply(db, args[1], _parse_range(args[2:]))


@command(
    "ZREVRANGE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements returned.",
    summary="Returns members in a sorted set within a range of indexes in reverse order.",
)
def zrevrange(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREVRANGE key start stop [WITHSCORES]"""
    return _reply(db, args[1], _parse_range(args[2:], RANK, True))


@command(
    "ZRANGEBYSCORE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.0.5",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), "
    "you can consider it O(log(N)).",
    summary="Returns members in a sorted set within a range of scores.",
)
def zrangebyscore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]"""
    return _reply(db, args[1], _parse_range(args[2:], SCORE, False))


@command(
    "ZREVRANGEBYSCORE",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), "
    "you can consider it O(log(N)).",
    summary="Returns members in a sorted set within a range of scores in reverse order.",
)
def zrevrangebyscore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]"""
    return _reply(db, args[1], _parse_range(args[2:], SCORE, True))


@command(
    "ZRANGEBYLEX",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.8.9",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), "
    "you can consider it O(log(N)).",
    summary="Returns members in a sorted set within a lexicographical range.",
)
def zrangebylex(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANGEBYLEX key min max [LIMIT offset count]"""
    return _reply(db, args[1], _parse_range(args[2:], LEX, False))


@command(
    "ZREVRANGEBYLEX",
    -4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.8.9",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), "
    "you can consider it O(log(N)).",
    summary="Returns members in a sorted set within a lexicographical range in reverse order.",
)
def zrevrangebylex(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREVRANGEBYLEX key max min [LIMIT offset count]"""
    return _reply(db, args[1], _parse_range(args[2:], LEX, True))


def parse_zrangestore(args: Args) -> RangeQuery:
    """ZRANGESTORE dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]"""
    return _parse_range(args[3:], stores=True)


@command(
    "ZRANGESTORE",
    -5,
    Route.WRITE,
    "write denyoom",
    keys=FROM_TO,
    check=parse_zrangestore,
    group="sorted-set",
    since="6.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements stored into the destination key.",
    summary="Stores a range of members from sorted set in a key.",
)
def zrangestore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANGESTORE destination source min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]"""
    query = parse_zrangestore(args)
    zset = zset_at(db, args[2])
    scored = [] if zset is None else zset.scored(*query.within(zset))
    return store(db, args[1], scored, b"zrangestore")


def store(db: Database, key: bytes, scored: list[tuple[bytes, float]], event: bytes) -> int:
    """Put a sorted set of these members in place of whatever was there; how many there are."""
    if scored:
        db.set(key, SortedSet.of(scored))
        db.notify(event, key)
    else:
        delete(db, key)
    return len(scored)


# -- removing


def parse_zremrangebyrank(args: Args) -> Find:
    """ZREMRANGEBYRANK key start stop"""
    return by_rank(args[2], args[3])


@command(
    "ZREMRANGEBYRANK",
    4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_zremrangebyrank,
    group="sorted-set",
    since="2.0.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements removed by the operation.",
    summary="Removes members in a sorted set within a range of indexes. Deletes the sorted set if all "
    "members were removed.",
)
def zremrangebyrank(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREMRANGEBYRANK key start stop"""
    return _remove(db, args[1], parse_zremrangebyrank(args), b"zremrangebyrank")


def parse_zremrangebyscore(args: Args) -> Find:
    """ZREMRANGEBYSCORE key min max"""
    return by_score(args[2], args[3])


@command(
    "ZREMRANGEBYSCORE",
    4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_zremrangebyscore,
    group="sorted-set",
    since="1.2.0",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements removed by the operation.",
    summary="Removes members in a sorted set within a range of scores. Deletes the sorted set if all "
    "members were removed.",
)
def zremrangebyscore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREMRANGEBYSCORE key min max"""
    return _remove(db, args[1], parse_zremrangebyscore(args), b"zremrangebyscore")


def parse_zremrangebylex(args: Args) -> Find:
    """ZREMRANGEBYLEX key min max"""
    return by_lex(args[2], args[3])


@command(
    "ZREMRANGEBYLEX",
    4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_zremrangebylex,
    group="sorted-set",
    since="2.8.9",
    complexity="O(log(N)+M) with N being the number of elements in the sorted set and M the number of "
    "elements removed by the operation.",
    summary="Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all "
    "members were removed.",
)
def zremrangebylex(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREMRANGEBYLEX key min max"""
    return _remove(db, args[1], parse_zremrangebylex(args), b"zremrangebylex")


def _remove(db: Database, key: bytes, find: Find, event: bytes) -> int:
    zset = zset_at(db, key)
    return 0 if zset is None else len(take(db, key, zset, *find(zset), event))
