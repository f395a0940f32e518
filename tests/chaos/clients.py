"""Clients that try every node, and write down what they asked and were told."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from itertools import pairwise
from random import Random
from typing import Any, Final

import hiredis

from tests.sim.whole.history import History, Op

ANSWER_S: Final = 1.5
"""After this long without an answer a client gives up, and does not know."""
EPOCH_S: Final = 3.0
"""For so long operations go to the same few keys: then their histories are long enough to be judged."""
KEYS: Final = 3
"""Of each kind, at a time."""
OPEN_MOST: Final = 5
"""Operations on one key whose outcome nobody knows: each doubles what may have happened."""
OPS_MOST: Final = 150
NOT_DONE: Final = (b"NOTLEADER", b"CLUSTERDOWN", b"LOADING", b"TRYAGAIN", b"MISCONF", b"READONLY")
KINDS: Final = {
    "register": ("set", "get", "getset", "getdel", "setnx", "get"),
    "text": ("append", "append and get", "get"),
    "number": ("incr", "incr", "get"),
    "list": ("push", "push", "pop", "list"),
    "bag": ("add", "take", "members"),
}
READS: Final = ("get", "list", "members")
APPEND_AND_GET: Final = b"return {redis.call('APPEND', KEYS[1], ARGV[1]), redis.call('GET', KEYS[1])}"
COMMANDS: Final[dict[str, tuple[bytes, ...]]] = {
    "set": (b"SET", b"K", b"V"),
    "get": (b"GET", b"K"),
    "getset": (b"GETSET", b"K", b"V"),
    "getdel": (b"GETDEL", b"K"),
    "setnx": (b"SET", b"K", b"V", b"NX"),
    "append": (b"APPEND", b"K", b"V"),
    "append and get": (b"EVAL", APPEND_AND_GET, b"1", b"K", b"V"),
    "incr": (b"INCR", b"K"),
    "push": (b"RPUSH", b"K", b"V"),
    "pop": (b"LPOP", b"K"),
    "list": (b"LRANGE", b"K", b"0", b"-1"),
    "add": (b"SADD", b"K", b"V"),
    "take": (b"SPOP", b"K"),
    "members": (b"SMEMBERS", b"K"),
}  # fmt: skip


class Record:
    """What all clients of a run have seen."""

    def __init__(self) -> None:
        self.history = History()
        self.acked: list[float] = []
        """When each write was acknowledged (s, steady)."""
        self.outcomes: Counter[str] = Counter()

    def longest_outage(self, began: float, ended: float) -> float:
        """The longest time (s) in which no client at all had a write acknowledged."""
        moments = [began, *(each for each in self.acked if began <= each <= ended), ended]
        return max(after - before for before, after in pairwise(moments))

    def next_ack(self, moment: float) -> float | None:
        return next((each for each in self.acked if each > moment), None)


class Client:
    """One after the other, on one connection at a time."""

    def __init__(self, number: int, addresses: list[str], record: Record, seed: int) -> None:
        self._number = number
        self._addresses = addresses
        self._record = record
        self._chance = Random(seed)
        self._at = number % len(addresses)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._made = 0

    async def run(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._one()
            await asyncio.sleep(self._chance.expovariate(1 / 0.004))
        await self.hang_up()

    async def read_all(self, keys: list[bytes]) -> None:
        """Each key once more, when all is well."""
        for key in keys:
            kind = key.split(b" ")[0].decode()
            while not await self._do(Op(KINDS[kind][-1], key, b"", _now())):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await self.hang_up()

    async def _one(self) -> None:
        op = self._draw()
        if op is not None:
            await self._do(op)

    def _draw(self) -> Op | None:
        chance, history = self._chance, self._record.history
        kind = chance.choice(list(KINDS))
        key = b"%s %d %d" % (kind.encode(), time.monotonic() // EPOCH_S, chance.randrange(KEYS))
        if history.open_of(key) > OPEN_MOST or history.size_of(key) > OPS_MOST:
            return None
        self._made += 1
        return Op(chance.choice(KINDS[kind]), key, b"%d.%d;" % (self._number, self._made), _now())

    async def _do(self, op: Op) -> bool:
        """Whether it was answered."""
        record = self._record
        parts = [{b"K": op.key, b"V": op.value}.get(part, part) for part in COMMANDS[op.kind]]
        request = b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts])
        if self._streams is None and not await self._connect():
            return False
        assert self._streams is not None
        op.began = _now()
        record.history.began(op)
        try:
            async with asyncio.timeout(ANSWER_S):
                reply = await self._ask(request)
        except (OSError, EOFError, TimeoutError):
            await self._turn_to_another()
            return self._unanswered(op, "no answer")
        if isinstance(reply, hiredis.ReplyError):
            await self._turn_to_another()
            code = str(reply).split(" ", 1)[0].encode()
            if code in NOT_DONE:
                record.history.did_not_happen(op)
                record.outcomes["refused"] += 1
                return False
            if code != b"UNKNOWN":
                raise AssertionError(f"{op}: {reply}")
            return self._unanswered(op, "unknown")
        op.ended, op.reply = _now(), _meaning(op.kind, reply)
        record.outcomes["answered"] += 1
        if op.kind not in READS:
            record.acked.append(time.monotonic())
        return True

    def _unanswered(self, op: Op, outcome: str) -> bool:
        self._record.outcomes[outcome] += 1
        if op.kind in READS:
            self._record.history.did_not_happen(op)
        return False

    async def _ask(self, request: bytes) -> Any:
        assert self._streams is not None
        reader, writer = self._streams
        writer.write(request)
        parser = hiredis.Reader()
        while (reply := parser.gets()) is False:
            data = await reader.read(65536)
            if not data:
                raise EOFError
            parser.feed(data)
        return reply

    async def _connect(self) -> bool:
        try:
            async with asyncio.timeout(0.5):
                self._streams = await asyncio.open_connection(self._addresses[self._at], 6379)
        except (OSError, TimeoutError):
            self._at = (self._at + 1) % len(self._addresses)
            await asyncio.sleep(0.01)
            return False
        return True

    async def _turn_to_another(self) -> None:
        await self.hang_up()
        self._at = (self._at + 1) % len(self._addresses)
        await asyncio.sleep(0.01)

    async def hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


def _meaning(kind: str, reply: Any) -> Any:
    return frozenset(reply) if kind == "members" else reply


def _now() -> float:
    return time.monotonic() * 1000.0


class Load:
    """Clients in an event loop of a thread of their own."""

    def __init__(self, clients: int, addresses: list[str], seed: int) -> None:
        self.record = Record()
        self._clients = [Client(number, addresses, self.record, seed + number) for number in range(clients)]
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.failures: deque[BaseException] = deque()

    def run(self) -> None:
        """Until `stop`."""
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.failures.append(error)

    async def _run(self) -> None:
        self._over, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for client in self._clients:
                group.create_task(client.run(self._over))

    def stop(self) -> None:
        if self._loop is not None and self._over is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)

    def read_all(self) -> None:
        """Every key once more, by one client."""
        asyncio.run(self._clients[0].read_all(self.record.history.keys()))
