"""Which keys are the biggest: a walk over the keyspace, a bite at a time while somebody looks."""

from __future__ import annotations

import heapq
from typing import Final

from ironkv.keyspace.keyspace import Keyspace
from ironkv.node.browsing import read

BITE: Final = 200
KEPT: Final = 10


class Biggest:
    """The list of the last whole walk, and what the present one has found so far."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, bytes]] = []
        self._last: list[tuple[int, int, bytes]] = []
        self._place = 0
        """Which of the databases that are in use."""
        self._cursor = 0

    def bite(self, keyspace: Keyspace) -> None:
        """Look at some more keys."""
        databases = [each.index for each in keyspace.used()]
        if self._place >= len(databases):
            self._last, self._found, self._place = self._found, [], 0
        if not databases:
            return
        database = databases[self._place]
        reply = read(keyspace, database, b"SCAN", b"%d" % self._cursor, b"COUNT", b"%d" % BITE)
        self._cursor, names = (int(reply[0]), reply[1]) if reply is not None else (0, [])
        for name in names:
            size = read(keyspace, database, b"MEMORY", b"USAGE", name)
            if size is not None:
                self._found.append((size, database, name))
        self._found = heapq.nlargest(KEPT, self._found)
        if not self._cursor:
            self._place += 1

    def list(self) -> list[tuple[int, int, bytes]]:
        """(bytes, database, key), the biggest first."""
        return heapq.nlargest(KEPT, {(d, k): (s, d, k) for s, d, k in (*self._last, *self._found)}.values())
