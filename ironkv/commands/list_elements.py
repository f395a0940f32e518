"""Elements of lists: find, count, change and remove them by index or value."""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import INT64_MAX, integer
from ironkv.commands.lists import list_at
from ironkv.commands.numbered_keys import amount, number_between
from ironkv.commands.removing import remove_empty
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Reply

# -- looking


@command(
    "LLEN",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the length of a list.",
)
def llen(db: Database, args: Args, now_ms: int) -> Reply:
    """LLEN key"""
    items = list_at(db, args[1])
    return 0 if items is None else len(items)


@command(
    "LINDEX",
    3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(N) where N is the number of elements to traverse to get to the element at index. This "
    "makes asking for the first or the last element of the list O(1).",
    summary="Returns an element from a list by its index.",
)
def lindex(db: Database, args: Args, now_ms: int) -> Reply:
    """LINDEX key index"""
    items = list_at(db, args[1])
    if items is None:
        return None
    index = _place(integer(args[2]), len(items))
    return None if index is None else items[index]


def _place(index: int, size: int) -> int | None:
    """An index that may count from the end, as one from 0; None when it is out of range."""
    if index < 0:
        index += size
    return index if 0 <= index < size else None


def span(start: int, end: int, size: int) -> tuple[int, int]:
    """`start` to `end` inclusive, either of which may count from the end, as (start, stop) within a
    collection of this size; (0, 0) when nothing lies there."""
    if start < 0:
        start = max(0, start + size)
    if end < 0:
        end += size
    stop = min(end + 1, size)
    return (start, stop) if start < stop else (0, 0)


@command(
    "LRANGE",
    4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end "
    "(HEAD or TAIL) for large lists; and N is the number of elements in the specified range.",
    summary="Returns a range of elements from a list.",
)
def lrange(db: Database, args: Args, now_ms: int) -> Reply:
    """LRANGE key start stop"""
    start, end = integer(args[2]), integer(args[3])
    items = list_at(db, args[1])
    return [] if items is None else items.range(*span(start, end, len(items)))


class PositionOptions(NamedTuple):
    """What LPOS was asked for."""

    rank: int = 1
    wanted: int | None = None
    """0: all matches; None: one, and not in an array."""
    most: int = 0
    """How many elements to compare; 0: all."""


RANK_IS_ZERO: Final = (
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to "
    "start from the end of the list"
)


def parse_lpos(args: Args) -> PositionOptions:
    """LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]"""
    rank, count, most = PositionOptions()
    words = iter(args[3:])
    for word in words:
        option, argument = word.upper(), next(words, None)
        if argument is None:
            raise SyntaxFault
        if option == b"RANK":
            rank = number_between(argument, -INT64_MAX, INT64_MAX)
            if rank == 0:
                raise CommandError(RANK_IS_ZERO)
        elif option == b"COUNT":
            count = amount(argument, "ERR COUNT can't be negative")
        elif option == b"MAXLEN":
            most = amount(argument, "ERR MAXLEN can't be negative")
        else:
            raise SyntaxFault
    return PositionOptions(rank, count, most)


@command(
    "LPOS",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="list",
    since="6.0.6",
    complexity="O(N) where N is the number of elements in the list, for the average case. When searching "
    "for elements near the head or the tail of the list, or when the MAXLEN option is provided, the "
    "command may run in constant time.",
    summary="Returns the index of matching elements in a list.",
)
def lpos(db: Database, args: Args, now_ms: int) -> Reply:
    """LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]"""
    rank, count, most = parse_lpos(args)
    items = list_at(db, args[1])
    found: list[int] = []
    if items is not None:
        size = len(items)
        most = min(most or size, size)
        if rank > 0:
            within = (index for index in items.indexes_of(args[2], most) if index < most)
        else:
            matches = items.indexes_of_from_tail(args[2], most)
            within = (index for index in matches if index >= size - most)
        skip = min(abs(rank) - 1, size)
        wanted = 1 if count is None else min(count or size, size)
        found = list(islice(within, skip, skip + wanted))
    if count is not None:
        return found
    return found[0] if found else None


# -- changing


@command(
    "LSET",
    4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(N) where N is the length of the list. Setting either the first or the last element of the "
    "list is O(1).",
    summary="Sets the value of an element in a list by its index.",
)
def lset(db: Database, args: Args, now_ms: int) -> Reply:
    """LSET key index element"""
    items = list_at(db, args[1])
    if items is None:
        raise CommandError("ERR no such key")
    index = _place(integer(args[2]), len(items))
    if index is None:
        items.expect(args[3])
        raise CommandError("ERR index out of range")
    items.replace(index, args[3])
    db.notify(b"lset", args[1])
    return OK


def parse_linsert(args: Args) -> bool:
    """LINSERT key BEFORE | AFTER pivot element -> after"""
    where = args[2].upper()
    if where not in (b"BEFORE", b"AFTER"):
        raise SyntaxFault
    return where == b"AFTER"


@command(
    "LINSERT",
    5,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_linsert,
    group="list",
    since="2.2.0",
    complexity="O(N) where N is the number of elements to traverse before seeing the value pivot. This "
    "means that inserting somewhere on the left end on the list (head) can be considered O(1) and "
    "inserting somewhere on the right end (tail) is O(N).",
    summary="Inserts an element before or after another element in a list.",
)
def linsert(db: Database, args: Args, now_ms: int) -> Reply:
    """LINSERT key (BEFORE | AFTER) pivot element"""
    after = parse_linsert(args)
    items = list_at(db, args[1])
    if items is None:
        return 0
    if not items.insert(args[3], args[4], after=after):
        return -1
    db.notify(b"linsert", args[1])
    return len(items)


def parse_lrem(args: Args) -> int:
    """LREM key count element -> count"""
    return integer(args[2])


@command(
    "LREM",
    4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_lrem,
    group="list",
    since="1.0.0",
    complexity="O(N+M) where N is the length of the list and M is the number of elements removed.",
    summary="Removes elements from a list. Deletes the list if the last element was removed.",
)
def lrem(db: Database, args: Args, now_ms: int) -> Reply:
    """LREM key count element"""
    count = parse_lrem(args)
    items = list_at(db, args[1])
    if items is None:
        return 0
    removed = items.remove(args[3], count)
    if removed:
        db.notify(b"lrem", args[1])
        remove_empty(db, args[1], items)
    return removed


def parse_ltrim(args: Args) -> tuple[int, int]:
    """LTRIM key start stop -> (start, stop)"""
    return integer(args[2]), integer(args[3])


@command(
    "LTRIM",
    4,
    Route.WRITE,
    "write",
    keys=ONE_KEY,
    check=parse_ltrim,
    group="list",
    since="1.0.0",
    complexity="O(N) where N is the number of elements to be removed by the operation.",
    summary="Removes elements from both ends a list. Deletes the list if all elements were trimmed.",
)
def ltrim(db: Database, args: Args, now_ms: int) -> Reply:
    """LTRIM key start stop"""
    start, end = parse_ltrim(args)
    items = list_at(db, args[1])
    if items is not None:
        start, stop = span(start, end, len(items))
        if start == stop:
            db.remove(args[1])
        else:
            items.trim(start, stop)
        db.notify(b"ltrim", args[1])
        if start == stop:
            db.tell(b"del", args[1])
    return OK
