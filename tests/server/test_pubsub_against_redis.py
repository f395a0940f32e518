"""Several clients at once, step by step, against a real redis-server: every byte that any of them gets."""

from __future__ import annotations

import io
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ironkv.tools.client import encode
from tests.commands.oracle import running_oracle
from tests.commands.wire import meaning, read_reply
from tests.node.virtual import Client, Cluster, Maker

CLIENTS = 4
STEPS = 250


class Theirs:
    """Connections to a redis-server."""

    def __init__(self, path: Path) -> None:
        self._sockets = [self._connect(path) for _ in range(CLIENTS)]
        self._control = self._connect(path)
        self._control.sendall(encode(["FLUSHALL"]))
        assert self._control.recv(100) == b"+OK\r\n"

    def _connect(self, path: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(10)
        connection.connect(str(path))
        return connection

    def step(self, who: int, words: list[bytes]) -> list[bytes]:
        """What everybody gets."""
        self._sockets[who].sendall(encode(words))
        for _ in range(2):  # what comes with the first reply may be written after it, but before the second
            self._control.sendall(encode(["PING"]))
            assert self._control.recv(100) == b"+PONG\r\n"
        return [self._available(each) for each in self._sockets]

    def _available(self, connection: socket.socket) -> bytes:
        connection.setblocking(False)
        found = b""
        try:
            while data := connection.recv(65536):
                found += data
        except BlockingIOError:
            pass
        finally:
            connection.settimeout(10)
        return found

    def close(self) -> None:
        for each in (*self._sockets, self._control):
            each.close()


class Ours:
    """Clients of a node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._clients = [cluster.leader().client() for _ in range(CLIENTS)]

    def step(self, who: int, words: list[bytes]) -> list[bytes]:
        before = [len(client.transport.sent) for client in self._clients]
        self._clients[who].raw(encode(words))
        self._cluster.settle()
        return [self._since(client, n) for client, n in zip(self._clients, before, strict=True)]

    def _since(self, client: Client, place: int) -> bytes:
        return bytes(client.transport.sent[place:])


@pytest.fixture(scope="module")
def redis() -> Iterator[Path]:
    with running_oracle() as oracle:
        yield oracle.path


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    cluster = make_cluster(size=1).boot()
    cluster.elect()
    return cluster


def _replies(data: bytes) -> list[bytes]:
    stream, found = io.BytesIO(data), []
    while stream.tell() < len(data):
        found.append(read_reply(stream)[0])
    return found


def _comparable(words: list[bytes], data: bytes) -> Any:
    """All replies, without an order where Redis has that of a hash table: of the patterns that match one
    message, of what is unsubscribed when no names are given. In RESP3 Redis 7.0 has the message to oneself
    before the reply, 7.2 after it."""
    name = words[0].upper()
    if name == b"EXEC":  # both at once, and in 7.0 a message to oneself stands between the replies
        return sorted(data.split(b"\r\n"))
    replies = _replies(data)
    if (
        name == b"PUBSUB"
        and len(replies) == 1
        and words[-1 if len(words) == 1 else 1].upper().endswith(b"CHANNELS")
    ):
        found = meaning(replies[0])
        return sorted(found) if isinstance(found, list) else found
    if name.endswith(b"UNSUBSCRIBE") and len(words) == 1:
        found = [meaning(reply) for reply in replies]
        if all(isinstance(each, list) for each in found):
            return sorted(str(each[1]) for each in found), [(each[0], each[2]) for each in found]
    return sorted(replies)


NAMES = [b"a", b"b", b"ab", b"", b"a*", b"\xff\r\n", b"news.1", b"news.2"]
PATTERNS = [b"*", b"a*", b"?", b"[ab]", b"news.*", b"", b"a\\*", b"*b", b"[^a]", b"a", b"\xff*"]


def _command(chance: random.Random) -> list[bytes]:
    def some(names: list[bytes], least: int = 1) -> list[bytes]:
        return [chance.choice(names) for _ in range(chance.randint(least, 3))]

    message = chance.choice([b"", b"m", b"x" * 40, b"\r\n+OK\r\n"])
    kind = chance.choices(
        ["sub", "psub", "ssub", "unsub", "punsub", "sunsub", "publish", "spublish", "look", "other"],
        [10, 8, 5, 8, 6, 4, 25, 6, 8, 14],
    )[0]
    match kind:
        case "sub":
            return [chance.choice([b"SUBSCRIBE", b"subscribe"]), *some(NAMES)]
        case "psub":
            return [b"PSUBSCRIBE", *some(PATTERNS)]
        case "ssub":
            return [b"SSUBSCRIBE", *some(NAMES)]
        case "unsub":
            return [b"UNSUBSCRIBE", *some(NAMES, 0)]
        case "punsub":
            return [b"PUNSUBSCRIBE", *some(PATTERNS, 0)]
        case "sunsub":
            return [b"SUNSUBSCRIBE", *some(NAMES, 0)]
        case "publish":
            return [b"PUBLISH", chance.choice(NAMES), message]
        case "spublish":
            return [b"SPUBLISH", chance.choice(NAMES), message]
        case "look":
            return chance.choice(
                [
                    [b"PUBSUB", b"CHANNELS"], [b"PUBSUB", b"CHANNELS", chance.choice(PATTERNS)],
                    [b"PUBSUB", b"NUMSUB", *some(NAMES, 0)], [b"PUBSUB", b"NUMPAT"],
                    [b"PUBSUB", b"SHARDCHANNELS"], [b"PUBSUB", b"shardchannels", chance.choice(PATTERNS)],
                    [b"PUBSUB", b"SHARDNUMSUB", *some(NAMES, 0)], [b"PUBSUB"], [b"PUBSUB", b"nosuch"],
                    [b"PUBSUB", b"channels", b"a", b"b"], [b"PUBSUB", b"NUMPAT", b"a"],
                ]
            )  # fmt: skip
    return chance.choice(
        [
            [b"PING"], [b"PING", b"x"], [b"PING", b"x", b"y"], [b"RESET"], [b"CLIENT", b"REPLY", b"OFF"],
            [b"CLIENT", b"REPLY", b"ON"], [b"CLIENT", b"REPLY", b"SKIP"], [b"MULTI"], [b"EXEC"], [b"DISCARD"],
            [b"SET", b"k", b"1"], [b"GET", b"k"], [b"SELECT", b"3"], [b"PUBLISH", b"a"], [b"SUBSCRIBE"],
            [b"CLIENT", b"GETNAME"], [b"ECHO", b"e"], [b"nosuch", b"x"], [b"EXEC"],
            [b"CONFIG", b"GET", b"nosuch"],
        ]
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_random_steps(cluster: Cluster, redis: Path, seed: int) -> None:
    chance = random.Random(seed)
    ours, theirs = Ours(cluster), Theirs(redis)
    done: list[Any] = []
    queueing: set[int] = set()
    try:
        for side in (ours, theirs):
            side.step(0, [b"HELLO", b"3"])
        for _ in range(STEPS):
            who = chance.randrange(CLIENTS)
            words = _command(chance)
            if chance.random() < 0.03 and who not in queueing:
                words = [b"HELLO", chance.choice([b"2", b"3"])]
            if who in queueing and words[:2] == [b"CLIENT", b"REPLY"]:
                continue  # silenced within EXEC, Redis sends the head of an array and nothing else
            if words[0] == b"MULTI":
                queueing.add(who)
            elif words[0] in (b"EXEC", b"DISCARD", b"RESET"):
                queueing.discard(who)
            done.append((who, words))
            mine, expected = ours.step(who, words), theirs.step(who, words)
            if words[0] == b"HELLO" and not expected[who].startswith((b"-", b"+QUEUED")):
                continue
            for place, (one, other) in enumerate(zip(mine, expected, strict=True)):
                context = f"client {place}, after {done[-25:]}\n Redis  {other!r}\n IronKV {one!r}"
                assert _comparable(words, one) == _comparable(words, other), context
    finally:
        theirs.close()
