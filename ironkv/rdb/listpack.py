"""Listpacks: short lists of strings and integers in one run of bytes.

    total bytes (4)  number of elements (2, 65535: count them)  elements …  0xFF

An element is its encoding, its content, and the length of these two, to be read backwards.
https://github.com/antirez/listpack/blob/master/listpack.md
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Final

from ironkv.keyspace.values import is_int64
from ironkv.rdb.corrupt import Corrupt

_HEAD: Final = Struct("<IH")
_END: Final = 0xFF
_MANY: Final = 0xFFFF
_INTEGER_MOST: Final = 20
"""Bytes of a number's text."""

_SMALL: Final = [b"%d" % number for number in range(128)]
_INTEGER_BYTES: Final = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}


def read(blob: bytes) -> list[bytes]:
    """The elements, integers in decimal. Raises Corrupt."""
    last = len(blob) - 1
    if last < _HEAD.size or blob[last] != _END or _HEAD.unpack_from(blob)[0] != len(blob):
        raise Corrupt("a listpack of another size than it says")
    items: list[bytes] = []
    at = _HEAD.size
    while at < last:
        item, end = _element(blob, at)
        items.append(item)
        size = end - at
        backwards = _SMALL_BACKWARDS[size] if size < 128 else _backwards(size)
        at = end + len(backwards)
        if blob[end:at] != backwards:
            raise Corrupt("an element of a listpack is longer or shorter than it says")
    count = _HEAD.unpack_from(blob)[1]
    if at != last or count not in (len(items), _MANY):
        raise Corrupt("a listpack with another number of elements than it says")
    return items


def _element(blob: bytes, at: int) -> tuple[bytes, int]:
    """The element at `at`, before the last byte, and where it ends: behind the end if it is cut off."""
    first = blob[at]
    if first < 0x80:
        return _SMALL[first], at + 1
    if first < 0xC0:
        end = at + 1 + (first & 0x3F)
        return blob[at + 1 : end], end
    if first < 0xE0:
        number = (first & 0x1F) << 8 | blob[at + 1]
        return b"%d" % (number if number < 1 << 12 else number - (1 << 13)), at + 2
    if first < 0xF0:
        end = at + 2 + ((first & 0x0F) << 8 | blob[at + 1])
        return blob[at + 2 : end], end
    if first == 0xF0:
        end = at + 5 + int.from_bytes(blob[at + 1 : at + 5], "little")
        return blob[at + 5 : end], end
    size = _INTEGER_BYTES.get(first)
    if size is None:
        raise Corrupt(f"{first:#04x} begins no element of a listpack")
    end = at + 1 + size
    return b"%d" % int.from_bytes(blob[at + 1 : end], "little", signed=True), end


def _backwards(size: int) -> bytes:
    """The length of an element as it stands behind it: by seven bits, the last byte without the highest bit
    being the one that comes first."""
    count = 1 if size <= 127 else 2 if size < 16383 else 3 if size < 2097151 else 4 if size < 268435455 else 5
    parts = [size >> 7 * place & 0x7F | 0x80 for place in reversed(range(count))]
    parts[0] &= 0x7F
    return bytes(parts)


_SMALL_BACKWARDS: Final = [_backwards(size) for size in range(128)]


def write(items: Iterable[bytes]) -> bytes:
    """The listpack of these strings; those that are integers are held as such."""
    return framed([element(item) for item in items])


def framed(elements: list[bytes]) -> bytes:
    """The listpack of elements that are encoded already."""
    body = b"".join(elements)
    return _HEAD.pack(len(body) + _HEAD.size + 1, min(len(elements), _MANY)) + body + b"\xff"


def element(item: bytes) -> bytes:
    """A string, encoded."""
    size = len(item)
    if size <= _INTEGER_MOST and is_int64(item):
        return number(int(item))
    if size < 1 << 6:
        encoded = bytes((0x80 | size,)) + item
    elif size < 1 << 12:
        encoded = (0xE000 | size).to_bytes(2, "big") + item
    else:
        encoded = b"\xf0" + size.to_bytes(4, "little") + item
    return encoded + _backwards(len(encoded))


def number(value: int) -> bytes:
    """A signed integer of 64 bits, encoded."""
    if 0 <= value < 128:
        return bytes((value, 1))
    if -(1 << 12) <= value < 1 << 12:
        return (0xC000 | value & 0x1FFF).to_bytes(2, "big") + b"\x02"
    kind, size = next(
        (kind, size)
        for kind, size in _INTEGER_BYTES.items()
        if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1
    )
    return bytes((kind,)) + value.to_bytes(size, "little", signed=True) + bytes((size + 1,))
