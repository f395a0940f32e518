"""DUMP and RESTORE against a real Redis; what is in a payload is tested in tests/rdb."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.commands.dumping import parse_restore
from ironkv.errors import CommandError
from ironkv.rdb.payload import dump
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import dumping
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(dumping.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


def test_nothing_malformed_is_logged() -> None:
    for words in (
        [b"-1", dump(b"v")],
        [b"x", dump(b"v")],
        [b"0", dump(b"v"), b"JUNK"],
        [b"0", dump(b"v"), b"FREQ", b"256"],
        [b"0", dump(b"v"), b"FREQ", b"1", b"IDLETIME", b"1"],
        [b"0", dump(b"v"), b"IDLETIME"],
    ):
        with pytest.raises(CommandError):
            parse_restore([b"RESTORE", b"k", *words])


def test_a_key_that_is_there_is_complained_of_first() -> None:
    local = Local()
    local.do("SET k v")
    assert local.ask([b"RESTORE", b"k", b"0", b"junk"]).startswith(b"-BUSYKEY")
    assert local.ask([b"RESTORE", b"k", b"0", b"junk", b"REPLACE"]).startswith(b"-ERR DUMP payload")
    assert local.do("GET k") == b"v"


def test_a_time_that_is_over_removes_what_was_there() -> None:
    local = Local(now_ms=1_000)
    local.do("SET k old")
    assert local.ask([b"RESTORE", b"k", b"999", dump(b"new"), b"REPLACE", b"ABSTTL"]) == b"+OK\r\n"
    assert local.db.find(b"k") is None


def test_a_time_too_far_away_is_refused_and_nothing_is_lost() -> None:
    local = Local(now_ms=1_000)
    local.do("SET k old")
    reply = local.ask([b"RESTORE", b"k", b"9223372036854775807", dump(b"new"), b"REPLACE"])
    assert reply == b"-ERR Invalid TTL value, must be >= 0\r\n"
    assert local.db.find(b"k") == b"old"


def test_what_is_replaced_is_new_again() -> None:
    local, told = Local(now_ms=1_000), []
    local.keyspace.listener = lambda db, event, key: told.append(event)
    for _ in range(2):
        local.ask([b"RESTORE", b"k", b"0", dump(b"v"), b"REPLACE"])
    assert told == [b"new", b"restore", b"new", b"restore"]  # as from Redis


def test_a_deadline_is_counted_from_the_stamp() -> None:
    local = Local(now_ms=1_000)
    local.ask([b"RESTORE", b"k", b"500", dump(b"v"), b"IDLETIME", b"7"])
    assert local.do("PEXPIRETIME k") == 1_500
