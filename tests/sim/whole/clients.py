"""Clients: what they ask, of whom, and what they make of the replies."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis

from ironkv.server.connection import Connection
from tests.node.virtual import Error, Transport
from tests.sim.checks import must
from tests.sim.whole.history import LOCK_MS, UNKNOWN, Op

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer

NOT_DONE = ("NOTLEADER", "CLUSTERDOWN", "LOADING", "TRYAGAIN", "MISCONF", "EXECABORT")
PATIENCE_MS = 1500.0
SETTLED_MS = 500.0
"""By then after a storm a leader answers everything. (A follower may have to catch up first.)"""
KEY_OPS = 40
"""Operations on a key, after which another takes its place: judging a history takes time."""
KEY_OPEN = 5

KINDS = {
    b"register": (
        "set",
        "get",
        "get",
        "setnx",
        "getset",
        "getdel",
        "append",
        "append",
        "del",
        "append and get",
    ),
    b"counter": ("incr", "incr", "get"),
    b"list": ("push", "push", "pop", "list"),
    b"set": ("add", "add", "take", "members"),
    b"lock": ("lock", "holder", "holder"),
}


class Wire(Transport):
    """Hands what is written to the client at once."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def write(self, data: bytes) -> None:
        assert not self.closed
        self._client.told(self, data)


class Request:
    """Some commands that together are one operation, or none."""

    def __init__(self, commands: list[list[bytes]], op: Op | None) -> None:
        self.commands, self.op = commands, op
        self.replies: list[Any] = []

    @property
    def whole(self) -> bool:
        return len(self.replies) == len(self.commands)


class Client:
    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.number = cluster, number
        self._computer: Computer | None = None
        self._life = 0
        self._transport: Wire | None = None
        self._connection: Connection | None = None
        self._reader: Any = None
        self.waiting: deque[Request] = deque()
        self._patience = 0
        self._stopped = False
        self._values = 0

    def stop(self) -> None:
        self._stopped = True

    # -- asking

    def go_on(self) -> None:
        """Ask something, if nothing is waited for."""
        cluster, chance = self.cluster, self.cluster.chance
        if self._stopped:
            return
        cluster.world.after(chance.expovariate(1 / (cluster.client_every * len(cluster.clients))), self.go_on)
        if self.waiting:
            return
        if self._computer is None or chance.random() < 0.05:
            self._hang_up()
            leaders = cluster.leaders()
            computer = chance.choice(leaders) if leaders and chance.random() < 0.6 else None
            self._connect(computer or cluster.computers[chance.choice(cluster.names)])
        if self._computer is not None:
            self._send([self._request() for _ in range(chance.choice((1, 1, 1, 2, 5)))])

    def _request(self) -> Request:
        chance, history = self.cluster.chance, self.cluster.checks.history
        kind = chance.choice((b"register", b"register", b"counter", b"list", b"set", b"lock"))
        stem = b"%b %d" % (kind, chance.randrange(2))
        key = b"%b.%d" % (stem, self.cluster.checks.epochs.setdefault(stem, 0))
        if history.size_of(key) >= KEY_OPS or history.open_of(key) >= KEY_OPEN:
            self.cluster.checks.epochs[stem] += 1
        self._values += 1
        value = b"%d:%d." % (self.number, self._values)
        op = history.began(Op(chance.choice(KINDS[kind]), key, value, self.cluster.world.now))
        return Request(COMMANDS[op.kind](key, value), op)

    def _connect(self, computer: Computer) -> None:
        if computer.process is None:
            return
        self._computer, self._life = computer, computer.life
        self._transport = Wire(self)
        self._reader = hiredis.Reader(replyError=Error)
        connection = self._connection = Connection(computer.process.dispatch)
        transport = self._transport
        transport.protocol = connection
        computer.do(lambda: connection.connection_made(transport))  # type: ignore[arg-type]

    def _send(self, requests: list[Request]) -> None:
        computer, connection, world = self._computer, self._connection, self.cluster.world
        assert computer is not None
        assert connection is not None
        self.waiting.extend(requests)
        data = b"".join(map(encode, (command for request in requests for command in request.commands)))
        if self.cluster.trace:
            asked = "; ".join(" ".join(map(bytes.decode, c)) for each in requests for c in each.commands)
            self.cluster.tell(f"client {self.number} → {computer.name} {asked}")
        self._patience += 1
        patience, chance = self._patience, self.cluster.chance
        cut = chance.randrange(len(data)) if chance.random() < 0.1 else len(data)
        for part in (data[:cut], data[cut:]):
            if part:
                computer.do(lambda part=part: connection.data_received(part))

        asked_at = world.now

        def give_up() -> None:
            if patience == self._patience and self.waiting:
                settled = asked_at > self.cluster.calm_from + SETTLED_MS and computer.leads
                must(not settled, f"client {self.number} gets no reply in good times")
                self._hang_up()

        world.after(PATIENCE_MS, give_up)

    # -- answers

    def told(self, transport: Wire, data: bytes) -> None:
        if transport is not self._transport:
            return
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            must(bool(self.waiting), f"client {self.number} gets a reply to nothing: {reply!r}")
            request = self.waiting[0]
            request.replies.append(reply)
            if request.whole:
                self.waiting.popleft()
                self._take(request)

    def _take(self, request: Request) -> None:
        op, reply = request.op, request.replies[-1]
        if self.cluster.trace:
            shown = f"-{reply}" if isinstance(reply, Error) else repr(reply)
            self.cluster.tell(f"client {self.number} ← {op.kind if op else ''} {shown}")
        if op is None:
            return
        history = self.cluster.checks.history
        if not isinstance(reply, Error):
            op.ended, op.reply = self.cluster.world.now, reply
            self.cluster.checks.answered += 1
        elif str(reply).startswith(NOT_DONE):
            history.did_not_happen(op)
        else:
            must(str(reply).startswith("UNKNOWN"), f"client {self.number} is told {reply}")

    def lose(self, computer: Computer) -> None:
        """The computer's process is gone, and with it the connection."""
        if self._computer is computer:
            self._forget()

    def _hang_up(self) -> None:
        computer, connection = self._computer, self._connection
        if computer is not None and connection is not None and computer.life == self._life:
            computer.do(lambda: connection.connection_lost(None))
        self._forget()

    def _forget(self) -> None:
        self._computer = self._transport = self._connection = None
        self.waiting.clear()  # what they asked may have happened

    # -- in the end

    def ask_at_last(self, computer: Computer, commands: list[list[bytes]]) -> Request:
        self._connect(computer)
        request = Request(commands, None)
        self._send([request])
        return request

    def read_all(self, computer: Computer, keys: list[bytes]) -> Client:
        """Read every key once: what was acknowledged must be there."""
        self._hang_up()
        self._connect(computer)
        history, requests = self.cluster.checks.history, []
        for key in keys:
            kind = {b"list": "list", b"lock": "holder", b"set": "members"}.get(key.split()[0], "get")
            op = history.began(Op(kind, key, b"", self.cluster.world.now))
            requests.append(Request(COMMANDS[kind](key, b""), op))
        self._send(requests)
        return self


def encode(words: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


COMMANDS = {
    "set": lambda key, value: [[b"SET", key, value]],
    "get": lambda key, value: [[b"GET", key]],
    "setnx": lambda key, value: [[b"SET", key, value, b"NX"]],
    "getset": lambda key, value: [[b"GETSET", key, value]],
    "getdel": lambda key, value: [[b"GETDEL", key]],
    "append": lambda key, value: [[b"APPEND", key, value]],
    "append and get": lambda key, value: [
        [b"MULTI"],
        [b"APPEND", key, value],
        [b"GET", key],
        [b"EXEC"],
    ],
    "del": lambda key, value: [[b"DEL", key]],
    "incr": lambda key, value: [[b"INCR", key]],
    "push": lambda key, value: [[b"RPUSH", key, value]],
    "pop": lambda key, value: [[b"LPOP", key]],
    "add": lambda key, value: [[b"SADD", key, value]],
    "take": lambda key, value: [[b"SPOP", key]],
    "members": lambda key, value: [[b"SMEMBERS", key]],
    "list": lambda key, value: [[b"LRANGE", key, b"0", b"-1"]],
    "lock": lambda key, value: [[b"SET", key, value, b"NX", b"PX", b"%d" % LOCK_MS]],
    "holder": lambda key, value: [[b"GET", key]],
}

__all__ = ["UNKNOWN", "Client", "encode"]
