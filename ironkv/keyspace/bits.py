"""Strings as rows of bits, the first bit of a byte its highest: counting, finding, combining.

All of it goes through whole chunks at the speed of C: a string may have four billion bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import and_, or_, xor
from typing import Final

CHUNK: Final = 1 << 18
"""Bytes that are looked at together: few enough to stay in the processor's caches."""

_INVERTED: Final = bytes(range(255, -1, -1))

COMBINING: Final[dict[bytes, Callable[[int, int], int]]] = {b"AND": and_, b"OR": or_, b"XOR": xor}


def bit_at(value: bytes, offset: int) -> int:
    """The bit at `offset`; 0 behind the end."""
    byte = offset >> 3
    return value[byte] >> (~offset & 7) & 1 if byte < len(value) else 0


def count(value: bytes, first: int, last: int) -> int:
    """How many bits are 1 from bit `first` to bit `last`, both inside `value`."""
    low, high = first >> 3, last >> 3
    before = value[low] & ~(0xFF >> (first & 7))
    behind = value[high] & (0x7F >> (last & 7))
    within = sum(int.from_bytes(chunk).bit_count() for _, chunk in _chunks(value, low, high + 1))
    return within - before.bit_count() - behind.bit_count()


def find(value: bytes, bit: int, first: int, last: int) -> int | None:
    """Where the first such bit is from bit `first` to bit `last`, both inside `value`."""
    low, high = first >> 3, last >> 3
    other = b"\0" if bit else b"\xff"
    blank = other * min(CHUNK, len(value))
    edge = value[low] if bit else value[low] ^ 0xFF
    found = _first_one(low, edge & 0xFF >> (first & 7))
    if found is None:
        for start, chunk in _chunks(value, low + 1, high + 1):
            if chunk == blank:  # ten times as fast as to strip it
                continue
            rest = chunk.lstrip(other)
            if rest:
                found = _first_one(start + len(chunk) - len(rest), rest[0] if bit else rest[0] ^ 0xFF)
                break
    return found if found is not None and found <= last else None


def _first_one(place: int, byte: int) -> int | None:
    """The offset of the first 1 in a byte that stands at `place`."""
    return 8 * place + 8 - byte.bit_length() if byte else None


def _chunks(value: bytes, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    for at in range(start, stop, CHUNK):
        yield at, value[at : min(at + CHUNK, stop)]


def inverted(value: bytes) -> bytes:
    """Every bit the other way round."""
    return value.translate(_INVERTED)


def combined(operation: Callable[[int, int], int], values: Sequence[bytes]) -> bytes:
    """AND, OR or XOR of strings; the shorter ones end in zeros."""
    size = max(map(len, values))
    pieces = []
    for at in range(0, size, CHUNK):
        width = min(CHUNK, size - at)
        # Little-endian: what is missing behind a string's end is then missing at the number's top.
        numbers = (int.from_bytes(value[at : at + width], "little") for value in values)
        pieces.append(reduce(operation, numbers).to_bytes(width, "little"))
    return b"".join(pieces)
