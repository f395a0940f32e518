"""Around each real core: a clock, a disk with a journal and snapshots, and clients that remember."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import count
from math import inf
from typing import TYPE_CHECKING
from zlib import crc32

from ironkv.errors import NotAvailable
from ironkv.raft.configuration import Configuration
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Entry, EntryKind, Mark, Message, Role
from tests.sim import describe
from tests.sim.checks import Snapshot, must
from tests.sim.disk import Disk

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster


class Node:
    """One member. `life` counts its starts: what was scheduled in an earlier life is void."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.founding = Configuration(cluster.config(name).voters)
        self.disk = Disk(fresh=cluster.begins_fresh or not self.founding.voters)
        self.lost: list[Disk] = []
        """The disks that were lost since the node last was not fresh."""
        self.birth = next(cluster.births)
        self.known: dict[str, int] = {}
        """The births of the others, as this process knows them."""
        self.snapshot = Snapshot(0, 0, 0, self.founding)
        """The newest on disk."""
        self.core: RaftCore | None = None
        self.life = 0
        self.paused: list[Callable[[], None]] | None = None
        self.rate = 1.0
        self.offset = 0.0
        self.now = self.snapshot
        """The state: what was applied, and what came of it."""
        self.proposed: dict[int, Entry] = {}
        self.reads: dict[int, tuple[int, float]] = {}
        self.granted: list[tuple[int, int]] = []
        self.read_ids = count()
        self.disk_slow_until = 0.0
        self._seen_leading = (0, False)
        self._tick_at = inf

    @property
    def core_now(self) -> RaftCore:
        assert self.core is not None
        return self.core

    @property
    def applied(self) -> int:
        return self.now.index

    def clock(self) -> float:
        return self.offset + self.rate * self.cluster.now

    def holds(self, entry: Entry) -> bool:
        """Whether the core's log has it, on disk or not yet."""
        log = self.core_now._log
        if entry.index < log.first_index:
            return True
        return entry.index <= log.last_index and log.slice(entry.index, entry.index, 1)[0] == entry

    # -- life and death ---------------------------------------------------------------------------

    def start(self) -> None:
        chance, drift = self.cluster.chance, self.cluster.weather.drift
        self.life += 1
        self.rate = 1 + chance.uniform(-drift, drift)
        self.offset = chance.uniform(0, 1e6)
        index, term, _, members = self.now = self.snapshot
        if index > self.disk.last_index or self.disk.term(index) != term:
            self.disk.reset(index, term)  # the snapshot was durable, and the journal had not been told
        self.known = {}
        self.proposed, self.reads, self.granted = {}, {}, []
        self._seen_leading = (0, False)
        self._tick_at = inf
        self.paused = None
        self.core = RaftCore(
            self.cluster.config(self.name),
            self.disk.hard,
            self.disk,
            random.Random(chance.random()),
            self.clock(),
            self.applied,
            self.disk.members((index, members)),
        )
        self.cluster.tell(f"{self.name} starts, term {self.core.term} log {self.disk.last_index}")
        self.cluster.connections(self.name, up=True)
        self.work()

    def crash(self) -> None:
        self.cluster.tell(f"{self.name} crashes")
        self.disk.crash()
        self.core = None
        self.life += 1
        self.paused = None
        self.cluster.connections(self.name, up=False)

    def wipe(self) -> None:
        """The disk is lost with all that was on it, and the node begins anew with an empty one."""
        if self.core is not None:
            self.crash()
        self.cluster.tell(f"{self.name} loses its disk")
        if not self.disk.hard.fresh:
            self.lost.clear()
        self.lost.append(self.disk)
        self.disk = Disk(fresh=True)
        self.snapshot = Snapshot(0, 0, 0, self.founding)
        self.birth = next(self.cluster.births)

    def pause(self) -> None:
        self.cluster.tell(f"{self.name} is stopped")
        self.paused = []

    def resume(self) -> None:
        """Everything that came meanwhile comes at once; whether the timer is first is up to chance."""
        self.cluster.tell(f"{self.name} goes on")
        waiting, self.paused = self.paused or [], None
        if self.cluster.chance.random() < 0.5:
            self.tick()
        for action in waiting:
            action()

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do it after `delay`, if this life still lasts; when stopped, afterwards."""
        life = self.life

        def run() -> None:
            if life == self.life and self.core is not None:
                if self.paused is None:
                    action()
                else:
                    self.paused.append(run)

        self.cluster.after(delay, run)

    # -- the driver ---------------------------------------------------------------------------------

    def receive(self, message: Message, sender_birth: int, birth: int) -> None:
        """A message from one life to another; links see to it that both are of today (peers.links)."""
        if birth != self.birth or not self.meet(message.sender, sender_birth):
            self.cluster.tell(
                f"{message.sender} → {self.name} {describe.message(message)}   (of another life)"
            )
            return
        self.cluster.tell(f"{message.sender} → {self.name} {describe.message(message)}")
        self.core_now.step(message, self.clock())
        self.work()

    def meet(self, peer: str, birth: int) -> bool:
        """The peer's hello, or mail on a connection that it opened. False for an older life."""
        known = self.known.setdefault(peer, birth)
        if birth > known:
            self.cluster.tell(f"{self.name} sees that {peer} began anew")
            self.known[peer] = birth
            self.core_now.peer_reborn(peer, self.clock())
        return birth >= known

    def tick(self) -> None:
        self.core_now.tick(self.clock())
        self.work()

    def persisted(self, mark: Mark) -> None:
        if self.disk.writing is None or self.disk.writing.mark != mark:
            return
        persist = self.disk.finish()
        if self.cluster.trace:
            written = describe.entries(persist.entries)
            self.cluster.tell(f"{self.name} disk term={persist.term} vote={persist.voted_for} {written}")
        self.core_now.persisted(mark, self.clock())
        self.work()

    def work(self) -> None:
        """Do what the core asks, and look at everything that comes out."""
        core, cluster = self.core_now, self.cluster
        while (ready := core.ready(self.clock())) is not None:
            for message in ready.messages:
                cluster.checks.leaving(self, message)
                cluster.send(message)
            if ready.persist is not None:
                self.disk.begin(ready.persist)
                mark = ready.persist.mark
                self.later(cluster.disk_delay(self), lambda mark=mark: self.persisted(mark))
            self._look_at_role()
            for entry in ready.committed:
                self._apply(entry)
            for grant in ready.reads:
                must(grant.read_id in self.reads, "a read is answered twice")
                floor, _ = self.reads.pop(grant.read_id)
                if grant.index is not None:
                    self.granted.append((floor, grant.index))
            self._serve()
        self._look_at_role()
        for progress in core.followers.values():
            config = cluster.config(self.name)
            must(progress.flight_messages <= config.window_messages, "the window is overrun")
            must(
                progress.flight_bytes <= config.window_bytes + config.append_bytes + 200,
                "the window is overrun",
            )
        self._schedule_tick()

    def _schedule_tick(self) -> None:
        due = (self.core_now.next_wakeup() - self.offset) / self.rate
        if due < self._tick_at or self._tick_at <= self.cluster.now:
            self._tick_at = due
            late = self.cluster.chance.uniform(0.01, 2)
            self.later(max(0.0, due - self.cluster.now) + late, lambda: self._ticked(due))

    def _ticked(self, due: float) -> None:
        if due == self._tick_at:
            self._tick_at = inf
            self.tick()

    def _look_at_role(self) -> None:
        core = self.core_now
        leading = (core.term, core.role is Role.LEADER)
        if leading != self._seen_leading:
            self._seen_leading = leading
            if leading[1]:
                self.cluster.tell(f"{self.name} LEADS term {core.term}")
                self.cluster.checks.elected(self)

    def _apply(self, entry: Entry) -> None:
        self.cluster.checks.applied(self, entry)
        members = self.now.members
        if entry.kind is EntryKind.CONFIG:
            members = Configuration.decode(entry.data)
            self.cluster.checks.changed(members)
        self.now = Snapshot(entry.index, entry.term, crc32(repr(entry).encode(), self.now.state), members)
        self.cluster.checks.stands(self.now)
        mine = self.proposed.pop(entry.index, None)
        if mine == entry:
            self.cluster.tell(f"{self.name} acknowledges {describe.entry(entry)}")
            self.cluster.checks.acknowledged(entry)
        elif mine is not None:
            self.cluster.checks.overwritten(mine)

    def _serve(self) -> None:
        served = [(floor, index) for floor, index in self.granted if index <= self.applied]
        self.granted = [(floor, index) for floor, index in self.granted if index > self.applied]
        for floor, _ in served:
            self.cluster.checks.answered(self, floor, self.applied)

    # -- snapshots ----------------------------------------------------------------------------------

    def take_snapshot(self) -> None:
        """Of what is applied now; it is on disk some time later."""
        taken = self.now
        self.later(self.cluster.disk_delay(self), lambda: self._keep(taken))

    def _keep(self, snapshot: Snapshot) -> None:
        if snapshot.index > self.snapshot.index:
            self.snapshot = snapshot

    def compact(self) -> None:
        # What is not durable may be of another log on disk, which a write under way is to replace.
        most = min(self.snapshot.index, self.core_now.durable_index)
        self.disk.compact(self.cluster.chance.randint(0, most))

    def receive_snapshot(self, snapshot: Snapshot) -> None:
        """It has arrived whole: onto the disk with it, and then on from there. A crash may come anywhere."""
        self.later(self.cluster.disk_delay(self), lambda: self._stage(snapshot))

    def _stage(self, snapshot: Snapshot) -> None:
        self._keep(snapshot)
        self.later(self.cluster.chance.expovariate(1 / 5), lambda: self._install(snapshot))

    def _install(self, snapshot: Snapshot) -> None:
        if self.core_now.install(snapshot.index, snapshot.term, self.clock(), snapshot.members):
            self.cluster.tell(f"{self.name} goes on from snapshot {snapshot.index}.{snapshot.term}")
            self.cluster.installed += 1
            self.now = snapshot
            self.cluster.checks.stands(snapshot)
            for index in [index for index in self.proposed if index <= snapshot.index]:
                del self.proposed[index]  # their outcome is unknown
        self.work()

    # -- clients --------------------------------------------------------------------------------------

    def propose(self, data: bytes) -> Entry | None:
        try:
            entry = self.core_now.propose(data, self.clock())
        except NotAvailable:
            return None
        self.proposed[entry.index] = entry
        self.cluster.tell(f"{self.name} proposes {describe.entry(entry)}")
        self.work()
        return entry

    def read(self) -> int:
        read_id = next(self.read_ids)
        self.reads[read_id] = (self.cluster.checks.seen, self.cluster.now)
        self.core_now.read(read_id, self.clock())
        self.work()
        return read_id

    def read_under_lease(self) -> None:
        """As a driver does that asks for the lease itself."""
        core = self.core_now
        if core.lease_holds(self.clock()) and core.read_index() <= self.applied:
            self.cluster.checks.answered(self, self.cluster.checks.seen, self.applied)

    def change(self, wanted: Callable[[Configuration], Configuration]) -> None:
        core = self.core_now
        try:
            core.change(wanted(core.configuration), self.clock())
        except NotAvailable:
            return
        self.cluster.tell(f"{self.name} changes the cluster: {describe.members(core.configuration)}")
        self.work()

    def transfer(self, target: str | None) -> None:
        try:
            self.core_now.transfer(target, self.clock())
        except NotAvailable:
            return
        self.cluster.tell(f"{self.name} hands over to {self.core_now.transferring_to}")
        self.work()
