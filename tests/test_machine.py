"""The state machine: entries in, the same state and the same replies on every replica."""

from __future__ import annotations

import gc
import logging
import random
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv import batch
from ironkv.commands.write_handlers import WRITE_HANDLERS
from ironkv.errors import CommandError, Fault, NotInteger, WrongType
from ironkv.images import digest_of_keyspace
from ironkv.machine import PURGE_MOST, Machine
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Entry, EntryKind
from ironkv.resp.replies import OK, encode


def words(text: str) -> list[bytes]:
    return text.encode().split()


def entry(index: int, stamp_ms: int, *items: str | int) -> Entry:
    program: list[batch.Item] = [item if isinstance(item, int) else words(item) for item in items]
    return Entry(index, 1, EntryKind.BATCH, batch.encode(stamp_ms, program))


def run(machine: Machine, stamp_ms: int, *items: str | int) -> list[Any]:
    program = [item if isinstance(item, int) else words(item) for item in items]
    return machine.run(machine.applied + 1, stamp_ms, program, lambda ride: ride)


def state(machine: Machine) -> Any:
    keyspace = machine.keyspace
    return keyspace.stamp_ms, [
        (db.index, [[*slot.items()] for slot in db.values if slot], [[*d.items()] for d in db.deadlines if d])
        for db in keyspace.used()
    ]


def test_replies_in_order_and_databases_as_marked() -> None:
    machine = Machine()
    replies = run(machine, 1, "SET a 1", "INCR a", 3, "INCR a", 0, "APPEND a x", 3, "DEL a b")
    assert replies == [OK, 2, 1, 2, 1]
    assert machine.keyspace.database(0).string(b"a") == b"2x"
    assert machine.keyspace.database(3).string(b"a") is None


def test_what_rides_sees_the_writes_before_it_and_no_others() -> None:
    machine = Machine()
    seen = []

    def ride(what: str) -> str:
        seen.append(machine.keyspace.database(0).string(b"a"))
        return what

    program = ["ride0", words("SET a 1"), "ride1", 2, "ride2", words("SET a x"), 0, words("SET a 2"), "ride3"]
    replies = machine.run(1, 1, program, ride)
    assert seen == [None, b"1", b"1", b"2"]
    assert [reply for reply in replies if isinstance(reply, str)] == ["ride0", "ride1", "ride2", "ride3"]


def test_a_ride_has_no_business_in_the_log() -> None:
    machine = Machine()
    with pytest.raises(Fault, match="a NoneType where a command belongs"):
        machine.apply(Entry(1, 1, EntryKind.BATCH, batch.encode(1, [None])))  # type: ignore[list-item]


def test_an_error_is_one_command_s() -> None:
    machine = Machine()
    replies = run(machine, 1, "SET a x", "INCR a", "SET b 1")
    assert isinstance(replies[1], CommandError)
    assert machine.keyspace.database(0).string(b"b") == b"1"


@pytest.mark.parametrize("indices", [(2,), (1, 3), (1, 1), (0,)], ids=str)
@pytest.mark.parametrize("kind", EntryKind)
def test_entries_come_one_after_the_other(indices: tuple[int, ...], kind: EntryKind) -> None:
    machine = Machine()
    data = {
        EntryKind.NOOP: b"",
        EntryKind.BATCH: batch.encode(1, [[b"INCR", b"a"]]),
        EntryKind.CONFIG: Configuration(frozenset({"n1"})).encode(),
    }[kind]
    *well, bad = indices
    for index in well:
        machine.apply(Entry(index, 1, kind, data))
    with pytest.raises(Fault, match="does not follow"):
        machine.apply(Entry(bad, 1, kind, data))


def test_a_handler_that_fails_fails_alike_everywhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def half_done(db: Any, args: list[bytes], now_ms: int) -> None:
        db.set(args[1], b"half")
        raise ZeroDivisionError

    monkeypatch.setitem(WRITE_HANDLERS, b"INCR", half_done)
    one, other = Machine(), Machine()
    with caplog.at_level(logging.CRITICAL, "ironkv.machine"):
        first = [run(m, 5, "SET a 1", "INCR b", "APPEND a x") for m in (one, other)]
    assert [str(replies[1]) for replies in first] == ["ERR internal error, see the node's log"] * 2
    assert state(one) == state(other)
    assert one.keyspace.database(0).string(b"a") == b"1x"


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_what_another_replica_might_not_meet_stops_the_node(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setitem(WRITE_HANDLERS, b"INCR", fails)
    with pytest.raises(Fault, match="could not be applied"):
        run(Machine(), 1, "INCR a")


def test_the_state_s_time_never_goes_back() -> None:
    machine = Machine()
    run(machine, 1000, "SET a 1 PXAT 2000")
    run(machine, 500, "SET b 1 PX 100")
    assert machine.keyspace.stamp_ms == 1000
    assert machine.keyspace.database(0).deadline(b"b") == 1100
    run(machine, 2000, "SET c 1")
    assert machine.keyspace.database(0).string(b"a") is None


def test_a_key_that_is_dead_at_the_stamp_is_dead_for_the_entry() -> None:
    machine = Machine()
    run(machine, 1000, "SET a 1 PX 50")
    assert run(machine, 1049, "APPEND a x") == [2]
    assert run(machine, 1050, "APPEND a x", "DEL a") == [1, 1]


def test_a_purge_is_bounded_and_the_rest_comes_later() -> None:
    machine = Machine()
    count = 2 * PURGE_MOST + 10
    run(machine, 1, *[f"SET k{n} v PX 10" for n in range(count)])
    held = []
    for stamp_ms in range(10_000, 10_004):
        machine.apply(entry(machine.applied + 1, stamp_ms))
        held.append(len(machine.keyspace.database(0)))
    assert held == [count - PURGE_MOST, 10, 0, 0]


commands = st.sampled_from(
    [
        "SET {k} 1",
        "SET {k} 1 PX 700",
        "INCR {k}",
        "APPEND {k} x",
        "DEL {k}",
        "PEXPIRE {k} 900",
        "PERSIST {k}",
        "RENAME {k} a",
        "COPY {k} b",
        "SETRANGE {k} 5 y",
        "MSETNX {k} 1 c 2",
        "SWAPDB 0 1",
        "FLUSHDB",
    ]
)
some_items = st.lists(
    st.integers(0, 2) | st.builds(lambda c, k: c.format(k=k), commands, st.sampled_from("abcd")), max_size=12
)


@given(st.lists(st.tuples(st.integers(0, 3000), some_items), max_size=12))
def test_leader_replica_and_replay_come_to_the_same(log: list[tuple[int, list[str | int]]]) -> None:
    """The leader runs what clients sent; a replica what the entry holds."""
    leader, replica = Machine(), Machine()
    stamp = 0
    for index, (later, items) in enumerate(log, 1):
        stamp += later
        run(leader, stamp, *items)
        replica.apply(entry(index, stamp, *items))
        assert state(leader) == state(replica)


def test_swapdb_holds_for_what_follows_in_the_entry() -> None:
    machine = Machine()
    run(machine, 1, "SET a zero", 1, "SET a one", "SWAPDB 0 1", "APPEND a !", 0, "APPEND a ?")
    assert machine.keyspace.database(0).string(b"a") == b"one?"
    assert machine.keyspace.database(1).string(b"a") == b"zero!"


def test_an_error_reply_keeps_nothing_alive() -> None:
    """It would: by its traceback, and that by its frame, and that by the replies, and so in a circle that
    only a full collection finds. An entry with one large value and one mistake would stay."""

    class Program(list[Any]):
        pass

    machine = Machine()
    machine.keyspace.database(0).set(b"list", [b"x"])  # type: ignore[arg-type]
    program = Program([words("SET a x"), words("INCR a"), words("APPEND list x")])
    gone = weakref.ref(program)
    gc.disable()
    try:
        replies = machine.run(1, 1, program, lambda ride: ride)
        assert [type(reply) for reply in replies[1:]] == [NotInteger, WrongType]
        del program, replies
        assert gone() is None
    finally:
        gc.enable()


WORDS = [b"1", b"23", b"x", b"-7", b"y" * 70, b"1000000", b"z" * 900]


def in_a_row(chance: random.Random) -> list[list[bytes]]:
    """Some calls of one command on one key, mostly plain ones."""
    name, key = (
        chance.choice((b"LPUSH", b"RPUSH", b"LPOP", b"RPOP", b"SADD", b"HSET", b"ZADD", b"MSET")),
        chance.choice((b"a", b"b")),
    )
    if name == b"MSET":
        return several_strings(chance)
    if name == b"ZADD":
        return several_scores(chance, key)
    size = {b"HSET": 2, b"LPOP": 0, b"RPOP": 0}.get(name, 1)
    calls = [
        [name, key, *(chance.choice(WORDS) + b"%d" % chance.randrange(40) for _ in range(size))]
        for _ in range(chance.choice((1, 3, 5, 30, 600)))
    ]
    if chance.random() < 0.3:
        extra = {b"HSET": [b"f", b"v"], b"LPOP": [b"2"], b"RPOP": [b"0"]}.get(name, [b"w"])
        calls[chance.randrange(len(calls))] += extra
    return calls


def several_scores(chance: random.Random, key: bytes) -> list[list[bytes]]:
    """Some calls of ZADD, mostly sound ones: members come again, some with the score that they have."""
    scores = [b"0", b"-0", b"1", b"-2.5", b"7e2", b"inf"]
    if chance.random() < 0.2:
        scores += [b"NX", b"nan", b"x"]
    return [
        [b"ZADD", key, chance.choice(scores), chance.choice(WORDS[:4]) + b"%d" % chance.randrange(60)]
        + ([b"2", b"more"] if chance.random() < 0.01 else [])
        for _ in range(chance.choice((1, 3, 5, 30, 600)))
    ]


def several_strings(chance: random.Random) -> list[list[bytes]]:
    """Some calls of MSET, mostly sound ones with few keys."""
    calls = []
    for _ in range(chance.choice((1, 3, 5, 30))):
        words = [
            chance.choice((b"a", b"b", b"c", b"{a}d", *WORDS))
            for _ in range(2 * chance.choice((1, 2, 10, 40)))
        ]
        calls.append([b"MSET", *words[chance.random() < 0.05 :]])
    return calls


@pytest.mark.parametrize("seed", range(40))
def test_what_is_done_together_is_as_if_done_one_by_one(seed: int) -> None:
    """One by one on a leader, with whose writes other things go; what becomes of the keys is the same."""
    chance = random.Random(seed)
    leader, follower = Machine(), Machine()
    for stamp_ms in range(1, 15):
        program: list[Any] = in_a_row(chance)
        for _ in range(chance.randrange(3)):
            program += chance.choice((
                in_a_row(chance),
                [[b"DEL", chance.choice((b"a", b"b"))]],
                [[b"PEXPIREAT", b"a", b"%d" % (stamp_ms + 2)]],
                [chance.randrange(2)],
                [[b"IRONKV", b"THRESHOLDS", b"list-max-listpack-size", chance.choice((b"2", b"-2"))]],
            ))  # fmt: skip
        among = [each for item in program for each in (item, "ride")]
        one_by_one = leader.run(stamp_ms, stamp_ms, among, lambda ride: ride)
        replies = follower.run(stamp_ms, stamp_ms, program, lambda ride: ride)
        told = [encode(reply, 2) for reply in one_by_one if reply != "ride"]
        assert [encode(reply, 2) for reply in replies] == told
        assert digest_of_keyspace(leader.keyspace) == digest_of_keyspace(follower.keyspace)
        assert encodings(leader) == encodings(follower)
        assert leader.keyspace.changes == follower.keyspace.changes
        assert leader.failures == follower.failures


def encodings(machine: Machine) -> list[bytes]:
    return [
        value.encoding()
        for database in machine.keyspace.used()
        for slot in database.values
        for value in slot.values()
        if type(value) is not bytes
    ]


def test_whoever_listens_is_told_of_every_call() -> None:
    machine = Machine()
    listened = []
    machine.keyspace.listener = lambda _, event, key: listened.append((event, key))
    assert run(machine, 1, *["SADD s a"] * 5, *["RPOP l"] * 5) == [1, 0, 0, 0, 0, *[None] * 5]
    assert (b"sadd", b"s") in listened
