"""Intsets: integers in ascending order, all of one size.

size of an integer (4: 2, 4 or 8)  number of integers (4)  integers …
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import lt
from struct import Struct
from typing import Final

from ironkv.rdb.corrupt import Corrupt

_HEAD: Final = Struct("<II")
_CODES: Final = {2: "h", 4: "i", 8: "q"}


def read(blob: bytes) -> list[bytes]:
    """The integers in decimal, at least one. Raises Corrupt."""
    if len(blob) < _HEAD.size:
        raise Corrupt("an intset is cut off")
    size, count = _HEAD.unpack_from(blob)
    if size not in _CODES or not count or len(blob) != _HEAD.size + size * count:
        raise Corrupt("an intset of another size than it says")
    numbers = Struct(f"<{count}{_CODES[size]}").unpack_from(blob, _HEAD.size)
    if not all(map(lt, numbers, numbers[1:])):
        raise Corrupt("an intset out of order")
    return [b"%d" % number for number in numbers]


def write(members: Iterable[bytes]) -> bytes:
    """The intset of integers in decimal, in any order."""
    numbers = sorted(map(int, members))
    size = next(
        size for size in _CODES if -(1 << 8 * size - 1) <= numbers[0] and numbers[-1] < 1 << 8 * size - 1
    )
    return _HEAD.pack(size, len(numbers)) + Struct(f"<{len(numbers)}{_CODES[size]}").pack(*numbers)
