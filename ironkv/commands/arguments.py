"""Parsing what clients send as arguments: integers, floats, times, with Redis's strictness and texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isinf
from typing import Final, NamedTuple

from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.keyspace.keyspace import DATABASES

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1
UINT64_MAX: Final = 2**64 - 1

STRING_MOST: Final = 512 * 1024 * 1024
"""The longest string (Redis's proto-max-bulk-len)."""

RANDOM_MOST: Final = 1_000_000
"""The most elements that one SRANDMEMBER or its kin chooses with repetition."""

FLOAT_TEXT_MOST: Final = 5 * 1024 - 1
"""Redis copies a number's text to a buffer of this size (MAX_LONG_DOUBLE_CHARS)."""

_INT64_TEXT_MOST: Final = 20

_is_canonical_int = re.compile(rb"(?:0|-?[1-9][0-9]{0,18})\Z").match
PLAIN_INTEGER_MOST: Final = 18
"""Digits that fit into 64 bits in any case: most numbers, and without a regular expression."""
PLAIN_FLOAT_MOST: Final = 17
"""Digits with a point among them: so few neither over- nor underflow."""
_is_decimal = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z").match
_is_hexadecimal = re.compile(
    rb"[+-]?0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?\d+)?\Z"
).match
_is_infinity = re.compile(rb"[+-]?inf(?:inity)?\Z", re.I).match
_has_digit_but_zero = re.compile(rb"[+-]?(?:0[xX][0.]*[1-9a-fA-F]|[0.]*[1-9])").match
_is_cursor = re.compile(rb"([+-]?)0*(\d{1,20})\Z").match


def integer(text: bytes) -> int:
    """A signed 64-bit integer in the one form Redis accepts (string2ll): no blanks, `+` or leading
    zeros. Raises NotInteger."""
    if text.isdigit() and len(text) <= PLAIN_INTEGER_MOST and (text[0] != 0x30 or len(text) == 1):
        return int(text)
    if len(text) <= _INT64_TEXT_MOST and _is_canonical_int(text):
        value = int(text)
        if INT64_MIN <= value <= INT64_MAX:
            return value
    raise NotInteger


def int32(text: bytes, complaint: str | None = None) -> int:
    """An integer that fits C's `int` (getIntFromObjectOrReply). `complaint` replaces both error texts."""
    try:
        value = integer(text)
    except NotInteger:
        if complaint is None:
            raise
        raise CommandError(complaint) from None
    if INT32_MIN <= value <= INT32_MAX:
        return value
    raise CommandError(
        complaint or f"ERR value is out of range, value must between {INT32_MIN} and {INT32_MAX}"
    )


def integer_between(text: bytes, least: int, most: int, complaint: str) -> int:
    """An integer within bounds; the complaint is the same for what is none."""
    try:
        value = integer(text)
    except NotInteger:
        raise CommandError(complaint) from None
    if least <= value <= most:
        return value
    raise CommandError(complaint)


def random_count(text: bytes) -> int:
    """How many random elements to choose: negative for ones that may be alike. Raises CommandError."""
    count = integer(text)
    if count == INT64_MIN:  # has no positive counterpart
        raise CommandError(f"ERR value is out of range, value must between -{INT64_MAX} and {INT64_MAX}")
    return count


def check_random_count(count: int) -> None:
    """Redis would go on replying until memory or the client is exhausted. Raises CommandError."""
    if count < -RANDOM_MOST:
        raise CommandError("ERR value is out of range")


def database_index(text: bytes) -> int:
    """The number of a database that exists."""
    index = int32(text)
    if not 0 <= index < DATABASES:
        raise CommandError("ERR DB index is out of range")
    return index


def real(text: bytes) -> float:
    """A finite or infinite double as strtod reads it, never NaN, nothing that over- or underflows.
    Raises CommandError."""
    if len(text) <= PLAIN_FLOAT_MOST and text.replace(b".", b"", 1).isdigit():
        return float(text)
    value = None
    if len(text) <= FLOAT_TEXT_MOST:
        if _is_decimal(text) or _is_infinity(text):
            value = float(text)
        elif _is_hexadecimal(text):
            try:
                value = float.fromhex(text.decode())
            except OverflowError:
                pass
    if value is None or _was_out_of_range(text, value):
        raise CommandError("ERR value is not a valid float")
    return value


def _was_out_of_range(text: bytes, value: float) -> bool:
    """Whether strtod would have said ERANGE: infinite or zero, yet not written so."""
    if isinf(value):
        return not _is_infinity(text)
    return value == 0 and _has_digit_but_zero(text) is not None


def cursor(text: bytes) -> int:
    """A SCAN cursor: whatever strtoul reads into 64 bits. Raises CommandError."""
    if not text:
        return 0
    match = _is_cursor(text)
    number = int(match[2]) if match else -1
    if match is None or number > UINT64_MAX:
        raise CommandError("ERR invalid cursor")
    return -number & UINT64_MAX if match[1] == b"-" else number


def next_word(words: Iterator[bytes]) -> bytes:
    """The argument of an option. Raises SyntaxFault when the words end before it."""
    word = next(words, None)
    if word is None:
        raise SyntaxFault
    return word


def check_string_size(size: int) -> None:
    """Refuse to make a string that Redis would not hold. Raises CommandError."""
    if size > STRING_MOST:
        raise CommandError("ERR string exceeds maximum allowed size (proto-max-bulk-len)")


class Expiry(NamedTuple):
    """A time to die as the client wrote it, in milliseconds."""

    amount_ms: int
    relative: bool
    command: str

    def at(self, now_ms: int) -> int:
        """The deadline, for a command that is applied at `now_ms`. Raises CommandError."""
        deadline_ms = self.amount_ms + now_ms if self.relative else self.amount_ms
        if deadline_ms > INT64_MAX:
            raise invalid_expire_time(self.command)
        return deadline_ms


def invalid_expire_time(command: str) -> CommandError:
    return CommandError(f"ERR invalid expire time in '{command}' command")


EXPIRY_UNITS: Final = {b"EX": (1000, True), b"PX": (1, True), b"EXAT": (1000, False), b"PXAT": (1, False)}
"""Option -> (milliseconds per unit, relative)."""


def positive_expiry(option: bytes, text: bytes, command: str) -> Expiry:
    """The expiry of SET and its kin: EX, PX, EXAT or PXAT (upper case), and its amount: above 0."""
    unit_ms, relative = EXPIRY_UNITS[option]
    amount_ms = integer(text) * unit_ms
    if not 0 < amount_ms <= INT64_MAX:
        raise invalid_expire_time(command)
    return Expiry(amount_ms, relative, command)
