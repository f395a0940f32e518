"""SORT against a real Redis."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.commands.table import find
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import sorting
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(sorting.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


def test_equal_weights_leave_an_order_that_is_alike_everywhere() -> None:
    local = Local()
    local.do("RPUSH a 3 1 2")
    assert local.do("SORT a BY w_* ALPHA") == [b"3", b"1", b"2"]
    assert local.do("SORT a BY w_*") == [b"1", b"2", b"3"]
    local.do("SADD s x y z a b c")
    assert local.do("SORT s BY nosort STORE d") == 6
    assert local.do("LRANGE d 0 -1") == [b"a", b"b", b"c", b"x", b"y", b"z"]


@pytest.mark.parametrize(("count", "encoding"), [(100, b"listpack"), (5_000, b"quicklist")])
def test_what_is_stored_is_held_as_small_as_can_be(count: int, encoding: bytes) -> None:
    local = Local()
    local.reply([b"RPUSH", b"a", *(b"%d" % number for number in range(count))])
    assert local.do("SORT a STORE b") == count
    assert local.do("OBJECT ENCODING b") == encoding


def test_keys() -> None:
    args = b"SORT k BY STORE GET STORE LIMIT STORE x STORE d1 STORE d2".split()
    assert find(args).key_args(args) == [b"k", b"d2"]
