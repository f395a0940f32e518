"""The `long double` of x86-64, in integers: what INCRBYFLOAT and HINCRBYFLOAT calculate with.

Redis adds in the 80-bit format (64 bits of mantissa) and prints `%.17Lf` without trailing zeros, so a
client that has seen 3.0 + 1.1 give 4.1 there expects it here. No Python type has that precision on
every platform, and replicas must agree to the last digit: hence mantissa and exponent as integers,
rounded to nearest, ties to even, as the x87 unit and glibc do.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from ironkv.commands.arguments import FLOAT_TEXT_MOST
from ironkv.errors import CommandError

LongDouble: TypeAlias = "tuple[int, int] | Infinite"
"""(mantissa, exponent): mantissa * 2**exponent, with at most 64 bits of mantissa."""


class Infinite:
    """Plus or minus infinity, which a client may write but no sum may be."""

    __slots__ = ()


INFINITE: Final = Infinite()
ZERO: Final = (0, 0)

MANTISSA_BITS: Final = 64
LARGEST_BIT: Final = 16_384
"""Everything below 2**16384 can be written."""
SMALLEST_EXPONENT: Final = -16_445
"""Of the last bit of the smallest (subnormal) number."""
DECIMALS: Final = 17
_SCALE: Final = int(10**DECIMALS)

_DIGITS_AT_ONCE: Final = 4_000
"""Python refuses to convert more than 4,300 digits between int and text in one go."""
_TEN_AT_ONCE: Final = int(10**_DIGITS_AT_ONCE)

_decimal = re.compile(rb"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\Z").match
_hexadecimal = re.compile(rb"([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?\d+))?\Z").match
_infinity = re.compile(rb"[+-]?inf(?:inity)?\Z", re.I).match


def parse(text: bytes) -> LongDouble:
    """What strtold reads, if it reads all of `text` and is in range. Raises CommandError."""
    if len(text) <= FLOAT_TEXT_MOST:
        if _infinity(text):
            return INFINITE
        match, base = _decimal(text), 10
        if match is None:
            match, base = _hexadecimal(text), 16
        if match is not None and (match[2] or match[3]):
            value = _from_parts(match[1], match[2], match[3] or b"", match[4] or b"0", base)
            if value is not None:
                return value
    raise CommandError("ERR value is not a valid float")


def _from_parts(sign: bytes, whole: bytes, part: bytes, power: bytes, base: int) -> LongDouble | None:
    """[sign] whole.part * 10**power (16: * 2**power); None when that is out of range."""
    digits = (whole + part).lstrip(b"0")
    if not digits:
        return ZERO
    exponent = _bounded(power)
    if base == 10:
        exponent -= len(part)
        # Far outside the range: not worth numbers of a million digits to find that out.
        if not -6_000 < exponent + len(digits) < 6_000:
            return None
        number = _to_int(digits)
        value = _rounded(number * 10**exponent, 1) if exponent >= 0 else _rounded(number, 10**-exponent)
    else:
        exponent -= 4 * len(part)
        if not -40_000 < exponent + 4 * len(digits) < 40_000:
            return None
        number = int(digits, 16)
        value = _rounded(number << exponent, 1) if exponent >= 0 else _rounded(number, 1 << -exponent)
    if value is None or not value[0]:
        return None
    return (-value[0], value[1]) if sign == b"-" else value


def _bounded(power: bytes) -> int:
    """The exponent as written, unless it is absurdly large in either direction."""
    digits = power.lstrip(b"+-0") or b"0"
    size = int(digits) if len(digits) < 9 else 10**9
    return -size if power[:1] == b"-" else size


def add(one: LongDouble, other: LongDouble) -> tuple[int, int]:
    """The sum. Raises CommandError when it is infinite or not a number."""
    total: tuple[int, int] | None = None
    if not isinstance(one, Infinite) and not isinstance(other, Infinite):
        exponent = min(one[1], other[1])
        exact = (one[0] << (one[1] - exponent)) + (other[0] << (other[1] - exponent))
        total = _rounded_sum(exact, exponent)
    if total is None:
        raise CommandError("ERR increment would produce NaN or Infinity")
    return total


def _rounded_sum(exact: int, exponent: int) -> tuple[int, int] | None:
    size = abs(exact)
    value = _rounded(size << exponent, 1) if exponent >= 0 else _rounded(size, 1 << -exponent)
    return (-value[0], value[1]) if value is not None and exact < 0 else value


def _rounded(number: int, divisor: int) -> tuple[int, int] | None:
    """The nearest to number / divisor, both positive (or number 0); None when it is too large."""
    shift = MANTISSA_BITS - number.bit_length() + divisor.bit_length()
    # number / divisor has 64 or 65 bits once shifted; we want 64, or fewer for a subnormal.
    if _shifted(number, shift) >= divisor << MANTISSA_BITS:
        shift -= 1
    shift = min(shift, -SMALLEST_EXPONENT)
    if shift >= 0:
        number <<= shift
    else:
        divisor <<= -shift
    mantissa = _divide_half_even(number, divisor)
    return None if mantissa.bit_length() - shift > LARGEST_BIT else (mantissa, -shift)


def _shifted(number: int, shift: int) -> int:
    return number << shift if shift >= 0 else number >> -shift


def _divide_half_even(number: int, divisor: int) -> int:
    quotient: int
    quotient, rest = divmod(number, divisor)
    if 2 * rest > divisor or (2 * rest == divisor and quotient & 1):
        quotient += 1
    return quotient


def human(value: tuple[int, int]) -> bytes:
    """As Redis prints it for people: `%.17Lf`, less the trailing zeros."""
    mantissa, exponent = value
    size = abs(mantissa)
    if exponent >= 0:
        text = _to_text(size << exponent)
    else:
        scaled = _to_text(_divide_half_even(size * _SCALE, 1 << -exponent)).rjust(DECIMALS + 1, b"0")
        text = (scaled[:-DECIMALS] + b"." + scaled[-DECIMALS:]).rstrip(b"0").rstrip(b".")
    return b"-" + text if mantissa < 0 and text != b"0" else text


def _to_int(digits: bytes) -> int:
    if len(digits) <= _DIGITS_AT_ONCE:
        return int(digits)
    return int(digits[:-_DIGITS_AT_ONCE]) * _TEN_AT_ONCE + int(digits[-_DIGITS_AT_ONCE:])


def _to_text(number: int) -> bytes:
    high, low = divmod(number, _TEN_AT_ONCE)
    return b"%d%0*d" % (high, _DIGITS_AT_ONCE, low) if high else b"%d" % low
