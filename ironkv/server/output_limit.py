"""How far a subscriber may lag: Redis's client-output-buffer-limit for the class `pubsub`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ironkv.server.connection import Connection

log = logging.getLogger(__name__)


class OutputLimit(NamedTuple):
    """Bytes waiting to be sent at which a connection is closed; 0: never."""

    hard: int
    """At once."""
    soft: int
    """Once it has been so for longer than `soft_s` seconds without a break."""
    soft_s: int

    def enforce(self, connection: Connection, now_s: float) -> None:
        """Close the connection if it is beyond the limit."""
        unsent = connection.buffer_sizes()[1]
        if self.hard and unsent >= self.hard:
            self._close(connection, unsent)
        elif not self.soft or unsent < self.soft:
            connection.lags_since_s = None
        elif connection.lags_since_s is None:
            connection.lags_since_s = now_s
        elif now_s - connection.lags_since_s > self.soft_s:
            self._close(connection, unsent)

    def _close(self, connection: Connection, unsent: int) -> None:
        log.warning("%s does not read its messages: closed with %d bytes unsent", connection.address, unsent)
        connection.kill()
