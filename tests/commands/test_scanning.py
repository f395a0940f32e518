"""SCAN's promise: a key that is there from the first call to the last is returned."""

from __future__ import annotations

from itertools import chain, repeat

from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv.keyspace.slots import slot_of
from tests.commands.local import Local

SLOTTED = st.integers(0, 15).map(lambda n: b"{s}%d" % n)
"""All in one slot: what is hard is to be in the middle of one."""
SPREAD = st.integers(0, 15).map(lambda n: b"key:%d" % n)
keys = st.one_of(SLOTTED, SLOTTED, SPREAD)

changes = st.lists(
    st.one_of(
        st.tuples(st.just(b"SET"), keys, st.just(b"x")),
        st.tuples(st.just(b"DEL"), keys),
        st.tuples(st.just(b"DEL"), keys),
        st.tuples(st.just(b"RENAME"), keys, keys),
        st.tuples(st.just(b"PEXPIRE"), keys, st.just(b"1")),
    ).map(list),
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(
    start=st.sets(keys, max_size=30),
    rounds=st.lists(changes, max_size=40),
    count=st.integers(1, 12).map(lambda n: b"%d" % n),
)
def test_what_is_there_all_along_is_returned(
    start: set[bytes], rounds: list[list[list[bytes]]], count: bytes
) -> None:
    local = Local(now_ms=1_000)
    for key in sorted(start):
        local.reply([b"SET", key, b"x"])
    always, found, cursor = set(local.reply([b"KEYS", b"*"])), set(), b"0"
    for happening in chain(rounds, repeat([])):  # in the end it gets quiet
        cursor, names = local.reply([b"SCAN", cursor, b"COUNT", count])
        found.update(names)
        if cursor == b"0":
            break
        for args in happening:
            local.reply(args)
            local.now_ms = (local.now_ms or 0) + 1
            always = {key for key in always if local.reply([b"EXISTS", key])}
    assert always <= found


def _scan(local: Local, *options: bytes) -> list[bytes]:
    found, cursor = [], b"0"
    while True:
        cursor, names = local.reply([b"SCAN", cursor, *options])
        found += names
        if cursor == b"0":
            return found


def test_a_quiet_scan_returns_every_key_once() -> None:
    local = Local(now_ms=1_000)
    names = [b"{s}%d" % n for n in range(1_000)] + [b"key:%d" % n for n in range(1_000)]
    for name in names:
        local.reply([b"SET", name, b"x"])
    for count in (b"1", b"7", b"10", b"500", b"100000"):
        assert sorted(_scan(local, b"COUNT", count)) == sorted(names)
    assert len(_scan(local, b"MATCH", b"*99")) == 20
    assert _scan(local, b"TYPE", b"list") == []


def test_count_bounds_a_call_also_inside_one_slot() -> None:
    local = Local(now_ms=1_000)
    for n in range(1_000):
        local.reply([b"SET", b"{s}%d" % n, b"x"])
    cursor, names = local.reply([b"SCAN", b"0", b"COUNT", b"10"])
    assert len(names) == 10
    assert cursor != b"0"


def test_any_cursor_is_answered() -> None:
    local = Local(now_ms=1_000)
    local.do("SET a 1")
    local.do("SET {a}1 1")
    middle = b"%d" % (1 << 14 | slot_of(b"a"))
    for cursor in (b"1", b"16383", b"16384", b"18446744073709551615", b"-1", middle):
        for count in (b"10", b"9223372036854775807"):
            following, names = local.reply([b"SCAN", cursor, b"COUNT", count])
            assert following == b"0"
            assert set(names) <= {b"a", b"{a}1"}
    assert local.reply([b"SCAN", middle])[1] == [b"a"]


def test_dead_keys_are_not_returned() -> None:
    local = Local(now_ms=1_000)
    local.do("SET a 1 PX 10")
    local.do("SET b 1")
    local.now_ms = 1_010
    assert _scan(local) == [b"b"]
    assert local.do("KEYS *") == [b"b"]
    assert local.do("RANDOMKEY") == b"b"
