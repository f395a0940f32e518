"""How often something took how long: counts by size, four buckets to a doubling."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

PARTS: Final = 4
"""Buckets to a doubling: a value is told to within a quarter."""


def _bucket_of(value: int) -> int:
    doubling = value.bit_length()
    return doubling * PARTS + ((value >> (doubling - 3)) & 3 if doubling > 2 else value & 3)


_SMALL: Final = [_bucket_of(value) for value in range(1024)]
"""Most values are small, and then looking is faster than computing."""


class Histogram:
    """Counts of whole numbers, such as microseconds, by size. Exact below 4."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)
        self.total = 0
        """The sum of all values."""

    def add(self, value: int, times: int = 1) -> None:
        """Count `value`, which is 0 or more, `times` times."""
        self.counts[_SMALL[value] if value < 1024 else _bucket_of(value)] += times
        self.total += value * times

    def clear(self) -> None:
        self.counts.clear()
        self.total = 0

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def buckets(self) -> Iterator[tuple[int, int]]:
        """(the largest value that belongs here, how many), smallest first; empty ones are left out."""
        for bucket in sorted(self.counts):
            yield _most(bucket), self.counts[bucket]

    def doublings(self) -> Iterator[tuple[int, int]]:
        """(the largest value that belongs here, 2ⁿ - 1; how many up to there), smallest first."""
        by_doubling: dict[int, int] = {}
        for bucket, count in list(self.counts.items()):  # another thread may be counting
            by_doubling[bucket // PARTS] = by_doubling.get(bucket // PARTS, 0) + count
        so_far = 0
        for doubling in sorted(by_doubling):
            so_far += by_doubling[doubling]
            yield (1 << doubling) - 1, so_far

    def percentile(self, percent: float) -> int:
        """A value that so many percent do not exceed, to within a quarter; 0 of nothing."""
        wanted = self.count * percent / 100
        so_far = 0
        for most, count in self.buckets():
            so_far += count
            if so_far >= wanted:
                return most
        return 0


def _most(bucket: int) -> int:
    doubling, part = divmod(bucket, PARTS)
    if doubling <= 2:
        return part
    step = 1 << (doubling - 3)
    return (4 + part + 1) * step - 1
