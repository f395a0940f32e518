"""Connections that stand still: for a read round, or for what somebody else has to do first (`Later`).

What they send meanwhile waits in their backlog, and is taken up where they stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironkv.commands.later import Later
from ironkv.commands.table import Args, Route, find
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.server.connection import Connection
    from ironkv.server.dispatch import Dispatch


class Stalls:
    """Stops connections and has them go on."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    def for_read(self, connection: Connection) -> None:
        connection.stalled = True
        self._dispatch.reads.wait(connection)
        self._dispatch.server.wake()

    def granted(self, connection: Connection, requests: int) -> None:
        """Its read round was granted: the first `requests` of its backlog may read."""
        backlog = connection.backlog
        connection.stalled = False
        if connection.relayed is not None:
            connection.relayed.reads_until = None
        waiting = len(backlog)
        ready = [backlog.popleft() for _ in range(min(requests, waiting))]
        size = connection.backlog_bytes * len(ready) // max(1, waiting)
        connection.backlog_bytes -= size
        self._dispatch.server.set_read_time()
        self._dispatch.run_weighed(connection, ready, size, readable=True)
        self._dispatch.to_flush(connection)

    def denied(self, connection: Connection, requests: int) -> None:
        """Its read round failed: those reads at the head of its backlog are refused that waited for it."""
        if self._dispatch.forwarding is not None and self._dispatch.forwarding.asks_again(connection):
            return
        backlog = connection.backlog
        connection.stalled = False
        error = self._dispatch.server.no_quorum()
        while requests and backlog and _is_read(backlog[0]):
            requests -= 1
            if backlog.popleft()[0].upper() == b"EXEC":
                self._dispatch.transactions.discard(connection)
            connection.answer(error)
        self._dispatch.to_flush(connection)

    def for_later(self, connection: Connection, later: Later) -> None:
        def arrived(reply: Reply) -> None:
            connection.stalled = False
            connection.later = None
            if not connection.lost:
                connection.answer(reply)
                self._dispatch.to_flush(connection)
                self._dispatch.server.wake()

        connection.stalled = True
        connection.later = later
        later.then(arrived)

    def resume(self, connection: Connection) -> None:
        """Nothing stands in front of its backlog any more."""
        requests = list(connection.backlog)
        connection.backlog.clear()
        size, connection.backlog_bytes = connection.backlog_bytes, 0
        self._dispatch.run_weighed(connection, requests, size)
        self._dispatch.to_flush(connection)
        self._dispatch.server.wake()


def _is_read(args: Args) -> bool:
    """Whether it may have to wait until the state is known to be current."""
    try:
        row = find(args)
        return row.route is Route.READ or row.name in ("EXEC", "WATCH")
    except CommandError:
        return False
