"""Accepts clients."""

from __future__ import annotations

import asyncio

from ironkv.server.connection import Connection
from ironkv.server.dispatch import Dispatch

BACKLOG = 4096


class Listener:
    """The client port."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._dispatch), host, port, backlog=BACKLOG
        )

    def stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()

    def close_clients(self) -> None:
        """Close every connection; replies already given are still sent."""
        for connection in [*self._dispatch.connections.values()]:
            connection.closing = True
            connection.transport.close()
