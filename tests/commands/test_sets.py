"""Sets against a real Redis, and what only we can look at: how they are held, chance, scans."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from itertools import chain, repeat
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace.sets import Set
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import sets
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(sets.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


changes = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "remove", "pop"]),
        st.one_of(st.integers(0, 25).map(lambda n: b"%d" % n), st.sampled_from([b"x", b"y" * 65])),
    ),
    max_size=30,
)


def _changed(set_: Set, happening: list[tuple[str, bytes]]) -> None:
    chance = Random(7)
    for what, member in happening:
        if what == "add":
            set_.add(member)
        elif what == "remove":
            set_.remove(member)
        elif len(set_) > 3:
            set_.pop(len(member), chance) if len(member) < len(set_) else set_.pop(1, chance)


@given(encoding=st.sampled_from([b"intset", b"listpack", b"hashtable"]), before=changes, after=changes)
def test_a_rebuilt_set_goes_on_as_the_original(
    encoding: bytes, before: list[tuple[str, bytes]], after: list[tuple[str, bytes]]
) -> None:
    original = Set(encoding)
    _changed(original, before)
    other = Set.rebuilt(original.encoding(), list(original))
    for set_ in (original, other):
        _changed(set_, after)
    assert list(original) == list(other)
    assert original.encoding() == other.encoding()
    assert sorted(original.members()) == sorted(original)
    assert len(set(original)) == len(original)
    assert all(member in original for member in other)


@pytest.mark.parametrize(
    ("lines", "encoding"),
    [
        (["SADD s " + " ".join(map(str, range(512)))], b"intset"),
        (["SADD s " + " ".join(map(str, range(513)))], b"hashtable"),
        (["SADD s " + " ".join(map(str, range(512))), "SADD s 512"], b"hashtable"),
        (["SADD s 1 2 x"], b"listpack"),
        (["SADD s 01"], b"listpack"),
        (["SADD s 9223372036854775808"], b"listpack"),
        (["SADD s x " + " ".join(map(str, range(127)))], b"listpack"),
        (["SADD s x " + " ".join(map(str, range(128)))], b"hashtable"),
        (["SADD s " + " ".join(map(str, range(127))), "SADD s x"], b"listpack"),
        (["SADD s " + " ".join(map(str, range(128))), "SADD s x"], b"hashtable"),
        (["SADD s " + "m" * 64], b"listpack"),
        (["SADD s " + "m" * 65], b"hashtable"),
        (["SADD s 1 " + "m" * 65, "SREM s " + "m" * 65], b"hashtable"),
        (["SADD o 1 2 x", "SADD p 1 2", "SINTERSTORE s o p"], b"intset"),
        (["SADD o 1 2 x", "SUNIONSTORE s o"], b"listpack"),
        (["SADD s 1 2 " + "m" * 65, "SPOP s 3", "SADD s a"], b"listpack"),
    ],
    ids=lambda value: str(value)[:32],
)
def test_encoding(lines: list[str], encoding: bytes) -> None:
    local = Local(now_ms=1)
    for line in lines:
        local.do(line)
    assert local.do("OBJECT ENCODING s") == encoding
    local.do("COPY s copy")
    assert local.do("OBJECT ENCODING copy") == encoding


def test_small_sets_are_shown_in_the_order_of_redis_7_2() -> None:
    local = Local(now_ms=1)
    local.do("SADD s 3 -1 20 1")
    assert local.do("SMEMBERS s") == [b"-1", b"1", b"3", b"20"]
    local.do("SADD s x 0")
    assert local.do("SMEMBERS s") == [b"-1", b"1", b"3", b"20", b"x", b"0"]


@settings(max_examples=100)
@given(
    start=st.sets(st.integers(0, 60), min_size=20),
    rounds=st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=6), max_size=30),
    count=st.integers(1, 12),
)
def test_a_scan_returns_what_is_there_all_along(
    start: set[int], rounds: list[list[tuple[bool, int]]], count: int
) -> None:
    set_ = Set(b"hashtable")
    for number in sorted(start):
        set_.add(b"%d" % number)
    always, found, cursor = set(set_), set(), 0
    for happening in chain(rounds, repeat([])):
        cursor, members = set_.scan(cursor, count)
        assert len(members) <= count
        found.update(members)
        if not cursor:
            break
        for comes, number in happening:
            if comes:
                set_.add(b"%d" % number)
            else:
                set_.remove(b"%d" % number)
                always.discard(b"%d" % number)
    assert always <= found


def test_what_is_popped_is_about_equally_likely() -> None:
    seen: Counter[bytes] = Counter()
    local = Local(now_ms=1)
    for entry in range(1, 4_001):
        local.keyspace.entry = entry
        local.do("SADD s 0 1 2 3 4 5 6 7 x y")
        seen.update(local.do("SPOP s 2"))
    assert len(seen) == 10
    assert max(seen.values()) - min(seen.values()) < 250


PROGRAM = """
import random
from tests.commands.local import Local
chance, local = random.Random(5), Local(now_ms=1)
names = [b"m%d" % n for n in range(60)] + [b"%d" % n for n in range(60)] + [b"l" * 70]
keys = [b"a", b"b", b"c"]
for entry in range(1, 1200):
    local.keyspace.entry = entry
    key, some = chance.choice(keys), [chance.choice(names) for _ in range(chance.randrange(1, 30))]
    local.reply(chance.choice([
        [b"SADD", key, *some], [b"SADD", key, *some], [b"SREM", key, *some], [b"SPOP", key],
        [b"SPOP", key, b"%d" % chance.randrange(12)], [b"SMOVE", key, chance.choice(keys), some[0]],
        [b"SUNIONSTORE", key, *keys], [b"SDIFFSTORE", key, *keys[1:]], [b"SINTERSTORE", key, *keys[:2]],
        [b"HSET", b"h" + key, *some, *some], [b"HDEL", b"h" + key, *some], [b"COPY", key, b"d", b"REPLACE"],
    ]))
    for key in sorted(local.reply([b"KEYS", b"*"])):
        value = local.db.find(key)
        print(key, value.encoding(), list(value.pairs().items()) if key[:1] == b"h" else list(value))
"""


def test_replicas_with_other_hash_seeds_are_alike() -> None:
    digests = set()
    for seed in ("0", "1", "4711"):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        )
        digests.add(hashlib.sha256(ran.stdout).hexdigest())
    assert len(digests) == 1
