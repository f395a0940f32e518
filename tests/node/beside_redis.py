"""Several clients of a virtual node and of a real Redis: they do the same and must be told the same."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from typing import Any

import hiredis

from ironkv.tools.client import encode
from tests.commands.oracle import Oracle
from tests.node.virtual import Client, Error, VirtualNode

TURNS = 8
"""How many turns of Redis's loop what one step sets off may take."""


class RedisClient:
    """As much of `virtual.Client`, connected to Redis."""

    def __init__(self, oracle: Oracle) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(oracle.path))
        self._socket.setblocking(False)
        self._reader = hiredis.Reader(replyError=Error)

    def raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def take(self) -> list[Any]:
        with contextlib.suppress(BlockingIOError):
            while data := self._socket.recv(1 << 20):
                self._reader.feed(data)
        fresh = []
        while (reply := self._reader.gets()) is not False:
            fresh.append(f"-{reply}" if isinstance(reply, Error) else reply)
        return fresh

    def close(self) -> None:
        self._socket.close()


class Beside:
    """Clients by name, on both sides."""

    def __init__(self, node: VirtualNode, oracle: Oracle) -> None:
        self._node, self._oracle = node, oracle
        self._ours: dict[str, Client] = {}
        self._theirs: dict[str, RedisClient] = {}
        self._owed: Counter[str] = Counter()
        oracle.ask([b"FLUSHALL"])

    def step(self, name: str, *lines: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Send commands in one chunk; what every client is told then, here and by Redis."""
        data = b"".join(encode(line.split()) for line in lines)
        if name not in self._ours:
            self._ours[name], self._theirs[name] = self._node.client(), RedisClient(self._oracle)
        self._theirs[name].raw(data)
        self._ours[name].raw(data)
        self._owed[name] += len(lines)
        return self._told()

    def waits(self, name: str) -> bool:
        """Whether a client is owed replies."""
        return self._owed[name] > 0

    def leave(self, name: str) -> None:
        """A client vanishes."""
        self._ours.pop(name).vanish()
        self._theirs.pop(name).close()
        del self._owed[name]
        self._node.cluster.settle()
        self._let_redis_settle()

    def wait(self, ms: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Let time pass on both sides."""
        self._node.cluster.advance(ms)
        time.sleep(ms / 1000)
        return self._told()

    def _told(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self._node.cluster.settle()
        self._let_redis_settle()
        ours = {name: _plain(client.take()) for name, client in self._ours.items()}
        theirs = {name: _plain(client.take()) for name, client in self._theirs.items()}
        for name, replies in theirs.items():
            self._owed[name] -= len(replies)
        return ours, theirs

    def _let_redis_settle(self) -> None:
        """Each reply is of a later turn of its loop: what it was sent before is done, and what follows from
        that, one client's unblocking another, as far as it goes."""
        for _ in range(TURNS):
            self._oracle.ask([b"PING"])

    def agree(self, name: str, *lines: str) -> None:
        ours, theirs = self.step(name, *lines)
        assert ours == theirs, f"{name}: {lines}\n  Redis   {theirs}\n  IronKV  {ours}"

    def close(self) -> None:
        for client in self._theirs.values():
            client.close()


def _plain(value: Any) -> Any:
    """Errors within arrays compare by their text."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return f"-{value}" if isinstance(value, Exception) else value
