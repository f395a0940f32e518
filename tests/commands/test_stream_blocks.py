"""How streams are held: against a plain dict, as nodes of Redis's radix tree, in images, and at what cost."""

from __future__ import annotations

import os
import tracemalloc
from collections import Counter
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv import images
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.radix import node_count
from ironkv.keyspace.slots import slot_of
from ironkv.keyspace.stream_blocks import HALF_MOST, ID_MOST, Block, Cut, Entries, Id, id_of
from ironkv.keyspace.streams import Stream
from ironkv.keyspace.thresholds import Thresholds
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "150"))

# -- against a dict

Model = dict[Id, list[bytes]]

steps = st.integers(1, 3) | st.sampled_from([2**64, 2**64 - 1, 2**70, 2**120])
words = st.lists(
    st.tuples(st.sampled_from([b"f", b"g"]), st.binary(max_size=40)), min_size=1, max_size=3
).map(lambda pairs: [word for pair in pairs for word in pair])
places = st.integers(0, 60)
changes = st.one_of(
    st.tuples(st.just("add"), steps, words),
    st.tuples(st.just("add"), steps, words),
    st.tuples(st.just("remove"), places),
    st.tuples(st.just("keep"), places, st.booleans(), st.sampled_from([0, 0, 3, 10])),
    st.tuples(st.just("from"), places, st.booleans(), st.sampled_from([0, 0, 3, 10])),
    st.tuples(st.just("look"), places, places),
)


def check_invariants(entries: Entries) -> None:
    blocks = entries.blocks
    ids = [id_ for id_, _ in entries.between(0, ID_MOST)]
    assert ids == sorted(set(ids)), "B1"
    assert list(entries.keys) == [block.key for block in blocks], "B1"
    assert all(block.packed for block in blocks[1:]), "B2"
    assert all(block.top < following for block, following in zip(blocks, entries.keys[1:], strict=False)), (
        "B3"
    )
    for block in blocks:
        held = [block.id_at(place) for place in range(len(block))]
        assert sorted([block.key, *held, block.top]) == [block.key, *held, block.top], "B3"
        assert len(block.ms) == len(block.sequences) == len(block.packed) <= block.taken


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(changes, max_size=60), st.sampled_from([2, 4, 100]), st.sampled_from([90, 4096]))
def test_entries_are_as_a_dict(steps: list[Any], most: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "in_force", Thresholds(stream_entries=most, stream_bytes=size))
        entries, model, top = Entries(), Model(), 0
        for step in steps:
            top = _do(entries, model, top, *step)
            check_invariants(entries)
            assert dict(entries.between(0, ID_MOST)) == model
            assert (entries.first(), entries.last()) == (min(model, default=0), max(model, default=0))
        twin = entries.copy()
        assert [block.parts() for block in twin.blocks] == [block.parts() for block in entries.blocks]
        assert len(twin) == len(entries) == len(model)


def _do(entries: Entries, model: Model, top: Id, what: str, *given: Any) -> Id:
    """Returns the highest id there ever was."""
    order = sorted(model)
    match what, given:
        case "add", [step, words] if top + step <= ID_MOST:
            entries.add(top + step, words)
            model[top + step] = words
            return top + step
        case "remove", [place]:
            id_ = order[place % len(order)] if order and place % 4 else place
            assert entries.remove(id_) is (model.pop(id_, None) is not None)
        case "keep", [count, roughly, limit]:
            _trimmed(entries, model, Cut(count, 0, roughly, limit), order[: max(0, len(order) - count)])
        case "from", [place, roughly, limit]:
            least = order[place % len(order)] if order else place
            _trimmed(
                entries, model, Cut(None, least, roughly, limit), order[: place % len(order)] if order else []
            )
        case "look", [one, other] if order:
            low, high = order[one % len(order)] - one % 2, order[other % len(order)] + other % 2
            found = [(id_, model[id_]) for id_ in order if low <= id_ <= high]
            assert list(entries.between(low, min(high, ID_MOST))) == found
            assert list(entries.between_backwards(low, min(high, ID_MOST))) == found[::-1]
            assert entries.get(low) == model.get(low)
            assert (low in entries) is (low in model)
    return top


def _trimmed(entries: Entries, model: Model, cut: Cut, surplus: list[Id]) -> None:
    """Exact trims remove just what is too much, rough ones no more than that."""
    if not cut.roughly:
        cut = cut._replace(limit=0)
    removed = entries.trim(cut)
    assert removed <= len(surplus)
    assert cut.roughly or removed == len(surplus)
    assert not cut.limit or removed <= cut.limit
    for id_ in surplus[:removed]:
        del model[id_]


def test_fields_of_many_names_come_back() -> None:
    entries = Entries()
    some = [[b"f", b"1"], [b"g", b"2"], [b"f", b"", b"f", b"x"], [b"f", b"3"], [b"a", b"b", b"c", b"d"]]
    for id_, items in enumerate(some, 1):
        entries.add(id_, items)
    assert [items for _, items in entries.between(0, ID_MOST)] == some
    assert len(entries.keys) == 1


# -- the nodes of a radix tree


@pytest.mark.parametrize("seed", range(3))
def test_nodes_are_counted_as_redis_counts_them(oracle: Oracle, seed: int) -> None:
    chance = Random(seed)
    entries = Entries()
    oracle.ask([b"FLUSHALL"])
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"1"])
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(thresholds, "in_force", Thresholds(stream_entries=1))
            id_, ids = 0, []
            for _ in range(150):
                id_ += 1 << chance.randrange(20 + 30 * seed)
                ids.append(id_)
                entries.add(id_, [b"f", b"v"])
                oracle.ask([b"XADD", b"a", b"%d-%d" % (id_ >> 64, id_ & HALF_MOST), b"f", b"v"])
                assert node_count(entries.keys) == _nodes(oracle)
            for id_ in chance.sample(ids, len(ids)):
                entries.remove(id_)
                oracle.ask([b"XDEL", b"a", b"%d-%d" % (id_ >> 64, id_ & HALF_MOST)])
                assert node_count(entries.keys) == _nodes(oracle)
    finally:
        oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"100"])


def _nodes(oracle: Oracle) -> Any:
    info = meaning(oracle.ask([b"XINFO", b"STREAM", b"a"]))
    return dict(zip(info[::2], info[1::2], strict=True))[b"radix-tree-nodes"]


# -- images


def _busy() -> Local:
    """A stream with gaps, deleted entries, groups that know and do not know what they have read."""
    local = Local(now_ms=1_000)
    for n in range(1, 700):
        local.do(f"XADD a {n // 3}-{n} f {n} g {'x' * (n % 90)}" if n % 7 else f"XADD a {n // 3}-{n} h {n}")
    for line in (
        "XGROUP CREATE a g 0", "XGROUP CREATE a h 100 ENTRIESREAD 5", "XGROUP CREATE a empty $",
        "XREADGROUP GROUP g c COUNT 300 STREAMS a >", "XREADGROUP GROUP g d COUNT 50 STREAMS a >",
        "XREADGROUP GROUP h c COUNT 50 STREAMS a >", "XGROUP CREATECONSUMER a h idle",
        "XDEL a 50-150 233-699", "XTRIM a MINID 50-151", "XREADGROUP GROUP g e STREAMS a 0",
        "XCLAIM a g e 0 99-299 RETRYCOUNT 9223372036854775807",
        "XSETID a 18446744073709551615-7 ENTRIESADDED 9223372036854775807",
    ):  # fmt: skip
        local.do(line)
    return local


AFTER = [
    "XINFO STREAM a FULL COUNT 0", "XINFO CONSUMERS a h", "XADD a MAXLEN ~ 100 * f v", "XTRIM a MINID ~ 120",
    "XREADGROUP GROUP h c COUNT 9 STREAMS a >", "XAUTOCLAIM a g d 0 0 COUNT 5", "XGROUP DELCONSUMER a g c",
    "XINFO STREAM a", "XINFO GROUPS a", "XINFO STREAM a FULL COUNT 0",
]  # fmt: skip


@pytest.mark.parametrize("most", [1, 100, 4_096])
def test_a_stream_comes_back_from_its_pieces_and_goes_on_alike(most: int) -> None:
    original, other = _busy(), _busy()
    slot = slot_of(b"a")
    stream = other.db.values[slot][b"a"]
    pieces = list(stream.pieces(most))
    assert max(map(len, pieces)) <= max(most, 4), "a group with its consumers is one piece"
    again = Stream.from_pieces(b"stream", [item for piece in pieces for item in piece])
    check_invariants(again.entries)
    other.db.values[slot][b"a"] = again
    for line in AFTER:
        assert original.do(line) == other.do(line), line


def test_a_stream_is_imaged_in_parts_of_bounded_size() -> None:
    local = _busy()
    for n in range(1_000):
        local.reply([b"XADD", b"{a}b", b"%d" % (n + 1), b"f", b"%d" % n * 300])
    local.do("XGROUP CREATE {a}b g 0")
    local.do("XREADGROUP GROUP g c STREAMS {a}b >")
    slot = slot_of(b"a")
    parts = list(images.parts(local.db.values[slot], None))
    assert len(parts) > 2
    assert max(map(len, parts)) < 2 * images.PART_BYTES
    keyspace = Keyspace()
    images.load(keyspace.database(0), slot, parts)
    assert list(images.parts(keyspace.database(0).values[slot], None)) == parts


# -- what it costs


def _million() -> Entries:
    """A million entries, in ten thousand blocks that share their values."""
    packed = _block(0).packed
    return Entries.of_blocks(
        [
            Block.from_parts(n, 0, n, 99, 100, 900, [b"f"], [n] * 100, range(100), packed[:])
            for n in range(10_000)
        ]
    )


def _block(ms: int) -> Block:
    entries = Entries()
    for sequence in range(100):
        entries.add(id_of(ms, sequence), [b"f", b"%d" % sequence])
    (block,) = entries.blocks
    assert isinstance(block, Block)
    return block


def test_a_million_entries_are_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = _million()
    assert len(entries) == 1_000_000
    calls: Counter[str] = Counter()
    for method in (Block.entry, Block.place_of):
        monkeypatch.setattr(Block, method.__name__, _counted(method, calls))

    middle = id_of(5_000, 50)
    assert len(list(islice(entries.between(middle, ID_MOST), 10))) == 10
    assert len(list(islice(entries.between_backwards(0, middle), 10))) == 10
    assert entries.get(middle) == [b"f", b"50"]
    assert middle in entries
    assert entries.remove(middle)
    assert entries.trim(Cut(999_950)) == 49
    assert entries.trim(Cut(None, id_of(3, 3), roughly=True)) == 251
    entries.add(id_of(20_000, 0), [b"f", b"v"])
    assert (entries.first(), entries.last()) == (id_of(3, 0), id_of(20_000, 0))
    assert calls["entry"] <= 21
    assert calls["place_of"] <= 12


def _counted(method: Callable[[Block, int], Any], calls: Counter[str]) -> Callable[[Block, int], Any]:
    def counted(block: Block, given: int) -> Any:
        calls[method.__name__] += 1
        return method(block, given)

    return counted


def test_an_entry_takes_about_a_hundred_bytes() -> None:
    local = Local(now_ms=1_000)
    local.do("XLEN a")  # makes the database
    tracemalloc.start()
    try:
        for n in range(5_000):
            local.reply([b"XADD", b"a", b"*", b"temperature", b"%d" % n, b"device", b"sensor-%d" % (n % 100)])
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / 5_000 < 120


def test_a_rough_trim_removes_no_more_than_it_may(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "in_force", Thresholds(stream_entries=2))
    local = Local()
    oracle.ask([b"FLUSHALL"])
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"2"])
    try:
        lines = [
            *(f"XADD a {n} f v" for n in range(1, 700)),
            "XTRIM a MAXLEN ~ 0", "XTRIM a MINID ~ 9999", "XADD a MAXLEN ~ 0 800 f v", "XLEN a",
            "XTRIM a MAXLEN ~ 0 LIMIT 9", "XTRIM a MAXLEN ~ 0 LIMIT 0", "XLEN a",
        ]  # fmt: skip
        for line in lines:
            args = line.encode().split()
            assert local.ask(args) == oracle.ask(args), line
    finally:
        oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"100"])
