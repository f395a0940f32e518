"""Numbers as Redis reads, adds and prints them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv.commands import long_double
from ironkv.commands.arguments import INT64_MAX, INT64_MIN, cursor, int32, integer, real
from ironkv.errors import CommandError, NotInteger
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies.common import FLOATS, INTEGERS, ODD_FLOATS, ODD_INTEGERS

plain = st.decimals(-(10**18), 10**18, allow_nan=False, places=9).map(lambda number: str(number).encode())
doubles = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: repr(number).encode())
hexadecimals = st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number.hex().encode())
huge = st.tuples(st.integers(-(10**25), 10**25), st.integers(-4990, 4950)).map(lambda pair: b"%de%d" % pair)
prices = st.integers(-(10**7), 10**7).map(lambda cents: f"{cents / 100:.2f}".encode())
numbers = st.one_of(
    prices, plain, doubles, hexadecimals, huge, st.sampled_from(FLOATS + ODD_FLOATS + ODD_INTEGERS)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=4))
def test_incrbyfloat_is_redis_to_the_last_digit(oracle: Oracle, amounts: list[bytes]) -> None:
    local = Local()
    oracle.ask([b"DEL", b"n"])
    for amount in amounts:
        args = [b"INCRBYFLOAT", b"n", amount]
        assert local.ask(args) == oracle.ask(args), amount


@settings(max_examples=200, deadline=None)
@given(numbers, numbers)
def test_incrbyfloat_reads_stored_numbers_as_redis(oracle: Oracle, stored: bytes, amount: bytes) -> None:
    local = Local()
    for args in ([b"SET", b"n", stored], [b"INCRBYFLOAT", b"n", amount], [b"GET", b"n"]):
        assert local.ask(args) == oracle.ask(args)


def test_a_thousand_cents_are_ten() -> None:
    local = Local()
    for _ in range(1_000):
        local.do("INCRBYFLOAT n 0.01")
    assert local.do("GET n") == b"10"


@given(st.fractions(min_value=0, max_value=2**100))
def test_rounding_is_to_the_nearest(number: Fraction) -> None:
    rounded = long_double._rounded(number.numerator, number.denominator)
    assert rounded is not None
    mantissa, exponent = rounded
    assert mantissa <= 2**64
    half_a_unit = Fraction(2) ** (exponent - 1)
    assert abs(mantissa * Fraction(2) ** exponent - number) <= half_a_unit


@pytest.mark.parametrize("text", INTEGERS)
def test_integers(text: bytes) -> None:
    assert integer(text) == int(text)


@pytest.mark.parametrize("text", [*ODD_INTEGERS, b"1" * 5_000])
def test_what_is_no_integer(text: bytes) -> None:
    with pytest.raises(NotInteger):
        integer(text)


@given(st.integers(INT64_MIN - 5, INT64_MAX + 5))
def test_the_ends_of_the_range(number: int) -> None:
    text = b"%d" % number
    if INT64_MIN <= number <= INT64_MAX:
        assert integer(text) == number
    else:
        with pytest.raises(NotInteger):
            integer(text)


def test_int32() -> None:
    assert int32(b"-2147483648") == -(2**31)
    with pytest.raises(
        CommandError, match="ERR value is out of range, value must between -2147483648 and 2147483647"
    ):
        int32(b"2147483648")
    with pytest.raises(CommandError, match="ERR invalid first DB index"):
        int32(b"x", "ERR invalid first DB index")


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"1", 1.0), (b"-1.5e3", -1500.0), (b".5", 0.5), (b"5.", 5.0), (b"+2", 2.0), (b"inf", float("inf")),
     (b"-Infinity", float("-inf")), (b"0x1p3", 8.0), (b"0x.8", 0.5), (b"0e999", 0.0), (b"1e-320", 1e-320)],
)  # fmt: skip
def test_reals(text: bytes, value: float) -> None:
    assert real(text) == value


ODD_REALS = [
    b"",
    b" 1",
    b"1 ",
    b"nan",
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"0x1p2000",
    b"1_0",
    b"e5",
    b"0x",
    b".",
]


@pytest.mark.parametrize("text", [*ODD_REALS, b"\xd9\xa1", b"1" * 5_120])
def test_what_is_no_real(text: bytes) -> None:
    with pytest.raises(CommandError, match="ERR value is not a valid float"):
        real(text)


CURSORS = [
    b"",
    b"0",
    b"00",
    b"-1",
    b"+7",
    b" 1",
    b"1 ",
    b"x",
    b"1x",
    b"0" * 30,
    b"-" + b"0" * 30 + b"5",
    b"9" * 30,
]


@pytest.mark.parametrize(
    "text", [*CURSORS, *(b"%d" % (sign * (2**64 - less)) for sign in (1, -1) for less in (0, 1))]
)
def test_cursors(oracle: Oracle, text: bytes) -> None:
    refused = oracle.ask([b"SCAN", text]).startswith(b"-")
    if refused:
        with pytest.raises(CommandError, match="ERR invalid cursor"):
            cursor(text)
    else:
        assert cursor(text) == int(text or 0) % 2**64
