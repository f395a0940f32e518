"""The network between the computers, and the run: a storm, in which anything may fail, then a calm, in which
nothing does and progress is demanded."""

from __future__ import annotations

import contextlib
import gc
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ironkv.config import Settings
from ironkv.raft.configuration import Configuration
from tests.sim.checks import Violation, must
from tests.sim.whole import threads, troubles
from tests.sim.whole.checks import Checks
from tests.sim.whole.clients import Client
from tests.sim.whole.computer import Broken, Computer
from tests.sim.whole.lmdb import Disk, Lmdb
from tests.sim.whole.membership import Operator, added
from tests.sim.whole.world import World

HEARTBEAT_MS = 50
TIMEOUT_MS = 300
STORM_MS = 5000.0
CALM_MS = 3000.0
CLIENTS = 6
SETTLING_MS = 1500.0
"""How much longer the calm is where members change."""
FILE_MS = 800.0
"""In a calm: a member that cannot join by then, as there is no leader, is given the others' names instead."""


class Cluster:
    """A run: `run()`."""

    def __init__(self, seed: int, path: Path, trace: bool = False) -> None:
        self.seed, self.path, self.trace = seed, path, trace
        self._depth = len(path.parts)
        self.world = World(seed)
        self.chance = chance = self.world.chance
        self.weather = self.storm = troubles.draw(chance)
        self.stormy = True
        self.calm_from = STORM_MS
        self.cuts: set[tuple[str, str]] = set()
        self.births = count(1)
        self.reads = chance.choice(("lease", "lease", "lease", "quorum"))
        self.keep_entries = chance.choice((0, 5, 50, 100_000))
        self.snapshot_every = chance.choice((150, 600, 2500))
        self.client_every = chance.choice((8, 25, 80))
        self.clocks_jumped = self.weather.clocks_off > 0
        self.installed = self.wiped = self.damaged = self.snapshots = 0
        self.founders = [f"n{number + 1}" for number in range(chance.choice((3, 3, 3, 5)))]
        self.names = list(self.founders)
        self.changing = not seed >> 4 & 1
        """Whether members change in this run; one that went by chance would make other runs of old seeds."""
        self.order_every, self.orders_done, self.operators = 0.0, 0, list[Operator]()
        if self.changing:
            self.names += [f"n{len(self.names) + 1 + number}" for number in range(chance.choice((1, 2, 3)))]
            self.order_every = chance.choice((100, 300, 900))
            self.weather = self.storm = replace(
                self.weather, troubles=(*self.weather.troubles, *troubles.OF_MEMBERS)
            )
            self.operators = [Operator(self, number) for number in range(2)]
        self.checks = Checks(self)
        self.computers = {name: Computer(self, name) for name in self.names}
        self.clients = [Client(self, number) for number in range(CLIENTS)]
        self.tell(f"{self.weather} reads={self.reads}")

    def tell(self, line: str) -> None:
        if self.trace:
            print(f"{self.world.now:9.2f}  {line.replace(str(self.path), '')}")

    def settings(self, computer: Computer) -> Settings:
        name = computer.name
        known = [name] if computer.joins else computer.file
        members = [
            {"id": each, "host": "10.0.0.1", "port": 7000 + place, "cluster_port": 8000 + place}
            for place, each in enumerate(self.names)
            if each in known
        ]
        me = self.names.index(name)
        join = "10.0.0.1:7000" if computer.joins else ""
        return Settings(
            node={"id": name, "data_dir": str(self.path / name)},
            server={"bind": "10.0.0.1", "port": 7000 + me},
            cluster={"enabled": True, "name": "c", "port": 8000 + me, "nodes": members, "join": join},
            raft={"heartbeat_ms": HEARTBEAT_MS, "election_timeout_ms": TIMEOUT_MS, "reads": self.reads},
            snapshot={
                "keep_entries": self.keep_entries,
                "keep_bytes": 0 if self.keep_entries < 9 else 1 << 20,
            },
            journal={"map_size": 64 << 20},
        )

    # -- the disks

    def disk_of(self, path: Path) -> Disk:
        return self.computers[path.parts[self._depth]].disk

    def statvfs(self, path: Path) -> Any:
        pages = 0 if self.disk_of(path).full else 1 << 22
        return SimpleNamespace(f_bavail=pages, f_frsize=4096, f_blocks=1 << 23)

    def may_lose_a_disk(self, computer: Computer) -> bool:
        """At most one disk is lost at a time, the next when the node of the last has everything again, or is
        no member any more (raft.membership); and none that nobody else's disk makes up for."""
        ruling = self.checks.ruling()
        if any(
            voters == {computer.name}
            for each in ruling
            for voters in (each.voters, each.outgoing, each.voters - self.unborn())
        ):
            return False
        return not any(
            each.beyond_help or each.disk.damaged or (each.lost and each.promised().fresh)
            for each in self.computers.values()
            if each is not computer and self.is_member(each, ruling)
        )

    def unborn(self) -> set[str]:
        """Nodes that have never been there."""
        return {name for name, each in self.computers.items() if not each.life}

    @staticmethod
    def is_member(computer: Computer, ruling: list[Configuration]) -> bool:
        return any(computer.name in each.everybody for each in ruling)

    def has_to_join(self, computer: Computer) -> bool:
        """Whether a node that lost its disk is to be taken in again, or starts as it is in its settings."""
        if not self.changing:
            return False
        founder = computer.name in self.founders and self.is_member(computer, self.checks.ruling())
        return not founder or self.chance.random() < 0.5

    # -- the network

    def post(self, sender: Computer, to: str, frame: bytes) -> None:
        chance, weather, receiver = self.chance, self.weather, self.computers[to]
        if receiver.process is not None and sender.known.setdefault(to, receiver.birth) != receiver.birth:
            # On a connection to the life before: it breaks, and the next one begins with hello.
            sender.later(chance.expovariate(1 / weather.delay), lambda: self._hello(sender, receiver))
            return
        births, life = (sender.birth, receiver.birth), sender.life
        for _ in range(2 if chance.random() < weather.repeat else 1):
            if (sender.name, to) in self.cuts or chance.random() < weather.loss:
                self.tell(f"{sender.name} → {to} a frame is lost")
                continue
            delay = chance.expovariate(1 / weather.delay)
            if chance.random() < weather.late:
                delay += chance.uniform(0, weather.late_by)
            # Not tied to a life: a frame may reach the process that was started after its addressee died.
            self.world.after(delay, lambda: self._arrive(sender, receiver, frame, births, life))

    @staticmethod
    def _arrive(sender: Computer, to: Computer, frame: bytes, births: tuple[int, int], life: int) -> None:
        to.do(lambda: to.receive(sender, frame, births, life))

    def part(self, one: Computer, other: Computer) -> None:
        """One does not dial the other any more: both notice that the connection ends."""

        def ends(here: Computer, there: str) -> None:
            process = here.process
            if process is not None:
                process.guests.pop(there, None)
                if not process.reaches(there) or here is other:
                    process._on_peer(there, False)

        for here, there in ((one, other.name), (other, one.name)):
            here.later(self.chance.expovariate(1), lambda here=here, there=there: ends(here, there))

    def _hello(self, computer: Computer, peer: Computer) -> None:
        if peer.process is not None and (computer.name, peer.name) not in self.cuts:
            computer.meet(peer.name, peer.birth)

    def connections(self, name: str, up: bool) -> None:
        """The others notice, sooner or later or never, that a node went or came."""
        for other in self.computers.values():
            if other.name != name and self.chance.random() < 0.8:
                delay = self.chance.expovariate(1 / 5)
                other.later(delay, lambda other=other: self.connection(other, name, up))

    @staticmethod
    def connection(computer: Computer, peer: str, up: bool) -> None:
        def notice() -> None:
            process = computer.process
            if process is not None and (peer in process.roster.peers or process.guests.pop(peer, 0)):
                process._on_peer(peer, up)

        computer.do(notice)

    # -- the machines

    def leaders(self) -> list[Computer]:
        return [computer for computer in self.computers.values() if computer.running and computer.leads]

    def start_later(self, computer: Computer, mean_ms: float = 100) -> None:
        self.world.after(self.chance.expovariate(1 / mean_ms), computer.start)

    def clients_lose(self, computer: Computer) -> None:
        for caller in (*self.clients, *self.operators, *(each.joiner for each in self.computers.values())):
            caller.lose(computer)

    def _trouble(self) -> None:
        if not self.stormy:
            return
        kind = self.chance.choice((*self.weather.troubles, "heal"))
        self.tell(f"trouble: {kind}")
        (troubles.TROUBLES.get(kind) or troubles.OF_MEMBERS[kind])(self, self._victim())
        self.world.after(self.chance.expovariate(1 / self.weather.trouble_every), self._trouble)

    def _victim(self) -> Computer:
        """Leaders have more than their share of bad luck: that is where it hurts."""
        leaders = self.leaders()
        if leaders and self.chance.random() < 0.5:
            return self.chance.choice(leaders)
        return self.computers[self.chance.choice(self.names)]

    def _keep_house(self) -> None:
        """Somebody takes a snapshot, and trims what it covers at the next look at its storage."""
        computer = self.computers[self.chance.choice(self.names)]
        computer.do(lambda: computer.process and computer.process.storage.begin())
        self.world.after(self.chance.expovariate(1 / self.snapshot_every), self._keep_house)

    def _look_around(self) -> None:
        self.checks.logs_match()
        self.world.after(250, self._look_around)

    # -- the run

    def run(self) -> None:
        with self._applied():
            for founder in self.founders:
                self.world.after(self.chance.uniform(0, 100), self.computers[founder].start)
            for caller in (*self.clients, *self.operators):
                self.world.after(self.chance.uniform(300, 700), caller.go_on)
            self.world.after(self.chance.expovariate(1 / self.weather.trouble_every) + 300, self._trouble)
            self.world.after(250, self._look_around)
            self.world.after(600, self._keep_house)
            self.world.run_until(STORM_MS)
            self._calm()
            self.world.run_until(STORM_MS + CALM_MS + SETTLING_MS * self.changing)
            self._demand_progress()

    @contextlib.contextmanager
    def _applied(self) -> Iterator[None]:
        def turn() -> Computer:
            assert self.world.turn_of is not None
            return self.world.turn_of

        def writer(journal: Any, failed: Any) -> threads.Writer:
            return threads.Writer(turn(), journal, failed)

        def worker(name: str) -> threads.Worker:
            return threads.Worker(turn())

        with self.world.applied(Lmdb(self.disk_of), writer, worker, self.statvfs):
            try:
                yield
            finally:
                for computer in self.computers.values():
                    if computer.process is not None:
                        computer.process.release()

    def _calm(self) -> None:
        self.tell("the storm is over")
        self.stormy = False
        self.weather = troubles.CALM
        self.cuts.clear()
        for operator in self.operators:
            operator.stop()
        ruling = self._ruling_anywhere()
        for computer in self.computers.values():
            computer.disk_slow_until = 0
            computer.disk.full = computer.disk.fail = False
            computer.disk.cut_in = 0
            if computer.beyond_help or computer.disk.damaged:
                computer.replace_disk()
            if self.changing:
                # A dead node that is no member may come back all the same, and not know it.
                wanted = self.is_member(computer, ruling)
                computer.dead = not wanted and (not computer.life or self.chance.random() < 0.5)
            if computer.process is None:
                computer.start()
            computer.resume()
        if self.changing:
            self.world.after(FILE_MS, self._start_by_file)

    def _ruling_anywhere(self) -> list[Configuration]:
        cores = [each.core for each in self.computers.values()]
        return [*self.checks.ruling(), *(core.configuration for core in cores if core is not None)]

    def _start_by_file(self) -> None:
        """Nobody can be taken in where there is no leader: an operator writes down who the others are. And
        orders of the storm may still add somebody."""
        ruling = self._ruling_anywhere()
        for computer in self.computers.values():
            if computer.process is None and self.is_member(computer, ruling):
                computer.dead = False
                if computer.joins and computer.told is None:
                    computer.joins = False
                    computer.file = sorted(self.checks.configurations[-1][1].electors | {computer.name})
                computer.start()
        self.world.after(FILE_MS, self._start_by_file)

    def _demand_progress(self) -> None:
        """One leader; and within a second a write on every node, and reads of all keys from each."""
        for client in self.clients:
            client.stop()
        leader = self._leads()
        last = [Client(self, 100 + place) for place in range(len(self.names))]
        written = last[0].ask_at_last(leader, [[b"SET", b"last", b"word"]])
        self.world.run_until(self.world.now + 500)
        must(written.replies == [b"OK"], f"a write after the storm: {written.replies}")
        if self.changing:
            self._demand_change(leader)
            leader = self._leads()
        assert leader.core is not None
        members = leader.core.configuration
        must(not members.joint, "a change of members is not brought to its end after the storm")
        keys = self.checks.history.keys()
        readers = {
            name: client.read_all(self.computers[name], keys)
            for name, client in zip(self.names, last, strict=True)
            if self.computers[name].process is not None
        }
        self.world.run_until(self.world.now + 1000)
        for name in sorted(members.everybody):
            computer = self.computers[name]
            must(computer.process is not None, f"{name} is down after the storm")
            must(not readers[name].waiting, f"reads from {name} are not answered after the storm")
            must(computer.core is not None and not computer.core.fresh, f"{name} is still fresh")
            must(computer.core is not None and computer.core.configuration == members, f"{name} sees others")
        self.checks.logs_match()
        self.checks.same_state()
        self.checks.history.check()

    def _leads(self) -> Computer:
        leaders = self.leaders()
        must(len(leaders) == 1, f"{len(leaders)} leaders after the storm: {[each.name for each in leaders]}")
        return leaders[0]

    def _demand_change(self, leader: Computer) -> None:
        """Where nothing fails, an order is carried out: the leader removes itself, or takes in another. Who
        a member once may be in a later term, and cost the leader its place: then the second order is."""
        assert leader.core is not None
        members = leader.core.configuration
        outside = [
            name for name in self.names if name not in members.everybody and self.computers[name].running
        ]
        words = [b"REMOVE", leader.name.encode()]
        if len(members.voters) < 3 or (outside and self.chance.random() < 0.5):
            words = added(self, self.chance.choice(outside)) if outside else [b"TRANSFER"]
            if not outside and len(members.voters) < 2:
                return
        asked = self.chance.choice([self.computers[name] for name in sorted(members.everybody)])
        order, term = Operator(self, 9).order(asked, words), leader.core.term
        self.world.run_until(self.world.now + 1000)
        unknown = any(str(reply).startswith("UNKNOWN") for reply in order.replies)
        if unknown and self._leads().promised().term > term:
            order = Operator(self, 9).order(asked, words)
            self.world.run_until(self.world.now + 1000)
        must(order.replies == [b"OK"], f"{b' '.join(words).decode()} after the storm: {order.replies}")


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A directory in memory, for what the nodes keep beside LMDB."""
    shared = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="ironkv-sim-", dir=shared if shared.is_dir() else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(seed: int, *, trace: bool = False) -> Cluster:
    """One run. Raises Violation, or whatever else went wrong."""
    logging.getLogger("ironkv").setLevel(logging.DEBUG if trace else logging.CRITICAL + 1)
    with place() as path:
        cluster = Cluster(seed, path, trace)
        collects = gc.isenabled()
        gc.disable()
        try:
            cluster.run()
        except Broken as broken:
            raise Violation(str(broken)) from broken
        finally:
            if collects:
                gc.enable()
        return cluster
