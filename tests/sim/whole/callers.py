"""Whoever speaks to a node: one connection at a time, requests in, replies out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis

from ironkv.server.connection import Connection
from tests.node.virtual import Error, Transport
from tests.sim.checks import must
from tests.sim.whole.history import Op

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer


class Wire(Transport):
    """Hands what is written to the caller at once."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self._caller = caller

    def write(self, data: bytes) -> None:
        assert not self.closed
        self._caller.told(self, data)


class Request:
    """Some commands that together are one operation, or none."""

    def __init__(self, commands: list[list[bytes]], op: Op | None) -> None:
        self.commands, self.op = commands, op
        self.replies: list[Any] = []

    @property
    def whole(self) -> bool:
        return len(self.replies) == len(self.commands)


class Caller:
    patience_ms = 1500.0

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster, self.name = cluster, name
        self.computer: Computer | None = None
        self._life = 0
        self._transport: Wire | None = None
        self._connection: Connection | None = None
        self._reader: Any = None
        self.waiting: deque[Request] = deque()
        self._patience = 0
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    def connect(self, computer: Computer) -> None:
        if computer.process is None:
            return
        self.computer, self._life = computer, computer.life
        self._transport = Wire(self)
        self._reader = hiredis.Reader(replyError=Error)
        connection = self._connection = Connection(computer.process.dispatch)
        transport = self._transport
        transport.protocol = connection
        computer.do(lambda: connection.connection_made(transport))  # type: ignore[arg-type]

    def send(self, requests: list[Request]) -> None:
        computer, connection, world = self.computer, self._connection, self.cluster.world
        assert computer is not None
        assert connection is not None
        self.waiting.extend(requests)
        data = b"".join(map(encode, (command for request in requests for command in request.commands)))
        if self.cluster.trace:
            asked = "; ".join(" ".join(map(bytes.decode, c)) for each in requests for c in each.commands)
            self.cluster.tell(f"{self.name} → {computer.name} {asked}")
        self._patience += 1
        patience, chance = self._patience, self.cluster.chance
        cut = chance.randrange(len(data)) if chance.random() < 0.1 else len(data)
        for part in (data[:cut], data[cut:]):
            if part:
                computer.do(lambda part=part: connection.data_received(part))

        asked_at = world.now

        def give_up() -> None:
            if patience == self._patience and self.waiting:
                self.gave_up(computer, asked_at)
                self.hang_up()

        world.after(self.patience_ms, give_up)

    def told(self, transport: Wire, data: bytes) -> None:
        if transport is not self._transport:
            return
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            must(bool(self.waiting), f"{self.name} gets a reply to nothing: {reply!r}")
            request = self.waiting[0]
            request.replies.append(reply)
            if request.whole:
                self.waiting.popleft()
                self.take(request)

    def take(self, request: Request) -> None:
        """All replies to a request are there."""

    def gave_up(self, computer: Computer, asked_at: float) -> None:
        """No reply came in all that time."""

    def lose(self, computer: Computer) -> None:
        """The computer's process is gone, and with it the connection."""
        if self.computer is computer:
            self.forget()

    def hang_up(self) -> None:
        computer, connection = self.computer, self._connection
        if computer is not None and connection is not None and computer.life == self._life:
            computer.do(lambda: connection.connection_lost(None))
        self.forget()

    def forget(self) -> None:
        self.computer = self._transport = self._connection = None
        self.waiting.clear()  # what they asked may have happened


def encode(words: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
