"""Parsing what Redis clients send as arguments: integers, floats, with Redis's strictness and texts."""

from __future__ import annotations

import re
from typing import Final

from ironkv.errors import CommandError, NotInteger

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1

_CANONICAL_INT = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z").match
_FLOAT = re.compile(
    rb"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|0[xX][0-9a-fA-F]+)\Z", re.I
).match


def integer(text: bytes) -> int:
    """A signed 64-bit integer in the one form Redis accepts (string2ll): no blanks, `+` or leading
    zeros. Raises NotInteger."""
    if _CANONICAL_INT(text):
        value = int(text)
        if INT64_MIN <= value <= INT64_MAX:
            return value
    raise NotInteger


def real(text: bytes) -> float:
    """A finite or infinite double as strtold reads it, never NaN. Raises CommandError."""
    if not _FLOAT(text):
        raise CommandError("ERR value is not a valid float")
    if text.lower().lstrip(b"+-").startswith(b"0x"):
        return float.fromhex(text.decode())
    return float(text)
