"""One machine: its clock and disk, and the process that runs on it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ironkv.config import Settings
from ironkv.errors import Fault
from ironkv.node.node import Node
from ironkv.peers import wire
from ironkv.raft.configuration import Configuration
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Message, Role
from ironkv.storage import codec
from tests.sim import describe
from tests.sim.checks import Violation, must
from tests.sim.whole import threads
from tests.sim.whole.lmdb import Disk, PowerCut, Table
from tests.sim.whole.membership import Joiner
from tests.sim.whole.world import WALL_MS, Timer

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster

CREEP_MS = 0.05
"""What a snapshot's slices see pass with each look at the clock, so that they end."""


class Stopped(BaseException):
    """The node stopped itself with a Fault: nothing may be done in its name any more."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class Broken(BaseException):
    """A violation, on its way out of a node that would take it for an error of its own."""


class Computer:
    """`life` counts the starts of its process: what was scheduled in an earlier life is void."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.world, self.name = cluster, cluster.world, name
        self.disk = Disk()
        self.lost: list[Disk] = []
        """The disks that were lost since the node last was not fresh."""
        self.path = cluster.path / name
        self.birth = next(cluster.births)
        self.known: dict[str, int] = {}
        """The births of the others, as this process knows them."""
        self.process: Process | None = None
        self.life = 0
        self.held: list[Callable[[], None]] | None = None
        """What waits while the process is stopped (SIGSTOP)."""
        self.rate, self._offset = 1.0, 0.0
        self.wall_off_ms = cluster.weather.wall_off(self.world.chance)
        self.disk_slow_until = 0.0
        self.beyond_help: str | None = None
        """Why the process does not start any more."""
        self.dead = False
        """Nobody starts it any more."""
        self.file = cluster.founders
        """The nodes in its settings."""
        self.joins = name not in cluster.founders
        """It has to be taken in before it starts with an empty disk."""
        self.told: Configuration | None = None
        """What it was told then."""
        self.joiner = Joiner(self)
        self.draw_clock()

    @property
    def running(self) -> bool:
        return self.process is not None and self.held is None

    @property
    def core(self) -> RaftCore | None:
        return self.process.driver.core if self.process is not None else None

    @property
    def leads(self) -> bool:
        return self.core is not None and self.core.role is Role.LEADER

    @property
    def entries(self) -> Table:
        """The journal as it is on the disk."""
        return self.disk.table("journal", b"entries")

    def promised(self) -> codec.Hard:
        """Term, vote and freshness as they are on the disk."""
        record = self.disk.table("journal", b"node").values.get(b"hard")
        return codec.decode_hard(record) if record is not None else codec.Hard(fresh=True)

    # -- clocks

    def draw_clock(self) -> None:
        """Another steady clock, as after a boot."""
        drift = self.cluster.weather.drift
        self.rate = 1 + self.world.chance.uniform(-drift, drift)
        self._offset = self.world.chance.uniform(0, 1e6)

    def steady_ms(self) -> float:
        return self._offset + self.rate * self.world.now

    def wall_ms(self) -> float:
        return WALL_MS + self.wall_off_ms + self.world.now

    # -- its turn

    def do(self, work: Callable[[], Any]) -> None:
        """Do something in the process; while it is stopped, when it goes on."""
        if self.process is None:
            return
        if self.held is not None:
            self.held.append(work)
            return
        self._take_turn(work)

    def _take_turn(self, work: Callable[[], Any]) -> None:
        before, self.world.turn_of = self.world.turn_of, self
        try:
            work()
        except PowerCut:
            self.cluster.tell(f"{self.name} loses power in the middle of a commit")
            self.crash()
            self.cluster.start_later(self)
        except Stopped as stopped:
            self.cluster.checks.stopped(self, stopped.fault)
            self.crash()
            self.cluster.start_later(self)
        finally:
            self.world.turn_of = before

    def later(self, delay_ms: float, work: Callable[[], Any]) -> Timer:
        """Do it in this life of the process, when it has run for so long by its own clock."""
        timer, life = Timer(), self.life

        def run() -> None:
            if life == self.life and not timer.cancelled:
                self.do(work)

        self.world.after(delay_ms / self.rate, run)
        return timer

    on_disk = later

    def disk_delay(self) -> float:
        weather, chance = self.cluster.weather, self.world.chance
        delay = chance.expovariate(1 / 0.7)
        if chance.random() < weather.slow_disk:
            delay += chance.uniform(0, weather.slow_by)
        return delay + max(0.0, self.disk_slow_until - self.world.now)

    def report_delay(self) -> float:
        return self.world.chance.choice((0.0, threads.REPORT_MS, threads.REPORT_MS, 2.0))

    # -- life and death

    def start(self) -> None:
        """Start the process: it recovers from what is on the disk, and joins."""
        if self.process is not None or self.beyond_help is not None or self.dead:
            return
        if self.joins and self.told is None:
            self.joiner.begin()
            return
        self.life += 1
        self.known, self.held = {}, None
        self.cluster.tell(f"{self.name} starts")
        before, self.world.turn_of = self.world.turn_of, self
        process, failed = None, self.disk.failed
        try:
            process = Process(self, self.cluster.settings(self))
            process.begin()
        except (Fault, Stopped) as fault:
            reason = str(fault.fault if isinstance(fault, Stopped) else fault)
            self.cluster.tell(f"{self.name} does not start: {reason}")
            if process is not None:
                process.release()
            if self.disk.full or self.disk.failed > failed:  # it may do so another time
                self.disk.crash()
                self.life += 1
                self.cluster.start_later(self)
                return
            self.cluster.checks.refused(self, reason)
            self.beyond_help = reason
            return
        except PowerCut:
            assert process is not None
            process.release()
            self.disk.crash()
            self.life += 1
            self.cluster.start_later(self)
            return
        finally:
            self.world.turn_of = before
        self.process = process
        self.cluster.checks.started(self)
        self.do(process.join)
        self.cluster.connections(self.name, up=True)

    def crash(self) -> None:
        """As by a power cut, or SIGKILL: nothing is wound down."""
        if self.process is None:
            return
        self.cluster.tell(f"{self.name} is gone")
        self.process.release()
        self._gone()

    def stop(self) -> None:
        """As by SIGTERM, when it has nothing in flight: the journal is closed in good order."""
        if not self.running:
            return
        assert self.process is not None
        self.cluster.tell(f"{self.name} is stopped in good order")
        self.do(self.process.storage.note_commit)
        if self.process is not None:
            self.process.release()
            self._gone()

    def _gone(self) -> None:
        self.disk.crash()
        self.process, self.held = None, None
        self.life += 1
        self.cluster.connections(self.name, up=False)
        self.cluster.clients_lose(self)

    def replace_disk(self) -> None:
        """The disk is lost with all that was on it; the process is to begin anew with an empty one."""
        self.crash()
        self.cluster.tell(f"{self.name} gets an empty disk")
        self._lose(Disk())
        self.beyond_help = self.told = None
        self.joins = self.cluster.has_to_join(self)
        shutil.rmtree(self.path, ignore_errors=True)

    def lose_journal(self) -> None:
        """The journal is lost, the snapshots are not."""
        self.crash()
        self.cluster.tell(f"{self.name} loses its journal")
        left = Disk()
        left.environments["snapshots"] = deepcopy(self.disk.environments.get("snapshots", {}))
        self._lose(left)
        shutil.rmtree(self.path / "journal", ignore_errors=True)

    def _lose(self, left: Disk) -> None:
        gone = self.disk.as_it_was()
        if not self.promised().fresh:
            self.lost.clear()
        self.lost.append(gone)
        self.disk = left
        self.birth = next(self.cluster.births)

    def pause(self) -> None:
        if self.running:
            self.cluster.tell(f"{self.name} is paused")
            self.held = []

    def resume(self) -> None:
        """Go on: with what has come meanwhile, before or after the timer that is overdue."""
        if self.held is None:
            return
        self.cluster.tell(f"{self.name} goes on")
        held, self.held = self.held, None
        life = self.life
        for work in held:
            if life == self.life:
                self.do(work)

    # -- the network

    def receive(self, sender: Computer, frame: bytes, births: tuple[int, int], life: int) -> None:
        """A frame from one life to another; links see to it that both are of today (peers.links)."""
        if births[1] != self.birth or not self.meet(sender.name, births[0]):
            return
        process = self.process
        assert process is not None
        if life == sender.life:
            process.visited(sender)
        mail = wire.parse(frame[wire.HEAD.size :], sender.name, self.name)
        if isinstance(mail, wire.Parcel):
            process._on_parcel(sender.name, mail.content)
        elif isinstance(mail, wire.Published):
            process.dispatch.pubsub.arrived(mail.messages)
        elif isinstance(mail, wire.Order):
            process._on_order(sender.name, mail)
        elif isinstance(mail, wire.Answer):
            process._on_answer(sender.name, mail)
        else:
            assert isinstance(mail, wire.Mail)
            if self.cluster.trace:
                for message in mail.messages:
                    self.cluster.tell(f"{sender.name} → {self.name} {describe.message(message)}")
            process._on_mail(sender.name, mail)

    def meet(self, peer: str, birth: int) -> bool:
        """The peer's hello, or mail on a connection that it opened. False for an older life."""
        known = self.known.setdefault(peer, birth)
        if birth > known:
            self.cluster.tell(f"{self.name} sees that {peer} began anew")
            self.known[peer] = birth
            assert self.process is not None
            self.process._on_reborn(peer)
        return birth >= known


class Loop:
    """As much of an event loop as a node uses outside of its sockets."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer

    def call_soon(self, work: Callable[..., Any], *args: Any) -> Timer:
        return self.call_later(0.0, work, *args)

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, work: Callable[..., Any], *args: Any) -> Timer:
        return self._computer.later(delay_s * 1000.0, lambda: work(*args))


class Process(Node):
    """A real node, whose sockets, event loop and exit are the simulation's."""

    def __init__(self, computer: Computer, settings: Settings) -> None:
        self.computer = computer
        self._released = False
        self.guests: dict[str, int] = {}
        """Who has called that this node does not dial, and in which life: it is answered where it called."""
        super().__init__(settings)
        self._loop: Any = Loop(computer)
        self._creep = 0.0
        self.storage.steady_ms = self._creeping_ms  # type: ignore[method-assign]

    def _creeping_ms(self) -> float:
        """Time passes while a snapshot is taken: else it would be taken in one slice."""
        self._creep += CREEP_MS
        return self.steady_ms() + self._creep

    def begin(self) -> None:
        """What `Node._start` does but for the sockets."""
        recovering = self._recover()
        try:
            while True:
                recovering.send(None)
        except StopIteration:
            pass
        self._build_driver()
        self.computer.cluster.checks.watch(self.computer, self)

    def join(self) -> None:
        self._timer()
        self.loading = False

    def release(self) -> None:
        """The process is gone; the system takes back its lock."""
        if not self._released:
            self._released = True
            self._over = True
            self.storage.directory.close()

    def _fail(self, fault: Fault) -> None:
        cause = sys.exception()
        if isinstance(cause, Violation):
            raise Broken(str(cause)) from cause  # a check spoke up in the node's turn: no excuse for that
        raise Stopped(fault)

    # -- node.driver.World, as far as it is sockets

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        by_peer: dict[str, list[Message]] = {}
        checks = self.computer.cluster.checks
        for message in messages:
            checks.leaving(self.computer, message)
            by_peer.setdefault(message.to, []).append(message)
        for peer, mail in by_peer.items():
            if self.reaches(peer):
                self.computer.cluster.post(self.computer, peer, wire.mail(mail, self.wall_ms(), cluster_ms))

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self.tell(peer, wire.parcel(parcel))

    def spread(self, messages: list[tuple[bool, bytes, bytes]]) -> None:
        for peer in self.roster.peers:
            self.tell(peer, wire.published(messages))

    def tell(self, peer: str, frame: bytes) -> bool:
        cluster = self.computer.cluster
        if not self.reaches(peer) or cluster.computers[peer].process is None:
            return False
        cluster.post(self.computer, peer, frame)
        return True

    # -- links, as far as members change them

    def reaches(self, peer: str) -> bool:
        """Whether it dials the peer, or the peer dials it and has spoken."""
        if peer in self.roster.peers:
            return True
        other = self.computer.cluster.computers[peer]
        return other.process is not None and self.guests.get(peer) == other.life

    def visited(self, sender: Computer) -> None:
        name = sender.name
        if name not in self.roster.peers and self.guests.get(name) != sender.life:
            dials = sender.process is not None and self.computer.name in sender.process.roster.peers
            if dials:
                self.guests[name] = sender.life
                self._on_peer(name, True)

    def members_changed(self) -> None:
        computer, before = self.computer, set(self.roster.peers)
        super().members_changed()
        if self.loading:
            return
        cluster = computer.cluster
        cluster.checks.members(computer)
        cluster.tell(f"{computer.name} goes by {describe.members(self.driver.core.configuration)}")
        for peer in sorted(before - self.roster.peers.keys()):
            cluster.part(computer, cluster.computers[peer])

    def role_changed(self) -> None:
        super().role_changed()
        core = self.driver.core
        self.computer.cluster.tell(
            f"{self.computer.name} is {core.role.name} in term {core.term}, leader {core.leader}"
        )
        if core.role is Role.LEADER:
            self.computer.cluster.checks.elected(self.computer)

    def applied(self, index: int, size: int) -> None:
        super().applied(index, size)
        self._creep = 0.0
        must(index == self.machine.applied, "the machine and the driver disagree")
        self.computer.cluster.checks.members(self.computer)
