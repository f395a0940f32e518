"""ZUNION, ZINTER, ZDIFF and their kin. Plain sets take part as well: each of their members scores 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, Final, NamedTuple

from ironkv.commands.arguments import integer, real
from ironkv.commands.numbered_keys import amount, numbered_keys
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.commands.zset_ranges import store
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.sets import Set
from ironkv.keyspace.zsets import SortedSet
from ironkv.resp.replies import Pairs, Reply

Scores = dict[bytes, float]
Aggregate = Callable[[float, float], float]


def _sum(total: float, score: float) -> float:
    total += score
    return total if total == total else 0.0  # infinity less infinity: Redis has agreed on 0


AGGREGATES: Final[dict[bytes, Aggregate]] = {
    b"SUM": _sum,
    b"MIN": lambda least, score: score if score < least else least,
    b"MAX": lambda most, score: score if score > most else most,
}


class Options(NamedTuple):
    """How to combine; which of it may be said depends on the command."""

    weights: list[float]
    aggregate: Aggregate
    with_scores: bool
    limit: int
    """Of ZINTERCARD; 0: none."""


class Source(NamedTuple):
    """A sorted set, a set or nothing, and its weight."""

    value: SortedSet | Set | None
    weight: float

    @property
    def size(self) -> int:
        return 0 if self.value is None else len(self.value)

    def scored(self) -> Iterable[tuple[bytes, float]]:
        """The members with their scores, less the weight."""
        if isinstance(self.value, SortedSet):
            return self.value.by_place()
        return () if self.value is None else zip(self.value, repeat(1.0))

    def score(self, member: bytes) -> float | None:
        if isinstance(self.value, SortedSet):
            return self.value.score(member)
        return 1.0 if self.value is not None and member in self.value else None


# -- parsing


def _key_count(args: Args, place: int) -> int:
    count = integer(args[place])
    if count < 1:
        name = args[0].decode().lower()
        raise CommandError(f"ERR at least 1 input key is needed for '{name}' command")
    if count >= len(args) - place:
        raise SyntaxFault
    return count


def _parse_options(words: list[bytes], count: int, allowed: frozenset[bytes]) -> Options:
    """[WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX] [WITHSCORES] [LIMIT limit], as far as allowed."""
    weights, aggregate, with_scores, limit = [1.0] * count, AGGREGATES[b"SUM"], False, 0
    rest = words
    while rest:
        option, rest = rest[0].upper(), rest[1:]
        if option not in allowed:
            raise SyntaxFault
        if option == b"WITHSCORES":
            with_scores = True
            continue
        needed = count if option == b"WEIGHTS" else 1
        if len(rest) < needed:
            raise SyntaxFault
        if option == b"WEIGHTS":
            weights = [_weight(word) for word in rest[:needed]]
        elif option == b"AGGREGATE":
            named = AGGREGATES.get(rest[0].upper())
            if named is None:
                raise SyntaxFault
            aggregate = named
        else:
            limit = amount(rest[0], "ERR LIMIT can't be negative")
        rest = rest[needed:]
    return Options(weights, aggregate, with_scores, limit)


def _weight(word: bytes) -> float:
    try:
        return real(word)
    except CommandError:
        raise CommandError("ERR weight value is not a float") from None


COMBINING: Final = frozenset((b"WEIGHTS", b"AGGREGATE"))
SHOWING: Final = frozenset((b"WITHSCORES",))
LIMITING: Final = frozenset((b"LIMIT",))
NOTHING: Final[frozenset[bytes]] = frozenset()


def parse_combining_store(args: Args) -> None:
    """ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM | MIN | MAX]"""
    count = _key_count(args, 2)
    _parse_options(args[3 + count :], count, COMBINING)


def parse_zdiffstore(args: Args) -> None:
    """ZDIFFSTORE destination numkeys key [key ...]"""
    count = _key_count(args, 2)
    _parse_options(args[3 + count :], count, NOTHING)


def _gather(db: Database, args: Args, place: int, allowed: frozenset[bytes]) -> tuple[list[Source], Options]:
    """The sets named from argument `place` on, and the options behind them.

    Redis looks at the keys before it looks at the options.
    """
    count = _key_count(args, place)
    values = [_set_at(db, key) for key in args[place + 1 : place + 1 + count]]
    options = _parse_options(args[place + 1 + count :], count, allowed)
    return [Source(*pair) for pair in zip(values, options.weights, strict=True)], options


def _set_at(db: Database, key: bytes) -> Any:
    value = db.find(key)
    if value is None or type(value) in (SortedSet, Set):
        return value
    raise WrongType


# -- combining


def _weighted(score: float, weight: float) -> float:
    product = score * weight
    return product if product == product else 0.0  # infinity times 0


def _union(sources: list[Source], aggregate: Aggregate) -> Scores:
    # From the smallest on: in another order, sums might be rounded otherwise than in Redis.
    found: Scores = {}
    for source in sorted(sources, key=lambda source: source.size):
        weight = source.weight
        for member, score in source.scored():
            score = _weighted(score, weight)
            found[member] = aggregate(found[member], score) if member in found else score
    return found


def _inter(sources: list[Source], aggregate: Aggregate) -> Scores:
    smallest, *others = sorted(sources, key=lambda source: source.size)
    found: Scores = {}
    for member, score in smallest.scored():
        total = _weighted(score, smallest.weight)
        for other in others:
            further = other.score(member)
            if further is None:
                break
            total = aggregate(total, further * other.weight)
        else:
            found[member] = total
    return found


def _diff(sources: list[Source], aggregate: Aggregate) -> Scores:
    first, *others = sources
    found: Scores = dict(first.scored())
    for other in others:
        if other.size > len(found):
            found = {member: score for member, score in found.items() if other.score(member) is None}
        else:
            for member, _ in other.scored():
                found.pop(member, None)
    return found


Combine = Callable[[list[Source], Aggregate], Scores]


def _in_order(scores: Scores) -> list[tuple[bytes, float]]:
    return sorted(scores.items(), key=lambda pair: (pair[1], pair[0]))


def _reply(db: Database, args: Args, combine: Combine, allowed: frozenset[bytes]) -> Reply:
    sources, options = _gather(db, args, 1, allowed)
    found = _in_order(combine(sources, options.aggregate))
    return Pairs(found) if options.with_scores else [member for member, _ in found]


def _store(db: Database, args: Args, combine: Combine, allowed: frozenset[bytes]) -> Reply:
    sources, options = _gather(db, args, 2, allowed)
    return store(db, args[1], _in_order(combine(sources, options.aggregate)), args[0].lower())


@command(
    "ZUNION",
    -3,
    Route.READ,
    "readonly movablekeys",
    find_keys=numbered_keys(1),
    group="sorted-set",
    since="6.2.0",
    complexity="O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being "
    "the number of elements in the resulting sorted set.",
    summary="Returns the union of multiple sorted sets.",
)
def zunion(db: Database, args: Args, now_ms: int) -> Reply:
    """ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]"""
    return _reply(db, args, _union, COMBINING | SHOWING)


@command(
    "ZINTER",
    -3,
    Route.READ,
    "readonly movablekeys",
    find_keys=numbered_keys(1),
    group="sorted-set",
    since="6.2.0",
    complexity="O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the "
    "number of input sorted sets and M being the number of elements in the resulting sorted set.",
    summary="Returns the intersect of multiple sorted sets.",
)
def zinter(db: Database, args: Args, now_ms: int) -> Reply:
    """ZINTER numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX] [WITHSCORES]"""
    return _reply(db, args, _inter, COMBINING | SHOWING)


@command(
    "ZDIFF",
    -3,
    Route.READ,
    "readonly movablekeys",
    find_keys=numbered_keys(1),
    group="sorted-set",
    since="6.2.0",
    complexity="O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is "
    "the size of the first set, and K is the size of the result set.",
    summary="Returns the difference between multiple sorted sets.",
)
def zdiff(db: Database, args: Args, now_ms: int) -> Reply:
    """ZDIFF numkeys key [key ...] [WITHSCORES]"""
    return _reply(db, args, _diff, SHOWING)


@command(
    "ZINTERCARD",
    -3,
    Route.READ,
    "readonly movablekeys",
    find_keys=numbered_keys(1),
    group="sorted-set",
    since="7.0.0",
    complexity="O(N*K) worst case with N being the smallest input sorted set, K being the number of input "
    "sorted sets.",
    summary="Returns the number of members of the intersect of multiple sorted sets.",
)
def zintercard(db: Database, args: Args, now_ms: int) -> Reply:
    """ZINTERCARD numkeys key [key ...] [LIMIT limit]"""
    sources, options = _gather(db, args, 1, LIMITING)
    smallest, *others = sorted(sources, key=lambda source: source.size)
    count = 0
    for member, _ in smallest.scored():
        if all(other.score(member) is not None for other in others):
            count += 1
            if count == options.limit:
                break
    return count


@command(
    "ZUNIONSTORE",
    -4,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_combining_store,
    find_keys=numbered_keys(2),
    group="sorted-set",
    since="2.0.0",
    complexity="O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being "
    "the number of elements in the resulting sorted set.",
    summary="Stores the union of multiple sorted sets in a key.",
)
def zunionstore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]"""  # noqa: E501
    return _store(db, args, _union, COMBINING)


@command(
    "ZINTERSTORE",
    -4,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_combining_store,
    find_keys=numbered_keys(2),
    group="sorted-set",
    since="2.0.0",
    complexity="O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the "
    "number of input sorted sets and M being the number of elements in the resulting sorted set.",
    summary="Stores the intersect of multiple sorted sets in a key.",
)
def zinterstore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZINTERSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM | MIN | MAX]"""  # noqa: E501
    return _store(db, args, _inter, COMBINING)


@command(
    "ZDIFFSTORE",
    -4,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_zdiffstore,
    find_keys=numbered_keys(2),
    group="sorted-set",
    since="6.2.0",
    complexity="O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is "
    "the size of the first set, and K is the size of the result set.",
    summary="Stores the difference of multiple sorted sets in a key.",
)
def zdiffstore(db: Database, args: Args, now_ms: int) -> Reply:
    """ZDIFFSTORE destination numkeys key [key ...]"""
    return _store(db, args, _diff, NOTHING)
