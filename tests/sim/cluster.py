"""The event queue, a network that may fail, and all that befalls the nodes."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf

from ironkv.raft.config import RaftConfig
from ironkv.raft.messages import Message, Role
from tests.sim import describe, faults
from tests.sim.checks import Checks, must
from tests.sim.node import Node

HEARTBEAT_MS = 50.0
TIMEOUT_MS = 300.0
STORM_MS = 5000.0
CALM_MS = 4000.0


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
        self.begins_fresh = self.chance.random() < 0.5
        """Whether the nodes know that they may have forgotten something; else each is certain it has not."""
        self.births = count(1)
        self.installed = self.wiped = 0
        self.housekeeping_every = self.chance.choice((20, 120, 1000))
        self._streams: set[str] = set()
        founders, spares = self.chance.choice((3, 3, 5)), self.chance.choice((1, 2))
        if "change" not in self.weather.troubles:
            spares = 0
        self.names = [f"n{number + 1}" for number in range(founders + spares)]
        """Of all there are; the last ones are not members at first."""
        self.founders = frozenset(self.names[:founders])
        self.nodes = {name: Node(self, name) for name in self.names}
        self.stormy = True
        self.tell(f"{self.weather} {self._limits} lease={self._lease_reads}")

    def config(self, name: str) -> RaftConfig:
        return RaftConfig(
            name,
            self.founders if name in self.founders else frozenset(),
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
        sender, to = self.nodes[message.sender], self.nodes[message.to]
        if to.core is not None and sender.known.setdefault(to.name, to.birth) != to.birth:
            # On a connection to the life before: it breaks, and the next one begins with hello.
            sender.later(chance.expovariate(1 / weather.delay), lambda: self._hello(sender, to))
            return
        births = sender.birth, to.birth
        copies = 2 if chance.random() < weather.repeat else 1
        for _ in range(copies):
            if (message.sender, message.to) in self.cuts or chance.random() < weather.loss:
                if self.trace:
                    self.tell(f"{message.sender} → {message.to} {describe.message(message)}   (lost)")
                continue
            delay = chance.expovariate(1 / weather.delay)
            if chance.random() < weather.late:
                delay += chance.uniform(0, weather.late_by)
            self.after(delay, lambda: self._arrive(message, *births))

    def _arrive(self, message: Message, sender_birth: int, birth: int) -> None:
        # Not tied to a life: a message may reach the process that was started after its addressee died. But
        # never one that began with an empty disk since.
        node = self.nodes[message.to]
        if node.core is not None:
            node.later(0, lambda: node.receive(message, sender_birth, birth))

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

    def _hello(self, node: Node, peer: Node) -> None:
        if peer.core is not None and (node.name, peer.name) not in self.cuts:
            node.meet(peer.name, peer.birth)
            node.work()

    def _stream(self) -> None:
        """Leaders send snapshots to whom nothing else can help, beside the messages."""
        for node in self.nodes.values():
            if node.core is not None and node.paused is None and node.snapshot.index:
                for peer in node.core.stranded():
                    if peer not in self._streams:
                        self._streams.add(peer)
                        self._send_snapshot(node, self.nodes[peer])
        self.after(20, self._stream)

    def _send_snapshot(self, node: Node, peer: Node) -> None:
        chance, snapshot, births = self.chance, node.snapshot, (node.birth, peer.birth)
        lives = node.life, peer.life
        lost = chance.random() < min(0.5, 5 * self.weather.loss)

        def arrive() -> None:
            self._streams.discard(peer.name)
            if lost or lives != (node.life, peer.life) or (node.name, peer.name) in self.cuts:
                return
            if births[1] == peer.birth and peer.known.get(node.name, births[0]) == births[0]:
                peer.later(0, lambda: peer.receive_snapshot(snapshot))

        self.after(chance.expovariate(1 / (10 * self.weather.delay)), arrive)

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
        leaders = self._leaders()
        if leaders and self.chance.random() < 0.5:
            return self.chance.choice(leaders)
        return self.nodes[self.chance.choice(self.names)]

    def _crash(self, node: Node) -> None:
        if node.core is not None:
            node.crash()
            self.after(
                self.chance.expovariate(1 / 150), lambda: node.core is None and self.stormy and node.start()
            )

    def _amnesia(self, node: Node) -> None:
        """A leader is replaced unawares; a voter of the next one forgets that, and meets the old one."""
        old = self._leader()
        if old is None or old.paused is not None:
            return
        old.pause()
        term, life = old.core_now.term, old.life
        self._isolate(old)

        def strike() -> None:
            if old.life != life or old.paused is None:
                return
            newer = [each for each in self._leaders() if each.core_now.term > term]
            others = [each for each in self.nodes.values() if each is not old and each not in newer]
            if newer and others:
                voter = self.chance.choice(others)
                self._wipe(voter)
                self._isolate(voter)
                self.cuts -= {(old.name, voter.name), (voter.name, old.name)}
                if voter.core is None:
                    voter.start()
                self.after(self.chance.uniform(100, 500), lambda: self._heal(node))
            old.resume()

        self.after(self.chance.uniform(500, 1300), strike)

    def _isolate(self, node: Node) -> None:
        self.tell(f"{node.name} is cut off")
        for other in self.names:
            if other != node.name:
                self.cuts |= {(node.name, other), (other, node.name)}

    def _wipe(self, node: Node) -> None:
        """A disk is lost: at most one at a time, and not before the last one has been made up for."""
        if any(each.lost and each.disk.hard.fresh for each in self.nodes.values() if each is not node):
            return
        self.wiped += 1
        node.wipe()
        self.after(
            self.chance.expovariate(1 / 100), lambda: node.core is None and self.stormy and node.start()
        )

    def _change(self, node: Node) -> None:
        """A member more, or less, or another vote. Not fewer than three: one disk may be lost at any time."""
        leader = self._leader()
        if leader is None or leader.paused is not None:
            return
        now = leader.core_now.configuration
        if node.name in now.learners and self.chance.random() < 0.7:
            leader.change(lambda members: members.promoted(node.name))
        elif node.name not in now.everybody:
            leader.change(lambda members: members.with_learner(node.name))
        elif node.name in now.learners or len(now.voters) > 3:
            leader.change(lambda members: members.without(node.name))
        elif now.learners and self.chance.random() < 0.5:
            # The one for the other, in one step.
            other = min(now.learners)
            leader.change(lambda members: members.promoted(other).without(node.name))

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

    def _leaders(self) -> list[Node]:
        return [
            node for node in self.nodes.values() if node.core is not None and node.core.role is Role.LEADER
        ]

    def _leader(self) -> Node | None:
        leaders = self._leaders()
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
        for node in self.nodes.values():
            if node.core is not None and node.paused is None:
                for _, asked in node.reads.values():
                    must(
                        self.now - asked < 3 * TIMEOUT_MS or not self._was_awake(node), "a read waits forever"
                    )
        self.after(250, self._look_around)

    def _keep_house(self) -> None:
        """Somebody takes a snapshot, somebody forgets old entries: perhaps such as others still need."""
        taker, trimmer = (self.nodes[self.chance.choice(self.names)] for _ in range(2))
        if taker.core is not None and taker.paused is None:
            taker.take_snapshot()
        if trimmer.core is not None:
            trimmer.compact()
        self.after(self.chance.expovariate(1 / self.housekeeping_every), self._keep_house)

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
        self.after(0, self._stream)
        self.after(0, self._keep_house)
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
        members = leaders[0].core_now.configuration
        must(not members.joint, "a change of membership is not brought to its end after the storm")
        present = [self.nodes[name] for name in sorted(members.everybody)]
        asked = [(node, node.read()) for node in present]
        self.run_until(self.now + TIMEOUT_MS)
        for node in present:
            must(entry is not None and node.applied >= entry.index, f"{node.name} lags after the storm")
            must(not node.disk.hard.fresh, f"{node.name} is still fresh after the storm")
        must(
            all(read_id not in node.reads for node, read_id in asked),
            "a read is not answered after the storm",
        )
        self.checks.logs_match()
