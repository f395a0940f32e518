"""What became of a command on this node: how often it was called and refused, how long it took."""

from __future__ import annotations

from ironkv.histogram import Histogram

ours = True
"""Whether what runs now was asked for by a client of this node, and so counts."""


class Usage(Histogram):
    """Its values are microseconds per call."""

    __slots__ = ("failed", "ns", "rejected")

    def __init__(self) -> None:
        super().__init__()
        self.ns = 0
        """All calls together."""
        self.rejected = 0
        """Refused before it was done: wrong arguments, not the leader, no room."""
        self.failed = 0
        """It was done, and its reply was an error."""

    def took(self, ns: int, calls: int = 1) -> None:
        """So many calls took this long together."""
        self.ns += ns
        self.add(ns // (1000 * calls), calls)

    def clear(self) -> None:
        super().clear()
        self.ns = self.rejected = self.failed = 0
