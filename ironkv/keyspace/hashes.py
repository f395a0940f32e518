"""Hashes: values by field.

A small one is a plain dict, in the order in which the fields came. A big one, or one with a long field
or value, is for ever what `indexed` describes, its values in a list beside the names. These are Redis's
`listpack` and `hashtable`, of whose thresholds clients and tests know.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Self

from ironkv.keyspace import thresholds
from ironkv.keyspace.indexed import any_place, distinct_places, index, take_out, walk

Pair = tuple[bytes, bytes]


class Hash:
    """Never empty while it is in a database (K3)."""

    __slots__ = ("_names", "_table", "_values")

    type_name: ClassVar[bytes] = b"hash"

    def __init__(self, *, indexed: bool = False) -> None:
        self._table: dict[bytes, Any] = {}
        """Small: field -> value. Indexed: field -> place."""
        self._names: list[bytes] | None = [] if indexed else None
        """None: this is a small hash."""
        self._values: list[bytes] = []
        """Indexed: the values by place."""

    @classmethod
    def rebuilt(cls, encoding: bytes, pairs: Iterable[Pair]) -> Self:
        """The hash that has this encoding and gives these pairs in this order."""
        new = cls(indexed=encoding == b"hashtable")
        new._table.update(pairs)
        if new._names is not None:
            new._names += new._table
            new._values += new._table.values()
            new._table = index(new._names)
        return new

    def encoding(self) -> bytes:
        return b"listpack" if self._names is None else b"hashtable"

    def copy(self) -> Self:
        return self.rebuilt(self.encoding(), self.pairs().items())

    def pieces(self, most: int) -> Iterator[list[bytes]]:
        """field, value, field, value …"""
        names = self._names
        if names is None:
            yield [part for pair in self._table.items() for part in pair]
            return
        for at in range(0, len(names), most):
            piece = [b""] * (2 * len(part := names[at : at + most]))
            piece[::2], piece[1::2] = part, self._values[at : at + most]
            yield piece

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[bytes]) -> Self:
        return cls.rebuilt(encoding, zip(items[::2], items[1::2], strict=True))

    # -- looking

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, field: bytes) -> bool:
        return field in self._table

    def get(self, field: bytes) -> bytes | None:
        if self._names is None:
            return self._table.get(field)
        place = self._table.get(field)
        return None if place is None else self._values[place]

    def fields(self) -> list[bytes]:
        return list(self._table if self._names is None else self._names)

    def values(self) -> list[bytes]:
        return list(self._table.values()) if self._names is None else list(self._values)

    def pairs(self) -> dict[bytes, bytes]:
        """A copy of it all as a dict, in order."""
        if self._names is None:
            return self._table.copy()
        return dict(zip(self._names, self._values, strict=True))

    def scan(self, cursor: int, most: int) -> tuple[int, list[Pair]]:
        """The next pairs and the cursor that goes on from there; of a small hash all pairs at once."""
        names, values = self._names, self._values
        if names is None:
            return 0, list(self._table.items())
        places = walk(len(names), cursor, most)
        return places.start, [(names[place], values[place]) for place in reversed(places)]

    def random_pairs(self, count: int, chance: random.Random) -> Iterator[Pair]:
        """`count` pairs, each about equally likely, whatever came before it."""
        names, values, size = self._by_place()
        for _ in range(count):
            place = any_place(size, chance)
            yield names[place], values[place]

    def distinct_pairs(self, count: int, chance: random.Random) -> Iterator[Pair]:
        """`count` different pairs at random, or all there are in order."""
        names, values, size = self._by_place()
        places = range(size) if count >= size else distinct_places(size, count, chance)
        return ((names[place], values[place]) for place in places)

    def _by_place(self) -> tuple[list[bytes], list[bytes], int]:
        if self._names is None:
            return list(self._table), list(self._table.values()), len(self._table)
        return self._names, self._values, len(self._names)

    # -- changing

    def set(self, field: bytes, value: bytes) -> bool:
        """Whether the field is new."""
        table = self._table
        if self._names is None:
            limits = thresholds.in_force
            if len(field) <= limits.hash_value and len(value) <= limits.hash_value:
                is_new = field not in table
                table[field] = value
                if is_new and len(table) > limits.hash_entries:
                    self._index()
                return is_new
            self._index()
            return self.set(field, value)
        place = table.get(field)
        if place is not None:
            self._values[place] = value
            return False
        table[field] = len(self._names)
        self._names.append(field)
        self._values.append(value)
        return True

    def expect(self, words: list[bytes]) -> None:
        """Decide before the first of many fields is set how they are held: as Redis does."""
        limits = thresholds.in_force
        if self._names is None and (
            len(words) > 2 * limits.hash_entries or max(map(len, words)) > limits.hash_value
        ):
            self._index()

    def remove(self, field: bytes) -> bool:
        """Whether the field was there."""
        if self._names is None:
            return self._table.pop(field, None) is not None
        place = take_out(self._names, self._table, field)
        if place is None:
            return False
        last = self._values.pop()
        if place < len(self._values):
            self._values[place] = last
        return True

    def _index(self) -> None:
        self._names = list(self._table)
        self._values = list(self._table.values())
        self._table = index(self._names)
