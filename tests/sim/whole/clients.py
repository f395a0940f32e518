"""Clients: what they ask, of whom, and what they make of the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.node.virtual import Error
from tests.sim.checks import must
from tests.sim.whole.callers import Caller, Request
from tests.sim.whole.history import LOCK_MS, UNTICKED_MS, Op

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer

NOT_DONE = ("NOTLEADER", "CLUSTERDOWN", "LOADING", "TRYAGAIN", "MISCONF", "EXECABORT")
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


class Client(Caller):
    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__(cluster, f"client {number}")
        self.number = number
        self._values = 0

    # -- asking

    def go_on(self) -> None:
        """Ask something, if nothing is waited for."""
        cluster, chance = self.cluster, self.cluster.chance
        if self.stopped:
            return
        cluster.world.after(chance.expovariate(1 / (cluster.client_every * len(cluster.clients))), self.go_on)
        if self.waiting:
            return
        if self.computer is None or chance.random() < 0.05:
            self.hang_up()
            leaders = cluster.leaders()
            computer = chance.choice(leaders) if leaders and chance.random() < 0.6 else None
            self.connect(computer or cluster.computers[chance.choice(cluster.names)])
        if self.computer is not None:
            self.send([self._request() for _ in range(chance.choice((1, 1, 1, 2, 5)))])

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

    # -- answers

    def take(self, request: Request) -> None:
        op, reply = request.op, request.replies[-1]
        if self.cluster.trace:
            shown = f"-{reply}" if isinstance(reply, Error) else repr(reply)
            self.cluster.tell(f"{self.name} ← {op.kind if op else ''} {shown}")
        if op is None:
            return
        history = self.cluster.checks.history
        if not isinstance(reply, Error):
            op.ended, op.reply = self.cluster.world.now, reply
            if self.computer is None or not self.computer.leads:
                op.late_ms = UNTICKED_MS
            self.cluster.checks.served(self.computer, op.began)
        elif str(reply).startswith(NOT_DONE):
            history.did_not_happen(op)
        else:
            must(str(reply).startswith("UNKNOWN"), f"{self.name} is told {reply}")

    def gave_up(self, computer: Computer, asked_at: float) -> None:
        settled = asked_at > self.cluster.calm_from + SETTLED_MS and computer.leads
        must(not settled, f"{self.name} gets no reply in good times")

    # -- in the end

    def ask_at_last(self, computer: Computer, commands: list[list[bytes]]) -> Request:
        self.connect(computer)
        request = Request(commands, None)
        self.send([request])
        return request

    def read_all(self, computer: Computer, keys: list[bytes]) -> Client:
        """Read every key once: what was acknowledged must be there."""
        self.hang_up()
        self.connect(computer)
        history, requests = self.cluster.checks.history, []
        for key in keys:
            kind = {b"list": "list", b"lock": "holder", b"set": "members"}.get(key.split()[0], "get")
            op = history.began(Op(kind, key, b"", self.cluster.world.now))
            requests.append(Request(COMMANDS[kind](key, b""), op))
        self.send(requests)
        return self


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
