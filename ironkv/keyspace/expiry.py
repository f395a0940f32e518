"""When keys fall due: a calendar of deadlines, and the order in which dead keys are removed.

A key is *dead* as soon as its deadline is at or before the state's stamp; that is judged at every
access and needs no calendar. The calendar only finds dead keys in order to free their memory, and
tells the leader when a tick is worth logging.

Days are about a second wide. A day is opened once it has passed as a whole, so nothing is added to
it any more; its keys are then removed in key order. The order, and how many keys a purge removes,
are functions of the state alone: every replica, and one restored from a snapshot in the middle of a
day's removal, removes the same keys at the same entry. Hence a key that was deleted or given another
deadline must not count against a purge's bound: it leaves its day's set at once, and its place in
the opened day's queue is skipped.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

DAY_BITS: Final = 10
"""A day of the calendar is 1,024 ms."""


class Calendar:
    """Keys by the day on which they fall due."""

    __slots__ = ("_days", "_opened", "_order", "_queue")

    def __init__(self) -> None:
        self._days: dict[int, set[bytes]] = {}
        self._order: list[int] = []
        """A heap of the days in `_days`, each once. A day may have become empty."""
        self._opened: int | None = None
        """The day whose keys `_queue` holds as a heap, those included that have left it since."""
        self._queue: list[bytes] = []

    def add(self, key: bytes, deadline_ms: int) -> None:
        day = deadline_ms >> DAY_BITS
        keys = self._days.get(day)
        if keys is None:
            self._days[day] = {key}
            heappush(self._order, day)
        else:
            keys.add(key)

    def discard(self, key: bytes, deadline_ms: int) -> None:
        """Forget the key, which falls due on that day."""
        keys = self._days.get(deadline_ms >> DAY_BITS)
        if keys is not None:
            keys.discard(key)

    def due_from_ms(self) -> int | None:
        """When the earliest day with keys has passed as a whole; None when there is none."""
        order, days = self._order, self._days
        while order and not days[order[0]]:
            self._close_first()
        return (order[0] + 1) << DAY_BITS if order else None

    def due(self, stamp_ms: int, most: int) -> list[bytes]:
        """Take up to `most` keys from days that have passed at `stamp_ms`: by day, then by key."""
        taken: list[bytes] = []
        today = stamp_ms >> DAY_BITS
        while len(taken) < most and self._order and self._order[0] < today:
            keys = self._days[self._order[0]]
            queue = self._open_first(keys)
            while queue and len(taken) < most:
                key = heappop(queue)
                if key in keys:
                    keys.remove(key)
                    taken.append(key)
            if not keys:
                self._close_first()
        return taken

    def _open_first(self, keys: set[bytes]) -> list[bytes]:
        """The queue of the earliest day. A heap and no sort: a crowded day is emptied over many purges."""
        if self._opened != self._order[0] or not self._queue:
            self._opened = self._order[0]
            self._queue = list(keys)
            heapify(self._queue)
        return self._queue

    def _close_first(self) -> None:
        del self._days[heappop(self._order)]
        self._opened = None
        self._queue = []
