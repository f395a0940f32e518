"""Majority maths: the same few lines count votes, commit entries and confirm leadership."""

from __future__ import annotations

from collections.abc import Collection


def majority(voters: int) -> int:
    """How many of `voters` are more than half: 3 → 2, 4 → 3, 5 → 3."""
    return voters // 2 + 1


def majority_index(acked: Collection[int]) -> int:
    """The highest number that a majority has reached: [9, 3, 7] → 7."""
    return sorted(acked, reverse=True)[len(acked) // 2]
