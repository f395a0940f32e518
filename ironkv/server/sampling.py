"""Which keys are asked for most, from samples: one chunk of requests each time the timer comes round."""

from __future__ import annotations

import random
from heapq import nlargest
from operator import itemgetter
from typing import Final

from ironkv.commands.table import find
from ironkv.errors import CommandError
from ironkv.resp.parser import Request

KEPT: Final = 500
"""Keys that are counted at the same time; the rarest make room."""
KEYS_MOST: Final = 8
"""Of a command with many."""
NAME_MOST: Final = 256
FADING: Final = 0.995
"""What is left of a count after each sample: half after seven seconds of twenty samples."""


class Sampling:
    """Counts fade, so the list tells the present."""

    def __init__(self) -> None:
        self.due = False
        """Whether the next chunk is to be looked at."""
        self._counts: dict[tuple[int, bytes], float] = {}
        self._weight = 1.0
        """Of the next sample: growing weights fade all older ones."""
        self._random = random.Random()

    def look(self, database: int, requests: list[Request]) -> None:
        """Count the keys of one of these requests, for all of them."""
        self.due = False
        args = self._random.choice(requests)
        try:
            keys = find(args).key_args(args)
        except (CommandError, IndexError, ValueError):
            return
        self._weight /= FADING
        counts = self._counts
        for key in keys[:KEYS_MOST]:
            name = database, bytes(key[:NAME_MOST])
            counts[name] = counts.get(name, 0.0) + self._weight * len(requests)
        if len(counts) > 2 * KEPT or self._weight > 1e100:
            self._counts = {key: count / self._weight for key, count in self._top(KEPT)}
            self._weight = 1.0

    def _top(self, most: int) -> list[tuple[tuple[int, bytes], float]]:
        return nlargest(most, self._counts.items(), key=itemgetter(1))

    def hottest(self, most: int = 10) -> list[tuple[int, bytes, float]]:
        """(database, key, share of the sampled accesses), the hottest first."""
        total = sum(self._counts.values()) or 1
        return [(database, key, count / total) for (database, key), count in self._top(most)]
