"""When keys fall due: a calendar of deadlines, and the order in which dead keys are removed.

A key is *dead* as soon as its deadline is at or before the state's stamp; that is judged at every
access and needs no calendar. The calendar only finds dead keys in order to free their memory, and
tells the leader when a tick is worth logging.

Days are about a second wide. A day is opened once it has passed as a whole, so nothing is added to
it any more; its keys are then removed part by part (a key's part is a hash of it) and in key order
within a part. The order, and how many keys a purge removes, are functions of the state alone: every
replica, and one restored from a snapshot in the middle of a day's removal, removes the same keys at
the same entry. Hence a key that was deleted or given another deadline must not count against a
purge's bound: it leaves its day at once, and its place in the opened queue is skipped.

The parts are there for the day on which everything falls due, such as midnight: to put a million keys
in order takes a third of a second, in which no heartbeat would leave. A day that gets crowded is
therefore kept in parts, and they are put in order one by one. How a day is kept does not show in the
order, so replicas need not agree on it.
"""

from __future__ import annotations

from binascii import crc_hqx
from heapq import heappop, heappush
from typing import Final

DAY_BITS: Final = 10
"""A day of the calendar is 1,024 ms."""
PART_BITS: Final = 6
LAST_PART: Final = (1 << PART_BITS) - 1
CROWD = 4_096
"""A day with more keys than this is kept in parts."""


def part_of(key: bytes) -> int:
    """Which of the 64 parts of its day a key belongs to."""
    return crc_hqx(key, 0) >> 16 - PART_BITS


def _part_and_key(key: bytes) -> tuple[int, bytes]:
    return part_of(key), key


class Calendar:
    """Keys by the day on which they fall due."""

    __slots__ = ("_crowded", "_opened", "_order", "_pages", "_queue")

    def __init__(self) -> None:
        self._pages: dict[int, set[bytes]] = {}
        """By `day << PART_BITS | part`; a day that is not crowded is all on the page of its part 0."""
        self._order: list[int] = []
        """A heap of the numbers in `_pages`, each once. A page may have become empty."""
        self._crowded: set[int] = set()
        """The days that are kept in parts."""
        self._opened: int | None = None
        """The page whose keys are in `_queue`, last one first, those included that have left it since."""
        self._queue: list[bytes] = []

    def add(self, key: bytes, deadline_ms: int) -> None:
        day = deadline_ms >> DAY_BITS
        number = self._number(day, key)
        page = self._pages.get(number)
        if page is None:
            self._pages[number] = {key}
            heappush(self._order, number)
            return
        page.add(key)
        if len(page) > CROWD and day not in self._crowded:
            self._divide(day)

    def discard(self, key: bytes, deadline_ms: int) -> None:
        """Forget the key, which falls due on that day."""
        page = self._pages.get(self._number(deadline_ms >> DAY_BITS, key))
        if page is not None:
            page.discard(key)

    def due_from_ms(self) -> int | None:
        """When the earliest day with keys has passed as a whole; None when there is none."""
        order, pages = self._order, self._pages
        while order and not pages[order[0]]:
            self._close_first()
        return ((order[0] >> PART_BITS) + 1) << DAY_BITS if order else None

    def due(self, stamp_ms: int, most: int) -> list[bytes]:
        """Take up to `most` keys from days that have passed at `stamp_ms`: by day, part and key."""
        taken: list[bytes] = []
        today = stamp_ms >> DAY_BITS
        while len(taken) < most and self._order and self._order[0] >> PART_BITS < today:
            page = self._pages[self._order[0]]
            queue = self._open_first(page)
            while queue and len(taken) < most:
                key = queue.pop()
                if key in page:
                    page.remove(key)
                    taken.append(key)
            if not page:
                self._close_first()
        return taken

    def _number(self, day: int, key: bytes) -> int:
        return day << PART_BITS | (part_of(key) if day in self._crowded else 0)

    def _divide(self, day: int) -> None:
        """Keep the day in parts from now on. All pages are made, so that the last one closes the day."""
        self._crowded.add(day)
        first = day << PART_BITS
        keys = self._pages[first]
        for number in range(first, first + LAST_PART + 1):
            self._pages[number] = set()
            if number != first:
                heappush(self._order, number)
        for key in keys:
            self._pages[first | part_of(key)].add(key)

    def _open_first(self, page: set[bytes]) -> list[bytes]:
        """The queue of the earliest page."""
        number = self._order[0]
        if self._opened != number or not self._queue:
            in_parts = number >> PART_BITS in self._crowded
            self._opened = number
            self._queue = sorted(page, key=None if in_parts else _part_and_key, reverse=True)
        return self._queue

    def _close_first(self) -> None:
        number = heappop(self._order)
        del self._pages[number]
        self._opened = None
        self._queue = []
        if number & LAST_PART == LAST_PART:
            # The pages before it are closed already, so nothing is left of the day.
            self._crowded.discard(number >> PART_BITS)
