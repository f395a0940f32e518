"""What clients' writes weigh until they are answered: who sends without end makes only himself wait.

A write waits for the entry it is in, and an entry for all that is in it. So what one client may have under
way is bounded: generously while it is the only one that writes, closely while others do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ironkv.node.proposals import Proposals
    from ironkv.server.connection import Connection

ALONE: Final = 1 << 20
"""Bytes of unanswered writes at which a client is not read any further; its replies wake it."""
AMONG_OTHERS: Final = 32 << 10
"""The same while others write as well."""
CHUNK_MOST: Final = 128 << 10
"""What is read at once may be twice that: while others write it is taken in parts of `AMONG_OTHERS`."""
TURN_S: Final = 1.0
"""For how long after somebody else's write that is so."""


class Weights:
    """Of all clients of this node."""

    def __init__(self, proposals: Proposals, most: int) -> None:
        self._proposals = proposals
        self.most = most
        """Bytes of writes gathered or in flight, of all clients, at which none that writes is read."""
        self._held_back: set[Connection] = set()
        self._writer: Connection | None = None
        self._turn_s = -TURN_S
        """When another than `_writer` wrote."""

    def add(self, connection: Connection, size: int, now_s: float) -> None:
        """Writes of a client, `size` bytes, have just joined a batch."""
        self._proposals.weigh(connection, size)
        if self._proposals.bytes > self.most:
            connection.pause("proposals")
            self._held_back.add(connection)
        connection.pending_bytes += size
        if connection is not self._writer:
            if self._writer is not None:
                self._turn_s = now_s
            self._writer = connection
        if connection.pending_bytes > AMONG_OTHERS and connection.pending_bytes > self._bound(now_s):
            connection.pause("weight")

    def crowded(self, now_s: float) -> bool:
        """Whether more than one client writes."""
        return now_s - self._turn_s <= TURN_S

    def _bound(self, now_s: float) -> int:
        return AMONG_OTHERS if self.crowded(now_s) else ALONE

    def is_light(self, connection: Connection, now_s: float) -> bool:
        """Whether enough of its writes are answered for it to be read again."""
        return connection.pending_bytes <= self._bound(now_s) // 2

    def release(self) -> None:
        """Read those again that were held back, once there is room."""
        if self._held_back and self._proposals.bytes <= self.most // 2:
            held_back, self._held_back = self._held_back, set()
            for connection in held_back:
                connection.resume("proposals")

    def leave(self, connection: Connection) -> None:
        self._held_back.discard(connection)
        if connection is self._writer:
            self._writer = None
