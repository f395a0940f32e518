"""Replies of writes in flight, against a model: exactly one per request, in the order of the requests, and
each says what the log says.

The log is a list that the test commits from, overwrites and cuts as other leaders would; a connection is a
list of what it asked and a list of what it was told.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ironkv import batch as codec
from ironkv.commands.table import TABLE
from ironkv.errors import NotAvailable, OutcomeUnknown
from ironkv.machine import Machine
from ironkv.node import proposals as proposals_module
from ironkv.node.proposals import ENTRY_COMMANDS, Batch, Proposals
from ironkv.raft.config import Overloaded
from ironkv.raft.messages import Entry, EntryKind
from ironkv.resp.replies import Reply
from ironkv.server.rides import Ride

GET = TABLE[b"GET"]
REFUSED = NotAvailable("TRYAGAIN")
OVERWRITTEN = NotAvailable("NOTLEADER")
NOT_READ = NotAvailable("CLUSTERDOWN")
DEADLINE_MS = 1000.0


class Asker:
    """What `Proposals` sees of a connection; and what the test remembers of it."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.batch: Batch | None = None
        self.pending = 0
        self.asked: list[tuple[str, Any]] = []
        self.told: list[Reply] = []

    def settle(self, replies: list[Reply]) -> None:
        assert replies
        self.pending -= len(replies)
        self.told += replies


class Log(RuleBasedStateMachine):
    """One node, leader now and again. Each write appends a number of its own to one key (APPEND), so the
    value of the key tells which writes were applied, and in which order."""

    def __init__(self) -> None:
        super().__init__()
        # Small batches, so that several are proposed at once.
        proposals_module.ENTRY_COMMANDS = 4  # type: ignore[misc]
        self.machine = Machine()
        self.proposals = Proposals(self.machine, self._answer)
        self.askers = [Asker(n) for n in range(3)]
        self.log: list[Entry] = []
        self.term = 1
        self.leading = True
        self.now = 0.0
        self.number = 0
        self.refusal: NotAvailable | None = None
        self.accept = 0

    def _answer(self, ride: Ride, applied: bool) -> Reply:
        if ride.row is None:
            return ride.args
        return self._value(ride.database) if applied else NOT_READ

    def _value(self, database: int) -> bytes:
        return self.machine.keyspace.database(database).string(b"k") or b""

    # -- what clients do

    @precondition(lambda self: self.leading)
    @rule(who=st.integers(0, 2), count=st.integers(1, 3), database=st.integers(0, 2))
    def write(self, who: int, count: int, database: int) -> None:
        asker = self.askers[who]
        requests = []
        for _ in range(count):
            self.number += 1
            text = b"<%d>" % self.number
            requests.append([b"APPEND", b"k", text])
            asker.asked.append(("write", (database, text)))
        self.proposals.write(asker, requests, database)
        self.proposals.weigh(asker, 100)

    @precondition(lambda self: any(asker.pending for asker in self.askers))
    @rule(who=st.integers(0, 2), database=st.integers(0, 2), ready=st.booleans())
    def ride(self, who: int, database: int, ready: bool) -> None:
        asker = self.askers[who]
        if not asker.pending:
            return
        if ready:
            self.number += 1
            asker.asked.append(("ready", self.number))
            self.proposals.ride(Ride(asker, None, self.number))
        else:
            asker.asked.append(("read", database))
            self.proposals.ride(Ride(asker, GET, [b"GET", b"k"], database))
        self.proposals.weigh(asker, 10)

    @precondition(lambda self: self.leading)
    @rule(who=st.integers(0, 2))
    def read_what_is_due(self, who: int) -> None:
        asker = self.askers[who]
        asker.asked.append(("read", 0))
        self.proposals.tick_and_ride(Ride(asker, GET, [b"GET", b"k"], 0))

    # -- what the log does

    @precondition(lambda self: self.leading and self.proposals.waiting)
    @rule(refusal=st.sampled_from([None, None, None, REFUSED, Overloaded()]), after=st.integers(0, 2))
    def propose(self, refusal: NotAvailable | None, after: int) -> None:
        self.refusal, self.accept = refusal, after
        self.proposals.propose(int(self.now), self._append)
        if self.proposals.held:
            assert isinstance(refusal, Overloaded)
            assert self.proposals.waiting

    def _append(self, data: bytes) -> Entry:
        self.accept -= 1
        if self.refusal is not None and self.accept < 0:
            raise self.refusal
        entry = Entry(len(self.log) + 1, self.term, EntryKind.BATCH, data)
        self.log.append(entry)
        return entry

    @precondition(lambda self: self.machine.applied < len(self.log))
    @rule(count=st.integers(1, 3))
    def commit(self, count: int) -> None:
        for entry in self.log[self.machine.applied : self.machine.applied + count]:
            self.proposals.apply(entry, OVERWRITTEN)

    @precondition(lambda self: self.leading)
    @rule()
    def step_down(self) -> None:
        self.leading = False
        self.term += 1
        self.proposals.orphan(self.now + DEADLINE_MS)
        self.proposals.refuse(OVERWRITTEN)

    @precondition(lambda self: not self.leading)
    @rule(keep=st.integers(0, 4), more=st.integers(0, 3))
    def follow(self, keep: int, more: int) -> None:
        """The leader's log replaces ours behind what is committed."""
        del self.log[min(len(self.log), self.machine.applied + keep) :]
        for _ in range(more):
            self.number += 1
            data = codec.encode(int(self.now), [[b"APPEND", b"k", b"<%d>" % self.number]])
            self.log.append(Entry(len(self.log) + 1, self.term, EntryKind.BATCH, data))

    @precondition(lambda self: not self.leading)
    @rule()
    def lead_again(self) -> None:
        self.term += 1
        self.leading = True
        self.log.append(Entry(len(self.log) + 1, self.term, EntryKind.NOOP, b""))

    @rule(ms=st.sampled_from([1.0, DEADLINE_MS / 2, DEADLINE_MS]))
    def time_passes(self, ms: float) -> None:
        self.now += ms
        self.proposals.expire(self.now)

    # -- what must hold

    @invariant()
    def one_reply_per_request_in_their_order(self) -> None:
        applied = {d: self._value(d) for d in range(3)}
        for asker in self.askers:
            assert len(asker.told) + asker.pending == len(asker.asked)
            for (kind, what), told in zip(asker.asked, asker.told, strict=False):
                if kind == "ready":
                    assert told == what
                elif kind == "read":
                    assert told is NOT_READ or applied[what].startswith(told)
                else:
                    self._check_write(applied, what, told)

    def _check_write(self, applied: dict[int, bytes], what: tuple[int, bytes], told: Reply) -> None:
        database, text = what
        value = applied[database]
        if type(told) is int:
            # APPEND answers the length: the write stands just there, and nowhere else.
            assert value[:told].endswith(text)
            assert value.count(text) == 1
        else:
            assert told in (REFUSED, OVERWRITTEN) or type(told) is OutcomeUnknown
            if type(told) is not OutcomeUnknown:
                assert text not in value, "refused, and yet applied"

    @invariant()
    def reads_see_the_writes_before_them(self) -> None:
        for asker in self.askers:
            seen: dict[int, bytes] = {}
            for (kind, what), told in zip(asker.asked, asker.told, strict=False):
                if kind == "write" and type(told) is int:
                    seen[what[0]] = what[1]
                elif kind == "read" and type(told) is bytes and what in seen:
                    assert seen[what] in told

    @invariant()
    def nothing_is_applied_twice(self) -> None:
        for database in range(3):
            numbers = self._value(database)[1:-1].split(b"><")
            assert len(set(numbers)) == len(numbers)

    def teardown(self) -> None:
        """In the end everybody has been answered, and nothing is held any more."""
        proposals_module.ENTRY_COMMANDS = ENTRY_COMMANDS  # type: ignore[misc]
        if self.leading:
            self.step_down()
        self.follow(0, 0)
        self.now += 10 * DEADLINE_MS
        self.proposals.expire(self.now)
        self.one_reply_per_request_in_their_order()
        assert all(asker.pending == 0 for asker in self.askers)
        assert self.proposals.idle
        assert self.proposals.bytes == 0


TestLog = Log.TestCase
TestLog.settings = settings(max_examples=150, stateful_step_count=40)


# -- by hand


def proposals() -> tuple[Proposals, Machine, list[Entry]]:
    machine = Machine()
    log: list[Entry] = []
    return Proposals(machine, lambda ride, applied: ride.args if applied else NOT_READ), machine, log


def appender(log: list[Entry], term: int = 1) -> Any:
    def append(data: bytes) -> Entry:
        log.append(Entry(len(log) + 1, term, EntryKind.BATCH, data))
        return log[-1]

    return append


def test_unknown_is_said_only_when_time_is_up_and_the_entry_may_still_come() -> None:
    some, machine, log = proposals()
    asker = Asker(0)
    some.write(asker, [[b"SET", b"a", b"1"]], 0)
    some.propose(1, appender(log))
    some.orphan(100.0)
    some.expire(99.0)
    assert asker.told == []
    some.expire(100.0)
    assert [type(told) for told in asker.told] == [OutcomeUnknown]
    some.apply(log[0], OVERWRITTEN)  # and then it does come
    assert machine.keyspace.database(0).string(b"a") == b"1"
    assert len(asker.told) == 1
    assert some.idle


def test_what_another_leader_put_in_its_place_did_not_happen() -> None:
    some, machine, log = proposals()
    asker = Asker(0)
    some.write(asker, [[b"SET", b"a", b"1"]], 0)
    some.propose(1, appender(log))
    some.orphan(100.0)
    stamp_ms, others = 1, [[b"SET", b"b", b"2"]]
    some.apply(Entry(1, 2, EntryKind.BATCH, codec.encode(stamp_ms, others)), OVERWRITTEN)
    assert asker.told == [OVERWRITTEN]
    database = machine.keyspace.database(0)
    assert (database.string(b"a"), database.string(b"b")) == (None, b"2")
    assert some.idle


def test_what_is_in_flight_with_a_leader_that_stays_is_never_given_up() -> None:
    some, _, log = proposals()
    asker = Asker(0)
    some.write(asker, [[b"SET", b"a", b"1"]], 0)
    some.propose(1, appender(log))
    some.expire(1e12)
    assert asker.told == []


def test_a_large_gathering_becomes_several_entries() -> None:
    some, machine, log = proposals()
    asker = Asker(0)
    for _ in range(3):
        some.write(asker, [[b"INCR", b"a"] for _ in range(ENTRY_COMMANDS)], 3)
        some.weigh(asker, 1000)
    some.propose(1, appender(log))
    assert len(log) == 3
    assert all(codec.decode(entry.data)[1][0] == 3 for entry in log), "each begins in database 0"
    for entry in log:
        some.apply(entry, OVERWRITTEN)
    assert asker.told == list(range(1, 3 * ENTRY_COMMANDS + 1))
    assert machine.keyspace.database(3).string(b"a") == b"%d" % (3 * ENTRY_COMMANDS)
    assert some.idle
    assert some.bytes == 0


def test_a_replica_that_only_has_the_entry_comes_to_the_same_state() -> None:
    some, machine, log = proposals()
    one, other = Asker(1), Asker(2)
    some.write(one, [[b"SET", b"a", b"1"]], 1)
    some.ride(Ride(one, GET, [b"GET", b"a"], 1))
    some.write(other, [[b"SET", b"a", b"2"], [b"INCR", b"a"]], 0)
    some.write(one, [[b"APPEND", b"a", b"x"]], 1)
    some.propose(5, appender(log))
    some.apply(log[0], OVERWRITTEN)
    replica = Machine()
    replica.apply(log[0])
    values = [[m.keyspace.database(n).string(b"a") for n in (0, 1)] for m in (machine, replica)]
    assert values == [[b"3", b"1x"]] * 2
    assert replica.keyspace.stamp_ms == machine.keyspace.stamp_ms == 5
    assert len(one.told) == 3
    assert other.told[1] == 3


def test_a_batch_that_was_handed_out_holds_on_to_nothing() -> None:
    some, _, log = proposals()
    asker = Asker(0)
    some.write(asker, [[b"SET", b"a", bytes(1000)]], 0)
    batch = asker.batch
    assert batch is not None
    some.propose(1, appender(log))
    some.apply(log[0], OVERWRITTEN)
    assert (batch.program, batch.owners, batch.replies) == ([], [], [])
    assert batch.index == 1
