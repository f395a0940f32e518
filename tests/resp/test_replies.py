"""Every type of reply in both protocols, and numbers as Redis prints them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv.errors import CommandError, WrongType
from ironkv.resp.replies import (
    NULL_ARRAY,
    OK,
    Decimal,
    Keyed,
    Members,
    Push,
    Status,
    Verbatim,
    append,
    encode,
    format_float,
)

CASES: list[tuple[Any, bytes, bytes]] = [
    (b"", b"$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
    (b"x" * 1_024, b"$1024\r\n" + b"x" * 1_024 + b"\r\n", b"$1024\r\n" + b"x" * 1_024 + b"\r\n"),
    (0, b":0\r\n", b":0\r\n"),
    (-1, b":-1\r\n", b":-1\r\n"),
    (1_023, b":1023\r\n", b":1023\r\n"),
    (1_024, b":1024\r\n", b":1024\r\n"),
    (2**63 - 1, b":9223372036854775807\r\n", b":9223372036854775807\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (OK, b"+OK\r\n", b"+OK\r\n"),
    (Status(b"string"), b"+string\r\n", b"+string\r\n"),
    (WrongType(), b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
     b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    (CommandError("ERR a\r\nb"), b"-ERR a  b\r\n", b"-ERR a  b\r\n"),
    ([], b"*0\r\n", b"*0\r\n"),
    ([b"a", [1, None], (2,)], b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n*1\r\n:2\r\n",
     b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n*1\r\n:2\r\n"),
    ([0] * 1_024, b"*1024\r\n" + b":0\r\n" * 1_024, b"*1024\r\n" + b":0\r\n" * 1_024),
    ({b"a": 1, b"b": [2]}, b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n:2\r\n",
     b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n*1\r\n:2\r\n"),
    (Members([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (Keyed([[b"a", [1]], [b"a", []]]), b"*2\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n",
     b"%2\r\n$1\r\na\r\n*1\r\n:1\r\n$1\r\na\r\n*0\r\n"),
    (Push([b"a"]), b"*1\r\n$1\r\na\r\n", b">1\r\n$1\r\na\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
    (float("-inf"), b"$4\r\n-inf\r\n", b",-inf\r\n"),
    (Decimal(0.1), b"$19\r\n0.10000000000000001\r\n", b",0.10000000000000001\r\n"),
    (Decimal(100.0), b"$3\r\n100\r\n", b",100\r\n"),
    (Decimal(-0.0), b"$1\r\n0\r\n", b",0\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (Verbatim(b"a\nb"), b"$3\r\na\nb\r\n", b"=7\r\ntxt:a\nb\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "resp2", "resp3"), CASES, ids=lambda case: repr(case)[:40])
def test_encoding(reply: Any, resp2: bytes, resp3: bytes) -> None:
    assert encode(reply, 2) == resp2
    assert encode(reply, 3) == resp3


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=700)
    | st.lists(st.binary(max_size=3) | st.integers(1_000, 1_100).map(bytes), max_size=700)
    | st.lists(st.booleans() | st.integers(0, 3) | st.none() | st.binary(max_size=2), max_size=20)
)
def test_many_values_are_encoded_as_one_after_the_other(values: list[Any]) -> None:
    for proto in (2, 3):
        one_by_one = b"*%d\r\n" % len(values) + b"".join(encode(value, proto) for value in values)
        assert encode(values, proto) == one_by_one


def test_a_large_reply_is_in_pieces() -> None:
    out: list[bytes] = []
    append(out, [b"x" * 1_000] * 10_000, 2)
    assert max(map(len, out)) < 300_000


def test_an_unknown_type_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="no RESP encoding for object"):
        encode(object())


FLOATS = [
    (0.0, b"0"), (-0.0, b"-0"), (3.0, b"3"), (-3.0, b"-3"), (0.1, b"0.1"), (1.5, b"1.5"), (-12.25, b"-12.25"),
    (1e17, b"100000000000000000"), (2.0**62, b"4611686018427387904"), (1e19, b"1e+19"), (1e20, b"1e+20"),
    (1.5e300, b"1.5e+300"), (1e-5, b"0.00001"), (1e-7, b"1e-7"), (0.00012345678, b"1.2345678e-4"),
    (123456.789, b"123456.789"), (1.0e-10, b"1e-10"), (5e-324, b"5e-324"),
    (0.30000000000000004, b"0.30000000000000004"),
    (123456789012e10, b"1.23456789012e+21"), (float("inf"), b"inf"), (float("nan"), b"nan"),
]  # fmt: skip
"""As d2string of Redis 7.2 prints them."""


@pytest.mark.parametrize(("value", "text"), FLOATS)
def test_floats(value: float, text: bytes) -> None:
    assert format_float(value) == text


@given(st.floats(allow_nan=False))
def test_a_printed_float_reads_back_the_same(value: float) -> None:
    assert float(format_float(value)) == value
