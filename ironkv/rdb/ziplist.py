"""Ziplists and zipmaps: what Redis had before listpacks, to be read only.

    ziplist   total bytes (4)  offset of the last element (4)  number of elements (2)  elements …  0xFF
    zipmap    number of pairs (1)  length, key, length, unused (1), value, unused bytes …  0xFF

An element of a ziplist begins with the length of the one before it. https://rdb.fnordig.de/file_format.html
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from ironkv.rdb.corrupt import Corrupt

_HEAD: Final = Struct("<IIH")
_END: Final = 0xFF
_LONG: Final = 0xFE
"""Instead of a length in one byte: four bytes follow."""
_MANY: Final = 0xFFFF
_INTEGER_BYTES: Final = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


def read(blob: bytes) -> list[bytes]:
    """The elements, integers in decimal. Raises Corrupt."""
    last = len(blob) - 1
    if last < _HEAD.size or blob[last] != _END:
        raise Corrupt("a ziplist without an end")
    total, tail, count = _HEAD.unpack_from(blob)
    items: list[bytes] = []
    start, at, before = _HEAD.size, _HEAD.size, 0
    while at < last:
        long = blob[at] == _LONG
        said = int.from_bytes(blob[at + 1 : at + 5], "little") if long else blob[at]
        if said != before:
            raise Corrupt("an element of a ziplist is longer or shorter than the next one says")
        start = at
        item, at = _element(blob, at + (5 if long else 1), last)
        items.append(item)
        before = at - start
    if at != last or total != len(blob) or tail != start or count not in (len(items), _MANY):
        raise Corrupt("a ziplist of another size than it says")
    return items


def _element(blob: bytes, at: int, last: int) -> tuple[bytes, int]:
    """The element whose encoding is at `at`, and where it ends."""
    if at >= last:
        raise Corrupt("a ziplist is cut off")
    first = blob[at]
    if 0xF1 <= first <= 0xFD:
        return b"%d" % ((first & 0x0F) - 1), at + 1
    size = _INTEGER_BYTES.get(first)
    if size is not None:
        end = at + 1 + size
        item = b"%d" % int.from_bytes(blob[at + 1 : end], "little", signed=True)
    else:
        if first < 0x40:
            begin, size = at + 1, first
        elif first < 0x80:
            begin, size = at + 2, (first & 0x3F) << 8 | blob[at + 1]
        elif first == 0x80:
            begin, size = at + 5, int.from_bytes(blob[at + 1 : at + 5], "big")
        else:
            raise Corrupt(f"{first:#04x} begins no element of a ziplist")
        end = begin + size
        item = blob[begin:end]
    if end > last:
        raise Corrupt("a ziplist is cut off")
    return item, end


def read_zipmap(blob: bytes) -> list[bytes]:
    """key, value, key, value … Raises Corrupt."""
    last = len(blob) - 1
    if last < 1 or blob[last] != _END:
        raise Corrupt("a zipmap without an end")
    items: list[bytes] = []
    at = 1
    while at < last:
        key, at = _word(blob, at, 0)
        value, at = _word(blob, at, 1)
        items += key, value
    if at != last or (blob[0] < _LONG and blob[0] != len(items) // 2):
        raise Corrupt("a zipmap of another size than it says")
    return items


def _word(blob: bytes, at: int, spare: int) -> tuple[bytes, int]:
    """A word of a zipmap, and where the next one begins; `spare`: 1 if a byte behind the length says how many
    bytes behind the word are unused."""
    long = blob[at : at + 1] == b"\xfe"
    size = int.from_bytes(blob[at + 1 : at + 5] if long else blob[at : at + 1], "little")
    begin = at + (5 if long else 1)
    unused = sum(blob[begin : begin + spare])
    begin += spare
    if begin + size + unused >= len(blob):
        raise Corrupt("a zipmap is cut off")
    return blob[begin : begin + size], begin + size + unused
