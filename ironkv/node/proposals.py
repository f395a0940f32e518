"""Writes on their way into the log, and their replies on the way back.

Writes that arrive while the journal is busy gather in one batch, which becomes one entry. A batch
also carries *rides*: whatever a connection sends behind its own unacknowledged writes. They are
answered in order when the batch is applied and are not logged. A read that rides on a batch that is
still being gathered is linearizable without asking anybody: had another leader been elected before it
arrived, then the majority that elected it would not store the entry, so the read takes effect after
whatever was acknowledged before it. A batch in flight proves nothing: it may be stored by a majority
already, committed by the next leader and built upon, and only we have not heard. Reads ride on that
one only while the lease holds, else they wait until it is settled and are then read like any other.

What becomes of a batch is decided by the log alone:
    committed at its index with its term     the replies are the real ones, whoever leads by then
    another term committed at its index      it certainly did not happen
    neither seen in time after stepping down nobody here can tell: OutcomeUnknown
An entry missing from this node's own log proves nothing: another node may still hold and commit it.

Replies are handed out batch by batch in the order of proposing, so each connection gets its own in
the order of its requests, whatever becomes of which batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Protocol

from ironkv import batch as codec
from ironkv.commands import usage
from ironkv.commands.table import Args, find
from ironkv.errors import UNKNOWN, NotAvailable, OutcomeUnknown, ReplyError
from ironkv.machine import Machine
from ironkv.meter import Meter
from ironkv.raft.config import Overloaded
from ironkv.raft.messages import Entry
from ironkv.resp.replies import Reply
from ironkv.server.rides import Owner, Ride

if TYPE_CHECKING:
    from ironkv.server.timesheet import Timesheet

ENTRY_COMMANDS: Final = 4_096
LOOK_AT_MOST: Final = 2_000
"""Commands among which one that touches a watched key is looked for; of more it is assumed."""
ENTRY_BYTES: Final = 1 << 20
"""A batch this large is closed and the next one begun: an entry must not stall the loops it is applied in."""


class Batch:
    """One entry's worth of commands. `program` holds writes, database numbers and rides."""

    __slots__ = (
        "began_ms",
        "bytes",
        "counts",
        "database",
        "deadline",
        "decision",
        "index",
        "name",
        "owners",
        "program",
        "replies",
        "rides",
        "stamp_ms",
        "term",
        "ticks",
    )

    def __init__(self) -> None:
        self.program: list[Any] = []
        self.name: bytes | None = None
        """Of all its commands; None when they are not all calls of one."""
        self.owners: list[Owner] = []
        self.counts: list[int] = []
        """`counts[i]` replies in a row belong to `owners[i]`: a pipeline's writes come in runs."""
        self.database = 0
        self.rides = 0
        self.bytes = 0
        self.ticks = False
        """Log it even if it holds no write."""
        self.index = self.term = self.stamp_ms = 0
        self.began_ms = 0.0
        """When it was proposed (steady ms)."""
        self.deadline = inf
        """Orphaned: when to give up waiting for the log's word (steady ms)."""
        self.replies: list[Reply] | None = None
        """Set once its fate is known."""
        self.decision: Decision | None = None
        """Of the first item: it may not be proposed until all is applied that comes before it."""

    def owe(self, owner: Owner, count: int) -> None:
        """The next `count` replies belong to `owner`."""
        if self.owners and self.owners[-1] is owner:
            self.counts[-1] += count
        else:
            self.owners.append(owner)
            self.counts.append(count)
        owner.batch = self
        owner.pending += count

    def logged(self) -> list[codec.Item]:
        """What goes into the entry."""
        if not self.rides:
            return self.program
        return [_logged(item) for item in self.program if type(item) is not Ride]


def _logged(item: Any) -> codec.Item:
    """Without what is only answered, not done."""
    if type(item) is list and item[0] == b"EXEC":
        return [item[0], item[1], [each for each in item[2] if type(each) in (list, int)]]
    return item  # type: ignore[no-any-return]


class Decision(Protocol):
    """Whether a transaction is to happen."""

    def refusal(self) -> Reply | None:
        """The reply if it is not; asked once, when all is applied that comes before it."""


class Proposals:
    """Gathers batches and settles them. `ride(ride, applied)` answers a ride."""

    def __init__(self, machine: Machine, ride: Callable[[Ride, bool], Reply]) -> None:
        self._machine = machine
        self._ride = ride
        self.meter = Meter()
        self.timesheet: Timesheet | None = None
        self.gathering = Batch()
        self._full: list[Batch] = []
        """Gathered before `gathering`, and large enough."""
        self._queue: deque[Batch] = deque()
        """Proposed (or refused) and not handed out yet, oldest first."""
        self._orphaned = False
        """Whether the queue may hold batches of a term that is over."""
        self.bytes = 0
        """Request bytes gathered or in flight: what back-pressure looks at."""

    # -- gathering

    def write(self, owner: Owner, requests: list[Args], database: int) -> None:
        """Add writes of one connection. Each `args[0]` is the upper-case name."""
        batch = self.gathering
        if len(batch.program) >= ENTRY_COMMANDS or batch.bytes >= ENTRY_BYTES:
            self._full.append(batch)
            batch = self.gathering = Batch()
        if database != batch.database:
            batch.program.append(database)
            batch.database = database
        if not batch.owners:
            batch.name = requests[0][0]
        elif requests[0][0] != batch.name:
            batch.name = None
        batch.program += requests
        batch.owe(owner, len(requests))

    def transact(self, owner: Owner, item: list[Any], database: int, decision: Decision | None) -> None:
        """Add an EXEC. With a decision it is the first of its batch, and nothing overtakes it."""
        if decision is not None and self.gathering.program:
            self._full.append(self.gathering)
            self.gathering = Batch()
        self.write(owner, [item], database)
        self.gathering.name = None
        self.gathering.rides += 1
        if decision is not None:  # one without joins a batch whose first may still have to be decided
            self.gathering.decision = decision

    def may_touch(self, keys: set[bytes]) -> bool:
        """Whether something gathered or in flight may change one of these keys, in whatever database."""
        batches = [batch for batch in (*self._queue, *self._full, self.gathering) if batch.replies is None]
        if sum(len(batch.program) for batch in batches) > LOOK_AT_MOST:
            return True
        return any(_may_touch(item, keys) for batch in batches for item in batch.program)

    def weigh(self, owner: Owner, size: int) -> None:
        """Count request bytes towards the newest batch of `owner`, which it has just added to."""
        assert owner.batch is not None
        owner.batch.bytes += size
        self.bytes += size

    def still_gathers(self, owner: Owner) -> bool:
        """Whether the newest batch of `owner` is not proposed yet, so that a read may ride on it."""
        return owner.batch is not None and owner.batch.index == 0

    def ride(self, ride: Ride) -> None:
        """Answer something behind its owner's unacknowledged writes."""
        owner: Owner = ride.owner
        batch = owner.batch
        assert batch is not None
        batch.owe(owner, 1)
        if batch.replies is None:
            batch.program.append(ride)
            batch.rides += 1
        else:  # refused already, and waiting for older batches to be handed out
            batch.replies.append(self._ride(ride, False))

    def tick_and_ride(self, ride: Ride) -> None:
        """Answer a read behind a tick: it met a key that is due."""
        self.gathering.ticks = True
        self.ride_behind_all(ride)

    def ride_behind_all(self, ride: Ride) -> None:
        """Answer a read behind all that is gathered."""
        ride.owner.batch = self.gathering
        self.ride(ride)

    def withdraw(self, owner: Owner, item: Args) -> None:
        """Let a write not be done after all, if it is not on its way yet."""
        batch = owner.batch
        if batch is None or batch.index or batch.replies is not None:
            return
        for place, each in enumerate(batch.program):
            if each is item:
                batch.program[place] = Ride(owner, None, None)
                batch.rides += 1

    @property
    def waiting(self) -> bool:
        """Whether there is something to propose."""
        batch = self.gathering
        return batch.ticks or bool(batch.program) or bool(self._full)

    @property
    def held(self) -> bool:
        """Whether full batches wait to be proposed."""
        return bool(self._full)

    @property
    def may_decide(self) -> bool:
        """Whether a decision can be made now, so that what waits for it can be proposed."""
        return bool(self.decisive) and not self._queue

    @property
    def decisive(self) -> Batch | None:
        """The batch to be proposed next, if a decision must be made first."""
        following = self._full[0] if self._full else self.gathering
        return following if following.decision is not None else None

    @property
    def idle(self) -> bool:
        """Nothing gathered, nothing in flight."""
        return not (self.waiting or self._queue)

    # -- proposing

    def propose(self, stamp_ms: int, propose: Callable[[bytes], Entry]) -> None:
        """Turn what was gathered into entries; what the log refuses is answered at once."""
        batches = self._take()
        for place, batch in enumerate(batches):
            if batch.decision is not None:
                if self._queue:
                    self._full = batches[place:]
                    return
                _decide(batch)
            batch.stamp_ms = stamp_ms
            try:
                entry = propose(codec.encode(stamp_ms, batch.logged()))
            except Overloaded:
                self._full = batches[place:]  # nobody is refused for that: it is proposed later
                return
            except NotAvailable as error:
                self.meter.proposals_refused += 1
                self._queue.append(batch)
                self._fail(batch, error)
                self._hand_out()
            else:
                self._queue.append(batch)
                batch.index, batch.term = entry.index, entry.term
                batch.began_ms = self.meter.now_ms
                self.meter.proposals += 1
                self.meter.batches.add(len(batch.program))

    def _take(self) -> list[Batch]:
        """What was gathered, oldest first."""
        batches = [batch for batch in (*self._full, self.gathering) if batch.ticks or batch.program]
        self._full = []
        self.gathering = Batch()
        return batches

    def refuse(self, error: NotAvailable) -> None:
        """This node does not lead (any more): nothing gathered was done."""
        if self.waiting:
            for batch in self._take():
                self._queue.append(batch)
                self._fail(batch, error)
            self._hand_out()

    # -- settling

    def apply(self, entry: Entry, not_done: NotAvailable) -> None:
        """Apply a committed entry and answer whoever waits for it. `not_done`: for overwritten writes."""
        queue = self._queue
        if self._orphaned:
            self._apply_among_orphans(entry, not_done)
        elif queue and queue[0].index == entry.index and queue[0].term == entry.term:
            self._run(queue[0])
        else:
            self._apply_others(entry)
            return
        self._hand_out()

    def _apply_among_orphans(self, entry: Entry, not_done: NotAvailable) -> None:
        """As `apply`, with batches around that were proposed in a term that is over."""
        here = [batch for batch in self._queue if batch.index == entry.index and batch.replies is None]
        mine = [batch for batch in here if batch.term == entry.term]
        if mine:
            self._run(mine[0])
        else:
            self._apply_others(entry)
        for batch in here:
            if batch.term != entry.term:
                self._fail(batch, not_done)

    def _run(self, batch: Batch) -> None:
        self.meter.commits.add(int(1000 * (self.meter.now_ms - batch.began_ms)))
        machine = self._machine
        failures, began = machine.failures, perf_counter_ns()
        batch.replies = machine.run(batch.index, batch.stamp_ms, batch.program, self._ride_applied)
        if self.timesheet is not None:
            self.timesheet.batch(batch, perf_counter_ns() - began, machine.failures != failures)

    def _apply_others(self, entry: Entry) -> None:
        """An entry that nobody here waits for."""
        usage.ours = False
        self._machine.apply(entry)
        usage.ours = True

    def _ride_applied(self, ride: Ride) -> Reply:
        return self._ride(ride, True)

    def _fail(self, batch: Batch, error: ReplyError) -> None:
        """Settle a batch that was not applied; rides are asked what they say to that."""
        if batch.decision is not None:
            _decide(batch)
        batch.replies = [
            self._ride(item, False) if type(item) is Ride else error
            for item in batch.program
            if type(item) is not int
        ]

    def _hand_out(self) -> None:
        """Give the oldest batches their replies, as far as their fate is known."""
        queue = self._queue
        while queue and queue[0].replies is not None:
            batch = queue.popleft()
            self.bytes -= batch.bytes
            at = 0
            for owner, count in zip(batch.owners, batch.counts, strict=True):
                owner.settle(batch.replies[at : at + count])  # type: ignore[index]
                at += count
            # Connections keep their last batch for its index; its commands must not stay with it.
            batch.program, batch.owners, batch.counts, batch.replies = [], [], [], []
        if not queue:
            self._orphaned = False

    # -- losing the lead

    def orphan(self, deadline: float) -> None:
        """The term is over: what is in flight is settled by the log, or unknown at `deadline`."""
        for batch in self._queue:
            batch.deadline = min(batch.deadline, deadline)
        self._orphaned = bool(self._queue)

    def expire(self, now: float) -> None:
        """Settle batches whose outcome did not show in time."""
        if self._orphaned:
            for batch in self._queue:
                if batch.replies is None and batch.deadline <= now:
                    self._fail(batch, OutcomeUnknown(UNKNOWN))
            self._hand_out()


def _decide(batch: Batch) -> None:
    """Put the reply in the place of a transaction that is not to happen."""
    assert batch.decision is not None
    refusal = batch.decision.refusal()
    batch.decision = None
    if refusal is not None:
        place = next(place for place, item in enumerate(batch.program) if type(item) is list)
        batch.program[place] = Ride(batch.owners[0], None, refusal)


def _may_touch(item: Any, keys: set[bytes]) -> bool:
    """Whether an item of a program may change one of these keys; a ride changes nothing."""
    if type(item) is not list:
        return False
    if item[0] == b"EXEC":
        return any(_may_touch(each, keys) for each in item[2])
    row = find(item)
    if row.group == "scripting" or ("movablekeys" in row.flags and row.find_keys is None):
        return True
    named = row.key_args(item)
    return not named or not keys.isdisjoint(named)
