"""When keys fall due: a calendar of deadlines, and the order in which dead keys are removed.

A key is *dead* as soon as its deadline is at or before the state's stamp; that is judged at every
access and needs no calendar. The calendar only finds dead keys in order to free their memory, and
tells the leader when a tick is worth logging.

Days are about a second wide. A day is opened once it has passed as a whole, so nothing is added to
it any more; its keys are then removed in key order. The order is a function of the state alone,
so every replica, and one restored from a snapshot, removes the same keys at the same entry.
"""

from __future__ import annotations

import heapq
from typing import Final

DAY_BITS: Final = 10
"""A day of the calendar is 1,024 ms."""


class Calendar:
    """Keys by the day on which they fall due."""

    __slots__ = ("_days", "_open", "_order")

    def __init__(self) -> None:
        self._days: dict[int, set[bytes]] = {}
        self._order: list[int] = []
        self._open: list[bytes] = []

    def add(self, key: bytes, deadline_ms: int) -> None:
        day = deadline_ms >> DAY_BITS
        keys = self._days.get(day)
        if keys is None:
            self._days[day] = {key}
            heapq.heappush(self._order, day)
        else:
            keys.add(key)

    def discard(self, key: bytes, deadline_ms: int) -> None:
        """Forget the key on that day. (In the opened day it stays; whoever takes it checks it anyway.)"""
        day = deadline_ms >> DAY_BITS
        keys = self._days.get(day)
        if keys is not None:
            keys.discard(key)

    def first_day_ms(self) -> int | None:
        """The start of the earliest day that may hold a deadline; None when there is none."""
        if self._open:
            return 0
        order, days = self._order, self._days
        while order and not days[order[0]]:
            del days[heapq.heappop(order)]
        return order[0] << DAY_BITS if order else None

    def due(self, stamp_ms: int, most: int) -> list[bytes]:
        """Take up to `most` keys from days that ended at or before `stamp_ms`, in key order per day.

        A key among them may have been deleted or given a later deadline meanwhile: check each.
        """
        taken: list[bytes] = []
        today = stamp_ms >> DAY_BITS
        while len(taken) < most:
            if not self._open:
                if not self._order or self._order[0] >= today:
                    break
                self._open = list(self._days.pop(heapq.heappop(self._order)))
                heapq.heapify(self._open)
                continue
            taken.append(heapq.heappop(self._open))
        return taken
