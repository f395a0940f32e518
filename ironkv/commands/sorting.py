"""SORT: the elements of a list, set or sorted set in order, perhaps by what other keys say of them.

Sorting is stable: elements that Redis would leave in any order stay in the order in which they are held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ironkv.commands.arguments import integer, real
from ironkv.commands.removing import delete
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.lists import List
from ironkv.keyspace.sets import Set
from ironkv.keyspace.zsets import SortedSet
from ironkv.resp.replies import Reply

ITSELF: Final = b"#"
"""As a pattern: the element."""
BLANKS: Final = b" \t\n\v\f\r"

ARGUMENTS: Final = {b"LIMIT": 2, b"GET": 1, b"BY": 1, b"STORE": 1}

COMPLEXITY: Final = (
    "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of "
    "returned elements. When the elements are not sorted, complexity is O(N)."
)


class Pattern:
    """The name of a key, or of a hash and a field, with `*` in place of the element: `user:*->name`."""

    def __init__(self, text: bytes) -> None:
        self._is_element = text == ITSELF
        self._before, star, behind = text.partition(b"*")
        self.is_constant = not star or b"\0" in self._before
        after, arrow, field = behind.partition(b"->")
        self._field = field if arrow and field else None
        self._after = after if self._field is not None else behind

    def value(self, db: Database, element: bytes) -> bytes | None:
        """What is found there for an element; None if nothing is. Raises Due."""
        if self._is_element:
            return element
        if self.is_constant:
            return None
        found = db.find(self._before + element + self._after)
        if self._field is not None:
            return found.get(self._field) if type(found) is Hash else None
        return found if type(found) is bytes else None


class Sorting:
    """How to sort, and what of it to give."""

    def __init__(self) -> None:
        self.descending = False
        self.by_bytes = False
        """ALPHA."""
        self.offset = 0
        self.count = -1
        """Negative: all."""
        self.by: Pattern | None = None
        self.gets: list[Pattern] = []
        self.destination: bytes | None = None

    def window(self, size: int) -> slice:
        """What LIMIT leaves of so many elements."""
        start = min(max(self.offset, 0), size)
        return slice(start, None if self.count < 0 else start + self.count)


def parse_sort(args: Args) -> Sorting:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]
    [STORE destination]"""
    sorting = Sorting()
    stores = not args[0].upper().endswith(b"_RO")
    at = 2
    while at < len(args):
        option, rest = args[at].upper(), args[at + 1 :]
        needed = ARGUMENTS.get(option, 0)
        if len(rest) < needed:
            raise SyntaxFault
        if option in (b"ASC", b"DESC"):
            sorting.descending = option == b"DESC"
        elif option == b"ALPHA":
            sorting.by_bytes = True
        elif option == b"LIMIT":
            sorting.offset, sorting.count = integer(rest[0]), integer(rest[1])
        elif option == b"BY":
            sorting.by = Pattern(rest[0])
        elif option == b"GET":
            sorting.gets.append(Pattern(rest[0]))
        elif option == b"STORE" and stores:
            sorting.destination = rest[0]
        else:
            raise SyntaxFault
        at += 1 + needed
    return sorting


def sort_keys(args: Args) -> list[bytes]:
    """The key, and the one behind the last STORE."""
    stored: list[bytes] = []
    at = 2
    while at < len(args):
        option = args[at].upper()
        if option == b"STORE":
            stored = args[at + 1 : at + 2] or stored
        at += 1 + ARGUMENTS.get(option, 0)
    return args[1:2] + stored


def _sorted(db: Database, key: bytes, sorting: Sorting) -> list[bytes]:
    """The elements in order, as many as LIMIT leaves. Raises WrongType, CommandError, Due."""
    value = db.find(key)
    if not (value is None or isinstance(value, List | Set | SortedSet)):
        raise WrongType
    elements = _elements(value)
    by = sorting.by
    if by is None or not by.is_constant:
        elements.sort(key=_order(db, sorting, by), reverse=sorting.descending)
    elif isinstance(value, Set):
        # Redis stores, and gives a script, an order that does not depend on the hash table.
        if sorting.destination is not None or db.keyspace.scripted:
            elements.sort(reverse=sorting.descending)
    elif sorting.descending:
        elements.reverse()
    return elements[sorting.window(len(elements))]


def _elements(value: List | Set | SortedSet | None) -> list[bytes]:
    if isinstance(value, List):
        return list(value)
    if isinstance(value, Set):
        return list(value.members())
    return [] if value is None else value.members(0, len(value))


def _order(db: Database, sorting: Sorting, by: Pattern | None) -> Callable[[bytes], Any]:
    """By what to compare the elements."""
    if not sorting.by_bytes:
        return lambda element: (_weight(element if by is None else by.value(db, element)), element)
    if by is None:
        return lambda element: element

    def by_value(element: bytes) -> tuple[bool, bytes]:
        value = by.value(db, element)
        return value is not None, value or b""  # nothing comes before the empty string

    return by_value


def _weight(text: bytes | None) -> float:
    """What C's strtod makes of it; of nothing, 0."""
    if text is None:
        return 0.0
    text = text.partition(b"\0")[0]
    if not text:
        return 0.0
    try:
        return real(text.lstrip(BLANKS))
    except CommandError:
        raise CommandError("ERR One or more scores can't be converted into double") from None


def _shown(db: Database, elements: list[bytes], sorting: Sorting) -> list[bytes | None]:
    """What to give of the elements: themselves, or what the GET patterns find."""
    if not sorting.gets:
        return list(elements)
    return [pattern.value(db, element) for element in elements for pattern in sorting.gets]


@command(
    "SORT",
    -2,
    Route.WRITE,
    "write denyoom movablekeys",
    keys=ONE_KEY,
    check=parse_sort,
    find_keys=sort_keys,
    group="generic",
    since="1.0.0",
    complexity=COMPLEXITY,
    summary="Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
    categories="set sortedset list dangerous -keyspace",
)
def sort(db: Database, args: Args, now_ms: int) -> Reply:
    """SORT key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]
    [STORE destination]: the elements, or how many were stored."""
    sorting = parse_sort(args)
    shown = _shown(db, _sorted(db, args[1], sorting), sorting)
    destination = sorting.destination
    if destination is None:
        return shown
    if shown:
        db.set(destination, List.of([item or b"" for item in shown]))
        db.notify(b"sortstore", destination)
    else:
        delete(db, destination)
    return len(shown)


@command(
    "SORT_RO",
    -2,
    Route.READ,
    "readonly movablekeys",
    keys=ONE_KEY,
    group="generic",
    since="7.0.0",
    complexity=COMPLEXITY,
    summary="Returns the sorted elements of a list, a set, or a sorted set.",
    categories="set sortedset list dangerous -keyspace",
)
def sort_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] [ALPHA]"""
    sorting = parse_sort(args)
    return _shown(db, _sorted(db, args[1], sorting), sorting)
