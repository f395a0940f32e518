"""Streams: entries in the order of their ids (`stream_blocks`), and who has read them (`stream_groups`).

A stream may be empty: it remembers its last id, and its groups. Besides entries and groups it has three
counters, from which Redis estimates how far behind a group is; so they are part of the state.

Always true between two commands
    S1  `last_id` is not below the id of any entry
    S2  `added` is a number of 64 bits without a sign, as in Redis; it is shown as a signed one
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, Self

from msgpack import packb, unpackb

from ironkv.keyspace.stream_blocks import HALF_MOST, Block, Cut, Entries, Id, id_of, signed
from ironkv.keyspace.stream_groups import UNKNOWN, Group, Held

_BLOCK, _GROUP, _CONSUMER, _PENDING = range(4)


class Stream:
    """The one structure that may be empty while it is in a database (K3)."""

    __slots__ = ("added", "entries", "groups", "last_id", "max_deleted")

    type_name: ClassVar[bytes] = b"stream"

    def __init__(self) -> None:
        self.entries = Entries()
        self.groups: dict[bytes, Group] = {}
        self.last_id: Id = 0
        """The highest id that an entry ever had, or that was set."""
        self.max_deleted: Id = 0
        """The highest id of an entry that was removed singly."""
        self.added = 0
        """Entries that ever were added."""

    def encoding(self) -> bytes:
        return b"stream"

    def __len__(self) -> int:
        return len(self.entries)

    def copy(self) -> Self:
        new = self.__class__()
        new.entries = self.entries.copy()
        new.groups = {name: group.copy() for name, group in self.groups.items()}
        new.last_id, new.max_deleted, new.added = self.last_id, self.max_deleted, self.added
        return new

    def groups_in_order(self) -> list[tuple[bytes, Group]]:
        """The groups by name, as Redis lists them."""
        return sorted(self.groups.items())

    # -- adding and removing

    def next_id(self, now_ms: int) -> Id:
        """An id above all others, of this moment if it can be; none is left when `last_id` is ID_MOST."""
        return max(id_of(now_ms, 0), self.last_id + 1)

    def add(self, id_: Id, words: list[bytes]) -> None:
        """Add an entry with an id above `last_id`: field, value, field, value …"""
        self.entries.add(id_, words)
        self.last_id = id_
        self.added = (self.added + 1) & HALF_MOST

    def remove(self, id_: Id) -> bool:
        """Whether the entry was there."""
        was_there = self.entries.remove(id_)
        if was_there and id_ > self.max_deleted:
            self.max_deleted = id_
        return was_there

    def trim(self, cut: Cut) -> int:
        """How many entries were removed."""
        return self.entries.trim(cut)

    # -- how far a group has come (streamEstimateDistanceFromFirstEverEntry and its kin)

    def pass_on(self, group: Group, id_: Id) -> None:
        """Note that a group has been given an entry behind its last."""
        if group.entries_read != UNKNOWN and not self._has_gaps_from(id_):
            group.entries_read = signed(group.entries_read + 1)
        elif self.added:
            group.entries_read = self.count_up_to(id_)
        group.last_id = id_

    def lag(self, group: Group) -> int | None:
        """How many entries a group has still to read; None when that cannot be said."""
        if not self.added:
            return 0
        read = group.entries_read
        if read == UNKNOWN or self._has_gaps_from(group.last_id):
            read = self.count_up_to(group.last_id)
            if read == UNKNOWN:
                return None
        return signed(self.added - read)

    def _has_gaps_from(self, id_: Id) -> bool:
        """Whether an entry at or behind the id may have been removed singly."""
        if not self.entries or not self.max_deleted or self.entries.first() > self.max_deleted:
            return False
        return id_ <= self.max_deleted

    def count_up_to(self, id_: Id) -> int:
        """How many entries were ever added up to this id, or UNKNOWN."""
        if not self.added:
            return 0
        if id_ == self.last_id or (not self.entries and id_ < self.last_id):
            return signed(self.added)
        first = self.entries.first()
        if id_ < self.last_id and id_ <= first and (not self.max_deleted or self.max_deleted < first):
            return signed(self.added - len(self.entries) + (id_ == first))
        return UNKNOWN

    # -- images

    def pieces(self, most: int) -> Iterator[list[bytes]]:
        """Packed parts: the counters, the blocks; of each group itself, its consumers, what is pending."""
        yield [packb([*_halves(self.last_id), *_halves(self.max_deleted), self.added])]
        blocks = self.entries.blocks
        step = max(1, most // 100)
        for at in range(0, len(blocks), step):
            yield [packb([_BLOCK, *block.parts()]) for block in blocks[at : at + step]]
        for name, group in self.groups_in_order():
            yield from _pieces_of(name, group, most)

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[bytes]) -> Self:
        new = cls()
        head, *rest = map(unpackb, items)
        new.last_id, new.max_deleted, new.added = id_of(*head[:2]), id_of(*head[2:4]), head[4]
        blocks: list[Block] = []
        pending: dict[bytes, list[Held]] = {}
        for kind, *parts in rest:
            if kind == _BLOCK:
                blocks.append(Block.from_parts(*parts))
            elif kind == _GROUP:
                name, ms, sequence, entries_read = parts
                new.groups[name] = Group(id_of(ms, sequence), entries_read)
            elif kind == _CONSUMER:
                name, consumer, seen_ms, active_ms = parts
                new.groups[name].add_consumer(consumer, seen_ms).active_ms = active_ms
            else:
                name, held = parts
                pending.setdefault(name, []).extend((id_of(*each[:2]), *each[2:]) for each in held)
        for name, all_held in pending.items():
            new.groups[name].hold_all(all_held)
        new.entries = Entries.of_blocks(blocks)
        return new


def _halves(id_: Id) -> tuple[int, int]:
    return id_ >> 64, id_ & HALF_MOST


def _pieces_of(name: bytes, group: Group, most: int) -> Iterator[list[bytes]]:
    consumers = group.in_order()
    yield [
        packb([_GROUP, name, *_halves(group.last_id), group.entries_read]),
        *(packb([_CONSUMER, name, each.name, each.seen_ms, each.active_ms]) for each in consumers),
    ]
    held = group.all_held()
    while part := [[*_halves(id_), *rest] for id_, *rest in islice(held, most)]:
        yield [packb([_PENDING, name, part])]
