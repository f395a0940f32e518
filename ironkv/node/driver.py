"""The loop where the world meets the Raft core.

No sockets and no loop of its own here: the driver is called when something happened (a frame, a
finished journal write, a timer, a client's turn) and does what the core then asks, in the order
`Ready` lists it. So the same driver runs under a simulated network, disk and clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final, Protocol

from ironkv.clock import ClusterClock
from ironkv.errors import NotAvailable
from ironkv.machine import Machine
from ironkv.node.proposals import Proposals
from ironkv.node.reads import ReadGate
from ironkv.raft.configuration import Configuration
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Entry, Mark, Message, Persist, Role

log = logging.getLogger(__name__)

SLICE_MS: Final = 10.0
"""How long entries are applied at a stretch before sockets and timers are looked at again."""
TICK_EVERY_MS: Final = 100.0
"""How often a leader looks whether deadlines have come."""


class World(Protocol):
    """What the driver needs from outside."""

    def steady_ms(self) -> float:
        """The steady clock (`clock.boot_ms`)."""

    def wall_ms(self) -> float:
        """This machine's wall clock."""

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        """Hand messages to the network."""

    def persist(self, persist: Persist) -> None:
        """Start a journal write; `Driver.persisted` is called when it is durable."""

    def role_changed(self) -> None:
        """Role, term or leader changed."""

    def members_changed(self) -> None:
        """Another configuration rules (`RaftCore.configuration`), or was committed and applied."""

    def applied(self, index: int, size: int) -> None:
        """Entries up to `index` are applied; the new ones had `size` bytes."""

    def hold_writes(self, held: bool) -> None:
        """Have clients wait with what they would write, or no longer: leadership is being given away."""

    def flush(self) -> None:
        """Send the replies that were settled."""

    def wake(self) -> None:
        """Have `Driver.turn` called soon."""


class Driver:
    """One node's consensus: the core, what is proposed to it, and what comes out."""

    def __init__(
        self,
        world: World,
        core: RaftCore,
        machine: Machine,
        proposals: Proposals,
        reads: ReadGate,
        cluster_clock: ClusterClock,
        not_leader: Callable[[], NotAvailable],
        unknown_after_ms: float,
        applied_term: int = 0,
    ) -> None:
        self._world = world
        self.core = core
        self.machine = machine
        self.proposals = proposals
        self.reads = reads
        self.clock = cluster_clock
        self._not_leader = not_leader
        self._unknown_after_ms = unknown_after_ms
        self._writing = False
        self._seen: tuple[Role, int, str | None] = (Role.FOLLOWER, 0, None)
        self._members_seen = (core.configuration, machine.membership)
        self._tick_at = 0.0
        self._handing_to: str | None = None
        self._to_hand_over: Callable[[], None] | None = None
        """A transfer that was ordered, and begins once what clients had sent before is in the log."""
        self._holding = False
        self.expires_actively = True
        """Whether a tick is logged when deadlines have come and no command has met them."""
        self.readable_until = -inf
        """Until when (steady ms) reads of this node's state are linearizable without asking anybody: the
        leader's lease, and only while all that is committed is applied."""
        self.leading = False
        """Whether writes are taken: this node leads, as far as it knows."""
        self.applied_term = applied_term
        """The term of the last applied entry."""

    # -- what happened

    def received(self, messages: Iterable[Message]) -> None:
        """Messages came from a peer."""
        now = self._world.steady_ms()
        for message in messages:
            self.core.step(message, now)
        self._work(now)
        if self.proposals.held:  # the log was overloaded, and may have room now
            self._propose(now)
            self._work(now)

    def persisted(self, mark: Mark) -> None:
        """The journal write `mark` is on disk."""
        self._writing = False
        now = self._world.steady_ms()
        self.core.persisted(mark, now)
        self._propose(now)
        self._work(now)

    def turn(self) -> None:
        """Clients sent something."""
        now = self._world.steady_ms()
        self._propose(now)
        self._work(now)

    def peer(self, peer: str, up: bool) -> None:
        """A connection with a peer broke, or stands again."""
        now = self._world.steady_ms()
        (self.core.peer_back if up else self.core.peer_lost)(peer, now)
        self._work(now)

    def peer_reborn(self, peer: str) -> None:
        """A peer lost its data directory and began anew: it has forgotten what it promised."""
        now = self._world.steady_ms()
        self.core.peer_reborn(peer, now)
        self._work(now)

    def pulse(self, peer: str, term: int) -> None:
        """The leader's loop is busy, but it is there."""
        self.core.pulse(peer, term, self._world.steady_ms())

    def install(
        self, index: int, term: int, configuration: Configuration | None, adopt: Callable[[], None]
    ) -> bool:
        """A snapshot at entry `index` is on disk and loaded: go on from there. `adopt` makes it the state.
        False: the log has caught up meanwhile, and nothing was done."""
        now = self._world.steady_ms()
        if not self.core.install(index, term, now, configuration):
            return False
        adopt()
        self.applied_term = term
        self._work(now)
        return True

    def change(self, wanted: Callable[[Configuration], Configuration]) -> None:
        """Begin to make what `wanted` makes of the present configuration what rules. Raises NotAvailable."""
        now = self._world.steady_ms()
        self.core.change(wanted(self.core.configuration), now)
        self._work(now)

    def transfer(self, target: str | None = None) -> None:
        """Hand leadership over, to the best follower if none is named. Raises NotAvailable when there is
        nobody to take it.

        Writes wait meanwhile, as with Redis's FAILOVER: nobody is refused what the next leader would do."""
        now = self._world.steady_ms()
        target = self.core.successor(target, now)
        self._hold(True)
        self._to_hand_over = lambda: self.core.transfer(target, self._world.steady_ms())
        self._propose(now)
        self._work(now)

    @property
    def transferring(self) -> bool:
        """Whether leadership is being given away."""
        return self._to_hand_over is not None or self.core.transferring_to is not None

    def _hold(self, held: bool) -> None:
        self._holding = held
        self._world.hold_writes(held)

    def _begin_transfer(self) -> None:
        """The one that was ordered, if nothing waits any more that came before."""
        begin = self._to_hand_over
        if begin is None or self.proposals.waiting:
            return
        self._to_hand_over = None
        try:
            begin()
        except NotAvailable as error:  # it was possible when it was ordered
            log.warning("leadership is not handed over: %s", error)

    def timer(self) -> float:
        """Time passed; how many ms may pass until the next call."""
        now = self._world.steady_ms()
        self.core.tick(now)
        self.proposals.expire(now)
        self._tell_transfer()
        if now >= self._tick_at:
            self._tick_at = now + TICK_EVERY_MS
            self._tick(now)
        self._propose(now)
        self._work(now)
        return max(1.0, min(self.core.next_wakeup() - now, TICK_EVERY_MS / 2))

    def _tell_transfer(self) -> None:
        """Say that leadership is being given away: the core also decides that, when the disk stalls."""
        target = self.core.transferring_to
        if target is not None and target != self._handing_to:
            why = "; its journal write does not end" if self._writing else ""
            log.warning("handing leadership to %s%s", target, why)
        self._handing_to = target

    def _tick(self, now: float) -> None:
        """Log a tick when deadlines may have come and no write is about to move the state's time."""
        if self.leading and self.proposals.idle and self.expires_actively:
            due_ms = self.machine.keyspace.due_from_ms()
            if due_ms is not None and due_ms <= self.clock.now_ms(now):
                self.proposals.gathering.ticks = True

    # -- what follows

    def _propose(self, now: float) -> None:
        """Turn what clients sent into an entry, unless the journal is busy: then it gathers on."""
        proposals = self.proposals
        if self._writing or not proposals.waiting:
            self._begin_transfer()
            return
        if not self.leading:
            proposals.refuse(self._not_leader())
            return
        proposals.meter.now_ms = now
        stamp_ms = max(self.clock.now_ms(now), self.machine.keyspace.stamp_ms)
        proposals.propose(stamp_ms, lambda data: self.core.propose(data, now))
        self._begin_transfer()

    def _work(self, now: float) -> None:
        """Do what the core asks until it asks for nothing more."""
        core, world = self.core, self._world
        self.reads.start(core, now)
        while (ready := core.ready(now)) is not None:
            # First of all: a new leader's messages must tell the cluster's time, not its own clock's.
            if (core.role, core.term, core.leader) != self._seen:
                self._role_changed(now)
            if ready.messages:
                world.send(ready.messages, self.clock.now_ms(now) if core.role is Role.LEADER else 0)
            if ready.persist is not None:
                self._writing = True
                world.persist(ready.persist)
            self.reads.granted(ready.reads)
            if ready.committed:
                self._apply(ready.committed)
                if world.steady_ms() - now > SLICE_MS:
                    world.wake()  # a long way to catch up: heartbeats must not wait for all of it
                    break
        if (core.role, core.term, core.leader) != self._seen:
            self._role_changed(now)
        members = (core.configuration, self.machine.membership)
        if members[0] is not self._members_seen[0] or members[1] is not self._members_seen[1]:
            self._members_seen = members
            world.members_changed()
        if self._holding and not self.transferring and core.leader is not None:
            self._hold(False)
        self.readable_until = core.lease_until() if self.machine.applied == core.commit else -inf
        self.reads.release(self.machine.applied)
        world.flush()

    def _apply(self, entries: Sequence[Entry]) -> None:
        not_done = self._not_leader()
        size = 0
        meter = self.proposals.meter
        meter.now_ms = began = self._world.steady_ms()
        for entry in entries:
            self.proposals.apply(entry, not_done)
            size += len(entry.data)
        self.applied_term = entries[-1].term
        self._world.applied(entries[-1].index, size)
        meter.applies.add(int(1000 * (self._world.steady_ms() - began)))

    def _role_changed(self, now: float) -> None:
        core = self.core
        before, self._seen = self._seen, (core.role, core.term, core.leader)
        led, leads = before[0] is Role.LEADER, core.role is Role.LEADER
        if led and (not leads or before[1] != core.term):
            self.proposals.orphan(now + self._unknown_after_ms)
        if leads and (not led or before[1] != core.term):
            off = self.clock.anchor(now, self._world.wall_ms())
            if abs(off) > 1000:
                log.warning("this machine's clock is %+.1f s off the cluster's: not used", off / 1000)
        self.leading = leads
        if not leads:
            self.proposals.refuse(self._not_leader())
        self._world.role_changed()
