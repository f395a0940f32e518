"""What a node counts and times of its own work: per batch."""

from __future__ import annotations

from ironkv.histogram import Histogram
from ironkv.raft.messages import Role


class Meter:
    """Written by the parts, read by INFO and the HTTP port. Times are microseconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        """The steady clock as of the driver's present turn."""
        self.elections = self.elections_won = self.leader_changes = 0
        """Elections that this node called, and won; how often it saw another leader."""
        self._stood = self._won = 0
        self._leader: str | None = None
        self.proposals = self.proposals_refused = 0
        """Batches of this node that the log took, and those that were not done."""
        self.commits = Histogram()
        """From proposing a batch until it is committed, as the leader sees it."""
        self.applies = Histogram()
        """Applying a turn's committed entries."""
        self.batches = Histogram()
        """Commands in a batch."""
        self.late = Histogram()
        """How late the loop came to its timer: what everybody else had to wait then."""

    def role_changed(self, role: Role, term: int, leader: str | None) -> None:
        """Role, term or leader changed."""
        if role is not Role.FOLLOWER and term > self._stood:
            self._stood = term
            self.elections += 1
        if role is Role.LEADER and term > self._won:
            self._won = term
            self.elections_won += 1
        if leader is not None and leader != self._leader:
            self._leader = leader
            self.leader_changes += 1

    def reset(self) -> None:
        """Begin anew what clients may reset; elections are the node's history."""
        for histogram in (self.commits, self.applies, self.batches, self.late):
            histogram.clear()
