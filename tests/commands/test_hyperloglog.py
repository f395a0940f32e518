"""HyperLogLogs against a real Redis, byte by byte."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace import hyperloglog
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import hyperloglog as strategies
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "100"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(strategies.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


@pytest.mark.parametrize("seed", range(4))
def test_the_bytes_are_those_of_redis(oracle: Oracle, seed: int) -> None:
    """Every step on the way from sparse to dense, one element at a time."""
    chance = Random(seed)
    local = Local()
    oracle.ask([b"FLUSHALL"])
    for _ in range(2_500):
        add = [b"PFADD", b"a", chance.randbytes(chance.randrange(20))]
        assert local.ask(add) == oracle.ask(add)
        held = local.ask([b"GET", b"a"])
        assert held == oracle.ask([b"GET", b"a"])
    assert local.ask([b"PFCOUNT", b"a"]) == oracle.ask([b"PFCOUNT", b"a"])
    assert local.ask([b"STRLEN", b"a"]) == b":12304\r\n"


def test_a_count_that_came_with_the_string_is_believed(oracle: Oracle) -> None:
    local = Local()
    value = b"HYLL\x01" + bytes(3) + b"\x2a" + bytes(7) + b"\x7f\xff"
    for ask in (local.ask, oracle.ask):
        ask([b"SET", b"a", value])
        assert ask([b"PFCOUNT", b"a"]) == b":42\r\n"


def test_counting_changes_nothing() -> None:
    local = Local()
    local.do("PFADD a 1 2 3")
    before = local.do("GET a")
    assert local.do("PFCOUNT a") == 3
    assert local.do("GET a") == before


def test_packing_and_unpacking_are_opposites() -> None:
    values = bytes(Random(1).randrange(64) for _ in range(hyperloglog.REGISTERS))
    dense = hyperloglog.EMPTY[:4] + b"\0" + bytes(11) + hyperloglog._packed(values)
    assert hyperloglog.registers(dense) == values


def test_registers_that_no_hash_makes_are_refused() -> None:
    dense = b"HYLL\0" + bytes(10) + b"\x80" + b"\xff" * (hyperloglog.DENSE_SIZE - 16)
    with pytest.raises(hyperloglog.Corrupt):
        hyperloglog.cardinality(dense)


def test_a_run_that_is_cut_off_is_not_touched() -> None:
    local = Local()
    cut_off = b"HYLL\x01" + bytes(10) + b"\x80\x7f"
    local.reply([b"SET", b"a", cut_off])
    for args in ([b"PFADD", b"a", b"x"], [b"PFCOUNT", b"a"], [b"PFMERGE", b"b", b"a"]):
        assert isinstance(local.reply(args), hyperloglog.Corrupt)
    assert local.do("PFADD a") == 0
    assert local.do("GET a") == cut_off
