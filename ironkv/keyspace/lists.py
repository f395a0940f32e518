"""Lists: elements in blocks, so that both ends are O(1) and the middle is O(log n).

Always true between two commands
    L1  no block is empty, save the only one of an empty list
    L2  no block has more than 2 * BLOCK elements
    L3  `_positions` is None or agrees with the sizes of the blocks
    L4  `_size` is None or the bytes that Redis's listpack would need; it is known while the list is held
        as a listpack

What Redis 7.2 would report as the encoding follows from the list's history, so it is part of the state: a
`listpack` of up to 8 KB (list-max-listpack-size) becomes a `quicklist`, which becomes a listpack again
when removals have brought it down to half of that. (Redis also wants it to be in one node by then, which
depends on where in the list it was cut; here the size alone decides.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import ClassVar, Final, Self

from ironkv.keyspace import thresholds
from ironkv.keyspace.positions import Positions
from ironkv.keyspace.values import is_int64

BLOCK: Final = 512
"""Elements of a block that was filled from an end."""

LISTPACK_FRAME: Final = 7
"""Bytes of a listpack without elements."""
SIZED_MOST: Final = 4096
"""Elements up to which a quicklist's size is followed; of a longer one it is counted once it matters."""

_INTEGER_SIZES: Final = ((0, 127, 1), (-4096, 4095, 2), (-(2**15), 2**15 - 1, 3),
                         (-(2**23), 2**23 - 1, 4), (-(2**31), 2**31 - 1, 5))  # fmt: skip


def entry_size(item: bytes) -> int:
    """Bytes of an element in a listpack."""
    size = len(item)
    if size <= 20 and is_int64(item):
        value = int(item)
        return next((most for low, high, most in _INTEGER_SIZES if low <= value <= high), 9) + 1
    size += 1 if size < 64 else 2 if size < 4096 else 5
    return size + (1 if size < 1 << 7 else 2 if size < 1 << 14 else 3 if size < 1 << 21 else 4)


def _total(items: Iterable[bytes]) -> int:
    return sum(map(entry_size, items))


class List:
    """Never empty while it is in a database (K3). Indexes are from 0, and of elements that exist."""

    __slots__ = ("_blocks", "_is_quicklist", "_length", "_positions", "_size")

    type_name: ClassVar[bytes] = b"list"

    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = [[]]
        self._length = 0
        self._positions: Positions | None = None
        self._is_quicklist = False
        self._size: int | None = LISTPACK_FRAME

    @classmethod
    def rebuilt(cls, encoding: bytes, items: Sequence[bytes]) -> Self:
        """The list that has this encoding and these elements."""
        new = cls()
        new._is_quicklist = encoding == b"quicklist"
        new._fill(items)
        new._size = None
        new._learn_size()
        return new

    @classmethod
    def of(cls, items: Sequence[bytes]) -> Self:
        """A new list of these elements, a listpack if they fit into one."""
        size, count = thresholds.in_force.list_bounds
        fits = len(items) <= count and LISTPACK_FRAME + _total(items) <= size
        return cls.rebuilt(b"listpack" if fits else b"quicklist", items)

    def encoding(self) -> bytes:
        return b"quicklist" if self._is_quicklist else b"listpack"

    @property
    def is_quicklist(self) -> bool:
        """Whether it is too large for a listpack; by pushing it does not become one again."""
        return self._is_quicklist

    def copy(self) -> Self:
        return self.rebuilt(self.encoding(), list(self))

    def pieces(self, most: int) -> Iterator[list[bytes]]:
        """The elements from head to tail."""
        piece: list[bytes] = []
        for block in self._blocks:
            piece += block
            if len(piece) >= most:
                yield piece
                piece = []
        yield piece

    @classmethod
    def from_pieces(cls, encoding: bytes, items: list[bytes]) -> Self:
        return cls.rebuilt(encoding, items)

    def _fill(self, items: Sequence[bytes]) -> None:
        self._blocks = [list(items[at : at + BLOCK]) for at in range(0, len(items), BLOCK)] or [[]]
        self._length = len(items)
        self._positions = None

    # -- looking

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return chain.from_iterable(self._blocks)

    def __getitem__(self, index: int) -> bytes:
        block, place = self._locate(index)
        return self._blocks[block][place]

    def range(self, start: int, stop: int) -> list[bytes]:
        """The elements from `start` to before `stop`."""
        if start >= stop:
            return []
        block, place = self._locate(start)
        found = self._blocks[block][place : place + stop - start]
        while len(found) < stop - start:
            block += 1
            found += self._blocks[block][: stop - start - len(found)]
        return found

    def indexes_of(self, item: bytes, most: int) -> Iterator[int]:
        """Where the element is found among the first `most`."""
        start = 0
        for block in self._blocks:
            if item in block:
                yield from (start + place for place, other in enumerate(block) if other == item)
            start += len(block)
            if start >= most:
                return

    def indexes_of_from_tail(self, item: bytes, most: int) -> Iterator[int]:
        """Where the element is found among the last `most`, backwards."""
        start = self._length
        for block in reversed(self._blocks):
            start -= len(block)
            if item in block:
                yield from (start + p for p in range(len(block) - 1, -1, -1) if block[p] == item)
            if self._length - start >= most:
                return

    def _locate(self, index: int) -> tuple[int, int]:
        """The block and the place in it of an element."""
        blocks = self._blocks
        if index < len(blocks[0]):
            return 0, index
        from_end = self._length - index
        if from_end <= len(blocks[-1]):
            return len(blocks) - 1, len(blocks[-1]) - from_end
        if self._positions is None:
            self._positions = Positions(map(len, blocks))
        return self._positions.find(index)

    # -- growing

    def push_left(self, items: Sequence[bytes]) -> None:
        """Put the elements before the first, one after the other."""
        if not self._is_quicklist:
            self._make_room(items)
        blocks = self._blocks
        first = blocks[0]
        if len(items) == 1 and len(first) < BLOCK:
            first.insert(0, items[0])
            self._has_grown(0, items)
            return
        at = 0
        while at < len(items):
            if len(first) >= BLOCK:
                first = []
                blocks.insert(0, first)
                self._positions = None
            some = items[at : at + BLOCK - len(first)]
            first[:0] = some[::-1]
            at += len(some)
        self._has_grown(0, items)

    def push_right(self, items: Sequence[bytes]) -> None:
        """Put the elements behind the last."""
        if not self._is_quicklist:
            self._make_room(items)
        blocks = self._blocks
        last = blocks[-1]
        at = 0
        while at < len(items):
            if len(last) >= BLOCK:
                last = []
                blocks.append(last)
                self._positions = None
            some = items[at : at + BLOCK - len(last)]
            last += some
            at += len(some)
        self._has_grown(len(blocks) - 1, items)

    def insert(self, pivot: bytes, item: bytes, *, after: bool) -> bool:
        """Put the element beside the first `pivot`; False if that is not found."""
        self._make_room((item,))
        for number, block in enumerate(self._blocks):
            if pivot in block:
                block.insert(block.index(pivot) + after, item)
                self._has_grown(number, (item,))
                self._split(number)
                return True
        return False

    def replace(self, index: int, item: bytes) -> None:
        """Put another element in the place of one."""
        self._make_room((item,))
        block, place = self._locate(index)
        old, self._blocks[block][place] = self._blocks[block][place], item
        if self._size is not None:
            self._size += entry_size(item)
        self._has_shrunk((old,))

    def expect(self, item: bytes) -> None:
        """Be held as if the element were added, though it will not be: Redis converts the list first."""
        self._make_room((item,))

    def _split(self, number: int) -> None:
        block = self._blocks[number]
        if len(block) > 2 * BLOCK:
            self._blocks.insert(number + 1, block[BLOCK:])
            del block[BLOCK:]
            self._positions = None

    def _make_room(self, items: Sequence[bytes]) -> None:
        """Become a quicklist if a listpack might be too small (listTypeTryConversionAppend)."""
        if not self._is_quicklist:
            assert self._size is not None, "L4: the size of a listpack is known"
            size, count = thresholds.in_force.list_bounds
            self._is_quicklist = self._size + sum(map(len, items)) > size or self._length + len(items) > count

    def _has_grown(self, block: int, items: Sequence[bytes]) -> None:
        """Count elements that were added, all to one block if no block was added."""
        self._length += len(items)
        if self._positions is not None:
            self._positions.add(block, len(items))
        if self._size is not None:
            if self._is_quicklist and self._length > SIZED_MOST:
                self._size = None
            else:
                self._size += _total(items)

    # -- shrinking

    def take_left(self, count: int) -> list[bytes]:
        """Remove up to `count` elements from the head; they are returned in that order."""
        blocks = self._blocks
        if count == 1:
            taken = [blocks[0].pop(0)] if self._length else []
            emptied = 0 if blocks[0] else 1
        else:
            taken, emptied = [], 0
            while emptied < len(blocks) and len(taken) + len(blocks[emptied]) <= count:
                taken += blocks[emptied]
                emptied += 1
            if emptied < len(blocks):
                part = count - len(taken)
                taken += blocks[emptied][:part]
                del blocks[emptied][:part]
        if emptied or count != 1:
            del blocks[:emptied]
            self._positions = None
        elif self._positions is not None:
            self._positions.add(0, -1)
        self._has_lost(taken)
        return taken

    def take_right(self, count: int) -> list[bytes]:
        """Remove up to `count` elements from the tail; they are returned in that order."""
        blocks = self._blocks
        if count == 1 and len(blocks[-1]) > 1:
            taken = [blocks[-1].pop()]
            if self._positions is not None:
                self._positions.add(len(blocks) - 1, -1)
            self._length -= 1
            self._has_shrunk(taken)
            return taken
        taken = []
        keep = len(blocks)
        while keep and len(taken) + len(blocks[keep - 1]) <= count:
            keep -= 1
            taken += reversed(blocks[keep])
        part = count - len(taken)
        if keep and part:
            taken += blocks[keep - 1][: -part - 1 : -1]
            del blocks[keep - 1][-part:]
        if keep < len(blocks):
            del blocks[keep:]
            self._positions = None
        elif self._positions is not None:
            self._positions.add(keep - 1, -part)
        self._has_lost(taken)
        return taken

    def trim(self, start: int, stop: int) -> None:
        """Keep the elements from `start` to before `stop`."""
        behind = self._length - stop
        if behind:
            self.take_right(behind)
        if start:
            self.take_left(start)

    def remove(self, item: bytes, count: int) -> int:
        """Remove the first `count` elements that equal `item`, the last ones if negative, all if 0."""
        left = abs(count) or self._length
        removed = 0
        for block in reversed(self._blocks) if count < 0 else self._blocks:
            here = block.count(item)
            if here > left - removed:
                here = left - removed
                _remove_some(block, item, here, from_end=count < 0)
            elif here:
                block[:] = [other for other in block if other != item]
            removed += here
            if removed == left:
                break
        if removed:
            self._length -= removed
            self._blocks = [block for block in self._blocks if block] or [[]]
            self._positions = None
            if len(self._blocks) > 16 and self._length < len(self._blocks) * BLOCK // 4:
                self._fill(list(self))
            if self._size is not None:
                self._size -= removed * entry_size(item)
            self._follow_size()
        return removed

    def _has_lost(self, items: Sequence[bytes]) -> None:
        if not self._blocks:
            self._blocks = [[]]
        self._length -= len(items)
        self._has_shrunk(items)

    def _has_shrunk(self, items: Iterable[bytes]) -> None:
        if self._size is not None:
            self._size -= _total(items)
        self._follow_size()

    def _learn_size(self) -> None:
        """Know the size again, of a listpack."""
        if self._size is None and not self._is_quicklist:
            self._size = LISTPACK_FRAME + _total(self)

    def _follow_size(self) -> None:
        """Be a listpack again once that is small enough."""
        if not self._is_quicklist:
            return
        most, count = thresholds.in_force.list_bounds_again
        # An element takes two bytes or more.
        if self._length > count or 2 * self._length > most:
            return
        if self._size is None:
            self._size = LISTPACK_FRAME + _total(self)
        self._is_quicklist = self._size > most


def _remove_some(block: list[bytes], item: bytes, count: int, *, from_end: bool) -> None:
    places = [place for place, other in enumerate(block) if other == item]
    for place in reversed(places[-count:] if from_end else places[:count]):
        del block[place]
