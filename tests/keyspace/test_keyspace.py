"""The databases: invariants K1 to K4, and that purging is a function of the state alone."""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv.errors import WrongType
from ironkv.keyspace.expiry import DAY_BITS, PART_BITS, part_of
from ironkv.keyspace.keyspace import DATABASES, Database, Due, Keyspace
from ironkv.keyspace.slots import SLOTS, slot_of

KEYS = [b"a", b"b", b"c", b"{a}1", b"{a}2"]
SLOTS_OF_KEYS = sorted(set(map(slot_of, KEYS)))


def check(keyspace: Keyspace) -> None:
    """K1 to K3."""
    for database in keyspace.used():
        pairs: dict[bytes, int] = {}
        for slot in SLOTS_OF_KEYS:
            values, deadlines = database.values[slot], database.deadlines[slot] or {}
            assert deadlines.keys() <= values.keys(), "K1"
            assert all(slot_of(key) == slot for key in values)
            assert None not in values.values(), "K3"
            pairs.update(deadlines)
        calendar = database.calendar
        days = {(key, number >> PART_BITS) for number, page in calendar._pages.items() for key in page}
        assert days == {(key, deadline >> DAY_BITS) for key, deadline in pairs.items()}, "K2"


def restored(keyspace: Keyspace) -> Keyspace:
    """The state as an image of it would give it back."""
    copy = Keyspace()
    for database in keyspace.used():
        target = copy.database(database.index)
        for slot in SLOTS_OF_KEYS:
            for key, value in database.values[slot].items():
                target.restore(key, value, (database.deadlines[slot] or {}).get(key))
    copy.advance(keyspace.stamp_ms)
    return copy


def held(keyspace: Keyspace) -> list[list[tuple[bytes, object, int | None]]]:
    """All that is in the databases, dead keys included, in the order of the slots' dicts (K4)."""
    return [
        [
            (key, value, (database.deadlines[slot] or {}).get(key))
            for slot in SLOTS_OF_KEYS
            for key, value in database.values[slot].items()
        ]
        for database in map(keyspace.database, range(3))
    ]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from(KEYS), st.integers(0, 2)),
        st.tuples(st.just("update"), st.sampled_from(KEYS), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.sampled_from(KEYS), st.integers(0, 2)),
        st.tuples(st.just("set_deadline"), st.sampled_from(KEYS), st.integers(-100, 4_000)),
        st.tuples(st.just("set_deadline"), st.sampled_from(KEYS), st.integers(-100, 4_000)),
        st.tuples(st.just("clear_deadline"), st.sampled_from(KEYS), st.integers(0, 2)),
        st.tuples(st.just("advance"), st.just(b""), st.integers(0, 2_500)),
        st.tuples(st.just("purge"), st.just(b""), st.integers(0, 2)),
        st.tuples(st.just("swap"), st.just(b""), st.integers(0, 2)),
    ),
    max_size=25,
)


def take_step(keyspace: Keyspace, action: str, key: bytes, number: int) -> object:
    database = keyspace.database(0)
    match action:
        case "set":
            return database.set(key, b"%d" % number)
        case "update":
            return database.update(key, b"%d" % number)
        case "remove":
            return database.remove(key)
        case "set_deadline":
            if database.find(key) is not None:
                database.set_deadline(key, keyspace.stamp_ms + number)
            return None
        case "clear_deadline":
            return database.clear_deadline(key)
        case "advance":
            return keyspace.advance(keyspace.stamp_ms + number)
        case "purge":
            return keyspace.purge(number)
        case _:
            return keyspace.swap(0, number)


@settings(max_examples=150, deadline=None)
@given(before=steps, after=steps)
def test_a_restored_state_goes_the_same_way(
    before: list[tuple[str, bytes, int]], after: list[tuple[str, bytes, int]]
) -> None:
    keyspace = Keyspace()
    keyspace.advance(10_000)
    for step in before:
        take_step(keyspace, *step)
    check(keyspace)
    copy = restored(keyspace)
    check(copy)
    for step in after:
        assert take_step(keyspace, *step) == take_step(copy, *step)
        assert [size for size in map(len, held(keyspace)) if size] == [
            size for size in map(len, held(copy)) if size
        ]
    check(keyspace)
    assert [items for items in held(copy) if items] == [items for items in held(keyspace) if items]


@settings(max_examples=150, deadline=None)
@given(steps)
def test_life_and_death_against_a_dict(taken: list[tuple[str, bytes, int]]) -> None:
    """What is alive is what a dict of (value, deadline) says is alive."""
    keyspace = Keyspace()
    keyspace.advance(10_000)
    naive: dict[bytes, tuple[bytes, int | None]] = {}
    for action, key, number in taken:
        if action == "swap":
            continue
        value, deadline = naive.get(key, (None, None))
        take_step(keyspace, action, key, number)
        if action == "set":
            naive[key] = (b"%d" % number, None)
        elif action == "update":
            naive[key] = (b"%d" % number, deadline)
        elif action == "remove":
            naive.pop(key, None)
        elif action == "set_deadline" and value is not None:
            naive[key] = (value, keyspace.stamp_ms + number)
        elif action == "clear_deadline" and value is not None:
            naive[key] = (value, None)
        naive = {k: (v, at) for k, (v, at) in naive.items() if at is None or at > keyspace.stamp_ms}
        database = keyspace.database(0)
        alive = list(database.keys())
        assert {key: (database.find(key), database.deadline(key)) for key in alive} == naive


def test_purging_is_bounded_and_in_order() -> None:
    keyspace = Keyspace()
    names = [b"%03d" % n for n in range(100)]
    for name in reversed(names):
        keyspace.database(0).set(name, b"x")
        keyspace.database(0).set_deadline(name, 500)
    keyspace.database(1).set(b"other", b"x")
    keyspace.database(1).set_deadline(b"other", 400)
    keyspace.advance(5_000)
    assert keyspace.due_from_ms() == 1_024
    for left in (90, 80):
        keyspace.purge(10)
        assert len(keyspace.database(0)) == left
        assert keyspace.expired == 100 - left
    in_order = sorted(names, key=lambda name: (part_of(name), name))
    assert set(keyspace.database(0).keys()) == set()
    assert {key for values in keyspace.database(0).values for key in values} == set(in_order[20:])
    keyspace.purge(81)
    assert len(keyspace.database(1)) == 0
    assert keyspace.due_from_ms() is None


def test_cleared_databases_are_freed_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    keyspace = Keyspace()
    monkeypatch.setattr("ironkv.keyspace.keyspace.SWEEP_WORTH", 0)
    database = keyspace.database(0)
    database.set(b"a", b"1")
    database.set_deadline(b"a", 100)
    keyspace.clear()
    database.set(b"a", b"2")
    keyspace.clear()
    assert (len(database), database.deadline_count(), keyspace.due_from_ms()) == (0, 0, None)
    turns = 1
    while keyspace.sweep(4_096):
        turns += 1
    assert turns == 4 * SLOTS // 4_096
    keyspace.clear()
    assert not keyspace.sweep(1), "an empty database leaves nothing to free"


def test_a_read_ahead_of_the_log_raises_due() -> None:
    keyspace = Keyspace()
    database = keyspace.database(0)
    database.set(b"a", b"1")
    database.set_deadline(b"a", 100)
    keyspace.now_ms = 99
    assert database.find(b"a") == b"1"
    keyspace.now_ms = 100
    for look in (database.find, database.string, database.deadline):
        with pytest.raises(Due):
            look(b"a")
    with pytest.raises(Due):
        list(database.keys())
    with pytest.raises(Due):
        database.random_key(random.Random(1))
    keyspace.advance(100)
    assert database.find(b"a") is None
    assert len(database) == 1, "dead, and not purged yet"


def test_the_state_s_time_never_goes_back() -> None:
    keyspace = Keyspace()
    keyspace.advance(100)
    keyspace.now_ms = 200
    keyspace.advance(50)
    assert (keyspace.stamp_ms, keyspace.now_ms) == (100, 100)


def test_string_refuses_other_types() -> None:
    database = Keyspace().database(0)
    database.set(b"a", [b"x"])
    with pytest.raises(WrongType):
        database.string(b"a")


def test_swapped_databases_answer_to_each_other_s_number() -> None:
    keyspace = Keyspace()
    zero = keyspace.database(0)
    zero.set(b"a", b"0")
    zero.set_deadline(b"a", 100)
    keyspace.swap(0, 3)
    assert keyspace.database(0) is zero, "a database in hand stays the one of its number"
    assert zero.find(b"a") is None
    assert keyspace.database(3).find(b"a") == b"0"
    assert [keyspace.database(n).index for n in range(DATABASES)] == list(range(DATABASES))
    check(keyspace)
    keyspace.swap(3, 3)
    assert keyspace.database(3).deadline(b"a") == 100


def _random_keys(database: Database, times: int) -> Counter[bytes | None]:
    choose = random.Random(7)
    return Counter(database.random_key(choose) for _ in range(times))


def test_random_keys_are_about_equally_likely() -> None:
    database = Keyspace().database(0)
    names = [b"{x}%d" % n for n in range(9)] + [b"y"]
    for name in names:
        database.set(name, b"")
    counts = _random_keys(database, 2_000)
    assert set(counts) == set(names)
    assert all(120 < count < 290 for count in counts.values()), counts


def test_there_is_no_random_key_among_the_dead() -> None:
    keyspace = Keyspace()
    database = keyspace.database(0)
    assert _random_keys(database, 1) == {None: 1}
    database.set(b"a", b"")
    database.set_deadline(b"a", 10)
    keyspace.advance(10)
    assert _random_keys(database, 1) == {None: 1}


@pytest.mark.parametrize(
    ("key", "tag"),
    [(b"{user1000}.following", b"user1000"), (b"foo{}{bar}", b"foo{}{bar}"), (b"foo{{bar}}zap", b"{bar"),
     (b"foo{bar}{zap}", b"bar"), (b"foo{bar", b"foo{bar"), (b"}{a}", b"a"), (b"", b"")],
)  # fmt: skip
def test_hash_tags(key: bytes, tag: bytes) -> None:
    assert slot_of(key) == crc_hqx(tag, 0) % SLOTS


def test_slots_are_those_of_redis() -> None:
    assert slot_of(b"123456789") == 0x31C3 % SLOTS
    assert slot_of(b"foo") == 12182
