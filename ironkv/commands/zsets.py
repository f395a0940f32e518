"""Sorted sets: members and their scores, pops, random members and scans.

Ranges are in `zset_ranges`, ZUNION and its kin in `zset_algebra`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ironkv.commands.arguments import INT64_MAX, check_random_count, cursor, random_count, real
from ironkv.commands.numbered_keys import amount, numbered_keys, parse_mpop
from ironkv.commands.removing import remove_empty
from ironkv.commands.scanning import parse_scan
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.zsets import SortedSet
from ironkv.resp.replies import NULL_ARRAY, Pairs, Reply, format_float

NOT_A_NUMBER: Final = "ERR resulting score is not a number (NaN)"


def zset_at(db: Database, key: bytes) -> SortedSet | None:
    """The live sorted set at `key`, or None. Raises WrongType, Due."""
    value = db.find(key)
    if value is None or type(value) is SortedSet:
        return value
    raise WrongType


# -- adding


class AddOptions(NamedTuple):
    """What ZADD was asked to do."""

    only: frozenset[bytes]
    """Of NX, XX, GT and LT."""
    changed: bool
    increment: bool
    scored: list[tuple[float, bytes]]


ADD_OPTIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"))
NO_OPTIONS: Final[frozenset[bytes]] = frozenset()


def parse_zadd(args: Args) -> AddOptions:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"""
    if len(args) == 4 and args[2].upper() not in ADD_OPTIONS:
        return AddOptions(NO_OPTIONS, False, False, [(real(args[2]), args[3])])
    options: set[bytes] = set()
    start = 2
    while start < len(args) and (word := args[start].upper()) in ADD_OPTIONS:
        options.add(word)
        start += 1
    if start == len(args) or (len(args) - start) % 2:
        raise SyntaxFault
    if options >= {b"NX", b"XX"}:
        raise CommandError("ERR XX and NX options at the same time are not compatible")
    if len(options & {b"NX", b"GT", b"LT"}) > 1:
        raise CommandError("ERR GT, LT, and/or NX options at the same time are not compatible")
    if b"INCR" in options and len(args) - start > 2:
        raise CommandError("ERR INCR option supports a single increment-element pair")
    scored = [(real(args[at]), args[at + 1]) for at in range(start, len(args), 2)]
    return AddOptions(frozenset(options - {b"CH", b"INCR"}), b"CH" in options, b"INCR" in options, scored)


@command(
    "ZADD",
    -4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_zadd,
    plain=4,
    group="sorted-set",
    since="1.2.0",
    complexity="O(log(N)) for each item added, where N is the number of elements in the sorted set.",
    summary="Adds one or more members to a sorted set, or updates their scores. Creates the key if it "
    "doesn't exist.",
)
def zadd(db: Database, args: Args, now_ms: int) -> Reply:
    """ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]"""
    if len(args) == 4 and args[2].upper() not in ADD_OPTIONS:
        return _add_one(db, args[1], real(args[2]), args[3])
    only, changed, increment, scored = parse_zadd(args)
    zset = zset_at(db, args[1])
    if zset is None:
        if b"XX" in only:
            return None if increment else 0
        zset = SortedSet()
        db.set(args[1], zset)
    if increment:
        return _increment(db, args[1], zset, *scored[0], only)
    zset.expect(len(scored))
    before, updated = len(zset), 0
    for score, member in scored:
        old = zset.score(member)
        if old is None:
            if b"XX" not in only:
                zset.set(member, score)
        elif old != score and _may_become(old, score, only):
            zset.set(member, score)
            updated += 1
    added = len(zset) - before
    if added or updated:
        if db.keyspace.listener is not None:
            db.notify(b"zadd", args[1])
        else:
            db.keyspace.changes += 1
    return added + updated if changed else added


def _add_one(db: Database, key: bytes, score: float, member: bytes) -> int:
    """ZADD of one member without options: 1 if it is new."""
    zset = zset_at(db, key)
    if zset is None:
        zset = SortedSet()
        db.set(key, zset)
    old = zset.set(member, score)
    if old == score:
        return 0
    if db.keyspace.listener is not None:
        db.notify(b"zadd", key)
    else:
        db.keyspace.changes += 1
    return 1 if old is None else 0


def _increment(
    db: Database, key: bytes, zset: SortedSet, amount: float, member: bytes, only: frozenset[bytes]
) -> float | None:
    """The member's new score; None when the options keep it from changing."""
    old = zset.score(member)
    if old is None:
        if b"XX" in only:
            return None
        score = amount
    else:
        if b"NX" in only:
            return None
        score = old + amount
        if score != score:
            raise CommandError(NOT_A_NUMBER)
        if not _may_become(old, score, only):
            return None
    zset.set(member, score)
    if score != old:
        db.notify(b"zincr", key)
    return score


def _may_become(old: float, new: float, only: frozenset[bytes]) -> bool:
    """Whether the options let a member that is there have another score."""
    if b"GT" in only:
        return new > old
    if b"LT" in only:
        return new < old
    return b"NX" not in only


def parse_zincrby(args: Args) -> float:
    """ZINCRBY key increment member -> increment"""
    if args[2].upper() in ADD_OPTIONS:  # Redis reads them as ZADD's, and misses the rest
        raise SyntaxFault
    return real(args[2])


@command(
    "ZINCRBY",
    4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_zincrby,
    group="sorted-set",
    since="1.2.0",
    complexity="O(log(N)) where N is the number of elements in the sorted set.",
    summary="Increments the score of a member in a sorted set.",
)
def zincrby(db: Database, args: Args, now_ms: int) -> Reply:
    """ZINCRBY key increment member"""
    increment = parse_zincrby(args)
    zset = zset_at(db, args[1])
    if zset is None:
        zset = SortedSet()
        db.set(args[1], zset)
    return _increment(db, args[1], zset, increment, args[3], NO_OPTIONS)


# -- removing


@command(
    "ZREM",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.2.0",
    complexity="O(M*log(N)) with N being the number of elements in the sorted set and M the number of "
    "elements to be removed.",
    summary="Removes one or more members from a sorted set. Deletes the sorted set if all members were "
    "removed.",
)
def zrem(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREM key member [member ...]"""
    zset = zset_at(db, args[1])
    if zset is None:
        return 0
    removed = sum(map(zset.remove, args[2:]))
    if removed:
        db.notify(b"zrem", args[1])
        remove_empty(db, args[1], zset)
    return removed


def take(
    db: Database, key: bytes, zset: SortedSet, start: int, stop: int, event: bytes
) -> list[tuple[bytes, float]]:
    """Remove a range of ranks, and the sorted set when nothing is left of it."""
    taken = zset.take(start, stop)
    if taken:
        db.notify(event, key)
        remove_empty(db, key, zset)
    return taken


def pop(db: Database, key: bytes, zset: SortedSet, count: int, *, lowest: bool) -> list[tuple[bytes, float]]:
    size = len(zset)
    count = min(count, size)
    if lowest:
        return take(db, key, zset, 0, count, b"zpopmin")
    return take(db, key, zset, size - count, size, b"zpopmax")[::-1]


def parse_zpop(args: Args) -> int | None:
    """ZPOPMIN key [count] -> count"""
    if len(args) > 3:
        raise SyntaxFault
    return amount(args[2]) if len(args) == 3 else None


@command(
    "ZPOPMIN",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_zpop,
    plain=2,
    group="sorted-set",
    since="5.0.0",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being the number "
    "of elements popped.",
    summary="Returns the lowest-scoring members from a sorted set after removing them. Deletes the sorted "
    "set if the last member was popped.",
)
def zpopmin(db: Database, args: Args, now_ms: int) -> Reply:
    """ZPOPMIN key [count]"""
    return _zpop(db, args, lowest=True)


@command(
    "ZPOPMAX",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_zpop,
    plain=2,
    group="sorted-set",
    since="5.0.0",
    complexity="O(log(N)*M) with N being the number of elements in the sorted set, and M being the number "
    "of elements popped.",
    summary="Returns the highest-scoring members from a sorted set after removing them. Deletes the sorted "
    "set if the last member was popped.",
)
def zpopmax(db: Database, args: Args, now_ms: int) -> Reply:
    """ZPOPMAX key [count]"""
    return _zpop(db, args, lowest=False)


def _zpop(db: Database, args: Args, *, lowest: bool) -> Reply:
    count = parse_zpop(args)
    zset = zset_at(db, args[1])
    if zset is None:
        return []
    taken = pop(db, args[1], zset, 1 if count is None else count, lowest=lowest)
    # Without a count the one pair is flat, in RESP3 too.
    return list(taken[0]) if count is None else Pairs(taken)


def parse_zmpop(args: Args) -> tuple[list[bytes], bool, int]:
    """ZMPOP numkeys key [key ...] MIN | MAX [COUNT count] -> (keys, lowest, count)"""
    return parse_mpop(args, (b"MIN", b"MAX"))


@command(
    "ZMPOP",
    -4,
    Route.WRITE,
    "write movablekeys",
    check=parse_zmpop,
    find_keys=numbered_keys(1),
    group="sorted-set",
    since="7.0.0",
    complexity="O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements "
    "in the sorted set, and M being the number of elements popped.",
    summary="Returns the highest- or lowest-scoring members from one or more sorted sets after removing "
    "them. Deletes the sorted set if the last member was popped.",
)
def zmpop(db: Database, args: Args, now_ms: int) -> Reply:
    """ZMPOP numkeys key [key ...] (MIN | MAX) [COUNT count]"""
    keys, lowest, count = parse_zmpop(args)
    for key in keys:
        zset = zset_at(db, key)
        if zset is not None:
            return [key, pop(db, key, zset, count, lowest=lowest)]
    return NULL_ARRAY


# -- looking


@command(
    "ZCARD",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.2.0",
    complexity="O(1)",
    summary="Returns the number of members in a sorted set.",
)
def zcard(db: Database, args: Args, now_ms: int) -> Reply:
    """ZCARD key"""
    zset = zset_at(db, args[1])
    return 0 if zset is None else len(zset)


@command(
    "ZSCORE",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="1.2.0",
    complexity="O(1)",
    summary="Returns the score of a member in a sorted set.",
)
def zscore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZSCORE key member"""
    zset = zset_at(db, args[1])
    return None if zset is None else zset.score(args[2])


@command(
    "ZMSCORE",
    -3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="6.2.0",
    complexity="O(N) where N is the number of members being requested.",
    summary="Returns the score of one or more members in a sorted set.",
)
def zmscore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZMSCORE key member [member ...]"""
    zset = zset_at(db, args[1])
    return [None if zset is None else zset.score(member) for member in args[2:]]


@command(
    "ZRANK",
    -3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.0.0",
    complexity="O(log(N))",
    summary="Returns the index of a member in a sorted set ordered by ascending scores.",
)
def zrank(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANK key member [WITHSCORE]"""
    return _rank(db, args, backwards=False)


@command(
    "ZREVRANK",
    -3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.0.0",
    complexity="O(log(N))",
    summary="Returns the index of a member in a sorted set ordered by descending scores.",
)
def zrevrank(db: Database, args: Args, now_ms: int) -> Reply:
    """ZREVRANK key member [WITHSCORE]"""
    return _rank(db, args, backwards=True)


def _rank(db: Database, args: Args, *, backwards: bool) -> Reply:
    if len(args) > 4:
        name = args[0].decode().lower()
        raise CommandError(f"ERR wrong number of arguments for '{name}' command")
    with_score = len(args) == 4
    if with_score and args[3].upper() != b"WITHSCORE":
        raise SyntaxFault
    zset = zset_at(db, args[1])
    rank = None if zset is None else zset.rank(args[2])
    if zset is None or rank is None:
        return NULL_ARRAY if with_score else None
    if backwards:
        rank = len(zset) - 1 - rank
    return [rank, zset.score(args[2])] if with_score else rank


def parse_zrandmember(args: Args) -> tuple[int, bool]:
    """ZRANDMEMBER key count [WITHSCORES] -> (count, with scores)"""
    count = random_count(args[2])
    if len(args) > 4 or (len(args) == 4 and args[3].upper() != b"WITHSCORES"):
        raise SyntaxFault
    if len(args) == 4 and abs(count) > INT64_MAX // 2:
        raise CommandError("ERR value is out of range")
    return count, len(args) == 4


@command(
    "ZRANDMEMBER",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="6.2.0",
    complexity="O(N) where N is the number of elements returned",
    summary="Returns one or more random members from a sorted set.",
)
def zrandmember(db: Database, args: Args, now_ms: int) -> Reply:
    """ZRANDMEMBER key [count [WITHSCORES]]"""
    if len(args) == 2:
        zset = zset_at(db, args[1])
        return None if zset is None else next(iter(zset.random_members(1, db.keyspace.choice)))[0]
    count, with_scores = parse_zrandmember(args)
    zset = zset_at(db, args[1])
    if zset is None:
        return []
    check_random_count(count)
    choice = db.keyspace.choice
    chosen = zset.random_members(-count, choice) if count < 0 else zset.distinct_members(count, choice)
    return Pairs(chosen) if with_scores else [member for member, _ in chosen]


@command(
    "ZSCAN",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="sorted-set",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    summary="Iterates over members and scores of a sorted set.",
)
def zscan(db: Database, args: Args, now_ms: int) -> Reply:
    """ZSCAN key cursor [MATCH pattern] [COUNT count]"""
    start = cursor(args[2])
    zset = zset_at(db, args[1])
    if zset is None:
        return [b"0", []]
    options = parse_scan(args[3:])
    following, scored = zset.scan(start, options.most)
    found: list[bytes] = []
    for member, score in scored:
        if options.matches is None or options.matches(member):
            found += member, format_float(score)
    return [b"%d" % following, found]
