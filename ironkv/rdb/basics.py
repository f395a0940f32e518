"""Writing what RDB is made of: lengths and strings. `source` describes them."""

from __future__ import annotations

from struct import Struct
from typing import Final

from ironkv.keyspace.values import is_int64

_INTEGER_MOST: Final = 11
"""Bytes of a string that may be written as an integer of up to 32 bits."""

INT64: Final = Struct("<q")
DOUBLE: Final = Struct("<d")


def length(number: int) -> bytes:
    """A number of up to 64 bits."""
    if number < 1 << 6:
        return bytes((number,))
    if number < 1 << 14:
        return (number | 0x4000).to_bytes(2, "big")
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


def string(text: bytes) -> bytes:
    """A string, as an integer where that is shorter."""
    if len(text) <= _INTEGER_MOST and is_int64(text):
        number = int(text)
        for kind, size in ((b"\xc0", 1), (b"\xc1", 2), (b"\xc2", 4)):
            if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
                return kind + number.to_bytes(size, "little", signed=True)
    return length(len(text)) + text
