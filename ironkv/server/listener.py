"""Accepts clients."""

from __future__ import annotations

import ssl

from ironkv.server.connection import Connection
from ironkv.server.dispatch import Dispatch
from ironkv.tls import Port


class Listener:
    """The client port."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self._port = Port(lambda: Connection(dispatch))

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        await self._port.open(host, port, tls)

    async def renew(self, tls: ssl.SSLContext) -> None:
        """Greet clients from now on with another context."""
        await self._port.renew(tls)

    def stop_accepting(self) -> None:
        self._port.close()

    def close_clients(self) -> None:
        """Close every connection; replies already given are still sent."""
        for connection in [*self._dispatch.connections.values()]:
            connection.closing = True
            connection.transport.close()
