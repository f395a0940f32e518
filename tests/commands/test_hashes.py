"""Hashes against a real Redis, and what only we can look at: how they are held, chance, scans."""

from __future__ import annotations

import os
from collections import Counter
from itertools import chain, repeat
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace.hashes import Hash
from tests.commands.differential import answers_agree
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import hashes
from tests.commands.strategies.common import Args
from tests.commands.strategies.companions import sequences

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "250"))


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=sequences(hashes.COMMANDS), proto=st.sampled_from([2, 3]))
def test_every_reply_is_as_from_redis(oracle: Oracle, sequence: list[Args], proto: int) -> None:
    answers_agree(oracle, sequence, proto)


changes = st.lists(
    st.tuples(st.sampled_from(["set", "remove", "remove"]), st.integers(0, 25).map(lambda n: b"%d" % n)),
    max_size=30,
)


def _changed(hash_: Hash, happening: list[tuple[str, bytes]]) -> None:
    for what, field in happening:
        if what == "set":
            hash_.set(field, b"v" + field)
        else:
            hash_.remove(field)


@given(encoding=st.sampled_from([b"listpack", b"hashtable"]), before=changes, after=changes)
def test_a_rebuilt_hash_goes_on_as_the_original(
    encoding: bytes, before: list[tuple[str, bytes]], after: list[tuple[str, bytes]]
) -> None:
    original = Hash.rebuilt(encoding, [])
    _changed(original, before)
    other = Hash.rebuilt(original.encoding(), original.pairs().items())
    expected = dict(original.pairs())
    for hash_ in (original, other):
        _changed(hash_, after)
    for what, field in after:
        expected.pop(field, None) if what == "remove" else expected.update({field: b"v" + field})
    assert list(original.pairs().items()) == list(other.pairs().items())
    assert original.pairs() == expected
    assert original.fields() == list(original.pairs())
    assert original.values() == list(original.pairs().values())
    assert all(original.get(field) == value for field, value in expected.items())
    for count in (1, 3, 30):
        one, two = (list(h.distinct_pairs(count, Random(1))) for h in (original, other))
        assert one == two
        assert len(set(one)) == min(count, len(original))


@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        ("HSET h " + " ".join(f"f{n} v" for n in range(512)), b"listpack"),
        ("HSET h " + " ".join(f"f{n} v" for n in range(513)), b"hashtable"),
        # Redis 7.2 counts the arguments, whether or not they are different fields.
        ("HSET h " + "f v " * 513, b"hashtable"),
        ("HSET h f " + "v" * 64, b"listpack"),
        ("HSET h f " + "v" * 65, b"hashtable"),
        ("HSETNX h " + "f" * 65 + " v", b"hashtable"),
        ("HINCRBYFLOAT h f 1e70", b"hashtable"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_encoding(line: str, encoding: bytes) -> None:
    local = Local(now_ms=1)
    local.do(line)
    assert local.do("OBJECT ENCODING h") == encoding
    local.do("HSET h other 1")
    local.do("HDEL h " + " ".join(f"f{n}" for n in range(600)))
    if encoding == b"hashtable":
        assert local.do("OBJECT ENCODING h") == encoding, "it never goes back"
    local.do("COPY h copy")
    assert local.do("OBJECT ENCODING copy") == local.do("OBJECT ENCODING h")


@settings(max_examples=100)
@given(
    start=st.sets(st.integers(0, 60), min_size=20),
    rounds=st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=6), max_size=30),
    count=st.integers(1, 12),
)
def test_a_scan_returns_what_is_there_all_along(
    start: set[int], rounds: list[list[tuple[bool, int]]], count: int
) -> None:
    hash_ = Hash(indexed=True)
    for number in sorted(start):
        hash_.set(b"%d" % number, b"")
    always, found, cursor = set(hash_.fields()), set(), 0
    for happening in chain(rounds, repeat([])):
        cursor, pairs = hash_.scan(cursor, count)
        assert len(pairs) <= count
        found.update(field for field, _ in pairs)
        if not cursor:
            break
        for comes, number in happening:
            if comes:
                hash_.set(b"%d" % number, b"")
            else:
                hash_.remove(b"%d" % number)
                always.discard(b"%d" % number)
    assert always <= found


@pytest.mark.parametrize("size", [10, 600])
def test_random_fields_are_about_equally_likely(size: int) -> None:
    local = Local(now_ms=1)
    local.do("HSET h " + " ".join(f"{n} {n}" for n in range(size)))
    repeated = Counter(local.reply([b"HRANDFIELD", b"h", b"-%d" % (1_000 * size)]))
    distinct = Counter(
        chain.from_iterable(local.reply([b"HRANDFIELD", b"h", b"5"]) for _ in range(100 * size))
    )
    for seen in (repeated, distinct):
        assert len(seen) == size
        assert max(seen.values()) - min(seen.values()) < 0.6 * seen.total() / size


def test_a_choice_without_end_is_refused() -> None:
    local = Local(now_ms=1)
    local.do("HSET h f v")
    assert str(local.do("HRANDFIELD h -1000001")) == "ERR value is out of range"
