"""Transactions on their way: requests are queued after MULTI; EXEC makes one item of the log of them.

What is in a transaction and changes nothing is not logged: reads are answered when the item is applied, where
the client is, and so is what a node does without the state (PING, CONFIG, SELECT …). A transaction without
writes is not logged at all; it is one read. Why WATCH is exact is in docs/decisions/.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands.arguments import database_index
from ironkv.commands.later import Later
from ironkv.commands.table import TABLE, Args, Command, Route, find
from ironkv.commands.tight import OUT_OF_MEMORY, runs_tight, tightened
from ironkv.commands.topology import slot_of_request
from ironkv.commands.transactions import ABORTED, attempt, exec_, is_queued
from ironkv.errors import CommandError, NotAvailable, ReplyError
from ironkv.keyspace.keyspace import Database, Due
from ironkv.keyspace.slots import slot_of
from ironkv.resp.parser import Request
from ironkv.resp.replies import NULL_ARRAY, Reply, Status
from ironkv.server.deferred import Deferred
from ironkv.server.pausing import MAY_REPLICATE
from ironkv.server.rides import Ride
from ironkv.server.watching import Watch, Watches

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch

log = logging.getLogger(__name__)

QUEUED: Final = Status(b"QUEUED")
NOT_INSIDE: Final = "ERR Command not allowed inside a transaction"
COMMAND_BYTES: Final = 200
RIDE_BEHIND: Final = 256
"""Owed replies behind which a read waits instead of riding: all rides of a batch are answered at once,
whatever size their values have."""
ARGUMENT_BYTES: Final = 50
"""What a queued command and each of its arguments take in memory beside their bytes."""


class Queue:
    """A connection's transaction before EXEC."""

    __slots__ = ("bytes", "commands", "flawed", "routes")

    def __init__(self) -> None:
        self.commands: list[tuple[Command, Args]] = []
        self.bytes = 0
        self.flawed = False
        """A request was refused: EXEC will refuse the rest."""
        self.routes: set[Route] = set()


class Aside:
    """Part of a transaction that is answered when it is applied, and not logged."""

    __slots__ = ("_args", "_connection", "_reply", "_row")

    def __init__(self, connection: Connection, row: Command | None, args: Any) -> None:
        self._connection = connection
        self._row = row
        self._args = args
        self._reply: tuple[Reply] | None = None if row is not None else (args,)
        """Known already, if anything: row None; or what must not be done twice when a read is."""

    def answer(self, db: Database, now_ms: int) -> Reply:
        """The reply at this place. Raises Due (reads only)."""
        row = self._row
        if self._reply is not None or row is None:
            return self._reply[0] if self._reply is not None else None
        if row.route is not Route.LOCAL:
            return attempt(row.timed, db, self._args, now_ms)
        self._reply = (self._answer_local(row),)
        return self._reply[0]

    def _answer_local(self, row: Command) -> Reply:
        self._connection.in_exec = True
        try:
            reply = row.handler(self._connection, self._args)
        except ReplyError as error:
            return error.with_traceback(None)
        except Exception:
            log.exception("%s failed in a transaction", row.lower_name)
            return CommandError("ERR internal error, see the node's log")
        finally:
            self._connection.in_exec = False
        return CommandError(NOT_INSIDE) if isinstance(reply, Later) else reply


class Decision:
    """Whether a transaction happens: made when all is applied that comes before it."""

    def __init__(self, watches: Watches, watch: Watch, item: list[Any]) -> None:
        self.watch = watch
        self._watches = watches
        self._item = item

    def refusal(self) -> Reply:
        """What EXEC answers if something watched was touched, and None if not: then the item says until when
        it may be carried out. The watch ends."""
        doom_ms = self._watches.doom_ms(self.watch)
        self._watches.forget(self.watch)
        if self.watch.dirty:
            return NULL_ARRAY
        self._item[1] = doom_ms
        return None


class Transactions:
    """Queues, watches and EXECs of all connections."""

    def __init__(self, dispatch: Dispatch, watches: Watches) -> None:
        self._dispatch = dispatch
        self._watches = watches

    # -- between MULTI and EXEC

    def take(self, connection: Connection, args: Args, readable: bool) -> bool:
        """Deal with a request inside a transaction; False: it must wait, and come again."""
        queue, dispatch = connection.transaction, self._dispatch
        assert queue is not None
        try:
            row = find(args)
        except CommandError as error:
            if str(error).startswith(ABORTED):
                self.discard(connection)
            queue.flawed = True
            dispatch.say(connection, error)
            return True
        connection.last_row = row
        if row.name == "EXEC":
            return self._exec(connection, queue, readable)
        if row.name == "MULTI":
            dispatch.say(connection, CommandError("ERR MULTI calls can not be nested"))
        elif not is_queued(row):
            if connection.pending:
                return False
            dispatch.answer_local(connection, row, args)
        else:
            refusal = self._refusal(queue, row, args)
            if refusal is not None:
                queue.flawed = True
                dispatch.say(connection, refusal)
            else:
                queue.commands.append((row, args))
                queue.routes.add(row.route)
                dispatch.say(connection, QUEUED)
        return True

    def _refusal(self, queue: Queue, row: Command, args: Args) -> ReplyError | None:
        """Why a request cannot be queued."""
        if "no_multi" in row.flags:
            return CommandError(NOT_INSIDE)
        server = self._dispatch.server
        relays = self._dispatch.forwarding is not None and not server.leading  # then the leader judges
        if row.route is Route.WRITE and not (server.leading or relays):
            return server.not_leader(slot_of_request(row, args))
        no_room = server.no_room
        if no_room is OUT_OF_MEMORY or (no_room is not None and row.adds_data and not relays):
            return no_room  # a queue is memory, too
        queue.bytes += COMMAND_BYTES + ARGUMENT_BYTES * len(args) + sum(map(len, args))
        if queue.bytes > self._dispatch.request_max:
            queue.commands.clear()
            return CommandError("ERR the transaction is larger than client-query-buffer-limit")
        return None

    def load(self, connection: Connection, requests: list[Args]) -> None:
        """Queue what a node that relays a transaction has queued and checked."""
        connection.transaction = queue = Queue()
        for args in requests:
            row = find(args)
            queue.flawed |= self._refusal(queue, row, args) is not None
            queue.commands.append((row, args))
            queue.routes.add(row.route)

    def discard(self, connection: Connection) -> None:
        """Forget the transaction and what was watched for it."""
        connection.transaction = None
        self.unwatch(connection)

    # -- EXEC

    def _exec(self, connection: Connection, queue: Queue, readable: bool) -> bool:
        dispatch = self._dispatch
        if queue.flawed:
            self.discard(connection)
            dispatch.say(connection, CommandError(f"{ABORTED} previous errors."))
            return True
        if Route.LOCAL in queue.routes and connection.pending:
            return False
        if dispatch.pausing.writes and any(
            row.route is Route.WRITE or row.name in MAY_REPLICATE for row, _ in queue.commands
        ):
            dispatch.pausing.wait(connection)
            return False
        if dispatch.forwarding is not None:
            if connection.pending and not dispatch.server.leading:
                return False
            if dispatch.forwarding.transaction(connection, queue):
                return True
        no_room = dispatch.server.no_room
        if no_room is not None and _lacks(no_room, queue):
            self.discard(connection)
            dispatch.say(connection, NotAvailable(f"{ABORTED}: {no_room}"))
            return True
        if Route.WRITE not in queue.routes:
            return self._read(connection, queue, readable)
        connection.transaction = None
        if dispatch.server.leading:
            self._propose(connection, queue)
        else:
            self.unwatch(connection)
            dispatch.say(connection, NotAvailable(f"{ABORTED}: {dispatch.server.not_leader()}"))
        return True

    def _propose(self, connection: Connection, queue: Queue) -> None:
        """Gather it for the log, or leave it at that if something watched was touched."""
        dispatch, index = self._dispatch, connection.db_index
        proposals = dispatch.proposals
        item = [b"EXEC", 0, _items(connection, queue)]
        decision = None
        if connection.watching is not None:
            decision = Decision(self._watches, connection.watching, item)
            connection.watching = None
            if not proposals.may_touch({name for _, name in decision.watch.keys}):
                refusal = decision.refusal()
                if refusal is not None:
                    dispatch.say(connection, refusal)
                    return
                decision = None
        owner: Connection | Deferred = connection
        if Route.LOCAL in queue.routes:  # they may change how what follows is to be taken
            owner = Deferred(connection)
            dispatch.stalls.for_later(connection, owner.later)
        if not proposals.waiting:
            dispatch.server.wake()
        proposals.transact(owner, item, index, decision)
        proposals.weigh(owner, queue.bytes)
        if dispatch.blocking.queues:
            dispatch.blocking.follow([item], index)

    def _read(self, connection: Connection, queue: Queue, readable: bool) -> bool:
        """Carry out a transaction that writes nothing, as one read."""
        dispatch, watch = self._dispatch, connection.watching
        needs_state = Route.READ in queue.routes or watch is not None
        if needs_state and not (readable or self._may_read(connection)):
            if not connection.pending:
                dispatch.stalls.for_read(connection)
            return False
        connection.transaction = None
        void = watch is not None and self._is_void(watch)
        self.unwatch(connection)
        if void:
            dispatch.say(connection, NULL_ARRAY)
            return True
        request: list[Any] = [b"EXEC", 0, _items(connection, queue)]
        row = TABLE[b"EXEC"]
        if connection.pending:
            dispatch.proposals.ride(Ride(connection, row, request, connection.db_index))
            return True
        keyspace = dispatch.node.keyspace
        try:
            connection.answer(exec_(keyspace.database(connection.db_index), request, keyspace.now_ms))
        except Due:
            dispatch.riding.read_due(connection, row, request)
        return True

    def _may_read(self, connection: Connection) -> bool:
        dispatch = self._dispatch
        if connection.watching is not None:  # only what is applied says what was touched
            return not connection.pending and dispatch.server.is_current()
        if connection.pending and dispatch.proposals.still_gathers(connection):
            return connection.pending < RIDE_BEHIND
        return connection.pending < RIDE_BEHIND and dispatch.server.may_read(connection)

    def _is_void(self, watch: Watch) -> bool:
        doom_ms = self._watches.doom_ms(watch)
        return watch.dirty or 0 < doom_ms <= self._dispatch.node.keyspace.now_ms

    # -- WATCH

    def watch(self, connection: Connection, keys: list[bytes]) -> None:
        """Watch further keys. Raises NotAvailable: only the leader hears of every change."""
        server, keyspace = self._dispatch.server, self._dispatch.node.keyspace
        if not server.leading:
            raise server.not_leader(slot_of(keys[0]))
        if connection.watching is None:
            connection.watching = Watch()
        if not connection.watching.dirty:
            database = keyspace.database(connection.db_index)
            self._watches.add(connection.watching, database, keys, keyspace.now_ms)

    def unwatch(self, connection: Connection) -> None:
        if connection.watching is not None:
            self._watches.forget(connection.watching)
            connection.watching = None
        if connection.relayed is not None:
            connection.relayed.unwatch()


def _lacks(no_room: NotAvailable, queue: Queue) -> bool:
    """Whether there is no room for it any more. Scripts find out by themselves that memory is full."""
    return any(
        row.adds_data and not (no_room is OUT_OF_MEMORY and runs_tight(row)) for row, _ in queue.commands
    )


def _items(connection: Connection, queue: Queue) -> list[Any]:
    """What EXEC carries out: see `commands.transactions.exec_`."""
    items: list[Any] = []
    memory_full = connection.dispatch.server.no_room is OUT_OF_MEMORY
    for row, args in queue.commands:
        if connection.guard is not None:
            refusal = connection.dispatch.guarding.refusal_at_exec(connection, row, args)
            if refusal is not None:
                items.append(Aside(connection, None, refusal))
                continue
        if row.route is Route.WRITE:
            complaint = _complaint(row, args)
            args[0] = row.wire_name
            if memory_full and runs_tight(row):
                args = tightened(args)
            items.append(args if complaint is None else Aside(connection, None, complaint))
            continue
        if row.name == "SSUBSCRIBE":  # Redis lets those of old times in, and this not
            blocked = CommandError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
            items.append(Aside(connection, None, blocked))
            continue
        items.append(Aside(connection, row, args))
        if row.name == "SELECT" and not connection.node.settings.redirects:
            with contextlib.suppress(CommandError):
                items.append(database_index(args[1]))
    return items


def _complaint(row: Command, args: Args) -> ReplyError | None:
    """What is wrong with a write's arguments."""
    try:
        if row.check is not None:
            row.check(args)
    except CommandError as error:
        return error.with_traceback(None)
    except Exception:
        log.exception("the check of %s failed", row.lower_name)
        return CommandError("ERR internal error, see the node's log")
    return None


def up_to_multi(requests: deque[Request]) -> list[Request]:
    """Take requests off the left end, the next MULTI included."""
    taken = []
    while requests:
        taken.append(requests.popleft())
        if taken[-1][0].upper() == b"MULTI":
            break
    return taken
