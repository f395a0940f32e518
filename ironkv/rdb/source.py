"""Reading what RDB is made of: bytes, numbers, lengths and strings, from memory or from a stream.

A length is 1, 2, 5 or 9 bytes, big-endian; the first two bits say which: 00 and six bits, 01 and fourteen,
0x80 and 32 bits, 0x81 and 64 bits. 11 begins a string that is held otherwise: 0, 1, 2 as a little-endian
integer of 1, 2, 4 bytes, 3 compressed.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from ironkv.rdb.checksum import crc64
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.lzf import decompress

CHUNK: Final = 1 << 18
"""Bytes that are read at a time."""

_INT64: Final = Struct("<q")
_DOUBLE: Final = Struct("<d")
_INTEGER_BYTES: Final = {0: 1, 1: 2, 2: 4}
_COMPRESSED: Final = 3
_LZF_RATIO: Final = 132
"""More than this is no byte of a compressed string worth: three of them make 264."""


class Source:
    """Bytes to be read one after the other. What does not suffice, or makes no sense, raises Corrupt."""

    __slots__ = ("_at", "_data", "_more", "_passed", "_passed_crc")

    def __init__(self, data: bytes = b"", more: Callable[[int], bytes] | None = None) -> None:
        self._data = data
        self._at = 0
        self._more = more
        """Given a number of bytes, up to so many; none at the end."""
        self._passed = 0
        self._passed_crc = 0

    @property
    def offset(self) -> int:
        """How many bytes have been taken."""
        return self._passed + self._at

    def checksum(self) -> int:
        """Of all that has been taken."""
        return crc64(self._data[: self._at], self._passed_crc)

    def is_at_end(self) -> bool:
        return self._at >= len(self._data) and not self._fill(1)

    def _fill(self, size: int) -> bool:
        """Have `size` bytes at hand; False if there are not so many."""
        if self._more is None:
            return len(self._data) - self._at >= size
        self._passed_crc = crc64(self._data[: self._at], self._passed_crc)
        self._passed += self._at
        pieces = [self._data[self._at :]]
        held = len(pieces[0])
        while held < size and (piece := self._more(CHUNK)):
            pieces.append(piece)
            held += len(piece)
        self._data, self._at = b"".join(pieces), 0
        return held >= size

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        end = self._at + size
        if end > len(self._data):
            if not self._fill(size):
                raise Corrupt(f"cut off: {size} bytes should follow")
            end = self._at + size
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def byte(self) -> int:
        at = self._at
        if at >= len(self._data):
            return self.take(1)[0]
        self._at = at + 1
        return self._data[at]

    def milliseconds(self) -> int:
        """A signed number of 64 bits."""
        number: int = _INT64.unpack(self.take(8))[0]
        return number

    def double(self) -> float:
        number: float = _DOUBLE.unpack(self.take(8))[0]
        return number

    def double_text(self) -> float:
        """A double as zsets of type 3 have it: a byte with the length of its text, or with its meaning."""
        size = self.byte()
        if size >= 253:
            return (float("nan"), float("inf"), float("-inf"))[size - 253]
        text = self.take(size)
        try:
            return float(text)
        except ValueError:
            raise Corrupt(f"{text!r} is no score") from None

    def length(self) -> int:
        """A number of up to 64 bits."""
        first = self.byte()
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.byte()
        if first == 0x80:
            return int.from_bytes(self.take(4), "big")
        if first == 0x81:
            return int.from_bytes(self.take(8), "big")
        raise Corrupt(f"{first:#04x} begins no length")

    def string(self) -> bytes:
        first = self.byte()
        if first < 0x40:
            return self.take(first)
        if first < 0xC0:
            self._at -= 1
            return self.take(self.length())
        kind = first & 0x3F
        size = _INTEGER_BYTES.get(kind)
        if size is not None:
            return b"%d" % int.from_bytes(self.take(size), "little", signed=True)
        if kind != _COMPRESSED:
            raise Corrupt(f"{first:#04x} begins no string")
        compressed, size = self.length(), self.length()
        if size > compressed * _LZF_RATIO:
            raise Corrupt(f"{compressed} bytes cannot be {size} bytes compressed")
        return decompress(self.take(compressed), size)

    def count(self) -> int:
        """The number of elements of a value: at least one."""
        count = self.length()
        if not count:
            raise Corrupt("a value without elements")
        return count
