"""The node's side of the HTTP port."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from ironkv.node.figures import figures

if TYPE_CHECKING:
    from ironkv.http.server import HttpServer
    from ironkv.node.node import Node

T = TypeVar("T")


def open_http(node: Node) -> HttpServer | None:
    """The HTTP server of a node, listening, if it is to have one. Raises OSError."""
    settings = node.settings.http
    if not settings.enabled:
        return None
    from ironkv.http.server import HttpServer  # a fifth of a second that not every node need spend

    server = HttpServer(settings, Source(node))
    server.start()
    return server


class Source:
    """Implements `http.server.Source`: a node for who is on another thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = asyncio.get_running_loop()

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

    def silent_s(self) -> float:
        """While the node loads no timer runs; that it has not begun yet is no silence."""
        return 0.0 if self._node.loading else time.monotonic() - self._node.view.now_s
