"""The leader's side of relayed requests: sessions of clients that are connected to other nodes.

A session is a connection without a socket. Its requests come in runs, one at a time, over the link from the
client's node, which has checked what the client may do; its output goes back there. So everything that a
connection can be in the middle of (a watch, a blocking pop) is what it always is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from ironkv.commands.client_blocking import UNBLOCKED
from ironkv.errors import CommandError, NotAvailable
from ironkv.resp.parser import Request
from ironkv.resp.replies import NULL_ARRAY, OK, Reply
from ironkv.server.blocking import STEPPED_DOWN
from ironkv.server.connection import OUT_SLICE, Connection
from ironkv.server.relays import (
    ACK,
    CLOSE,
    CLOSED,
    DONE,
    EOF,
    LEAVING,
    LEFT,
    NEW,
    PART,
    REFUSED,
    RUN,
    TRANSACTION,
    UNBLOCK,
    UNWATCH,
    Tell,
)

if TYPE_CHECKING:
    import asyncio

    from ironkv.server.dispatch import Dispatch


class RelayedSession(Connection):
    """A client's connection as the leader has it."""

    def __init__(self, dispatch: Dispatch, sessions: RelayedSessions, peer: str, number: int) -> None:
        super().__init__(dispatch)
        self.sessions, self.peer, self.number = sessions, peer, number
        self.transport = cast("asyncio.Transport", _Way(self))
        self.run = 0
        """Which is under way; 0 for none."""
        self.parts: list[bytes] = []
        """Replies to it that are still to be sent."""
        self.unread = 0
        """Bytes of replies to it that the client has not taken, as far as is known."""
        self._refused = 0
        """Replies so far that say that nothing was done …"""
        self._mixed = False
        """… and whether others came after them."""

    def carry_out(self, run: int, flags: int, requests: list[Request]) -> None:
        """Carry out a run of requests; that before it is done."""
        dispatch = self.dispatch
        self.run, self._refused, self._mixed, self.unread = run, 0, False, 0
        size = sum(len(argument) for args in requests for argument in args)
        if flags & TRANSACTION:
            dispatch.transactions.load(self, requests)
            requests = [[b"EXEC"]]
        dispatch.run_weighed(self, requests, size)
        dispatch.to_flush(self)
        dispatch.server.wake()

    # -- replies

    def answer(self, reply: Reply) -> None:
        if self._is_refusal(reply):
            self._refused += 1
        elif self._refused:
            self._mixed = True
        super().answer(reply)

    def _is_refusal(self, reply: Reply) -> bool:
        """Whether another leader may be asked for the same."""
        if isinstance(reply, NotAvailable):
            no_room = self.dispatch.server.no_room
            return no_room is None or str(no_room) not in str(reply)
        return isinstance(reply, Exception) and str(reply) == STEPPED_DOWN

    def settle(self, settled: list[Reply]) -> None:
        if settled[0] is OK or not any(isinstance(reply, NotAvailable) for reply in settled):
            self._mixed |= self._refused > 0
            super().settle(settled)
            return
        self.owed_less(len(settled))
        for reply in settled:
            self.answer(reply)
        self.dispatch.to_flush(self)

    def flush(self) -> None:
        super().flush()
        if not (self.pending or self.stalled or self.backlog or self.out):
            self.finish()

    def finish(self) -> None:
        """All of the run is answered."""
        if self.run:
            refused = 0 if self._mixed else self._refused
            self._tell([DONE, self.number, self.run, refused, b"".join(self.parts)])
            self.parts.clear()
            self.run = 0

    def write(self, data: bytes) -> None:
        self.parts.append(data)
        self.unread += len(data)
        if self.unread > OUT_SLICE:
            self._tell([PART, self.number, self.run, b"".join(self.parts)])
            self.parts.clear()
            self.pause_writing()

    def taken(self, size: int) -> None:
        """The client has taken so much of it."""
        self.unread -= size
        if self.unread <= OUT_SLICE:
            self.resume_writing()

    def end(self) -> None:
        """It is closed from here, with everything answered."""
        self.finish()
        self.break_off()

    def break_off(self) -> None:
        self._tell([CLOSED, self.number])
        self.sessions.forget(self)

    def client_ends(self) -> None:
        """The client will send nothing more, and waits here."""
        if not self.eof_received():
            self.kill()

    def unblock_as(self, run: int, error: bool) -> None:
        if run == self.run:
            self.unblock(CommandError(UNBLOCKED) if error else NULL_ARRAY)

    def _tell(self, message: list[Any]) -> None:
        self.sessions.tell(self.peer, message)


class _Way:
    """As much of a transport as a connection uses."""

    def __init__(self, session: RelayedSession) -> None:
        self._session = session
        self.write = session.write
        self.close, self.abort = session.end, session.break_off

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self._session.unread

    def pause_reading(self) -> None:
        """One run at a time: nothing comes before it is done."""

    resume_reading = pause_reading


class RelayedSessions:
    """All sessions of clients of other nodes."""

    def __init__(self, dispatch: Dispatch, tell: Tell) -> None:
        self._dispatch = dispatch
        self.tell = tell
        self._sessions: dict[tuple[str, int], RelayedSession] = {}
        self._told: set[str] = set()
        """Who has not answered yet that nothing more will come."""

    def __len__(self) -> int:
        return len(self._sessions)

    def arrived(self, peer: str, message: list[Any]) -> None:
        """A message to the leader. Raises ValueError, TypeError if it is malformed."""
        kind, number, *rest = message
        session = self._sessions.get((peer, number))
        if kind == RUN:
            self._run(peer, number, session, *rest)
        elif kind == LEFT:
            self._told.discard(peer)
            self._dispatch.server.wake()
        elif session is None:
            return
        elif kind == ACK:
            session.taken(*rest)
        elif kind == UNWATCH:
            session.unwatch()
        elif kind == EOF:
            session.client_ends()
        elif kind == UNBLOCK:
            session.unblock_as(*rest)
        elif kind == CLOSE:
            self.forget(session)

    def _run(
        self,
        peer: str,
        number: int,
        session: RelayedSession | None,
        run: int,
        flags: int,
        database: int,
        proto: int,
        who: list[Any],
        requests: list[Request],
    ) -> None:
        if any(type(args) is not list or {*map(type, args)} != {bytes} for args in requests) or not requests:
            raise ValueError("a relayed request that is none")
        # Whoever does not lead passes nothing on: one hop at most.
        if not self._dispatch.server.leading or (session is None and not flags & NEW):
            self.tell(peer, [REFUSED, number, run])
            return
        if session is None:
            session = RelayedSession(self._dispatch, self, peer, number)
            session.user, session.name, session.address = who[0], who[1], who[2]
            self._sessions[peer, number] = session
        session.db_index, session.proto = database, proto
        session.carry_out(run, flags, requests)

    def forget(self, session: RelayedSession) -> None:
        """Its client is gone, or is told that it is closed."""
        if self._sessions.pop((session.peer, session.number), None) is not None:
            session.run = 0
            session.connection_lost(None)

    def lost(self, peer: str) -> None:
        """A connection with that node broke: what its sessions have been told or have said may be missing."""
        self._told.discard(peer)
        for session in [session for key, session in self._sessions.items() if key[0] == peer]:
            self.forget(session)

    def leave(self, peers: Iterable[str]) -> None:
        """This node is about to stop: have these nodes ask another."""
        if self._dispatch.forwarding is None:
            return  # nor do they
        self._dispatch.forwarding.leave()
        self._told = set(peers)
        for peer in self._told:
            self.tell(peer, [LEAVING, 0])

    @property
    def settled(self) -> bool:
        """After `leave`: nothing is under way, here or from here, but what waits for others' writes."""
        forwarding = self._dispatch.forwarding
        if forwarding is None:
            return True
        running = any(session.run and not session.blocked for session in self._sessions.values())
        return not (self._told or running) and forwarding.idle

    @property
    def idle(self) -> bool:
        """After `leave`: nothing is under way, and nothing more will come."""
        if self._told or any(session.run for session in self._sessions.values()):
            return False
        forwarding = self._dispatch.forwarding
        return forwarding is None or forwarding.idle
