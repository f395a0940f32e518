"""Intersections, unions and differences of sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ironkv.commands.arguments import INT64_MAX, integer_between
from ironkv.commands.removing import delete
from ironkv.commands.sets import find_set
from ironkv.commands.table import ALL_KEYS, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.sets import INTSET, LISTPACK, Set
from ironkv.resp.replies import Members, Reply

Sets = list[Set | None]
"""None: the key is not there, the set is empty."""

PRODUCT: Final = (
    "O(N*M) worst case where N is the cardinality of the smallest set and M is the number of sets."
)
TOTAL: Final = "O(N) where N is the total number of elements in all given sets."


def _find_sets(db: Database, keys: Iterable[bytes]) -> Sets:
    return [find_set(db, key) for key in keys]


def _common(sets: Sets) -> list[bytes]:
    """The members of the smallest set that all others have, in its order."""
    if None in sets:
        return []
    smallest, *others = sorted((set_ for set_ in sets if set_ is not None), key=len)
    common = smallest.members()
    for other in others:
        if other is not smallest:
            common = list(filter(other.__contains__, common))
    return common


def _all(sets: Sets) -> list[bytes]:
    """The members of all sets, each once."""
    every: dict[bytes, None] = {}
    for set_ in sets:
        if set_ is not None:
            every.update(dict.fromkeys(set_.members()))
    return list(every)


def _left(sets: Sets) -> list[bytes]:
    """The members of the first set that no other has."""
    first, *rest = sets
    if first is None or any(other is first for other in rest):
        return []
    others = [other for other in rest if other is not None]
    if _looks_everything_up(first, others):
        left = first.members()
        for other in sorted(others, key=len, reverse=True):
            left = [member for member in left if member not in other]
        return left
    remaining = dict.fromkeys(first.members())
    for other in others:
        for member in other:
            remaining.pop(member, None)
    return list(remaining)


def _difference(sets: Sets) -> Set:
    """`_left` for keeping: made as Redis makes it, which shows in the encoding."""
    first, *rest = sets
    others = [other for other in rest if other is not None]
    if first is None or first in others or _looks_everything_up(first, others):
        return _filled(_left(sets))
    result = _filled(first.members())
    for other in others:
        for member in other:
            result.remove(member)
    return result


def _looks_everything_up(first: Set, others: list[Set]) -> bool:
    """Whether that is less work than to remove all others' members from a copy of the first."""
    return len(first) * (1 + len(others)) // 2 <= len(first) + sum(map(len, others))


def _shown(sets: Sets, members: list[bytes]) -> Members:
    """Numbers in ascending order, where Redis would have made an intset of them."""
    if all(set_ is None or set_.encoding() == INTSET for set_ in sets):
        members.sort(key=int)
    return Members(members)


def _store(db: Database, key: bytes, result: Set, event: bytes) -> int:
    if result:
        db.set(key, result)
        db.notify(event, key)
    else:
        delete(db, key)
    return len(result)


def _filled(members: Iterable[bytes], encoding: bytes = INTSET) -> Set:
    result = Set(encoding)
    for member in members:
        result.add(member)
    return result


# -- to be shown


@command(
    "SINTER",
    -2,
    Route.READ,
    "readonly",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=PRODUCT,
    summary="Returns the intersect of multiple sets.",
)
def sinter(db: Database, args: Args, now_ms: int) -> Reply:
    """SINTER key [key ...]"""
    return Members(_common(_find_sets(db, args[1:])))


@command(
    "SUNION",
    -2,
    Route.READ,
    "readonly",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=TOTAL,
    summary="Returns the union of multiple sets.",
)
def sunion(db: Database, args: Args, now_ms: int) -> Reply:
    """SUNION key [key ...]"""
    sets = _find_sets(db, args[1:])
    return _shown(sets, _all(sets))


@command(
    "SDIFF",
    -2,
    Route.READ,
    "readonly",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=TOTAL,
    summary="Returns the difference of multiple sets.",
)
def sdiff(db: Database, args: Args, now_ms: int) -> Reply:
    """SDIFF key [key ...]"""
    sets = _find_sets(db, args[1:])
    return _shown(sets, _left(sets))


def parse_sintercard(args: Args) -> tuple[list[bytes], int]:
    """SINTERCARD numkeys key [key ...] [LIMIT limit] -> (keys, limit)"""
    count = integer_between(args[1], 1, INT64_MAX, "ERR numkeys should be greater than 0")
    if count > len(args) - 2:
        raise CommandError("ERR Number of keys can't be greater than number of args")
    limit = 0
    words = iter(args[2 + count :])
    for word in words:
        amount = next(words, None)
        if word.upper() != b"LIMIT" or amount is None:
            raise SyntaxFault
        limit = integer_between(amount, 0, INT64_MAX, "ERR LIMIT can't be negative")
    return args[2 : 2 + count], limit


def _keys_of_sintercard(args: Args) -> Sequence[bytes]:
    return parse_sintercard(args)[0]


@command(
    "SINTERCARD",
    -3,
    Route.READ,
    "readonly movablekeys",
    find_keys=_keys_of_sintercard,
    group="set",
    since="7.0.0",
    complexity=PRODUCT,
    summary="Returns the number of members of the intersect of multiple sets.",
)
def sintercard(db: Database, args: Args, now_ms: int) -> Reply:
    """SINTERCARD numkeys key [key ...] [LIMIT limit]"""
    keys, limit = parse_sintercard(args)
    sets = [set_ for set_ in _find_sets(db, keys) if set_ is not None]
    if len(sets) < len(keys):
        return 0
    smallest, *others = sorted(sets, key=len)
    if not others:
        return min(len(smallest), limit or len(smallest))
    found = 0
    for member in smallest:
        if all(member in other for other in others):
            found += 1
            if found == limit:
                break
    return found


# -- to be stored


@command(
    "SINTERSTORE",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=PRODUCT,
    summary="Stores the intersect of multiple sets in a key.",
)
def sinterstore(db: Database, args: Args, now_ms: int) -> Reply:
    """SINTERSTORE destination key [key ...]: how many members it has."""
    result = _filled(_common(_find_sets(db, args[2:])), LISTPACK)
    result.become_intset()
    return _store(db, args[1], result, b"sinterstore")


@command(
    "SUNIONSTORE",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=TOTAL,
    summary="Stores the union of multiple sets in a key.",
)
def sunionstore(db: Database, args: Args, now_ms: int) -> Reply:
    """SUNIONSTORE destination key [key ...]: how many members it has."""
    return _store(db, args[1], _filled(_all(_find_sets(db, args[2:]))), b"sunionstore")


@command(
    "SDIFFSTORE",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=ALL_KEYS,
    group="set",
    since="1.0.0",
    complexity=TOTAL,
    summary="Stores the difference of multiple sets in a key.",
)
def sdiffstore(db: Database, args: Args, now_ms: int) -> Reply:
    """SDIFFSTORE destination key [key ...]: how many members it has."""
    return _store(db, args[1], _difference(_find_sets(db, args[2:])), b"sdiffstore")
