"""LZF, by which Redis compresses strings of more than 20 bytes.

Two instructions: 000LLLLL is followed by L + 1 bytes to be copied; LLLooooo oooooooo repeats L + 2 bytes from
o + 1 bytes before the end of what there is so far (with L = 7 another byte follows the first, to be added).
"""

from __future__ import annotations

from ironkv.rdb.corrupt import Corrupt


def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that were compressed. Raises Corrupt."""
    out = bytearray()
    at, end = 0, len(data)
    while at < end and len(out) < size:
        control = data[at]
        if control < 32:
            out += data[at + 1 : at + 2 + control]
            at += 2 + control
            if at > end:
                raise Corrupt("a compressed string is cut off")
        else:
            at = _repeat(data, at, out)
    if at != end or len(out) != size:
        raise Corrupt(f"a compressed string is not of the {size} bytes that it should have")
    return bytes(out)


def _repeat(data: bytes, at: int, out: bytearray) -> int:
    """Carry out the repeat at `at`; where the next instruction is."""
    length = (data[at] >> 5) + 2
    try:
        if length == 9:
            length += data[at + 1]
            back = ((data[at] & 31) << 8 | data[at + 2]) + 1
            at += 3
        else:
            back = ((data[at] & 31) << 8 | data[at + 1]) + 1
            at += 2
    except IndexError:
        raise Corrupt("a compressed string is cut off") from None
    if back > len(out):
        raise Corrupt("a compressed string repeats what is not there")
    start = len(out) - back
    if length <= back:
        out += out[start : start + length]
    else:  # it repeats its own beginning
        out += (out[start:] * (length // back + 1))[:length]
    return at
