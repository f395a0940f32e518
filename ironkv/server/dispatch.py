"""Who answers a request: this node alone, the state it holds, or the log.

Works per chunk of requests, not per request: one look at the lease, one look at the clock, one write
for all replies. Nothing here awaits.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter, deque
from collections.abc import Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from ironkv.commands import write_handlers  # noqa: F401  (fills the table)
from ironkv.commands.later import Later, NothingYet
from ironkv.commands.table import TABLE, Args, Command, Route, find
from ironkv.commands.tight import OUT_OF_MEMORY, runs_tight, tightened
from ironkv.commands.topology import slot_of_request
from ironkv.errors import CommandError, ReplyError
from ironkv.keyspace.keyspace import Database, Due
from ironkv.keyspace.listening import Listeners
from ironkv.resp.parser import Request
from ironkv.resp.replies import Reply
from ironkv.server import modes
from ironkv.server.alike import RUN_LEAST, run_alike
from ironkv.server.blocking import Blocking
from ironkv.server.connection import BACKLOG_BYTES, OUT_SLICE, PENDING_MAX, Connection
from ironkv.server.forwarding import Forwarding, is_for_leader
from ironkv.server.guarding import Guarding
from ironkv.server.host import Server
from ironkv.server.keepalive import keep_alive
from ironkv.server.modes import SUBSCRIBING
from ironkv.server.monitors import Monitors
from ironkv.server.notifications import Notifications
from ironkv.server.output_limit import OutputLimit
from ironkv.server.pausing import Pausing
from ironkv.server.protection import is_exposed
from ironkv.server.pubsub import Message, PubSub
from ironkv.server.rate_limits import RateLimits, Rates
from ironkv.server.relayed import RelayedSessions
from ironkv.server.rides import Ride
from ironkv.server.riding import Riding, crashed
from ironkv.server.sampling import Sampling
from ironkv.server.stalls import Stalls
from ironkv.server.timesheet import Timesheet
from ironkv.server.transactions import RIDE_BEHIND, Transactions, up_to_multi
from ironkv.server.vain import answer_in_vain
from ironkv.server.watching import Watches
from ironkv.server.weights import AMONG_OTHERS, CHUNK_MOST, Weights

if TYPE_CHECKING:
    from ironkv.commands.session import NodeView
    from ironkv.node.proposals import Proposals
    from ironkv.node.reads import ReadGate

log = logging.getLogger(__name__)

READ: Final = Route.READ
WRITE: Final = Route.WRITE
LOOKS_AT_USERS: Final = frozenset(
    {"ACL|DRYRUN", "ACL|GETUSER", "ACL|LIST", "ACL|LOG", "ACL|USERS", "ACL|WHOAMI", "AUTH"}
)
IN_ORDER: Final = SUBSCRIBING | LOOKS_AT_USERS | {
    "CLIENT|REPLY", "CONFIG|SET", "DEBUG", "HELLO", "QUIT", "RESET", "SHUTDOWN", "WAIT", "WAITAOF", "WATCH",
}  # fmt: skip
"""They change how earlier replies would look, or look at them: they wait until those are given."""
PUBLISHING: Final = frozenset({"PUBLISH", "SPUBLISH"})
"""Whoever hears of them may look at what was written before: they are done when that is."""


class Dispatch:
    """Routes the requests of all connections."""

    def __init__(
        self,
        node: NodeView,
        server: Server,
        proposals: Proposals,
        reads: ReadGate,
        *,
        bulk_max: int,
        request_max: int,
        clients_max: int,
        proposals_max: int,
        keepalive_s: int,
    ) -> None:
        self.node: Any = node
        self.server = server
        self.proposals = proposals
        self.reads = reads
        self.bulk_max = bulk_max
        self.request_max = request_max
        self.clients_max = clients_max
        self.keepalive_s = keepalive_s
        self.weights = Weights(proposals, proposals_max)
        self.stalls = Stalls(self)
        self.riding = Riding(server, proposals, node.keyspace)
        self.dirty: list[Connection] = []
        self.connections: dict[int, Connection] = {}
        self.errors: Counter[str] = Counter()
        self.listeners = Listeners(self.node.keyspace)
        watches = Watches(self.node.keyspace, self.listeners)
        self.blocking = Blocking(self)
        self.node.keyspace.replacing = self._replacing
        self._watches = watches
        self.guarding = Guarding(self, self.node.accounts)
        self.node.keyspace.on_users = self.guarding.users_changed
        self.rates = RateLimits(Rates())
        self.rate_limits: RateLimits | None = None
        """The same, while there is any limit."""
        self.protected = False
        """Strangers from elsewhere are refused while the default user needs no password."""
        self.transactions = Transactions(self, watches)
        self.forwarding = Forwarding(self, server.relay) if self.node.settings.forwards else None
        """What only the leader can do is relayed to it."""
        self.relayed = RelayedSessions(self, server.relay)
        self.pubsub = PubSub(server.wake, has_peers=self.node.settings.cluster.enabled)
        self.notifications = Notifications(server, self.listeners, self.pubsub)
        self.node.keyspace.messenger = self._published_by_script
        self.output_limit = OutputLimit(0, 0, 0)
        """Of subscribers."""
        self.monitors = Monitors(
            server.wake, lambda listener: self.output_limit.enforce(listener, self.node.now_s)
        )
        self.sampling = Sampling()
        self.looking = False
        """Whether the next chunk is looked at: one test for all connections."""
        self.timesheet = Timesheet()
        self.alike: Command | None = None
        """What all requests of the present chunk are, if they were dealt with in one go."""
        self.pausing = Pausing(self)
        self._last_id = 0
        self._term = 0

    def monitor(self, connection: Connection) -> None:
        """Show it all requests of clients of this node, from now on."""
        self.monitors.join(connection)
        self.looking = True
        self.node.keyspace.watcher = self._called_by_script

    def _called_by_script(self, database: int, args: Args) -> None:
        """Every node runs the script, and shows that. Not again when the log is replayed."""
        keyspace = self.node.keyspace
        if keyspace.entry > self.server.replayed or not keyspace.writing:
            self.monitors.tell_of_script(database, args)

    def _published_by_script(self, messages: list[Message]) -> None:
        """To the clients of this node: every node applies the script. Not again when the log is replayed."""
        if self.node.keyspace.entry > self.server.replayed:
            self.pubsub.arrived(messages)

    # -- connections come and go

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def joined(self, connection: Connection, sock: socket.socket) -> None:
        """Take a new connection, unless there are too many."""
        self.node.connections_received += 1
        if len(self.connections) >= self.clients_max:
            self.node.connections_rejected += 1
            connection.closing = True
            connection.transport.write(b"-ERR max number of clients reached\r\n")
            connection.transport.close()
            return
        if self.protected and is_exposed(self, connection):
            return
        self.connections[connection.id] = connection
        self.guarding.greet(connection)
        if self.keepalive_s:
            keep_alive(sock, self.keepalive_s)

    def set_limits(
        self, *, bulk_max: int, request_max: int, clients_max: int, proposals_max: int, keepalive_s: int
    ) -> None:
        """New limits: those of requests for every connection, keepalive for those to come."""
        self.bulk_max = bulk_max
        self.request_max = request_max
        self.clients_max = clients_max
        self.weights.most = proposals_max
        self.keepalive_s = keepalive_s
        for connection in self.connections.values():
            connection.parser.set_limits(bulk_max, request_max)

    def left(self, connection: Connection) -> None:
        self.connections.pop(connection.id, None)
        self.weights.leave(connection)
        self.transactions.discard(connection)
        self.pausing.leave(connection)
        self.pubsub.leave(connection)
        self.monitors.leave(connection)
        if self.forwarding is not None and connection.relayed is not None:
            self.forwarding.left(connection.relayed)

    def _replacing(self, database: Database, other: Database | None) -> None:
        self._watches.replacing(database, other)
        self.blocking.replacing(database, other)

    def leads_in(self, term: int) -> None:
        """This node leads in a term, or not at all (0)."""
        if self._term and term != self._term:
            self._watches.give_up()
            self.blocking.give_up()
        self._term = term

    def count_error(self, error: ReplyError) -> None:
        self.errors[str(error).partition(" ")[0]] += 1

    # -- requests

    def received(self, connection: Connection, requests: list[Request], size: int) -> None:
        """A chunk of requests arrived, `size` bytes."""
        node = self.node
        node.commands_processed += len(requests)
        node.bytes_in += size
        connection.last_active = node.now_s
        if self.looking:
            self._look(connection, requests)
        if self.rate_limits is not None:
            requests = self.rate_limits.admit(connection, requests, size)
        if self.pausing.all and not connection.stalled:
            self.pausing.wait(connection)
        if connection.backlog or connection.stalled:
            connection.backlog += requests
            connection.backlog_bytes += size
            if len(connection.backlog) > PENDING_MAX or connection.backlog_bytes > BACKLOG_BYTES:
                connection.pause("pending")
            return
        self.run_weighed(connection, requests, size)

    def _look(self, connection: Connection, requests: list[Request]) -> None:
        """Some chunks, or all of them, are looked at before they are dealt with."""
        if self.sampling.due:
            self.sampling.look(connection.db_index, requests)
        if self.monitors.clients:
            self.monitors.tell(connection, requests)
        self.looking = bool(self.monitors.clients)
        if not self.looking:
            self.node.keyspace.watcher = None

    def sample(self) -> None:
        """Look at the next chunk."""
        self.looking = self.sampling.due = True

    def run_weighed(
        self, connection: Connection, requests: list[Request], size: int, readable: bool = False
    ) -> None:
        """As `run`; what joined a batch counts, and may be too much."""
        if size > CHUNK_MOST and not readable and self.weights.crowded(self.node.now_s):
            requests, size = self._first_of(connection, requests, size)
        pending, waiting = connection.pending, len(connection.backlog)
        began = perf_counter_ns()
        self.run(connection, requests, readable)
        took_ns = perf_counter_ns() - began
        if len(connection.backlog) > waiting:
            connection.backlog_bytes += size
            requests = requests[: len(requests) + waiting - len(connection.backlog)]
        alike, self.alike = self.alike, None
        self.timesheet.chunk(connection, requests, took_ns, alike)
        if connection.pending > pending:
            self.weights.add(connection, size, self.node.now_s)
            if connection.pending > PENDING_MAX:
                connection.pause("pending")

    def _first_of(
        self, connection: Connection, requests: list[Request], size: int
    ) -> tuple[list[Request], int]:
        """As many as may be under way at once while others write as well; the rest has to wait for them."""
        count = max(1, len(requests) * AMONG_OTHERS // size)
        taken = size * count // len(requests)
        if count < len(requests):
            _put_back(connection, *requests[count:])
            connection.backlog_bytes += size - taken
            connection.pause("pending")
            self.to_flush(connection)
            self.server.wake()
        return requests[:count], taken

    def run(self, connection: Connection, requests: list[Request], readable: bool = False) -> None:
        """Answer requests, or send them on their way, in order. `readable`: reads may run."""
        guard = connection.guard
        if guard is None or guard.plainly(requests):
            self.run_allowed(connection, requests, readable)
        else:
            self.guarding.run(connection, requests, readable)

    def run_allowed(self, connection: Connection, requests: list[Request], readable: bool) -> None:
        """The same for requests that the client may make."""
        server = self.server
        if connection.subscriptions is not None and connection.proto == 2:
            modes.run_subscriber(self, connection, requests)
            return
        if server.loading:
            modes.run_loading(self, connection, requests)
            return
        if connection.transaction is not None:
            self._run_transactions(connection, requests, readable)
            return
        if self.pausing.writes:
            requests = self.pausing.up_to_held(connection, requests)
            if not requests:
                return
        granted, guard = readable, connection.guard
        proposals = self.proposals
        keyspace = self.node.keyspace
        database = keyspace.database(connection.db_index)
        if len(requests) >= RUN_LEAST and run_alike(self, connection, database, requests):
            return
        rest = iter(requests)
        for args in rest:
            row = TABLE.get(args[0])
            if row is None or row.subcommands or not row.least <= len(args) <= row.most:
                try:
                    row = find(args)
                except CommandError as error:
                    self.say(connection, error)
                    row = None
                    continue
            route = row.route
            if route is READ:
                if connection.pending:
                    if connection.pending >= RIDE_BEHIND or row.blocks:
                        _put_back(connection, args, *rest)
                        break
                    if not (readable or proposals.still_gathers(connection)):
                        readable = server.may_read(connection)
                        if not readable:
                            _put_back(connection, args, *rest)
                            break
                    proposals.ride(Ride(connection, row, args, connection.db_index))
                    continue
                if not readable:
                    readable = server.may_read(connection)
                    if not readable:
                        _put_back(connection, args, *rest)
                        self.stalls.for_read(connection)
                        break
                try:
                    connection.answer(row.timed(database, args, keyspace.now_ms))
                    if connection.heavy > OUT_SLICE:
                        _put_back(connection, *rest)
                        break
                except CommandError as error:
                    row.usage.failed += 1
                    connection.answer(error)
                except Due:
                    self.riding.read_due(connection, row, args)
                except NothingYet as nothing:
                    if server.leading:
                        self.blocking.begin_reading(connection, row, args, nothing.reading)
                        _put_back(connection, *rest)
                        break
                    if self.forwarding is not None:
                        self.forwarding.relay(connection, row, args, rest)
                        break
                    connection.answer(server.not_leader(slot_of_request(row, args)))
                except Exception as error:
                    connection.answer(crashed(row, error))
            elif route is WRITE:
                if self._write(connection, row, args, rest):
                    break
            elif self.forwarding is not None and not server.leading and is_for_leader(row, args):
                self.forwarding.relay(connection, row, args, rest)
                break
            elif connection.pending and row.name in IN_ORDER:
                _put_back(connection, args, *rest)
                break
            elif connection.pending and row.name in PUBLISHING:
                proposals.ride(Ride(connection, row, args))
            elif row.name == "WATCH" and not (granted or not server.leading or server.is_current()):
                _put_back(connection, args, *rest)
                self.stalls.for_read(connection)
                break
            else:
                self.answer_local(connection, row, args)
                if connection.guard is not guard:
                    if following := list(rest):
                        self.run(connection, following, readable)
                    return
                if connection.queued >= 0:
                    self._run_transactions(connection, list(rest), readable)
                    return
                if connection.subscriptions is not None and connection.proto == 2:
                    modes.run_subscriber(self, connection, list(rest))
                    return
                if connection.stalled or connection.closing:
                    _put_back(connection, *rest)
                    break
                database = keyspace.database(connection.db_index)
        connection.last_row = row

    def _run_transactions(self, connection: Connection, requests: list[Request], readable: bool) -> None:
        """Requests among which transactions begin and end."""
        backlog = connection.backlog
        behind = len(backlog)
        rest = deque(requests)
        while rest:
            if connection.transaction is None:
                self.run(connection, up_to_multi(rest), readable)
            elif self.transactions.take(connection, rest[0], readable):
                rest.popleft()
            else:
                _put_back(connection, *rest)
                return
            waits = len(backlog) > behind or connection.stalled or connection.heavy > OUT_SLICE
            if waits or connection.closing:
                backlog.rotate(behind)
                backlog.extend(rest)
                backlog.rotate(-behind)
                return

    def _write(self, connection: Connection, row: Command, args: Args, rest: Iterator[Request]) -> bool:
        """Gather a write for the log. True: the connection stands still now, and `rest` waits."""
        if not self.server.leading and row.name != "EXEC":
            if self.forwarding is not None:
                self.forwarding.relay(connection, row, args, rest)
                return True
            row.usage.rejected += 1
            self.say(connection, self.server.not_leader(slot_of_request(row, args)))
            return False
        no_room = self.server.no_room if row.adds_data else None
        if no_room is OUT_OF_MEMORY and runs_tight(row):
            args = tightened(args)
            row = find(args)
        elif no_room is not None:
            row.usage.rejected += 1
            self.say(connection, no_room)
            return False
        if row.check is not None and len(args) != row.plain_size:
            try:
                row.check(args)
            except CommandError as error:
                row.usage.failed += 1
                self.say(connection, error)
                return False
            except Exception as error:
                self.say(connection, crashed(row, error))
                return False
        args[0] = row.wire_name
        if self.pausing.writes:
            self.pausing.wait(connection)
            _put_back(connection, args, *rest)
            return True
        if row.blocks and self.blocking.begin(connection, row, args):
            _put_back(connection, *rest)
            return True
        if row.vain is not None and answer_in_vain(self, connection, row, [args]):
            return False
        self.propose(connection, [args])
        return False

    def propose(self, connection: Connection, requests: list[Request]) -> None:
        """Gather writes of a client for the log; they begin with their `wire_name`."""
        proposals = self.proposals
        if not proposals.waiting:
            self.server.wake()
        proposals.write(connection, requests, connection.db_index)
        if self.blocking.queues:
            self.blocking.follow(requests, connection.db_index)

    def say(self, connection: Connection, reply: Reply) -> None:
        """Answer what is known already: at once, or behind the replies that are still owed."""
        if connection.pending:
            self.proposals.ride(Ride(connection, None, reply))
        else:
            connection.answer(reply)

    def answer_local(self, connection: Connection, row: Command, args: Args) -> None:
        connection.last_row = row  # CLIENT LIST shows itself
        try:
            reply = row.handler(connection, args)
        except ReplyError as error:
            row.usage.failed += 1
            reply = error
        except Exception as error:
            reply = crashed(row, error)
        if isinstance(reply, Later):
            self.stalls.for_later(connection, reply)
        else:
            self.say(connection, reply)
            connection.push_own()

    def to_flush(self, connection: Connection) -> None:
        if not connection.dirty:
            connection.dirty = True
            self.dirty.append(connection)

    # -- output

    def flush(self) -> None:
        """Send what was settled, each connection's replies in one write."""
        if self.blocking.ready:  # before anybody's next request
            self.blocking.serve()
        while self.dirty:
            dirty, self.dirty = self.dirty, []
            for connection in dirty:
                connection.flush()
        if self.pubsub.outgoing:
            outgoing, self.pubsub.outgoing = self.pubsub.outgoing, []
            self.server.spread(outgoing)
        if self.proposals.may_decide:
            self.server.wake()
        self.weights.release()


def _put_back(connection: Connection, *requests: Request) -> None:
    """Have requests wait, in front of those that came after them."""
    connection.backlog.extendleft(reversed(requests))
