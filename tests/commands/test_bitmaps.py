"""Bitmaps against a real Redis, and bit by bit against the plainest way to do the same."""

from __future__ import annotations

import os
from functools import reduce
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace import bits
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import bitmaps
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(bitmaps.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


def _row(value: bytes) -> list[int]:
    return [byte >> (7 - place) & 1 for byte in value for place in range(8)]


@pytest.mark.parametrize("chunk", [1, 3, 1 << 18])
def test_chunks_show_nowhere(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(bits, "CHUNK", chunk)
    chance = Random(5)
    for _ in range(200):
        value = chance.choice([b"\0", b"\xff"]) * chance.randrange(9) + chance.randbytes(chance.randint(1, 9))
        row = _row(value)
        first = chance.randrange(len(row))
        last = chance.randrange(first, len(row))
        part = row[first : last + 1]
        assert bits.count(value, first, last) == sum(part)
        for bit in (0, 1):
            expected = first + part.index(bit) if bit in part else None
            assert bits.find(value, bit, first, last) == expected
        others = [value, chance.randbytes(7), b""]
        width = max(map(len, others))
        for operation in bits.COMBINING.values():
            padded = (int.from_bytes(other.ljust(width, b"\0")) for other in others)
            assert bits.combined(operation, others) == reduce(operation, padded).to_bytes(width)


def test_a_field_that_cannot_be_written_still_makes_room() -> None:
    local = Local()
    assert local.do("BITFIELD a OVERFLOW FAIL SET u4 4 99") == [None]
    assert local.do("GET a") == b"\0"


@pytest.mark.parametrize(
    "line", ["SETBIT a 4294967296 1", "BITFIELD a SET u8 4294967296 1", "BITFIELD a GET u8 #536870912"]
)
def test_no_string_grows_beyond_the_longest(oracle: Oracle, line: str) -> None:
    args = line.encode().split()
    assert Local().ask(args) == oracle.ask(args) == b"-ERR bit offset is not an integer or out of range\r\n"


def test_a_bit_that_stays_as_it_was_is_no_change() -> None:
    local = Local()
    local.do("SETBIT a 7 1")
    heard: list[bytes] = []
    local.keyspace.listener = lambda db, event, key: heard.append(event)
    local.do("SETBIT a 7 1")
    local.do("BITFIELD a SET u8 0 1 GET u8 0")
    assert heard == []
    local.do("SETBIT a 8 0")
    assert heard == [b"setbit"]
