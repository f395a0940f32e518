"""on_follower_write = "forward": what only the leader can do is relayed to it.

Of each client one run of requests is under way at a time: a pipeline's writes and the reads between them, or
one that may wait, or one transaction. What comes meanwhile waits in its backlog, and joins the next run.

    not sent, or refused     the next leader is asked, until `patience_ms` is over
    sent and not answered    when the connection or the leader is lost, the client is told that the outcome is
                             unknown; only reads are sent again

A watch is the session's on the leader; if that is lost, EXEC says that something watched was touched.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands.arguments import database_index
from ironkv.commands.configuration import sets_shared
from ironkv.commands.later import Later
from ironkv.commands.table import TABLE, Args, Command, Route, find
from ironkv.commands.transactions import ABORTED
from ironkv.errors import UNKNOWN, CommandError, NotAvailable, OutcomeUnknown
from ironkv.resp.parser import Request
from ironkv.resp.replies import NULL_ARRAY, Reply
from ironkv.server import relays
from ironkv.server.relays import Tell

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch
    from ironkv.server.transactions import Queue

FOR_LEADER: Final = frozenset({"WAIT", "WAITAOF", "WATCH"})
"""They ask nothing of the state, and yet only the leader can answer."""
CONFIG_SET: Final = "CONFIG|SET"
MAY_TRAVEL: Final = frozenset({"ECHO", "PING", "PUBLISH", "SELECT", "SPUBLISH", "TIME"})
"""What a node answers by itself, and the leader as well when it is part of a transaction."""
NUMBERS: Final = 1 << 62
ASK_AGAIN_S: Final = 0.02


class Relayed:
    """A client's requests on their way to the leader, and its session there."""

    def __init__(self, forwarding: Forwarding, connection: Connection) -> None:
        self.forwarding = forwarding
        self.connection = connection
        self.peer = ""
        """Where the session is."""
        self.number = 0
        """Of the session; 0 while there is none."""
        self.run = 0
        self.requests: list[Request] = []
        """Of the run under way, as far as they are not answered."""
        self.queue: Queue | None = None
        """Of the transaction that the run is."""
        self.blocks = False
        """The run may wait for something to pop or to read."""
        self.streamed = False
        """Part of the replies went to the client."""
        self.deadline = 0.0
        """Until when to look for a leader (steady ms)."""
        self.reads_until: float | None = None
        """The same for reads of this node's state, since the first time that no leader confirmed it."""
        self.moved_at: float | None = None
        """When it was seen that another node leads than the one that was asked."""
        self.watches = False
        """The run is WATCH."""
        self.watching = False
        self.watch_lost = False
        self.unacknowledged = 0

    @property
    def count(self) -> int:
        """How many replies are owed."""
        return 1 if self.queue is not None else len(self.requests)

    def unwatch(self) -> None:
        if self.watching and self.number:
            self.forwarding.tell(self.peer, [relays.UNWATCH, self.number])
        self.watching = self.watch_lost = False

    def client_ends(self) -> None:
        if self.blocks and self.number:
            self.forwarding.tell(self.peer, [relays.EOF, self.number])

    def interrupt(self, reply: Reply) -> None:
        error = isinstance(reply, CommandError)
        self.forwarding.tell(self.peer, [relays.UNBLOCK, self.number, self.run, error])

    def client_took(self) -> None:
        """What there was of the replies was handed to the client."""
        if self.unacknowledged and not self.connection.is_slow:
            self.forwarding.tell(self.peer, [relays.ACK, self.number, self.unacknowledged])
            self.unacknowledged = 0

    def drop_session(self) -> None:
        self.number = 0
        if self.watching:
            self.watching, self.watch_lost = False, True


class Forwarding:
    """Relays the requests of this node's clients while another leads."""

    def __init__(self, dispatch: Dispatch, tell: Tell) -> None:
        self._dispatch = dispatch
        self.tell = tell
        self._sessions: dict[int, Relayed] = {}
        """By number; their runs are under way, or they are between two."""
        self._waiting: dict[Relayed, None] = {}
        """Runs that nobody has been asked to carry out, or that were refused."""
        self._leaving: set[str] = set()
        """Nodes that said that they stop."""
        self._asked_of: str | None = None
        """The leader, once nothing is under way to any other."""
        self.requests = self.unknown = 0
        """Sent to leaders so far, and those of which nobody can tell what became of them."""
        self._last_number = random.SystemRandom().randrange(NUMBERS)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def waiting(self) -> int:
        """Clients whose requests wait for a leader."""
        return len(self._waiting)

    # -- what clients send

    def relay(self, connection: Connection, row: Command, args: Args, rest: Iterator[Request]) -> None:
        """Have the leader carry out a request, and of those after it what can go along. The connection stands
        still now, and the others wait."""
        backlog = connection.backlog
        if connection.pending:  # from when this node led
            backlog.extendleft(reversed([args, *rest]))
            return
        run = [args]
        alone = row.blocks or row.route is Route.LOCAL or connection.replies != "on"
        seen = set() if "|" in row.name else {args[0]}
        for following in () if alone else rest:
            name = following[0]
            if name not in seen:
                if not _goes_along(following):
                    backlog.extendleft(reversed([following, *rest]))
                    break
                if name in TABLE and not TABLE[name].subcommands:
                    seen.add(name)
            run.append(following)
        if alone:
            backlog.extendleft(reversed([*rest]))
        relayed = self._of(connection)
        relayed.queue, relayed.blocks, relayed.watches = None, row.blocks, row.name == "WATCH"
        self._begin(relayed, run)

    def transaction(self, connection: Connection, queue: Queue) -> bool:
        """Deal with EXEC; False if this node can carry it out by itself."""
        relayed, leading = connection.relayed, self._dispatch.server.leading
        watching = relayed is not None and relayed.watching
        lost = relayed is not None and relayed.watch_lost
        if lost or (watching if leading else connection.watching is not None):
            self._dispatch.transactions.discard(connection)
            self._dispatch.say(connection, NULL_ARRAY)
            return True
        if leading or not (watching or Route.WRITE in queue.routes):
            return False
        refusal = self._refusal(connection, queue)
        if refusal is not None:
            self._dispatch.transactions.discard(connection)
            self._dispatch.say(connection, refusal)
            return True
        connection.transaction = None
        relayed = self._of(connection)
        relayed.queue, relayed.blocks, relayed.watches = queue, False, False
        self._begin(relayed, [args for _, args in queue.commands])
        return True

    def _refusal(self, connection: Connection, queue: Queue) -> CommandError | None:
        """Why a transaction cannot be relayed."""
        for row, args in queue.commands:
            refusal = self._dispatch.guarding.refusal_at_exec(connection, row, args)
            if refusal is not None:
                return CommandError(f"{ABORTED}: {refusal}")
            if row.route is Route.LOCAL and row.name not in MAY_TRAVEL:
                return CommandError(
                    f"{ABORTED}: '{row.lower_name}' concerns this node, and the transaction is the leader's"
                )
        return None

    def asks_again(self, connection: Connection) -> bool:
        """Have a read that no leader confirmed wait for one, unless it has waited long enough."""
        server, relayed = self._dispatch.server, self._of(connection)
        now = server.steady_ms()
        if relayed.reads_until is None:
            relayed.reads_until = now + server.patience_ms
        elif now >= relayed.reads_until:
            relayed.reads_until = None
            return False

        def again() -> None:
            if not connection.lost:
                self._dispatch.stalls.for_read(connection)

        server.call_later(ASK_AGAIN_S, again)
        return True

    def _of(self, connection: Connection) -> Relayed:
        if connection.relayed is None:
            connection.relayed = Relayed(self, connection)
        return connection.relayed

    def _begin(self, relayed: Relayed, requests: list[Request]) -> None:
        server, connection = self._dispatch.server, relayed.connection
        relayed.requests, relayed.streamed = requests, False
        relayed.deadline = server.steady_ms() + server.patience_ms
        connection.stalled = True
        connection.later = later = Later()
        later.waits = relayed.blocks
        if relayed.blocks:
            later.interrupt = relayed.interrupt
        self._ask(relayed)

    # -- asking

    def _ask(self, relayed: Relayed) -> None:
        """Send the run to the leader; with none in reach it waits for one."""
        server, connection = self._dispatch.server, relayed.connection
        leader = server.leader()
        self._waiting.pop(relayed, None)
        if server.leading:
            self._take_back(relayed)
            return
        if leader is None or leader in self._leaving or not server.reaches(leader):
            self._waiting[relayed] = None
            return
        flags, who = 0, []
        if not relayed.number or relayed.peer != leader:
            self._end_session(relayed)
            if relayed.watch_lost and relayed.queue is not None:
                self._answer(relayed, NULL_ARRAY)
                return
            self._last_number = relayed.number = (self._last_number + 1) % NUMBERS
            self._sessions[relayed.number] = relayed
            relayed.peer = leader
            flags, who = relays.NEW, [connection.user, connection.name, connection.address]
        if relayed.queue is not None:
            flags |= relays.TRANSACTION
        relayed.run += 1
        relayed.moved_at = None
        self.requests += len(relayed.requests)
        what = [relays.RUN, relayed.number, relayed.run, flags, connection.db_index, connection.proto, who]
        self.tell(leader, [*what, relayed.requests])

    def _take_back(self, relayed: Relayed) -> None:
        """This node leads now."""
        connection, requests = relayed.connection, relayed.requests
        if relayed.queue is not None:
            connection.transaction = relayed.queue
            requests = [[b"EXEC"]]
        connection.backlog.extendleft(reversed(requests))
        self._over(relayed)

    def _over(self, relayed: Relayed) -> None:
        """Nothing of it is under way any more."""
        connection = relayed.connection
        relayed.requests, relayed.queue, relayed.blocks = [], None, False
        connection.stalled = False
        connection.later = None
        self._dispatch.to_flush(connection)
        self._dispatch.server.wake()

    def _answer(self, relayed: Relayed, *replies: Reply) -> None:
        for reply in replies:
            relayed.connection.answer(reply)
        if relayed.queue is not None:
            relayed.watching = relayed.watch_lost = False
        self._over(relayed)

    def _end_session(self, relayed: Relayed) -> None:
        if relayed.number:
            self._sessions.pop(relayed.number, None)
            self.tell(relayed.peer, [relays.CLOSE, relayed.number])
            relayed.drop_session()

    # -- what comes back

    def arrived(self, peer: str, message: list[Any]) -> None:
        """A message from a leader. Raises ValueError, TypeError if it is malformed."""
        kind, number, *rest = message
        if kind == relays.LEAVING:
            self._leaving.add(peer)
            self.tell(peer, [relays.LEFT, 0])
            return
        relayed = self._sessions.get(number)
        if relayed is None or relayed.peer != peer:
            return
        if kind == relays.CLOSED:
            self._closed(relayed)
        elif not relayed.requests or rest[0] != relayed.run:
            return
        elif kind == relays.PART:
            self._part(relayed, *rest[1:])
        elif kind == relays.DONE:
            self._done(relayed, *rest[1:])
        elif kind == relays.REFUSED:
            self._end_session(relayed)
            self._waiting[relayed] = None

    def _part(self, relayed: Relayed, data: bytes) -> None:
        relayed.streamed = True
        relayed.unacknowledged += len(data)
        relayed.connection.pass_on(data)
        relayed.connection.flush()
        relayed.client_took()

    def _done(self, relayed: Relayed, refused: int, data: bytes) -> None:
        connection, server = relayed.connection, self._dispatch.server
        if relayed.blocks:  # it has waited for long, perhaps
            relayed.deadline = server.steady_ms() + server.patience_ms
        if refused and server.steady_ms() < relayed.deadline:
            head = _without_refusals(data, refused)
            if head is not None:
                if head:
                    connection.pass_on(head)
                    self._dispatch.to_flush(connection)
                if relayed.queue is None:
                    del relayed.requests[:-refused]
                elif relayed.watching:
                    self._answer(relayed, NULL_ARRAY)
                    return
                self._waiting[relayed] = None
                server.wake()
                return
        connection.pass_on(data)
        relayed.watching |= relayed.watches
        if relayed.queue is not None:
            relayed.watching = False
            if data[:1] == b"*" and data[1:2] != b"-":
                _select(connection, relayed.queue)
        self._over(relayed)

    def _closed(self, relayed: Relayed) -> None:
        self._sessions.pop(relayed.number, None)
        relayed.drop_session()
        if relayed.requests:
            relayed.connection.kill()

    # -- leaders come and go

    def look(self) -> None:
        """Ask for what waits, if there is a leader; called often."""
        server = self._dispatch.server
        if not (self._sessions or self._waiting):
            return
        now = server.steady_ms()
        for relayed in [*self._waiting]:
            if now >= relayed.deadline:
                del self._waiting[relayed]
                self._answer(relayed, *[server.no_quorum()] * relayed.count)
            else:
                self._ask(relayed)
        if server.leader() != self._asked_of:
            self._look_for_strays(server.leader(), now)

    def _look_for_strays(self, leader: str | None, now: float) -> None:
        """Runs that another node than the leader was asked to carry out: it may be unable to answer."""
        patience_ms = self._dispatch.server.patience_ms
        strays = [
            relayed
            for relayed in self._sessions.values()
            if relayed.peer != leader and relayed.requests and relayed not in self._waiting
        ]
        self._asked_of = None if strays else leader
        for relayed in strays:
            if relayed.moved_at is None:
                relayed.moved_at = now
            elif now > relayed.moved_at + patience_ms:
                self._give_up(relayed)

    def lost(self, peer: str) -> None:
        """A connection with that node broke: who knows what came there, and what is lost."""
        self._leaving.discard(peer)
        for relayed in [relayed for relayed in self._sessions.values() if relayed.peer == peer]:
            if relayed.requests and relayed not in self._waiting:
                self._give_up(relayed)
            else:
                self._end_session(relayed)

    def leave(self) -> None:
        """This node is about to stop: take nothing more from its clients, whom nobody would answer."""
        for connection in self._dispatch.connections.values():
            connection.pause("stopping")

    @property
    def idle(self) -> bool:
        """After `leave`: all is answered but what may wait for ever."""
        clients = self._dispatch.connections.values()
        return not any(each.busy and not each.blocked for each in clients)

    def left(self, relayed: Relayed) -> None:
        """The client is gone."""
        self._waiting.pop(relayed, None)
        self._end_session(relayed)

    def _give_up(self, relayed: Relayed) -> None:
        """Nobody here can tell what became of the run."""
        self._end_session(relayed)
        if relayed.streamed:
            relayed.connection.kill()
            return
        writes = [_writes(args) for args in relayed.requests]
        if not any(writes):
            server = self._dispatch.server
            relayed.deadline = server.steady_ms() + server.patience_ms
            self._waiting[relayed] = None
            return
        unknown = OutcomeUnknown(UNKNOWN)
        self.unknown += sum(writes)
        if relayed.queue is not None:
            self._answer(relayed, unknown)
        else:
            nothing = NotAvailable("CLUSTERDOWN the leader was lost before this was read")
            self._answer(relayed, *(unknown if wrote else nothing for wrote in writes))


def is_for_leader(row: Command, args: Args) -> bool:
    """Whether what a node answers by itself is for the leader all the same."""
    return row.name in FOR_LEADER or (row.name == CONFIG_SET and sets_shared(args))


def _goes_along(args: Args) -> bool:
    """Whether a request may be in one run with others."""
    try:
        row = find(args)
    except CommandError:
        return type(args[0]) is bytes  # the leader says what is wrong with it, unless the client may not ask
    return row.route is not Route.LOCAL and not row.blocks and row.name != "EXEC"


def _writes(args: Args) -> bool:
    try:
        row = find(args)
        return row.route is Route.WRITE or row.name == CONFIG_SET
    except CommandError:
        return False


def _without_refusals(data: bytes, refused: int) -> bytes | None:
    """Replies without the refusals at their end; None if these are not found there."""
    lines = data.rsplit(b"\r\n", refused + 1)
    refusals = lines[-1 - refused : -1]
    if len(refusals) != refused or not all(line.startswith(b"-") for line in refusals):
        return None
    head = lines[: -1 - refused]
    return head[0] + b"\r\n" if head else b""


def _select(connection: Connection, queue: Queue) -> None:
    """The transaction was carried out, and with it what it selected."""
    for row, args in queue.commands:
        if row.name == "SELECT":
            with contextlib.suppress(CommandError):
                connection.select(database_index(args[1]))
