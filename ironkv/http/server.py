"""The HTTP server: a thread with a loop of its own, which asks the node's loop for figures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from ironkv.http import health, metrics
from ironkv.http.access import guard
from ironkv.http.console import Console
from ironkv.http.peers import Peers
from ironkv.tls import Port

if TYPE_CHECKING:
    from ironkv.config import HttpSection
    from ironkv.http.source import Source

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S: Final = 5.0
"""How long the node's loop may take to answer."""
FIRST_S: Final = 10.0
"""A connection must have sent a whole request within this time."""
CONNECTIONS_MAX: Final = 100
BODY_MAX: Final = 64 << 10
FRESH_S: Final = 0.05
"""Figures are taken no more often than this, whoever asks."""


class Busy(Exception):
    """The node's loop did not answer in time."""


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class HttpServer:
    """Serves from `start` to `stop`. Made and stopped on the node's loop."""

    def __init__(
        self,
        settings: HttpSection,
        source: Source,
        context: ssl.SSLContext | None = None,
        authority: str = "",
    ) -> None:
        """`context`: for TLS; `authority`: a file, whose certificates other nodes must show then."""
        self._settings = settings
        self._source = source
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._work, name="http", daemon=True)
        self._socket: socket.socket | None = None
        self._silent: set[object] = set()
        """Connections on which no request has come yet."""
        self._context = context
        self._port: Port | None = None
        peers = Peers(settings.token, authority) if context is not None else Peers(settings.token)
        self._console = Console(settings, source, self._ask, peers)
        self._figures: dict[str, Any] = {}
        self._taken_at = 0.0
        self._taking: asyncio.Task[dict[str, Any]] | None = None

    def start(self) -> None:
        """Begin to listen. Raises OSError when the port cannot be had."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
        self._socket = socket.create_server((settings.bind, settings.port), family=family, backlog=128)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and wait for the thread, a moment at most."""
        if self._socket is None:
            return
        with contextlib.suppress(RuntimeError):  # its loop has ended by itself
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(1.0)

    def renew(self, context: ssl.SSLContext) -> None:
        """Greet whoever comes from now on with another context. From any thread."""
        self._context = context
        if self._port is not None:
            asyncio.run_coroutine_threadsafe(self._port.renew(context), self._loop)

    # -- in the thread

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False)
        try:
            self._loop.run_until_complete(self._listen(runner))
            self._loop.run_forever()
            self._loop.run_until_complete(self._console.close())
            self._loop.run_until_complete(runner.cleanup())
        except Exception:
            log.exception("the HTTP server failed")
        finally:
            if self._port is not None:
                self._port.close()
            assert self._socket is not None
            self._socket.close()
            self._loop.close()

    def _application(self) -> web.Application:
        middlewares: list[Middleware] = [self._note_served, guard(self._settings)]
        application = web.Application(client_max_size=BODY_MAX, middlewares=middlewares)
        application.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/health", self._health),
                web.get("/status", self._status),
                *self._console.routes(),
            ]
        )
        return application

    async def _listen(self, runner: web.AppRunner) -> None:
        await runner.setup()
        assert runner.server is not None
        server = runner.server
        make: Callable[[], web.RequestHandler] = server

        def accept() -> asyncio.Protocol:
            # Those that are still in their handshake are no connections yet, but take a place, too.
            if len(self._silent.union(server.connections)) >= CONNECTIONS_MAX:
                return _Refused()
            handler = make()
            self._silent.add(handler)
            self._loop.call_later(FIRST_S, self._end_if_silent, handler)
            return handler

        assert self._socket is not None
        self._port = Port(accept)
        await self._port.adopt(self._socket, self._context)

    def _end_if_silent(self, handler: web.RequestHandler) -> None:
        """Close a connection on which no request came: it would take a place for ever."""
        if handler in self._silent:
            self._silent.discard(handler)
            if handler.transport is not None:
                handler.transport.abort()

    @web.middleware
    async def _note_served(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        try:
            return await handler(request)
        except Busy:
            raise web.HTTPServiceUnavailable(text="the node's loop does not answer\n") from None

    # -- asking the node

    async def _ask(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._source.call(work)), ANSWER_S)
        except TimeoutError:
            raise Busy from None

    async def _current(self) -> dict[str, Any]:
        """The figures, not older than FRESH_S; who asks at the same time gets the same."""
        if time.monotonic() - self._taken_at < FRESH_S:
            return self._figures
        if self._taking is None:
            self._taking = self._loop.create_task(self._take())
        return await asyncio.shield(self._taking)

    async def _take(self) -> dict[str, Any]:
        try:
            self._figures = await self._ask(self._source.figures)
            self._taken_at = time.monotonic()
            return self._figures
        finally:
            self._taking = None

    # -- answers

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = metrics.render(await self._current(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _livez(self, request: web.Request) -> web.Response:
        return _verdict(request, "livez", health.liveness(self._source.silent_s()))

    async def _readyz(self, request: web.Request) -> web.Response:
        return _verdict(request, "readyz", health.readiness(await self._current()))

    async def _health(self, request: web.Request) -> web.Response:
        """As etcd's: `{"health": "true", "reason": ""}`."""
        failed = health.failures(health.health(await self._current()))
        reason = "; ".join(failed.values())
        told = {"health": "false" if failed else "true", "reason": reason}
        return web.json_response(told, status=503 if failed else 200)

    async def _status(self, request: web.Request) -> web.Response:
        figures = await self._current()
        checks = {
            "ready": health.failures(health.readiness(figures)),
            "health": health.failures(health.health(figures)),
        }
        return web.json_response({**figures, "failing": checks})


def _verdict(request: web.Request, what: str, checks: health.Checks) -> web.Response:
    failed = health.failures(checks)
    if failed or "verbose" in request.query:
        return web.Response(text=health.report(what, checks), status=503 if failed else 200)
    return web.Response(text="ok")
