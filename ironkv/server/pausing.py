"""CLIENT PAUSE: requests of all clients wait for a while, or only those that write.

While leadership is given away writes wait as well, as with Redis's FAILOVER.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ironkv.commands.table import TABLE

if TYPE_CHECKING:
    from ironkv.resp.parser import Request
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch


MAY_REPLICATE: Final = frozenset({"PFCOUNT", "PUBLISH", "SPUBLISH"})
"""Redis replicates these, too: they wait for the end of a pause of writes, though they are none here."""


class Pausing:
    """A pause, if there is one, and who waits for its end."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch
        self.all = False
        """Every request waits."""
        self.writes = False
        """Every write waits."""
        self._ends_ms = self._held_ms = 0.0
        """When CLIENT PAUSE is over, and until when writes wait for the next leader at most (steady ms)."""
        self._waiting: dict[Connection, None] = {}

    def begin(self, timeout_ms: int, *, writes_only: bool) -> None:
        """Pause; a pause that is on is made neither shorter nor weaker. 0 ends it."""
        if not timeout_ms:
            self._end()
            return
        server = self._dispatch.server
        now = server.steady_ms()
        self._ends_ms = max(self._ends_ms, now + timeout_ms)
        self.writes = True
        self.all |= not writes_only
        server.call_later((self._ends_ms - now) / 1000, self._may_be_over)

    @property
    def holding(self) -> bool:
        """Whether writes wait for the next leader."""
        return self._held_ms > 0

    def hold(self, timeout_ms: float) -> None:
        """Writes wait until `release`, but no longer than this."""
        server = self._dispatch.server
        self._held_ms = server.steady_ms() + timeout_ms
        self.writes = True
        server.call_later(timeout_ms / 1000, self._may_be_over)

    def release(self) -> None:
        """They wait for nothing but CLIENT PAUSE."""
        self._held_ms = 0.0
        if self.writes and self._ends_ms <= self._dispatch.server.steady_ms():
            self._end()

    def _may_be_over(self) -> None:
        if not self.writes:
            return
        server = self._dispatch.server
        left_ms = max(self._ends_ms, self._held_ms) - server.steady_ms()
        if left_ms <= 0:
            self._end()
        else:  # a shorter pause is over, or the timer went by another clock and came early
            server.call_later(max(left_ms, 1.0) / 1000, self._may_be_over)

    def _end(self) -> None:
        self.all = self.writes = False
        self._ends_ms = self._held_ms = 0.0
        waiting, self._waiting = self._waiting, {}
        for connection in waiting:
            connection.stalled = False
            self._dispatch.to_flush(connection)
        self._dispatch.server.wake()

    def up_to_held(self, connection: Connection, requests: list[Request]) -> list[Request]:
        """The requests before the first that has to wait although it is no write; the others come again when
        these are answered. What is queued in a transaction waits with its EXEC."""
        for place, args in enumerate(requests):
            row = TABLE.get(args[0]) or TABLE.get(args[0].upper())
            if row is None or row.name == "MULTI":
                break
            if row.name in MAY_REPLICATE:
                if not place:
                    self.wait(connection)
                connection.backlog.extendleft(reversed(requests[place:]))
                return requests[:place]
        return requests

    def wait(self, connection: Connection) -> None:
        """Let a connection stand still until the end."""
        connection.stalled = True
        self._waiting[connection] = None

    def holds(self, connection: Connection) -> bool:
        return connection in self._waiting

    def leave(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)
