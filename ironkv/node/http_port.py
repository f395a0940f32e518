"""The node's side of the HTTP port."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ironkv.commands import raft
from ironkv.commands.later import Later
from ironkv.errors import ReplyError
from ironkv.http import health
from ironkv.node import browsing
from ironkv.node.biggest import Biggest
from ironkv.node.figures import figures

if TYPE_CHECKING:
    from ironkv.http.server import HttpServer
    from ironkv.node.node import Node

T = TypeVar("T")

SLOW_MOST: Final = 20


def open_http(node: Node, context: ssl.SSLContext | None) -> HttpServer | None:
    """The HTTP server of a node, listening, if it is to have one; with a context, for TLS. Raises OSError."""
    settings = node.settings.http
    if not settings.enabled:
        return None
    from ironkv.http.server import HttpServer  # a fifth of a second that not every node need spend

    authority = node.settings.tls.ca_cert_file
    server = HttpServer(settings, Source(node), context, authority)
    server.start()
    return server


class Source:
    """Implements `http.server.Source`: a node for who is on another thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._biggest = Biggest()

    def call(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        self._loop.call_soon_threadsafe(do)
        return future

    def figures(self) -> dict[str, Any]:
        return figures(self._node)

    def seen(self) -> dict[str, Any]:
        node = self._node
        if not node.loading:
            self._biggest.bite(node.keyspace)
        slow = [
            {"number": each.number, "at": each.at_s, "us": each.us, "args": each.args, "client": each.address}
            for each in islice(node.view.slow_log.entries, SLOW_MOST)
        ]
        now = figures(node)
        return {
            **now,
            "failing": health.failures(health.health(now)),
            "slow": slow,
            "biggest": [{"bytes": size, "db": db, "key": key} for size, db, key in self._biggest.list()],
            "hottest": [
                {"db": db, "key": key, "share": share} for db, key, share in node.dispatch.sampling.hottest()
            ],
            "history": list(node.meter.history),
            "events": list(node.meter.events),
        }

    def scan(self, database: int, cursor: int, pattern: bytes) -> tuple[int, list[dict[str, Any]]]:
        return browsing.scan(self._node.keyspace, database, cursor, pattern)

    def describe(self, database: int, key: bytes) -> dict[str, Any] | None:
        return browsing.describe(self._node.keyspace, database, key)

    def order(self, words: list[str]) -> Future[str]:
        future: Future[str] = Future()

        def done(reply: object) -> None:
            future.set_result(str(reply) if isinstance(reply, ReplyError) else "")

        try:
            reply = raft.order(self._node.view, [word.encode("utf-8", "surrogateescape") for word in words])
        except ReplyError as error:
            reply = error
        if isinstance(reply, Later):
            reply.then(done)
        else:
            done(reply)
        return future

    def silent_s(self) -> float:
        """While the node loads no timer runs; that it has not begun yet is no silence."""
        return 0.0 if self._node.loading else time.monotonic() - self._node.view.now_s
