"""One client's connection: bytes in, requests to dispatch, replies out in request order.

Three things can stand between a request and its reply:
    pending   replies owed by batches on their way through the log; later requests go on, those that
              are no writes ride behind (`node.proposals`)
    backlog   requests that wait for a read round, a `Later` or the replies before theirs; what arrives
              meanwhile joins them
    pauses    the socket is not read while too much is under way: back-pressure, not memory
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from ironkv.commands.later import Later
from ironkv.commands.subscriptions import Subscriptions
from ironkv.errors import ReplyError
from ironkv.keyspace.users import DEFAULT_NAME
from ironkv.resp import replies
from ironkv.resp.parser import Parser, Request
from ironkv.resp.replies import Reply
from ironkv.server.deferred import Deferred
from ironkv.server.transactions import Queue

if TYPE_CHECKING:
    from ironkv.commands.table import Args, Command
    from ironkv.node.proposals import Batch
    from ironkv.server.dispatch import Dispatch
    from ironkv.server.forwarding import Relayed
    from ironkv.server.guarding import Guard
    from ironkv.server.watching import Watch

PENDING_MAX: Final = 20_000
"""Replies owed or requests waiting at which a connection's socket is no longer read."""
BACKLOG_BYTES: Final = 1 << 20
"""The same for the bytes of waiting requests."""
OUT_SLICE: Final = 1 << 20
"""Bytes of output written at a time, when there is much of it; and what may wait in the socket's buffer."""


class Connection(asyncio.Protocol):
    """Implements `commands.session.Session`, `server.rides.Owner` and `node.reads.Reader`."""

    transport: asyncio.Transport

    def __init__(self, dispatch: Dispatch) -> None:
        self.dispatch = dispatch
        self.node = dispatch.node
        self.parser = Parser(dispatch.bulk_max, dispatch.request_max)
        self.out: list[bytes] = []
        self.heavy = 0
        """Bytes in `out` that belong to large replies: many of them are not copied ahead of the client."""
        self.largest_write = 0
        self.pending = self.pending_bytes = 0
        """Replies owed, and about what the writes among them took on the wire (`server.weights`)."""
        self.advanced_commands = self.advanced_bytes = 0
        """What it may send before its rate limits are asked again (`server.rate_limits`)."""
        self.batch: Batch | None = None
        self.backlog: deque[Request] = deque()
        self.backlog_bytes = 0
        """About what the backlog's requests took on the wire."""
        self.stalled = False
        """Waits for a read round or a Later: requests go to the backlog."""
        self.later: Later | None = None
        self.dirty = False
        """Has output and is on dispatch's list of connections to flush."""
        self.lost = False
        self.closing = False
        self.ending = False
        """Nothing more will come in: close once everything is answered."""
        self._last_words: ReplyError | None = None
        """What to say before closing: the stream was no RESP."""
        self._unfinished = 0
        """Bytes received since the last chunk that completed a request."""
        self._pauses: set[str] = set()
        self.id = dispatch.next_id()
        self.user = DEFAULT_NAME
        self.authenticated = True
        self.password_given = False
        self.guard: Guard | None = None
        """Says what it may not do; None when it may do everything (`server.guarding`)."""
        self.name = b""
        self.lib_name = b""
        self.lib_version = b""
        self.proto = 2
        self.db_index = 0
        self.address = self.local_address = ""
        self.fd = -1
        self.created = self.last_active = self.node.now_s
        self.last_row: Command | None = None
        self.replies = "on"
        self.no_evict = self.no_touch = self.readonly = False
        self.transaction: Queue | None = None
        """Between MULTI and EXEC."""
        self.watching: Watch | None = None
        self.in_exec = False
        self.relayed: Relayed | None = None
        """Its session on the leader, since this node had to ask that for it."""
        self.subscriptions: Subscriptions | None = None
        self.lags_since_s: float | None = None
        """Since when more waits to be sent to this subscriber than `OutputLimit.soft`."""
        self._own_pushes: list[bytes] = []
        """What it has sent to itself, for after the reply."""

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = sock.fileno()
        self.address = _host_port(transport.get_extra_info("peername"))
        self.local_address = _host_port(transport.get_extra_info("sockname"))
        self.transport.set_write_buffer_limits(high=OUT_SLICE)
        self.dispatch.joined(self, sock)

    def data_received(self, data: bytes) -> None:
        if self.closing or self.ending:
            return
        parser = self.parser
        one_by_one = not parser.trusted
        requests = parser.feed(data)
        if requests:
            self.dispatch.received(self, requests, len(data) + self._unfinished)
            self._unfinished = 0
            if one_by_one:
                self._take_further()
        else:
            self._unfinished += len(data)
        if parser.error is not None:
            self._last_words = parser.error
            self.ending = True
            self.flush()
        elif self.out and not self.dirty:
            self.flush()

    def _take_further(self) -> None:
        """What a stranger sent behind its first request: that may have been the password."""
        while not self.closing and (requests := self.parser.more()):
            self.dispatch.received(self, requests, 0)

    def eof_received(self) -> bool:
        # A client may half-close after its last request: it still gets the replies it is owed.
        self.ending = True
        if self.relayed is not None:
            self.relayed.client_ends()
        if self.later is not None and self.later.idle:
            return False  # nobody is there for whom to take something
        if self.transport.get_extra_info("sslcontext") is not None:
            return False  # TLS cannot be half closed
        return bool(self.pending or self.stalled or self.backlog or self.out)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self.closing = True
        self._drop_output()
        self.backlog.clear()
        if self.later is not None:
            self.later.cancel()
        self.dispatch.left(self)

    def pause_writing(self) -> None:
        self.pause("slow reader")

    def resume_writing(self) -> None:
        self.resume("slow reader")
        self.flush()
        if self.relayed is not None:
            self.relayed.client_took()

    @property
    def is_slow(self) -> bool:
        """Much waits for the client to read it."""
        return "slow reader" in self._pauses

    @property
    def busy(self) -> bool:
        """Something of it is under way, or settled in this turn and not sent yet."""
        return bool(self.pending or self.backlog or self.stalled or self.dirty)

    # -- back-pressure

    def pause(self, reason: str) -> None:
        """Stop reading the socket, until every reason to is gone."""
        if not self._pauses and not self.lost:
            self.transport.pause_reading()
        self._pauses.add(reason)

    def resume(self, reason: str) -> None:
        """One reason to pause is gone."""
        if reason in self._pauses:
            self._pauses.remove(reason)
            if not self._pauses and not self.lost:
                self.transport.resume_reading()

    # -- replies

    def answer(self, reply: Reply) -> None:
        """Add a reply to the output, as CLIENT REPLY allows."""
        if self.replies != "on":
            for each in reply if type(reply) is list else (reply,):
                if type(each) is replies.Pushes:
                    replies.append(self.out, each, self.proto)
            self._count_silenced()
            return
        kind = type(reply)
        if kind is bytes:
            size = len(reply)
            if size < replies.SHORT:
                head = replies.BULK_HEADS[size]
            else:
                head = b"$%d\r\n" % size
                self.heavy += size
            self.out += head, reply, b"\r\n"
        elif kind in replies.COLLECTIONS:
            before = len(self.out)
            replies.append(self.out, reply, self.proto)
            self.heavy += sum(map(len, islice(self.out, before, None)))
        else:
            replies.append(self.out, reply, self.proto)
            if isinstance(reply, ReplyError):
                self.dispatch.count_error(reply)

    def pass_on(self, wire: bytes) -> None:
        """Add replies as another node made them; while replies are left out, those of one request."""
        if self.replies == "on":
            self.out.append(wire)
        else:
            self._count_silenced()

    def _count_silenced(self) -> None:
        """A reply is left out (CLIENT REPLY OFF, SKIP); SKIP concerns itself and the command after it."""
        if self.replies == "skip-next":
            self.replies = "skip"
        elif self.replies == "skip":
            self.replies = "on"

    def settle(self, settled: list[Reply]) -> None:
        """Replies from a batch (`server.rides.Owner`)."""
        count = len(settled)
        self.owed_less(count)
        if settled[0] is replies.OK and settled.count(replies.OK) == count and self.replies == "on":
            self.out.append(replies.OK.wire * count)
        elif count < replies.MANY or self.replies != "on" or not replies.append_alike(self.out, settled):
            for reply in settled:
                self.answer(reply)
        self.push_own()
        if not self.dirty:
            self.dirty = True
            self.dispatch.dirty.append(self)

    def owed_less(self, count: int) -> None:
        """So many of the replies it was owed are there."""
        self.pending_bytes -= self.pending_bytes * count // self.pending
        self.pending -= count

    def push(self, wire: bytes, *, after_reply: bool = False) -> None:
        """Send something that is no reply, at the end of this turn; `after_reply`: not before the command has
        been answered that it is about."""
        if self.closing:
            return
        # What its own commands publish while they are applied (a script's messages, keyspace events) comes
        # behind the replies to them; and what is published after that must not overtake it.
        owed = self.pending or self.stalled
        waits = after_reply or self._own_pushes or (owed and self.node.keyspace.writing)
        (self._own_pushes if waits else self.out).append(wire)
        if not self.dirty:
            self.dirty = True
            self.dispatch.dirty.append(self)

    def push_own(self) -> None:
        """The reply has been given that its pushes to itself have waited for."""
        if self._own_pushes:
            self.out += self._own_pushes
            self._own_pushes.clear()

    def flush(self) -> None:
        """One write for all replies so far; then close, if that was wanted."""
        self.dirty = False
        if self._own_pushes:
            self.push_own()
        if self.out:
            if self.lost:
                self._drop_output()
            elif self.heavy > OUT_SLICE:
                self._send_slices()
            else:
                data = self.out[0] if len(self.out) == 1 else b"".join(self.out)
                size = len(data)
                self.node.bytes_out += size
                if size > self.largest_write:
                    self.largest_write = size
                self.transport.write(data)
                self.out.clear()
                self.heavy = 0
            if self.subscriptions is not None:
                self.dispatch.output_limit.enforce(self, self.node.now_s)
        if self._pauses:
            if self.pending < PENDING_MAX and not self.backlog:
                self.resume("pending")
            if self.dispatch.weights.is_light(self, self.node.now_s):
                self.resume("weight")
        if self.pending or self.stalled or self.lost or self.out:
            return
        if self.closing or (self.ending and not self.backlog):
            self._close()
        elif self.backlog:
            self.dispatch.stalls.resume(self)

    def _send_slices(self) -> None:
        """Write as much as the client takes; the rest once it has read that."""
        out, at = self.out, 0
        while at < len(out) and "slow reader" not in self._pauses:
            if len(out[at]) > OUT_SLICE:  # views of it: a long string is never copied as a whole
                view = memoryview(out[at])
                pieces = [view[low : low + OUT_SLICE] for low in range(0, len(view), OUT_SLICE)]
                out[at : at + 1] = cast("list[bytes]", pieces)
            begin, size = at, 0
            while at < len(out) and size < OUT_SLICE and len(out[at]) <= OUT_SLICE:
                size += len(out[at])
                at += 1
            self.node.bytes_out += size
            self.largest_write = max(self.largest_write, size)
            self.transport.write(b"".join(out[begin:at]))
        if at < len(out):
            del out[:at]
        else:
            self._drop_output()

    def _drop_output(self) -> None:
        self.out.clear()
        self.heavy = 0

    def _close(self) -> None:
        """Everything is answered."""
        if self._last_words is not None and not self.closing:
            self.answer(self._last_words)
            self.transport.write(b"".join(self.out))
            self.out.clear()
        self.closing = True
        self.transport.close()

    # -- node.reads.Reader

    def backlog_size(self) -> int:
        return len(self.backlog)

    def may_read(self, requests: int) -> None:
        if not self.lost:
            self.dispatch.stalls.granted(self, requests)

    def may_not_read(self, requests: int) -> None:
        if not self.lost:
            self.dispatch.stalls.denied(self, requests)

    # -- commands.session.Session

    @property
    def blocked(self) -> bool:
        """A client of a pause is, too."""
        if self.later is not None:
            return self.later.waits
        return self.dispatch.pausing.holds(self)

    @property
    def last_command(self) -> str:
        return self.last_row.lower_name if self.last_row is not None else "NULL"

    @property
    def last_write_index(self) -> int:
        """Index of the newest entry that held a write of this connection; 0 before the first."""
        return self.batch.index if self.batch is not None else 0

    def select(self, index: int) -> None:
        self.db_index = index

    def authenticate(self, user: bytes, password: bytes) -> bool:
        return self.dispatch.guarding.authenticate(self, user, password)

    def reset(self) -> None:
        self.dispatch.monitors.leave(self)
        self.name = b""
        self.proto = 2
        self.replies = "on"
        self.no_evict = self.no_touch = self.readonly = False
        self.discard()
        self.dispatch.pubsub.leave(self)
        self.select(0)
        self.dispatch.guarding.greet(self)

    def unblock(self, reply: Reply) -> bool:
        if self.later is None or self.later.interrupt is None:
            return False
        self.later.interrupt(reply)
        return True

    def propose(self, item: Args) -> Later:
        dispatch = self.dispatch
        if not dispatch.server.leading:
            raise dispatch.server.not_leader()
        owner = Deferred(self)
        if not dispatch.proposals.waiting:
            dispatch.server.wake()
        dispatch.proposals.write(owner, [item], self.db_index)
        return owner.later

    def begin(self) -> None:
        self.transaction = Queue()

    def discard(self) -> None:
        self.dispatch.transactions.discard(self)

    @property
    def queued(self) -> int:
        return -1 if self.transaction is None else len(self.transaction.commands)

    @property
    def queued_bytes(self) -> int:
        return 0 if self.transaction is None else self.transaction.bytes

    def watch(self, keys: list[bytes]) -> None:
        self.dispatch.transactions.watch(self, keys)

    def unwatch(self) -> None:
        self.dispatch.transactions.unwatch(self)

    @property
    def touched(self) -> bool:
        return self.watching is not None and self.watching.dirty

    def kill(self) -> None:
        self.closing = True
        self._drop_output()
        self.dispatch.left(self)
        self.transport.abort()

    def buffer_sizes(self) -> tuple[int, int]:
        waiting = 0 if self.lost else self.transport.get_write_buffer_size()
        return self.parser.held, waiting + sum(map(len, self.out))


def _host_port(name: object) -> str:
    if isinstance(name, tuple):
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "?:0"
