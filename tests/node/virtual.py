"""Real nodes in virtual time: real driver, dispatch, machine and journal files; the wire, the clocks, the
disk's delay and the loop are in the test's hand, and clients have transports that only remember.

Nothing happens until the test lets it: `deliver` hands over frames, `finish` ends journal writes,
`advance` lets time pass, `settle` does all of it until nothing is left to do.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest

from ironkv import clock
from ironkv.clock import ClusterClock
from ironkv.commands import clients, connection  # noqa: F401  (rows the tests send)
from ironkv.config import Settings
from ironkv.errors import Fault
from ironkv.node.node import Node
from ironkv.peers import wire
from ironkv.raft.messages import Message, Persist, Role
from ironkv.server.connection import Connection
from ironkv.storage.worker import Done
from ironkv.tools.client import encode

STARTED_MS = 1_000_000.0
"""What the steady clock shows when a test begins."""
WALL_MS = 1_800_000_000_000.0
"""What a right wall clock shows then."""
FRAME_MAX = 1 << 30


class Loop:
    """As much of an event loop as a node uses outside of its sockets."""

    def __init__(self, node: VirtualNode) -> None:
        self._node = node

    def call_soon(self, work: Callable[..., Any], *args: Any) -> None:
        self.call_later(0.0, work, *args)

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, work: Callable[..., Any], *args: Any) -> None:
        def run() -> None:
            if self._node.cluster.nodes.get(self._node.id) is self._node:
                self._node.do(lambda: work(*args))

        self._node.cluster.at(delay_s * 1000.0, run)


class VirtualNode(Node):
    """A node whose world is the test's."""

    def __init__(self, cluster: Cluster, settings: Settings) -> None:
        self.cluster = cluster
        self.wall_off_ms = cluster.walls.get(settings.node.id, 0.0)
        self.writing: Persist | None = None
        self.faults: list[Fault] = []
        self._held: list[Callable[[], None]] | None = None
        super().__init__(settings)
        self._loop: Any = Loop(self)
        self.storage.in_thread = self.in_thread  # type: ignore[method-assign]
        self.time = ClusterClock(cluster.now, self.wall_ms())
        try:
            asyncio.run(self._recover())
        except Fault:
            self.storage.close()  # a real process would end
            raise
        random.seed(7)
        self._build_driver()
        self.loading = False
        self._timer()

    @property
    def id(self) -> str:
        node_id: str = self.settings.node.id
        return node_id

    @property
    def core(self) -> Any:
        return self.driver.core

    # -- stopped and continued (SIGSTOP, SIGCONT)

    @property
    def paused(self) -> bool:
        return self._held is not None

    def pause(self) -> None:
        self._held = []

    def resume(self) -> None:
        """Go on: first with what has come meanwhile through `do`."""
        held, self._held = self._held or [], None
        for work in held:
            work()

    def do(self, work: Callable[[], None]) -> None:
        """Do it now; while the node is stopped, when it goes on."""
        if self._held is None:
            work()
        else:
            self._held.append(work)

    # -- node.driver.World

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        """What the snapshots' thread would do, at once."""
        try:
            work()
        except Fault as fault:
            self.from_thread(lambda fault=fault: done(fault))  # type: ignore[misc]
        else:
            self.from_thread(lambda: done(None))

    def wall_ms(self) -> float:
        return WALL_MS + self.wall_off_ms + self.cluster.now - STARTED_MS

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        by_peer: dict[str, list[Message]] = {}
        for message in messages:
            by_peer.setdefault(message.to, []).append(message)
        for peer, mail in by_peer.items():
            self.cluster.post(self.id, peer, wire.mail(mail, self.wall_ms(), cluster_ms))

    def spread(self, messages: list[tuple[bool, bytes, bytes]]) -> None:
        for peer in self.cluster.names:
            if peer != self.id:
                self.cluster.post(self.id, peer, wire.published(messages))

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self.cluster.post(self.id, peer, wire.parcel(parcel))

    def tell(self, peer: str, frame: bytes) -> bool:
        self.cluster.post(self.id, peer, frame)
        return True

    def relay_frame(self, peer: str, frame: bytes) -> bool:
        return self.tell(peer, frame)

    def reaches(self, peer: str) -> bool:
        return peer in self.cluster.nodes

    def persist(self, persist: Persist) -> None:
        assert self.writing is None, "one write at a time"
        self.writing = persist

    def finish(self) -> bool:
        """End the journal write under way."""
        persist, self.writing = self.writing, None
        if persist is None:
            return False
        self.journal.write(persist)
        self._persisted(persist, None)
        return True

    def _fail(self, fault: Fault) -> None:
        self.faults.append(fault)
        raise fault

    def client(self) -> Client:
        return Client(self)

    def close(self) -> None:
        self.storage.close()


class Cluster:
    """Nodes, the frames between them, and the time."""

    def __init__(
        self,
        path: Path,
        size: int = 3,
        reads: str = "lease",
        walls: Mapping[str, float] | None = None,
        snapshot: Mapping[str, int] | None = None,
        on_follower_write: str = "reject",
        **limits: int,
    ) -> None:
        self.now = STARTED_MS
        self.path = path
        self.reads = reads
        self.walls = walls or {}
        """How far (ms) a node's wall clock is off."""
        self.limits = limits
        self.on_follower_write = on_follower_write
        self.snapshot = dict(snapshot or {})
        self.names = [f"node{n + 1}" for n in range(size)]
        self.nodes: dict[str, VirtualNode] = {}
        self.wires: defaultdict[tuple[str, str], deque[bytes]] = defaultdict(deque)
        self.cut: set[tuple[str, str]] = set()
        """Pairs between which frames wait."""
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = count()
        self.automatic_disk = True

    def boot(self, *names: str) -> Cluster:
        for name in names or self.names:
            self.nodes[name] = VirtualNode(self, self._settings(name))
        return self

    def crash(self, name: str) -> None:
        """As by SIGKILL: what is not on disk is gone; so are the frames to it."""
        self.nodes.pop(name).close()
        for pair in self.wires:
            if pair[1] == name:
                self.wires[pair].clear()

    def _settings(self, name: str) -> Settings:
        members = [
            {"id": n, "host": "10.0.0.1", "port": 7000 + i, "cluster_port": 8000 + i}
            for i, n in enumerate(self.names)
        ]
        me = members[self.names.index(name)]
        return Settings(
            node={"id": name, "data_dir": str(self.path / name)},
            server={
                "bind": "10.0.0.1",
                "port": me["port"],
                "on_follower_write": self.on_follower_write,
            },
            cluster={
                "enabled": len(self.names) > 1,
                "name": "c",
                "port": me["cluster_port"],
                "nodes": members,
            },
            raft={"heartbeat_ms": 50, "election_timeout_ms": 300, "reads": self.reads},
            limits=self.limits,
            journal={"map_size": 64 << 20},
            snapshot=self.snapshot,
        )

    # -- what the nodes do to each other

    def at(self, delay_ms: float, work: Callable[[], Any]) -> None:
        heappush(self._events, (self.now + delay_ms, next(self._order), work))

    def post(self, sender: str, to: str, frame: bytes) -> None:
        self.wires[sender, to].append(frame)

    def deliver(self, sender: str, to: str, most: int = 1 << 30) -> bool:
        """Hand over frames of one direction, the oldest first."""
        waiting, some = self.wires[sender, to], False
        node = self.nodes.get(to)
        while waiting and most and not (node and node.paused):
            most -= 1
            body = waiting.popleft()[wire.HEAD.size :]
            if node is not None:
                mail = wire.parse(body, sender, to)
                if isinstance(mail, wire.Published):
                    node.dispatch.pubsub.arrived(mail.messages)
                elif isinstance(mail, wire.Parcel):
                    node._on_parcel(sender, mail.content)
                elif isinstance(mail, wire.Order):
                    node._on_order(sender, mail)
                elif isinstance(mail, wire.Answer):
                    node._on_answer(sender, mail)
                elif isinstance(mail, wire.Relayed | wire.Fragment):
                    node.do(lambda mail=mail: node._on_relayed(sender, mail))  # type: ignore[misc]
                else:
                    assert isinstance(mail, wire.Mail)
                    node._on_mail(sender, mail)
            some = True
        return some

    def isolate(self, name: str) -> None:
        """Frames from and to `name` wait."""
        for other in self.names:
            if other != name:
                self.cut |= {(name, other), (other, name)}

    def heal(self, *, lose: bool = False) -> None:
        """Frames flow again; those that waited come late, or not at all."""
        if lose:
            for pair in self.cut:
                self.wires[pair].clear()
        self.cut.clear()

    # -- time

    def turn(self) -> bool:
        """Run what is due in the loops now."""
        some = False
        while self._events and self._events[0][0] <= self.now:
            heappop(self._events)[2]()
            some = True
        return some

    def settle(self) -> Cluster:
        """Let everything happen that needs no time."""
        busy = True
        while busy:
            busy = self.turn()
            for pair in [*self.wires]:
                if pair not in self.cut:
                    busy |= self.deliver(*pair)
            if self.automatic_disk:
                for node in [*self.nodes.values()]:
                    if not node.paused:
                        busy |= node.finish()
        return self

    def advance(self, ms: float) -> Cluster:
        """Let time pass, and everything happen meanwhile."""
        end = self.now + ms
        self.settle()
        while self._events and self._events[0][0] <= end:
            self.now = max(self.now, self._events[0][0])
            self.settle()
        self.now = end
        return self.settle()

    # -- who leads

    def leader(self) -> VirtualNode:
        leaders = [n for n in self.nodes.values() if n.core.role is Role.LEADER]
        assert leaders, "nobody leads"
        return max(leaders, key=lambda n: n.core.term)

    def elect(self, name: str | None = None) -> VirtualNode:
        """Have `name` (or anybody) lead, with a lease."""
        for _ in range(100):
            self.advance(100)
            # A node that has just begun with an empty directory does not vote until it has caught up.
            ready = not any(n.core.fresh for n in self.nodes.values())
            if ready and any(n.core.role is Role.LEADER for n in self.nodes.values()):
                leader = self.leader()
                if name is None or leader.id == name:
                    return leader
                leader.core.transfer(name, self.now)
        raise AssertionError("nobody was elected")

    def followers(self) -> list[VirtualNode]:
        leader = self.leader()
        return [node for node in self.nodes.values() if node is not leader]


class Socket:
    def setsockopt(self, *_: Any) -> None:
        pass

    def fileno(self) -> int:
        return 99


class Transport:
    """Remembers what a connection does to its socket."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.peer: tuple[str, int] = ("127.0.0.1", 5555)
        self.writes = 0
        self.closed = self.aborted = self.reading_paused = False
        self.protocol: Any = None
        self.high = 1 << 62
        self.stuck = False
        """The client does not read: what is written stays in the buffer."""
        self.buffered = 0

    def get_extra_info(self, name: str) -> Any:
        known = {"socket": Socket(), "peername": self.peer, "sockname": ("10.0.0.1", 7000)}
        return known.get(name)

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.closed, "written after close"
        assert not self.aborted, "written after abort"
        self.writes += 1
        if not self.stuck:
            self.sent += data
            return
        before, self.buffered = self.buffered, self.buffered + len(data)
        self.sent += data
        if before <= self.high < self.buffered:
            self.protocol.pause_writing()

    def drain(self) -> None:
        """The client has read all there was."""
        was, self.buffered = self.buffered, 0
        if was > self.high:
            self.protocol.resume_writing()

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Client:
    """A client of a virtual node. Time stands still unless the test lets it pass."""

    def __init__(self, node: VirtualNode) -> None:
        self.node = node
        self.transport = Transport()
        self.connection = Connection(node.dispatch)
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self._reader = hiredis.Reader(replyError=Error)
        self._taken = 0
        self.replies: list[Any] = []

    def send(self, *commands: str | bytes) -> Client:
        """Send each command, written in words, all in one chunk."""
        return self.raw(b"".join(encode(c.split()) for c in commands))

    def raw(self, data: bytes) -> Client:
        self.node.do(lambda: self.connection.data_received(data))
        return self

    def half_close(self) -> None:
        if not self.connection.eof_received():
            self.transport.close()

    def vanish(self) -> None:
        self.connection.connection_lost(None)

    def take(self) -> list[Any]:
        """The replies that have come since the last time."""
        self._reader.feed(bytes(self.transport.sent[self._taken :]))
        self._taken = len(self.transport.sent)
        fresh = []
        while (reply := self._reader.gets()) is not False:
            fresh.append(f"-{reply}" if isinstance(reply, Error) else reply)
        self.replies += fresh
        return fresh

    def ask(self, *commands: str | bytes) -> list[Any]:
        """Send, let everything happen that needs no time, and return the replies."""
        self.send(*commands)
        self.node.cluster.settle()
        return self.take()


class Error(Exception):
    pass


def make_time_virtual(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "boot_ms", lambda: cluster.now)
    times = SimpleNamespace(monotonic=lambda: cluster.now / 1000.0, time=time.time, time_ns=time.time_ns)
    monkeypatch.setattr("ironkv.node.node.time", times)
    monkeypatch.setattr("ironkv.node.view.time", times)
    monkeypatch.setattr(clock, "wall_ms", lambda: WALL_MS + cluster.now - STARTED_MS)


Maker = Callable[..., Cluster]


def clusters(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    made: list[Cluster] = []

    def make(size: int = 3, **more: Any) -> Cluster:
        cluster = Cluster(path / str(len(made)), size, **more)
        cluster.path.mkdir()
        make_time_virtual(cluster, monkeypatch)
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        for node in cluster.nodes.values():
            node.close()
