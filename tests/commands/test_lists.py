"""Lists: long ones against a plain Python list and a real Redis, and how Redis 7.2 would hold them."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace import lists, thresholds
from ironkv.keyspace.lists import List
from ironkv.keyspace.thresholds import Thresholds
from tests.commands.compare import agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import expiration, keys
from tests.commands.strategies import lists as strategies
from tests.commands.strategies.common import Args, spoiled

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "150"))

ITEMS = [b"x", b"y", b"1", b"-5000", b"z" * 70]
items = st.sampled_from(ITEMS)
places = st.integers(-60, 60)

SOUND = st.one_of([*strategies.COMMANDS, *strategies.COMMANDS, *keys.COMMANDS, *expiration.COMMANDS])
SEQUENCES = st.lists(st.one_of(SOUND, SOUND, SOUND, spoiled(SOUND)), min_size=5, max_size=40)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sequence=SEQUENCES, proto=st.sampled_from([2, 3]), block=st.sampled_from([2, 3, 512]))
def test_sequences_on_short_blocks(oracle: Oracle, sequence: list[Args], proto: int, block: int) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"], proto)
    oracle.ask([b"SELECT", b"0"], proto)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "BLOCK", block)
        for place, words in enumerate(sequence):
            args = written_out(words, place)
            theirs = answer(lambda args: oracle.ask(args, proto), args)
            ours = answer(lambda args: local.ask(args, proto), args)
            assert agree(args, ours, theirs), f"{args}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"


def check_invariants(value: List) -> None:
    blocks = value._blocks
    assert all(blocks) or blocks == [[]], "L1"
    assert max(map(len, blocks)) <= 2 * lists.BLOCK, "L2"
    assert len(value) == sum(map(len, blocks))
    if value._positions is not None:
        assert [value._positions.before(n) for n in range(len(blocks) + 1)] == [
            sum(map(len, blocks[:n])) for n in range(len(blocks) + 1)
        ], "L3"
    size = lists.LISTPACK_FRAME + sum(map(lists.entry_size, value))
    assert value._size in (None, size), "L4"
    assert value._size is not None or value.encoding() == b"quicklist", "L4"


changes = st.one_of(
    st.tuples(st.sampled_from(["push_left", "push_right"]), st.lists(items, min_size=1, max_size=20)),
    st.tuples(st.sampled_from(["take_left", "take_right"]), st.integers(0, 12)),
    st.tuples(st.sampled_from(["take_left", "take_right"]), st.just(1)),
    st.tuples(st.just("replace"), st.integers(0, 1000), items),
    st.tuples(st.just("insert"), items, items, st.booleans()),
    st.tuples(st.just("remove"), items, st.integers(-4, 4)),
    st.tuples(st.just("trim"), st.integers(0, 50), st.integers(0, 200)),
    st.tuples(st.just("look"), st.integers(0, 1000), items),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(changes, max_size=60), st.sampled_from([2, 4, 512]))
def test_a_list_is_as_a_python_list(steps: list[Any], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "BLOCK", block)
        patch.setattr(thresholds, "in_force", Thresholds(list_size=-1))
        patch.setattr(lists, "SIZED_MOST", 200)
        value, model = List(), list[bytes]()
        for step in steps:
            _do(value, model, *step)
            assert list(value) == model
            check_invariants(value)
        copied = value.copy()
        assert (list(copied), copied.encoding()) == (model, value.encoding())


def _do(value: List, model: list[bytes], what: str, *given: Any) -> None:
    match what, given:
        case "push_left", [some]:
            value.push_left(some)
            model[:0] = some[::-1]
        case "push_right", [some]:
            value.push_right(some)
            model += some
        case "take_left", [count]:
            assert value.take_left(count) == model[:count]
            del model[:count]
        case "take_right", [count]:
            count = min(count, len(model))
            assert value.take_right(count) == model[::-1][:count]
            del model[len(model) - count :]
        case "replace", [index, item] if model:
            value.replace(index % len(model), item)
            model[index % len(model)] = item
        case "insert", [pivot, item, after]:
            assert value.insert(pivot, item, after=after) is (pivot in model)
            if pivot in model:
                model.insert(model.index(pivot) + after, item)
        case "remove", [item, count]:
            found = [place for place, other in enumerate(model) if other == item]
            found = found[count:] if count < 0 else found[: count or len(found)]
            assert value.remove(item, count) == len(found)
            for place in reversed(found):
                del model[place]
        case "trim", [start, stop] if start < min(stop, len(model)):
            value.trim(start, min(stop, len(model)))
            model[:] = model[start:stop]
        case "look", [index, item] if model:
            index %= len(model)
            assert value[index] == model[index]
            assert value.range(index // 2, index + 1) == model[index // 2 : index + 1]
            places = [place for place, other in enumerate(model) if other == item]
            assert list(value.indexes_of(item, len(model))) == places
            assert list(value.indexes_of_from_tail(item, len(model))) == places[::-1]


ENTRIES = [
    (b"", 2), (b"0", 2), (b"127", 2), (b"128", 3), (b"-1", 3), (b"4095", 3), (b"4096", 4), (b"-32769", 5),
    (b"8388607", 5), (b"8388608", 6), (b"2147483648", 10), (b"9223372036854775807", 10), (b"007", 5),
    (b"9223372036854775808", 21), (b"x" * 63, 65), (b"x" * 64, 67), (b"x" * 4096, 4103),
]  # fmt: skip


@pytest.mark.parametrize(("item", "size"), ENTRIES, ids=repr)
def test_how_large_an_entry_of_a_listpack_is(item: bytes, size: int) -> None:
    assert lists.entry_size(item) == size


def _encoding(local: Local) -> bytes:
    return bytes(local.do("OBJECT ENCODING a"))


def test_a_long_list_is_a_quicklist_until_it_is_half_as_long() -> None:
    local = Local(now_ms=1_000)
    element = b"x" * 98  # takes 101 bytes
    for _ in range(82):
        local.reply([b"RPUSH", b"a", element])
    assert (_encoding(local), 7 + 82 * 101) == (b"quicklist", 8289)
    assert local.do("COPY a b") == 1
    assert local.do("LPOP a 41") == [element] * 41
    assert (_encoding(local), 7 + 41 * 101) == (b"quicklist", 4148)
    local.do("RPOP a")
    assert _encoding(local) == b"listpack"
    local.do("RENAME b a")
    assert _encoding(local) == b"quicklist"
    local.do("LTRIM a 0 1")
    assert _encoding(local) == b"listpack"


@pytest.mark.parametrize("line", ["RPUSH a {}", "LSET a 0 {}", "LSET a 9 {}", "LINSERT a AFTER nope {}"])
def test_one_large_element_makes_a_quicklist(line: str) -> None:
    local = Local(now_ms=1_000)
    local.do("RPUSH a 1 2 3")
    local.do(line.format("x" * 8190))
    assert _encoding(local) == b"quicklist"
    local.do("LSET a 0 y")
    assert _encoding(local) == (b"quicklist" if line.startswith("RPUSH") else b"listpack")


def test_short_and_long_lists_answer_as_redis_does(oracle: Oracle) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"])
    long = [b"RPUSH", b"a", *(b"%d" % n for n in range(3_000))]
    lines = ["LRANGE a 1400 1600", "LRANGE a -5 -1", "LINDEX a 1500", "LINDEX a -1500", "LPOS a 2500",
             "LPOS a 2500 MAXLEN 2500", "LPOS a 2500 RANK -1 MAXLEN 500", "LPOS a 2500 RANK -1 MAXLEN 499",
             "LINSERT a BEFORE 1500 x", "LINDEX a 1501", "LREM a 0 1700", "LINDEX a 2000", "LTRIM a 700 -700",
             "LRANGE a 0 -1", "LMOVE a a LEFT RIGHT", "LPOP a 600", "LRANGE a 0 -1", "RPOP a 5000",
             "EXISTS a"]  # fmt: skip
    for args in [long, *(line.encode().split() for line in lines)]:
        assert local.ask(args) == oracle.ask(args), args
