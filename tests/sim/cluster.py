"""The event queue, and around each real core a node with a clock, a disk and a network that may fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

from ironkv.errors import NotAvailable
from ironkv.raft.config import RaftConfig
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Entry, Mark, Message, Role
from tests.sim import describe, faults
from tests.sim.checks import Checks, must
from tests.sim.disk import Disk

HEARTBEAT_MS = 50.0
TIMEOUT_MS = 300.0
STORM_MS = 5000.0
CALM_MS = 4000.0


class Node:
    """One member. `life` counts its starts: what was scheduled in an earlier life is void."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.disk = Disk()
        self.core: RaftCore | None = None
        self.life = 0
        self.paused: list[Callable[[], None]] | None = None
        self.rate = 1.0
        self.offset = 0.0
        self.applied = 0
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

    def clock(self) -> float:
        return self.offset + self.rate * self.cluster.now

    def holds(self, entry: Entry) -> bool:
        """Whether the core's log has it, on disk or not yet."""
        if entry.index <= self.disk.base_index:
            return True
        log = self.core_now._log
        return entry.index <= log.last_index and log.slice(entry.index, entry.index, 1)[0] == entry

    # -- life and death ---------------------------------------------------------------------------

    def start(self) -> None:
        chance, drift = self.cluster.chance, self.cluster.weather.drift
        self.life += 1
        self.rate = 1 + chance.uniform(-drift, drift)
        self.offset = chance.uniform(0, 1e6)
        # The newest snapshot may be anything up to what was applied and durable; the rest is replayed.
        oldest, newest = (
            self.disk.base_index,
            max(self.disk.base_index, min(self.applied, self.disk.last_index)),
        )
        self.applied = chance.choice((oldest, chance.randint(oldest, newest)))
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

    def receive(self, message: Message) -> None:
        self.cluster.tell(f"{message.sender} → {self.name} {describe.message(message)}")
        self.core_now.step(message, self.clock())
        self.work()

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
        self.applied = entry.index
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

    def transfer(self, target: str | None) -> None:
        try:
            self.core_now.transfer(target, self.clock())
        except NotAvailable:
            return
        self.cluster.tell(f"{self.name} hands over to {self.core_now.transferring_to}")
        self.work()


class Cluster:
    """A run: `storm()`, then `calm()`."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.chance = random.Random(seed)
        self.trace = trace
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.weather = faults.draw(self.chance)
        self.cuts: set[tuple[str, str]] = set()
        self.checks = Checks(self)
        self.values = count(1)
        self._limits = self.chance.choice(
            (
                {},
                {"append_bytes": 300, "window_messages": 3, "tail_bytes": 1500, "apply_bytes": 500},
                {"window_bytes": 600, "append_bytes": 400, "tail_bytes": 0, "uncommitted_bytes": 3000},
            )
        )
        self._lease_reads = self.chance.random() < 0.8
        self.names = [f"n{number + 1}" for number in range(self.chance.choice((3, 3, 5)))]
        self.nodes = {name: Node(self, name) for name in self.names}
        self.stormy = True
        self.tell(f"{self.weather} {self._limits} lease={self._lease_reads}")

    def config(self, name: str) -> RaftConfig:
        return RaftConfig(
            name,
            frozenset(self.names),
            HEARTBEAT_MS,
            TIMEOUT_MS,
            lease_reads=self._lease_reads,
            **self._limits,
        )

    def tell(self, line: str) -> None:
        if self.trace:
            print(f"{self.now:9.2f}  {line}")

    # -- events -------------------------------------------------------------------------------------

    def after(self, delay: float, action: Callable[[], None]) -> None:
        if delay < inf:
            heappush(self._events, (self.now + delay, next(self._order), action))

    def run_until(self, end: float) -> None:
        while self._events and self._events[0][0] <= end:
            self.now, _, action = heappop(self._events)
            action()
        self.now = end

    # -- network and disk ---------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        chance, weather = self.chance, self.weather
        copies = 2 if chance.random() < weather.repeat else 1
        for _ in range(copies):
            if (message.sender, message.to) in self.cuts or chance.random() < weather.loss:
                if self.trace:
                    self.tell(f"{message.sender} → {message.to} {describe.message(message)}   (lost)")
                continue
            delay = chance.expovariate(1 / weather.delay)
            if chance.random() < weather.late:
                delay += chance.uniform(0, weather.late_by)
            self.after(delay, lambda: self._arrive(message))

    def _arrive(self, message: Message) -> None:
        # Not tied to a life: a message may reach the process that was started after its addressee died.
        node = self.nodes[message.to]
        if node.core is not None:
            node.later(0, lambda: node.receive(message))

    def connections(self, name: str, up: bool) -> None:
        """The others notice, sooner or later or never, that a node went or came."""
        for other in self.nodes.values():
            if other.name != name and other.core is not None and self.chance.random() < 0.8:
                other.later(
                    self.chance.expovariate(1 / 5), lambda other=other: self._connection(other, name, up)
                )

    @staticmethod
    def _connection(node: Node, peer: str, up: bool) -> None:
        (node.core_now.peer_back if up else node.core_now.peer_lost)(peer, node.clock())
        node.work()

    def disk_delay(self, node: Node) -> float:
        delay = self.chance.expovariate(1 / 0.7)
        if self.chance.random() < self.weather.slow_disk:
            delay += self.chance.uniform(0, self.weather.slow_by)
        return delay + max(0.0, node.disk_slow_until - self.now)

    # -- trouble ------------------------------------------------------------------------------------

    def _trouble(self) -> None:
        if not self.stormy:
            return
        chance = self.chance
        kind = chance.choice((*self.weather.troubles, "better"))
        node = self._victim()
        getattr(self, "_" + kind.replace(" ", "_"))(node)
        self.after(chance.expovariate(1 / self.weather.trouble_every), self._trouble)

    def _victim(self) -> Node:
        """Leaders have more than their share of bad luck: that is where it hurts."""
        leaders = [
            node for node in self.nodes.values() if node.core is not None and node.core.role is Role.LEADER
        ]
        if leaders and self.chance.random() < 0.5:
            return self.chance.choice(leaders)
        return self.nodes[self.chance.choice(self.names)]

    def _crash(self, node: Node) -> None:
        if node.core is not None:
            node.crash()
            self.after(
                self.chance.expovariate(1 / 150), lambda: node.core is None and self.stormy and node.start()
            )

    def _outage(self, node: Node) -> None:
        """All at once, as when the power goes."""
        for each in self.nodes.values():
            self._crash(each)

    def _cut(self, node: Node) -> None:
        side = self.chance.sample(self.names, self.chance.randint(1, len(self.names) // 2))
        self.tell(f"cut off: {side}")
        for a in side:
            for b in self.names:
                if b not in side:
                    self.cuts |= {(a, b), (b, a)}

    def _one_way(self, node: Node) -> None:
        other = self.chance.choice(self.names)
        pair = self.chance.choice(((node.name, other), (other, node.name)))
        self.tell(f"cut one way: {pair}")
        self.cuts.add(pair)

    def _blink(self, node: Node) -> None:
        """A process that is back before anybody notices: has it kept its promises?"""
        if node.core is not None:
            node.crash()
            self.after(self.chance.uniform(1, 60), lambda: node.core is None and self.stormy and node.start())

    def _leader(self) -> Node | None:
        leaders = [
            node for node in self.nodes.values() if node.core is not None and node.core.role is Role.LEADER
        ]
        return self.chance.choice(leaders) if leaders else None

    def _deaf(self, node: Node) -> None:
        """One follower no longer hears the leader, and will want to replace it."""
        leader = self._leader()
        if leader is not None and leader is not node:
            self.tell(f"{node.name} does not hear {leader.name}")
            self.cuts.add((leader.name, node.name))

    def _mute(self, node: Node) -> None:
        """Nobody hears the leader any more, but it hears the others."""
        leader = self._leader()
        if leader is not None:
            self.tell(f"nobody hears {leader.name}")
            self.cuts |= {(leader.name, name) for name in self.names if name != leader.name}

    def _heal(self, node: Node) -> None:
        self.tell("the network heals")
        self.cuts.clear()

    _better = _heal

    def _pause(self, node: Node) -> None:
        if node.core is not None and node.paused is None:
            node.pause()
            life = node.life

            def go_on() -> None:
                if node.life == life and node.paused is not None:
                    node.resume()

            self.after(self.chance.expovariate(1 / 250), go_on)

    def _stall(self, node: Node) -> None:
        self.tell(f"the disk of {node.name} stalls")
        node.disk_slow_until = self.now + self.chance.uniform(0, 2000)

    def _transfer(self, node: Node) -> None:
        for each in self.nodes.values():
            if each.core is not None and each.paused is None and each.core.role is Role.LEADER:
                each.transfer(self.chance.choice((None, *(name for name in self.names if name != each.name))))

    def _second_thoughts(self, node: Node) -> None:
        """A transfer is given up while its messages are still under way."""
        leader = self._leader()
        if leader is not None and leader.paused is None and leader is not node:
            leader.transfer(node.name)

            def give_up() -> None:
                self._connection(leader, node.name, up=False)
                self._connection(leader, node.name, up=True)

            leader.later(self.chance.expovariate(1 / 10), give_up)

    def _flap(self, node: Node) -> None:
        """A connection breaks and comes back, on one side only."""
        peer = self.chance.choice(self.names)
        if node.core is not None and node.paused is None and peer != node.name:
            self._connection(node, peer, up=False)
            node.later(self.chance.expovariate(1 / 50), lambda: self._connection(node, peer, up=True))

    # -- clients ------------------------------------------------------------------------------------

    def _client(self) -> None:
        chance = self.chance
        node = self.nodes[chance.choice(self.names)]
        if node.core is not None and node.paused is None:
            what = chance.random()
            if what < 0.5:
                node.propose(b"v%d" % next(self.values) + b"." * chance.choice((0, 0, 50, 500)))
            elif what < 0.8:
                node.read()
            else:
                node.read_under_lease()
        self.after(chance.expovariate(1 / 4), self._client)

    def _look_around(self) -> None:
        """Now and then: what is dear to check, and reads that nobody answers."""
        self.checks.logs_match()
        self._compact()
        for node in self.nodes.values():
            if node.core is not None and node.paused is None:
                for _, asked in node.reads.values():
                    must(
                        self.now - asked < 3 * TIMEOUT_MS or not self._was_awake(node), "a read waits forever"
                    )
        self.after(250, self._look_around)

    def _compact(self) -> None:
        """Somebody forgets old entries; as snapshots are not sent, only such as everybody has on disk."""
        history = self.checks.history
        common = min(node.disk.base_index for node in self.nodes.values())
        while common < len(history) and all(node.disk.holds(history[common]) for node in self.nodes.values()):
            common += 1
        node = self.nodes[self.chance.choice(self.names)]
        if node.core is not None and self.chance.random() < 0.5:
            node.disk.compact(min(self.chance.randint(0, common), node.applied))

    def _was_awake(self, node: Node) -> bool:
        """Pauses excuse a late answer; runs without pauses keep the check sharp."""
        return "pause" not in self.weather.troubles

    # -- the run ------------------------------------------------------------------------------------

    def run(self) -> None:
        for node in self.nodes.values():
            self.after(self.chance.uniform(0, 100), lambda node=node: node.core is None and node.start())
        self.after(0, self._client)
        self.after(self.chance.expovariate(1 / self.weather.trouble_every), self._trouble)
        self.after(250, self._look_around)
        self.run_until(STORM_MS)
        self._calm()
        self.run_until(STORM_MS + CALM_MS)
        self._demand_progress()

    def _calm(self) -> None:
        self.tell("the storm is over")
        self.stormy = False
        self.weather = faults.CALM
        self.cuts.clear()
        for node in self.nodes.values():
            node.disk_slow_until = 0
            if node.core is None:
                node.start()
            elif node.paused is not None:
                node.resume()

    def _demand_progress(self) -> None:
        """One leader, a write on every node and a read from each: within an election timeout."""
        leaders = [node for node in self.nodes.values() if node.core_now.role is Role.LEADER]
        must(len(leaders) == 1, f"{len(leaders)} leaders after the storm")
        entry = leaders[0].propose(b"at last")
        must(entry is not None, "a write is refused after the storm")
        asked = [(node, node.read()) for node in self.nodes.values()]
        self.run_until(self.now + TIMEOUT_MS)
        for node in self.nodes.values():
            must(entry is not None and node.applied >= entry.index, f"{node.name} lags after the storm")
        must(
            all(read_id not in node.reads for node, read_id in asked),
            "a read is not answered after the storm",
        )
        self.checks.logs_match()
