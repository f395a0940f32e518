"""Who votes.

The set is fixed when the node starts. Everything else asks this class, and never counts nodes by
itself, so that joint consensus (§6) can come as a change in here: two sets, both of which must
agree, switched by an entry at the moment it is appended.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from ironkv.raft.quorum import majority, majority_index


class Voters:
    """The members whose majority elects, commits and confirms."""

    __slots__ = ("_majority", "ids", "others")

    def __init__(self, ids: frozenset[str], me: str) -> None:
        if me not in ids:
            raise ValueError(f"node {me!r} is not among the voters {sorted(ids)}")
        self.ids = ids
        # Sorted: the order of messages must not depend on how strings hash.
        self.others: tuple[str, ...] = tuple(sorted(ids - {me}))
        self._majority = majority(len(ids))

    def won(self, granted: Collection[str]) -> bool:
        """Whether these voters are a majority."""
        return len(granted) >= self._majority

    def agreed(self, mine: int, theirs: Callable[[str], int]) -> int:
        """The highest number a majority has reached, given mine and one for each of the others."""
        return majority_index([mine, *map(theirs, self.others)])
