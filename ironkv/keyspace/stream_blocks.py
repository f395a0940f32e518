"""The entries of a stream, ordered by id, in blocks cut exactly where Redis cuts its radix tree's nodes.

That is why `MAXLEN ~` removes here what it removes there, and why a block knows how large it would be as a
listpack, and what was deleted from it. An id is one number of 128 bits: milliseconds in the upper half, a
sequence number in the lower. A block keeps the halves in two arrays, and the values of an entry packed
together; the names of the fields only once, as long as they are those of the block's first entry. An entry
with a short field and value takes about 80 bytes.

Always true between two commands
    B1  ids ascend, within a block and from block to block; `_keys` are the keys of the blocks
    B2  every block holds an entry, save perhaps the first, of which only deleted ones may be left
    B3  key <= every id of a block <= top < the next block's key
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Self, TypeAlias

from msgpack import packb, unpackb

from ironkv.keyspace import thresholds
from ironkv.keyspace.lists import entry_size
from ironkv.keyspace.thresholds import NO_BOUND

Id: TypeAlias = int
Entry: TypeAlias = tuple[Id, list[bytes]]
"""Its id, and field, value, field, value …"""

HALF_MOST: Final = 2**64 - 1
ID_MOST: Final = 2**128 - 1

NODE_BYTES: Final = 1 << 30
"""A node's bytes without a bound (STREAM_LISTPACK_MAX_SIZE)."""
_FRAME: Final = 7
"""Bytes of a listpack without elements."""
_SMALL: Final = 2
"""Bytes of a number up to 127 in it."""


def id_of(ms: int, sequence: int) -> Id:
    return ms << 64 | sequence


def signed(number: int) -> int:
    """The signed number that has the same 64 bits: what C shows of a counter that ran over."""
    return (number + 2**63) % 2**64 - 2**63


def _number_size(number: int) -> int:
    """Bytes of a number of 64 bits in a listpack, which takes it for a signed one."""
    if 0 <= number <= 127:
        return _SMALL
    return entry_size(b"%d" % signed(number))


class Cut(NamedTuple):
    """What a trim is to leave: `most` entries (all if None), those from the id `least` on."""

    most: int | None = None
    least: Id = 0
    roughly: bool = False
    """Remove whole blocks only."""
    limit: int = 0
    """Entries that may be removed; 0 for any number. Only of use when trimming roughly."""


class Block:
    """Some consecutive entries."""

    __slots__ = ("fields", "key", "ms", "packed", "sequences", "size", "taken", "top")

    def __init__(self, key: Id, fields: list[bytes]) -> None:
        self.key = key
        """The id of the first entry it was given."""
        self.top = key
        """The id of the last one, deleted or not."""
        self.fields = fields
        """The names of the first entry's fields."""
        self.taken = 0
        """Entries it was given, deleted ones included."""
        self.size = _FRAME + 3 * _SMALL + _number_size(len(fields)) + sum(map(entry_size, fields))
        self.ms = array("Q")
        self.sequences = array("Q")
        self.packed: list[bytes] = []
        """The values; or None, field, value, field, value … if the fields have other names."""

    def __len__(self) -> int:
        return len(self.packed)

    def copy(self) -> Self:
        new = self.__class__(self.key, self.fields)
        new.top, new.taken, new.size = self.top, self.taken, self.size
        new.ms, new.sequences, new.packed = self.ms[:], self.sequences[:], self.packed[:]
        return new

    def parts(self) -> tuple[Any, ...]:
        """All of it, in numbers of 64 bits, bytes and lists of these."""
        ids = (self.key >> 64, self.key & HALF_MOST, self.top >> 64, self.top & HALF_MOST)
        lists = (self.fields, list(self.ms), list(self.sequences), list(self.packed))
        return (*ids, self.taken, self.size, *lists)

    @classmethod
    def from_parts(cls, *parts: Any) -> Self:
        key_ms, key_sequence, top_ms, top_sequence, taken, size, fields, ms, sequences, packed = parts
        new = cls(id_of(key_ms, key_sequence), fields)
        new.top, new.taken, new.size = id_of(top_ms, top_sequence), taken, size
        new.ms, new.sequences, new.packed = array("Q", ms), array("Q", sequences), packed
        return new

    def id_at(self, place: int) -> Id:
        return self.ms[place] << 64 | self.sequences[place]

    def place_of(self, id_: Id) -> int:
        """Where the first entry is whose id is not below this one."""
        ms = id_ >> 64
        low = bisect_left(self.ms, ms)
        if low == len(self.ms) or self.ms[low] != ms:
            return low
        return bisect_left(self.sequences, id_ & HALF_MOST, low, bisect_right(self.ms, ms, low))

    def entry(self, place: int) -> Entry:
        values: list[Any] = unpackb(self.packed[place])
        if values[0] is None:
            del values[0]
            return self.id_at(place), values
        items = [b""] * (2 * len(values))
        items[::2], items[1::2] = self.fields, values
        return self.id_at(place), items

    def has_room(self, words: list[bytes]) -> bool:
        """Whether Redis would put these fields and values into the same node."""
        limits = thresholds.in_force
        entries, size = limits.stream_entries or NO_BOUND, limits.stream_bytes or NODE_BYTES
        return self.taken < entries and self.size + sum(map(len, words)) < min(size, NODE_BYTES)

    def add(self, id_: Id, words: list[bytes]) -> None:
        """Add an entry behind the last: field, value, field, value …"""
        fields, values = words[::2], words[1::2]
        self.top = id_
        self.taken += 1
        ms, sequence = id_ >> 64, id_ & HALF_MOST
        self.ms.append(ms)
        self.sequences.append(sequence)
        numbers = _number_size(ms - (self.key >> 64)) + _number_size(sequence - (self.key & HALF_MOST))
        # Beside these: flags, and the number of elements, so that one can walk backwards.
        if fields == self.fields:
            self.packed.append(packb(values))
            self.size += numbers + _SMALL + sum(map(entry_size, values)) + _number_size(3 + len(values))
        else:
            self.packed.append(packb([None, *words]))
            counts = _number_size(len(fields)) + _number_size(4 + len(words))
            self.size += numbers + _SMALL + sum(map(entry_size, words)) + counts

    def drop(self, start: int, stop: int) -> None:
        """Delete the entries from one place to before another."""
        del self.ms[start:stop], self.sequences[start:stop], self.packed[start:stop]


class Entries:
    """All entries of a stream."""

    __slots__ = ("_blocks", "_keys", "_length")

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._keys: list[Id] = []
        self._length = 0

    @classmethod
    def of_blocks(cls, blocks: list[Block]) -> Self:
        new = cls()
        new._blocks = blocks
        new._keys = [block.key for block in blocks]
        new._length = sum(map(len, blocks))
        return new

    def copy(self) -> Self:
        return self.of_blocks([block.copy() for block in self._blocks])

    @property
    def blocks(self) -> Sequence[Block]:
        """Only to be looked at."""
        return self._blocks

    @property
    def keys(self) -> Sequence[Id]:
        """The keys of the blocks."""
        return self._keys

    # -- looking

    def __len__(self) -> int:
        return self._length

    def __contains__(self, id_: Id) -> bool:
        return self._locate(id_) is not None

    def get(self, id_: Id) -> list[bytes] | None:
        """The fields and values of an entry."""
        found = self._locate(id_)
        return None if found is None else self._blocks[found[0]].entry(found[1])[1]

    def first(self) -> Id:
        """The lowest id, or 0."""
        return next((block.id_at(0) for block in self._blocks[:2] if block.packed), 0)

    def last(self) -> Id:
        """The highest id, or 0."""
        return self._blocks[-1].id_at(-1) if self._length else 0

    def between(self, first: Id, last: Id) -> Iterator[Entry]:
        """The entries from one id to another, both included."""
        for at in range(self._block_of(first), len(self._blocks)):
            block = self._blocks[at]
            if block.key > last:
                return
            yield from map(block.entry, self._places(block, first, last))

    def between_backwards(self, first: Id, last: Id) -> Iterator[Entry]:
        """The same, from the highest id to the lowest."""
        for at in range(bisect_right(self._keys, last) - 1, -1, -1):
            block = self._blocks[at]
            if block.top < first:
                return
            yield from map(block.entry, reversed(self._places(block, first, last)))

    def _places(self, block: Block, first: Id, last: Id) -> range:
        low = block.place_of(first) if first > block.key else 0
        return range(low, len(block) if last >= block.top else block.place_of(last + 1))

    def _block_of(self, id_: Id) -> int:
        """The block that would hold the id, if it is not below all of them."""
        return max(0, bisect_right(self._keys, id_) - 1)

    def _locate(self, id_: Id) -> tuple[int, int] | None:
        """The block and the place of an entry."""
        if self._blocks:
            number = self._block_of(id_)
            block = self._blocks[number]
            place = block.place_of(id_)
            if place < len(block) and block.id_at(place) == id_:
                return number, place
        return None

    # -- changing

    def add(self, id_: Id, words: list[bytes]) -> None:
        """Add an entry; its id must be above all that there ever were."""
        if not self._blocks or not self._blocks[-1].has_room(words):
            self._blocks.append(Block(id_, words[::2]))
            self._keys.append(id_)
        self._blocks[-1].add(id_, words)
        self._length += 1

    def remove(self, id_: Id) -> bool:
        """Whether the entry was there."""
        found = self._locate(id_)
        if found is None:
            return False
        number, place = found
        self._blocks[number].drop(place, place + 1)
        self._length -= 1
        if not self._blocks[number].packed:
            del self._blocks[number], self._keys[number]
        return True

    def trim(self, cut: Cut) -> int:
        """Remove entries from the front, in the steps in which Redis does; how many they were."""
        before, emptied = self._length, 0
        for block in self._blocks:
            surplus = None if cut.most is None else self._length - cut.most
            if surplus is not None and surplus <= 0:
                break
            held = len(block)
            if cut.limit and before - self._length + held > cut.limit:
                break
            if block.top < cut.least if surplus is None else held <= surplus:
                self._length -= held
                emptied += 1
                continue
            if not cut.roughly:
                count = block.place_of(cut.least) if surplus is None else surplus
                block.drop(0, count)
                self._length -= count
            break
        del self._blocks[:emptied], self._keys[:emptied]
        return before - self._length
