"""Numbers as bytes, for the libraries of scripts: what Lua 5.1 cannot do itself, having doubles only.

Integers are C's 64-bit ones: a double that none of them equals becomes the lowest, as x86 has it.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

_MASK: Final = 2**64 - 1
_OUT_OF_RANGE: Final = 2**63


def float_bytes(number: float, size: int, little: bool) -> bytes:
    """An IEEE float of 4 or 8 bytes; too large a one is infinite, as a cast in C makes it."""
    code = ("<" if little else ">") + ("f" if size == 4 else "d")
    try:
        return struct.pack(code, number)
    except OverflowError:
        return struct.pack(code, float("inf") if number > 0 else float("-inf"))


def bytes_float(data: bytes, little: bool) -> float:
    code = ("<" if little else ">") + ("f" if len(data) == 4 else "d")
    number: float = struct.unpack(code, data)[0]
    return number


def integer_bytes(number: float, size: int, little: bool) -> bytes:
    """The lowest bytes of an integer; those above its 64 bits are 0."""
    value = _as_unsigned(number) & _MASK
    data = value.to_bytes(max(size, 8), _order(little))
    return data[:size] if little else data[-size:] if size else b""


def bytes_integer(data: bytes, little: bool, signed: bool) -> float:
    """The integer in the lowest 8 bytes, as a double."""
    low = data[:8] if little else data[-8:]
    return float(int.from_bytes(low, _order(little), signed=signed))


def _order(little: bool) -> Literal["little", "big"]:
    return "little" if little else "big"


def _as_unsigned(number: float) -> int:
    if number != number:
        return _OUT_OF_RANGE
    if number < 0:
        return int(number) if number >= -_OUT_OF_RANGE else _OUT_OF_RANGE
    return int(number) if number < 2 * _OUT_OF_RANGE else 0
