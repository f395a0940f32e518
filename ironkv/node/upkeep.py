"""What is looked after about once a second: rates for INFO, clients that idle or do not read."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from ironkv.server.connection import Connection
from ironkv.server.output_limit import OutputLimit

log = logging.getLogger(__name__)

SAMPLES: Final = 8
"""Rates are taken over the last seconds, as many as this."""


class Totals(NamedTuple):
    """Counters at a moment, in seconds."""

    at_s: float
    commands: int
    bytes_in: int
    bytes_out: int


class Rates:
    """How fast the counters have been growing lately."""

    def __init__(self) -> None:
        self._samples: deque[Totals] = deque(maxlen=SAMPLES)

    def sample(self, totals: Totals) -> None:
        self._samples.append(totals)

    def forget(self) -> None:
        """The counters begin anew."""
        self._samples.clear()

    def per_second(self) -> tuple[float, float, float]:
        """Commands, bytes in, bytes out."""
        if len(self._samples) < 2:
            return 0.0, 0.0, 0.0
        first, last = self._samples[0], self._samples[-1]
        span = max(last.at_s - first.at_s, 0.001)
        return (
            (last.commands - first.commands) / span,
            (last.bytes_in - first.bytes_in) / span,
            (last.bytes_out - first.bytes_out) / span,
        )


def close_idle(connections: Iterable[Connection], now_s: float, timeout_s: int) -> None:
    """Close clients that have asked nothing for longer than `timeout_s`, are owed nothing and subscribed to
    nothing."""
    idle = [
        connection
        for connection in connections
        if now_s - connection.last_active > timeout_s
        and not connection.pending
        and not connection.stalled
        and connection.subscriptions is None
    ]
    for connection in idle:
        log.debug("%s idled for %d s", connection.address, timeout_s)
        connection.kill()


def close_slow(connections: Iterable[Connection], most: int) -> None:
    """Close clients that have let more than `most` bytes of replies pile up."""
    slow = [
        connection
        for connection in connections
        if connection.subscriptions is None and connection.buffer_sizes()[1] > most
    ]
    for connection in slow:
        log.warning("%s does not read its replies: closed", connection.address)
        connection.kill()


def close_lagging(connections: Iterable[Connection], limit: OutputLimit, now_s: float) -> None:
    """Close subscribers that have been beyond their limit for too long."""
    for connection in list(connections):
        if connection.subscriptions is not None:
            limit.enforce(connection, now_s)
