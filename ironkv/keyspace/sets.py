"""Sets: members, each once.

A small one is a plain dict, in the order in which the members came. A big one, or one with a long member,
is for ever what `indexed` describes. Redis 7.2 knows three encodings, and clients and tests their
thresholds: `intset` (only integers, shown in ascending order), `listpack` and `hashtable`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, Self

from ironkv.keyspace import thresholds
from ironkv.keyspace.indexed import any_place, distinct_places, index, take_out, walk
from ironkv.keyspace.values import is_int64

NUMBER_LONGEST: Final = 20
"""Digits and sign of an integer of 64 bits."""

INTSET: Final = b"intset"
LISTPACK: Final = b"listpack"
HASHTABLE: Final = b"hashtable"


class Set:
    """Never empty while it is in a database (K3)."""

    __slots__ = ("_encoding", "_names", "_places")

    type_name: ClassVar[bytes] = b"set"

    def __init__(self, encoding: bytes = INTSET) -> None:
        self._encoding = encoding
        self._places: dict[bytes, int] = {}
        """The members. Places are kept only of a hashtable's."""
        self._names: list[bytes] | None = [] if encoding == HASHTABLE else None
        """None: this is a small set."""

    @classmethod
    def rebuilt(cls, encoding: bytes, members: Iterable[bytes]) -> Self:
        """The set that has this encoding and these members in this order."""
        new = cls(encoding)
        if new._names is not None:
            new._names += members
            new._places = index(new._names)
        else:
            new._places = dict.fromkeys(members, 0)
        return new

    @classmethod
    def expecting(cls, first: bytes, count: int) -> Self:
        """A set that is about to be given `count` members: how it is held is decided as Redis does."""
        limits = thresholds.in_force
        if count <= limits.set_integers and is_int64(first):
            return cls(INTSET)
        return cls(LISTPACK if count <= limits.set_entries else HASHTABLE)

    def encoding(self) -> bytes:
        return self._encoding

    def copy(self) -> Self:
        return self.rebuilt(self._encoding, self)

    def pieces(self, most: int) -> Iterator[list[bytes]]:
        """The members in order."""
        names = self._by_place()
        for at in range(0, len(names), most):
            yield names[at : at + most]

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[bytes]) -> Self:
        return cls.rebuilt(encoding, items)

    # -- looking

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, member: bytes) -> bool:
        return member in self._places

    def __iter__(self) -> Iterator[bytes]:
        """The members in the order that is part of the state."""
        return iter(self._places if self._names is None else self._names)

    def in_order(self) -> list[bytes]:
        """All of these at once."""
        return list(self._places if self._names is None else self._names)

    def members(self) -> list[bytes]:
        """The members in the order that is shown."""
        return sorted(self._places, key=int) if self._encoding == INTSET else self.in_order()

    def scan(self, cursor: int, most: int) -> tuple[int, list[bytes]]:
        """The next members and the cursor that goes on from there; of a small set all at once."""
        if self._names is None:
            return 0, self.members()
        places = walk(len(self._names), cursor, most)
        return places.start, self._names[places.start : places.stop][::-1]

    def random_members(self, count: int, chance: random.Random) -> Iterator[bytes]:
        """`count` members, each about equally likely, whatever came before it."""
        names = self._by_place()
        return (names[any_place(len(names), chance)] for _ in range(count))

    def distinct_members(self, count: int, chance: random.Random) -> Iterator[bytes]:
        """`count` different members at random, or all there are as they are shown."""
        names = self._by_place()
        if count >= len(names):
            return iter(self.members())
        return (names[place] for place in distinct_places(len(names), count, chance))

    def _by_place(self) -> list[bytes]:
        return list(self._places) if self._names is None else self._names

    # -- changing

    def add(self, member: bytes) -> bool:
        """Whether the member is new."""
        places, names = self._places, self._names
        if member in places:
            return False
        if names is None:
            self._make_room_for(member)
            places, names = self._places, self._names
        places[member] = 0
        if names is not None:
            places[member] = len(names)
            names.append(member)
        elif self._encoding == INTSET and len(places) > thresholds.in_force.set_integers:
            self._index()
        return True

    def _make_room_for(self, member: bytes) -> None:
        """Let a small set be held as it must be with one more member."""
        if self._encoding == INTSET:
            if is_int64(member):
                return
            self._places = dict.fromkeys(self.members(), 0)
            self._encoding = LISTPACK
        limits = thresholds.in_force
        longest = (
            max(len(member), *map(len, self._places)) if limits.set_value < NUMBER_LONGEST else len(member)
        )
        if len(self._places) >= limits.set_entries or longest > limits.set_value:
            self._index()

    def expect(self, count: int) -> None:
        """Decide before the first of many members is added how they are held: as Redis does."""
        limits = thresholds.in_force
        if self._names is None and count > (
            limits.set_integers if self._encoding == INTSET else limits.set_entries
        ):
            self._index()

    def remove(self, member: bytes) -> bool:
        """Whether the member was there."""
        if self._names is None:
            return self._places.pop(member, None) is not None
        return take_out(self._names, self._places, member) is not None

    def become_intset(self) -> None:
        """Be held as integers if that is what all members are, and few enough."""
        if len(self._places) <= thresholds.in_force.set_integers and all(map(is_int64, self._places)):
            self._places = dict.fromkeys(self, 0)
            self._encoding, self._names = INTSET, None

    def pop(self, count: int, chance: random.Random) -> list[bytes]:
        """Remove `count` members at random: fewer than there are.

        When few are left of a hashtable they are held as a small set again, as in Redis.
        """
        names = self._by_place()
        popped = [names[place] for place in distinct_places(len(names), count, chance)]
        for member in popped:
            self.remove(member)
        if self._names is not None and 5 * len(self._names) <= count:
            left, self._names = self._names, None
            self._encoding, self._places = LISTPACK, {}
            for member in left:
                self.add(member)
        return popped

    def _index(self) -> None:
        self._names = self.members()
        self._places = index(self._names)
        self._encoding = HASHTABLE
