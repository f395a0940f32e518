"""Finding keys: KEYS and SCAN.

A cursor names a slot and how many of its keys, the oldest ones, are still to come (0: all of them):

    cursor = remaining << 14 | slot

A slot's dict keeps the order in which keys came (K4), and is walked from its newest key to its oldest.
When a key goes, those behind it move one place towards the start: some may be returned twice, none is
left out. A key that comes takes its place at the end, which the walk has passed. So a key that is there
from the first call to the last is returned, without anything being remembered between calls.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple

from ironkv.commands.arguments import cursor, integer
from ironkv.commands.patterns import matcher
from ironkv.commands.table import Args, Route, command
from ironkv.errors import SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.slots import SLOTS
from ironkv.keyspace.values import type_name
from ironkv.resp.replies import Reply

SLOT_BITS: Final = 14
COUNT_DEFAULT: Final = 10


@command(
    "KEYS",
    2,
    Route.READ,
    "readonly",
    group="generic",
    since="1.0.0",
    complexity="O(N) with N being the number of keys in the database, under the assumption that the key "
    "names in the database and the given pattern have limited length.",
    summary="Returns all key names that match a pattern.",
    categories="dangerous",
)
def keys(db: Database, args: Args, now_ms: int) -> Reply:
    """KEYS pattern"""
    matches = None if args[1] == b"*" else matcher(args[1])
    found: list[bytes] = []
    for slot, values in enumerate(db.values):
        if values:
            names = db.live(slot)
            found += names if matches is None else filter(matches, names)
    return found


class ScanOptions(NamedTuple):
    """What SCAN and its kin were asked for."""

    most: int = COUNT_DEFAULT
    matches: Callable[[bytes], object] | None = None
    type_name: bytes | None = None


def parse_scan(words: list[bytes], *, types: bool = False) -> ScanOptions:
    """[MATCH pattern] [COUNT count] [TYPE type]; the last only when `types`. Raises CommandError."""
    most, matches, wanted_type = COUNT_DEFAULT, None, None
    if len(words) % 2:
        # The option without an argument is the last: those before it may be wrong first.
        parse_scan(words[:-1], types=types)
        raise SyntaxFault
    for option, argument in zip(words[::2], words[1::2], strict=True):
        name = option.upper()
        if name == b"COUNT":
            most = integer(argument)
            if most < 1:
                raise SyntaxFault
        elif name == b"MATCH":
            matches = None if argument == b"*" else matcher(argument)
        elif name == b"TYPE" and types:
            wanted_type = argument.lower()
        else:
            raise SyntaxFault
    return ScanOptions(most, matches, wanted_type)


@command(
    "SCAN",
    -2,
    Route.READ,
    "readonly",
    group="generic",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    summary="Iterates over the key names in the database.",
)
def scan(db: Database, args: Args, now_ms: int) -> Reply:
    """SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]"""
    start = cursor(args[1])
    options = parse_scan(args[2:], types=True)
    following, found = _walk(db, start, options.most)
    matches, wanted = options.matches, options.type_name
    if matches is not None:
        found = list(filter(matches, found))
    alive = [(key, value) for key in found if (value := db.find(key)) is not None]
    names = [key for key, value in alive if wanted is None or type_name(value) == wanted]
    return [b"%d" % following, names]


def _walk(db: Database, start: int, most: int) -> tuple[int, list[bytes]]:
    """Up to `most` keys, dead ones among them, and the cursor that goes on from there."""
    slot, remaining = start & (SLOTS - 1), start >> SLOT_BITS
    found: list[bytes] = []
    while slot < SLOTS:
        values = db.values[slot]
        size = len(values)
        if size:
            left = min(remaining or size, size)
            take = min(left, most - len(found))
            found += islice(reversed(values), size - left, size - left + take)
            if left > take:
                return (left - take) << SLOT_BITS | slot, found
        slot, remaining = slot + 1, 0
        if len(found) >= most:
            break
    return slot % SLOTS, found
