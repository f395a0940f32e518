"""Connections between nodes: each node dials every other and speaks on the connection it dialled.

Losing, delaying or repeating messages is harmless (Raft repeats itself), so nothing is queued for a
peer that cannot be reached, and little for one that does not read.

Harmful is only what a node said before it lost its data directory, if it comes after the node began anew:
it has forgotten that. So each directory has a random number, its birth, which hello tells, and once a peer
has shown another birth nothing more is taken from its older connections.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, cast

from ironkv import clock
from ironkv.peers import wire
from ironkv.peers.identity import check_certificate, receive_hello
from ironkv.peers.secret import Sides, check_nonce, check_proof, nonce, proof
from ironkv.raft.messages import Message
from ironkv.tls import Port

log = logging.getLogger(__name__)

HELLO_S: Final = 5.0
STRANGERS_MAX: Final = 128
"""Connections that have not said who they are: beyond, the oldest goes."""
GUESTS_MAX: Final = 16
NAMES_MAX: Final = 1_000
"""Nodes that may ever have called."""
SILENT_S: Final = 5
"""How long sent bytes may go unacknowledged by the other machine."""
RETRY_FIRST_S: Final = 0.05
RETRY_MOST_S: Final = 0.5
BURIED_S: Final = 10.0
"""How long an older birth of a peer is refused: longer than a connection of the dead process can lie unread
beside the one of its successor. Not for ever, in case we met the two in the wrong order."""
QUEUED_MAX: Final = 64 << 20
"""Bytes waiting for a peer beyond which messages are dropped."""
PUBLISHED_QUEUED_MAX: Final = 16 << 20
"""The same for what clients have published: it must not keep Raft's messages waiting for long."""
RELAYED_QUEUED_MAX: Final = 4 << 20
"""The same for relayed requests and their replies, of which nothing is dropped: the sender keeps the rest."""
PUBLISHED_FRAME: Final = 1 << 20
"""Bytes of published messages in one frame, about; a longer message has a frame to itself."""
TELL_MISSED_S: Final = 5.0

Address = tuple[str, int]
OnMail = Callable[[str, wire.Mail], None]
OnPeer = Callable[[str], None]
OnPulse = Callable[[str, int], None]


class Links:
    """All connections of this node to its peers.

    Called in the loop: `on_mail(peer, mail)`, `on_up(peer)` when it can be spoken to, `on_down(peer)`
    when a connection with it broke, `on_pulse(peer, term)` (see `peers.pulse`), `on_reborn(peer)` when it
    is known by another birth than before: no mail of its older life follows, nor any of the newer precedes;
    `on_parcel(peer, content)` for parts of a snapshot; `on_published(messages)` for what a peer's clients
    have published, in the order in which the peer sent it, and nothing twice; `on_order`, `on_answer` for
    what an operator asked of another node (`node.membership`); `on_relayed(peer, frame)` for relayed
    requests and their replies, on each connection in order and on none once a newer one has carried some.
    """

    def __init__(
        self,
        cluster: str,
        node_id: str,
        peers: Mapping[str, Address],
        frame_max: int,
        *,
        on_mail: OnMail,
        on_up: OnPeer,
        on_down: OnPeer,
        on_pulse: OnPulse = lambda peer, term: None,
        on_reborn: OnPeer = lambda peer: None,
        on_parcel: Callable[[str, list[Any]], None] = lambda peer, content: None,
        on_published: Callable[[list[tuple[bool, bytes, bytes]]], None] = lambda messages: None,
        on_order: Callable[[str, wire.Order], None] = lambda peer, order: None,
        on_answer: Callable[[str, wire.Answer], None] = lambda peer, answer: None,
        on_relayed: Callable[[str, wire.Relayed | wire.Fragment], None] = lambda peer, frame: None,
        birth: int = 0,
        secret: bytes = b"",
    ) -> None:
        self.cluster = cluster
        self.node_id = node_id
        self.peers = dict(peers)
        """Whom to dial, and where. Replaced, never changed: the pulse's thread reads it."""
        self.frame_max = frame_max
        self.birth, self.secret = birth, secret
        self.dialling_tls: ssl.SSLContext | None = None
        """For connections to be dialled; those to be accepted have that of the port."""
        self.on_reborn, self.on_parcel, self.on_published = on_reborn, on_parcel, on_published
        self.on_order, self.on_answer, self.on_relayed = on_order, on_answer, on_relayed
        self.on_mail, self.on_pulse, self.on_up, self.on_down = on_mail, on_pulse, on_up, on_down
        self._port = Port(lambda: _Accepted(self))
        self._dialled: dict[str, _Dialled] = {}
        self._guests: dict[str, _Accepted] = {}
        """Nodes that are not dialled, but have called and proven that they belong here: members of which
        this node's log does not know yet, or such as do not know that they were removed (Raft §6)."""
        self._accepted: set[_Accepted] = set()
        self._strangers: dict[_Link, None] = {}
        """Accepted, and not known yet, the oldest first."""
        self._dialers: dict[str, asyncio.Task[None]] = {}
        self._dialling = False
        self._told: set[str] = set()
        self._births: dict[str, int] = {}
        self._buried: dict[tuple[str, int], float] = {}
        self._links_made = 0
        self._published_on: dict[str, int] = {}
        self._relayed_on: dict[str, int] = {}
        self.missed = 0
        """Published messages that some peer was not sent: it was too far behind."""
        self._tell_missed_at = 0.0

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Open the cluster port. Raises OSError."""
        await self._port.open(host, port, tls)

    async def renew(self, accepting: ssl.SSLContext | None, dialling: ssl.SSLContext | None) -> None:
        """Use other contexts from the next connection on."""
        self.dialling_tls = dialling
        await self._port.renew(accepting)

    def own_hello(self) -> wire.Hello:
        """For one connection."""
        return wire.Hello(wire.VERSION, self.cluster, self.node_id, self.birth, nonce(self.secret))

    def introduce(self, sock: socket.socket, peer: str) -> socket.socket:
        """Do over a socket that waits what `_Dialled` does in the loop, for the thread of `peers.pulse`;
        which socket to write to then. Raises OSError, WireError."""
        if self.dialling_tls is not None:
            sock = self.dialling_tls.wrap_socket(sock)
            check_certificate(sock.getpeercert(), peer, self.peers)
        mine = self.own_hello()
        sock.sendall(wire.hello(*mine[1:]))
        if self.secret:
            theirs = receive_hello(sock)
            check_nonce(self.secret, mine, theirs)
            sock.sendall(wire.proof(proof(self.secret, dialled=True, dialler=mine, acceptor=theirs)))
        return sock

    def dial(self) -> None:
        """Start to connect to every peer, for as long as this node runs."""
        self._dialling = True
        self.follow(self.peers)

    def follow(self, peers: Mapping[str, Address]) -> None:
        """Dial these from now on, and nobody else."""
        before, self.peers = self.peers, dict(peers)
        for peer in [peer for peer in self._dialers if peers.get(peer) != before.get(peer)]:
            self._dialers.pop(peer).cancel()
        if self._dialling:
            for peer in peers.keys() - self._dialers.keys():
                self._dialers[peer] = asyncio.create_task(self._keep_dialled(peer, *peers[peer]))

    async def _keep_dialled(self, peer: str, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        wait = RETRY_FIRST_S
        while True:
            try:
                # Not wait_for: that of Python 3.11 may forget that it was cancelled.
                async with asyncio.timeout(HELLO_S):
                    _, link = await loop.create_connection(
                        lambda: _Dialled(self, peer), host, port, ssl=self.dialling_tls
                    )
            except (OSError, TimeoutError):
                wait = min(wait * 2, RETRY_MOST_S)
            else:
                try:
                    if await link.closed:
                        wait = RETRY_FIRST_S
                finally:
                    link.transport.close()
            await asyncio.sleep(wait)

    def send(self, messages: Iterable[Message], cluster_ms: float) -> None:
        """Send each message to its `to`; those for unreachable peers are dropped."""
        by_peer: dict[str, list[Message]] = {}
        for message in messages:
            by_peer.setdefault(message.to, []).append(message)
        for peer, mail in by_peer.items():
            link = self._dialled.get(peer) or self._guests.get(peer)
            if link is not None and link.room():
                link.transport.write(wire.mail(mail, clock.wall_ms(), cluster_ms))

    def send_parcel(self, peer: str, content: list[Any]) -> None:
        """Send part of a snapshot; dropped when the peer is unreachable or does not read."""
        self.tell(peer, wire.parcel(content))

    def tell(self, peer: str, frame: bytes) -> bool:
        """Send a frame; False when the peer is unreachable or does not read."""
        link = self._dialled.get(peer) or self._guests.get(peer)
        if link is None or not link.room():
            return False
        link.transport.write(frame)
        return True

    def relay(self, peer: str, frame: bytes) -> bool:
        """As `tell`, while little waits for the peer: Raft's messages must not stand in line for long."""
        link = self._dialled.get(peer) or self._guests.get(peer)
        if link is None or link.transport.get_write_buffer_size() > RELAYED_QUEUED_MAX:
            return False
        link.transport.write(frame)
        return True

    def publish(self, messages: Iterable[tuple[bool, bytes, bytes]]) -> None:
        """Send to every peer what clients have published, in order. One that cannot be reached, or does not
        keep up, misses it."""
        if not self._dialled:
            return
        for some in _of_size(messages, PUBLISHED_FRAME):
            frame = wire.published(some)
            for peer, link in self._dialled.items():
                if link.transport.get_write_buffer_size() < PUBLISHED_QUEUED_MAX:
                    link.transport.write(frame)
                else:
                    self._missed(peer, len(some))

    def _missed(self, peer: str, count: int) -> None:
        now = asyncio.get_running_loop().time()
        self.missed += count
        if now >= self._tell_missed_at:
            self._tell_missed_at = now + TELL_MISSED_S
            log.warning(
                "%s does not keep up: messages of publishers are lost to it (%d so far)", peer, self.missed
            )

    def online(self, peer: str) -> bool:
        """Whether the peer can be spoken to."""
        return peer in self._dialled or peer in self._guests

    def refuse(self, who: str, why: str) -> None:
        """Log a rejected peer, once per reason: a misconfigured one calls twice a second."""
        why = why[:200]
        if f"{who} {why}" not in self._told and len(self._told) < 1000:
            self._told.add(f"{who} {why}")
            log.warning("peer %s rejected: %s", who, why)

    def met(self, peer: str, birth: int) -> None:
        """A peer said hello. Raises WireError if a newer life of it is known."""
        known = self._births.setdefault(peer, birth)
        if birth == known:
            return
        now = asyncio.get_running_loop().time()
        if self._buried.get((peer, birth), now) > now:
            raise wire.WireError("its data directory has been replaced by another")
        log.warning("%s comes with another data directory than before", peer)
        self._buried[peer, known] = now + BURIED_S
        self._births[peer] = birth
        for accepted in [link for link in self._accepted if link.peer == peer]:
            accepted.hang_up()
        if peer in self._dialled:
            dialled = self._dialled[peer]
            dialled.hang_up()
            self.down(peer, dialled)
        self.on_reborn(peer)

    def up(self, peer: str, link: _Dialled) -> None:
        self._dialled[peer] = link
        log.info("connected to %s", peer)
        self.on_up(peer)

    def down(self, peer: str, link: _Dialled) -> None:
        if self._dialled.get(peer) is link:
            del self._dialled[peer]
            log.info("connection to %s lost", peer)
            self.on_down(peer)

    @property
    def full(self) -> bool:
        """No more guests are taken."""
        return len(self._guests) >= GUESTS_MAX or len(self._births) >= NAMES_MAX

    def joined(self, link: _Accepted) -> None:
        self._accepted.add(link)
        self._strangers[link] = None
        if len(self._strangers) > STRANGERS_MAX:
            next(iter(self._strangers)).transport.abort()

    def known(self, link: _Link) -> None:
        """It is a stranger no more."""
        self._strangers.pop(link, None)

    def visited(self, link: _Accepted) -> None:
        """A node has called. If it is not dialled it is answered where it called."""
        if link.peer not in self.peers:
            if link.peer not in self._guests:
                log.info("%s calls, which is no member as far as this node knows", link.peer)
            self._guests[link.peer] = link
            self.on_up(link.peer)

    def number(self) -> int:
        """A new connection's: later ones have higher numbers."""
        self._links_made += 1
        return self._links_made

    def heard_published(self, link: _Link, messages: list[tuple[bool, bytes, bytes]]) -> None:
        """A peer sent what its clients have published. Once it has done so on a newer connection, what is
        still found on an older one comes too late: it would be out of order."""
        if link.number >= self._published_on.get(link.peer, 0):
            self._published_on[link.peer] = link.number
            self.on_published(messages)

    def heard_relayed(self, link: _Link, frame: wire.Relayed | wire.Fragment) -> None:
        if link.number >= self._relayed_on.get(link.peer, 0):
            self._relayed_on[link.peer] = link.number
            self.on_relayed(link.peer, frame)

    def left(self, link: _Accepted) -> None:
        self._accepted.discard(link)
        self._strangers.pop(link, None)
        if self._guests.get(link.peer) is link:
            del self._guests[link.peer]
        if link.mailed:
            self.on_down(link.peer)

    async def close(self) -> None:
        """End every connection."""
        dialers = [*self._dialers.values()]
        for task in dialers:
            task.cancel()
        await asyncio.gather(*dialers, return_exceptions=True)
        self._port.close()
        for dialled in [*self._dialled.values()]:
            dialled.transport.close()
        for accepted in [*self._accepted]:
            accepted.transport.close()


def _of_size(
    messages: Iterable[tuple[bool, bytes, bytes]], most: int
) -> Iterator[list[tuple[bool, bytes, bytes]]]:
    """The messages in lists of `most` bytes or little more, save that each has one at least."""
    some: list[tuple[bool, bytes, bytes]] = []
    size = 0
    for message in messages:
        if some and size + len(message[2]) > most:
            yield some
            some, size = [], 0
        some.append(message)
        size += len(message[1]) + len(message[2]) + 16
    if some:
        yield some


def _notice_silence(sock: socket.socket) -> None:
    """Have the kernel end a connection on which nothing is acknowledged: a broken network closes nothing,
    and TCP would try for a quarter of an hour, ever more rarely, while a new connection stands at once."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_S * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)


class _Link(asyncio.Protocol):
    """One connection: hello first, within a time limit."""

    transport: asyncio.Transport
    dialled: bool

    def __init__(self, links: Links) -> None:
        self.links = links
        self.number = links.number()
        self.peer = ""
        self.mailed = False
        """Whether it carried mail: losing a connection that only pulsed means nothing."""
        self._over = False
        self._frames = wire.Frames(links.frame_max)
        self._hello_timer: asyncio.TimerHandle | None = None
        self.mine = links.own_hello()
        self.theirs: wire.Hello | None = None
        """What the other side said, proven or not."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _notice_silence(sock)
        self._hello_timer = asyncio.get_running_loop().call_later(HELLO_S, self.transport.abort)

    def room(self) -> bool:
        return self.transport.get_write_buffer_size() < QUEUED_MAX

    def hang_up(self) -> None:
        """Take nothing more; and that it ends means nothing."""
        self._over, self.mailed = True, False
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            for body in self._frames.feed(data):
                frame = wire.parse(body, self.peer, self.links.node_id)
                if isinstance(frame, wire.Hello):
                    self._greeted(frame)
                elif isinstance(frame, wire.Proof):
                    self._proven(frame.digest)
                elif not self.peer:
                    raise wire.WireError("mail before hello")
                elif isinstance(frame, wire.Pulse):
                    self.links.on_pulse(self.peer, frame.term)
                elif isinstance(frame, wire.Parcel):
                    self.links.on_parcel(self.peer, frame.content)
                elif isinstance(frame, wire.Published):
                    self.links.heard_published(self, frame.messages)
                elif isinstance(frame, wire.Order):
                    self.links.on_order(self.peer, frame)
                elif isinstance(frame, wire.Answer):
                    self.links.on_answer(self.peer, frame)
                else:
                    if not self.mailed:
                        self.mailed = True
                        self._spoke()
                    if isinstance(frame, wire.Mail):
                        self.links.on_mail(self.peer, frame)
                    else:
                        self.links.heard_relayed(self, frame)
        except wire.WireError as error:
            host = self.transport.get_extra_info("peername") or ("?",)
            self.links.refuse(self.peer or str(host[0]), str(error))
            self.transport.abort()

    def _greeted(self, hello: wire.Hello) -> None:
        links = self.links
        if self.theirs is not None:
            raise wire.WireError("a second hello")
        if hello.version != wire.VERSION:
            raise wire.WireError(f"it speaks peer protocol {hello.version}, this node {wire.VERSION}")
        if hello.cluster != links.cluster:
            raise wire.WireError(f"it is of cluster {hello.cluster!r}, this is {links.cluster!r}")
        if hello.node == links.node_id:
            raise wire.WireError("it has this node's own id")
        if hello.node not in links.peers and links.full:
            raise wire.WireError(f"{hello.node!r} is no member of this cluster")
        self._check_name(hello.node)
        if self.transport.get_extra_info("sslcontext") is not None:
            check_certificate(self.transport.get_extra_info("peercert"), hello.node, links.peers)
        check_nonce(links.secret, self.mine, hello)
        self.theirs = hello
        if links.secret:
            self._go_on()
        else:
            self._admit(hello)

    def _prove(self) -> None:
        assert self.theirs is not None
        self.transport.write(wire.proof(proof(self.links.secret, **self._sides(self.dialled))))

    def _proven(self, digest: bytes) -> None:
        links = self.links
        if self.theirs is None or self.peer or not links.secret:
            raise wire.WireError("a proof that nobody asked for")
        check_proof(links.secret, digest, **self._sides(not self.dialled))
        if not self.dialled:
            self._prove()
        self._admit(self.theirs)

    def _sides(self, dialled: bool) -> Sides:
        assert self.theirs is not None
        one, other = (self.mine, self.theirs) if self.dialled else (self.theirs, self.mine)
        return {"dialled": dialled, "dialler": one, "acceptor": other}

    def _admit(self, hello: wire.Hello) -> None:
        """It is who it says it is."""
        self.links.met(hello.node, hello.birth)
        self.peer = hello.node
        self._frames.trust()
        self._stop_timer()
        self.links.known(self)
        self._ready()

    def _check_name(self, name: str) -> None:
        pass

    def _go_on(self) -> None:
        """There is a secret to be proven, and the other side has said hello."""
        raise NotImplementedError

    def _ready(self) -> None:
        raise NotImplementedError

    def _spoke(self) -> None:
        """The first mail came."""

    def _stop_timer(self) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
            self._hello_timer = None


class _Accepted(_Link):
    """A peer dialled us: it speaks, we listen."""

    dialled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.links.joined(self)

    def _go_on(self) -> None:
        self.transport.write(wire.hello(*self.mine[1:]))

    def _ready(self) -> None:
        if not self.links.secret:
            self.transport.write(wire.hello(*self.mine[1:]))

    def _spoke(self) -> None:
        self.links.visited(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.links.left(self)


class _Dialled(_Link):
    """We dialled a peer: we speak once it has answered our hello."""

    dialled = True

    def __init__(self, links: Links, wanted: str) -> None:
        super().__init__(links)
        self.wanted = wanted
        self.closed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Resolved when the connection is gone: True if the peer had answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(wire.hello(*self.mine[1:]))

    def _check_name(self, name: str) -> None:
        if name != self.wanted:
            raise wire.WireError(f"{name!r} answered at the address of {self.wanted!r}")

    def _go_on(self) -> None:
        self._prove()

    def _ready(self) -> None:
        self.links.up(self.peer, self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.links.down(self.wanted, self)
        if not self.closed.done():
            self.closed.set_result(bool(self.peer))
