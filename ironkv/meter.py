"""What a node counts and times of its own work: per batch."""

from __future__ import annotations

from collections import deque
from typing import Final

from ironkv.histogram import Histogram
from ironkv.raft.messages import Role

HISTORY_S: Final = 600
EVENTS_MOST: Final = 200


class Meter:
    """Written by the parts, read by INFO and the HTTP port. Times are microseconds."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        """The steady clock as of the driver's present turn."""
        self.elections = self.elections_won = self.leader_changes = 0
        """Elections that this node called, and won; how often it saw another leader."""
        self.events: deque[tuple[float, str, int, str | None]] = deque(maxlen=EVENTS_MOST)
        """(Unix time, role, term, leader), oldest first."""
        self.history: deque[tuple[float, int, int, int]] = deque(maxlen=HISTORY_S)
        """The last seconds: (Unix time, commands per second, commits' median and 99th percentile)."""
        self._sampled_s = 0.0
        self._commands = 0
        self._commits: dict[int, int] = {}
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

    def role_changed(self, at_s: float, role: Role, term: int, leader: str | None) -> None:
        """Role, term or leader changed, at a Unix time."""
        self.events.append((at_s, role.name.lower(), term, leader))
        if role is not Role.FOLLOWER and term > self._stood:
            self._stood = term
            self.elections += 1
        if role is Role.LEADER and term > self._won:
            self._won = term
            self.elections_won += 1
        if leader is not None and leader != self._leader:
            self._leader = leader
            self.leader_changes += 1

    def sample(self, at_s: float, commands: int) -> None:
        """Note the last second, at a Unix time, with the commands that were ever received."""
        commits = dict(self.commits.counts)
        recent = Histogram()
        for bucket, count in commits.items():
            if (more := count - self._commits.get(bucket, 0)) > 0:
                recent.counts[bucket] = more
        passed_s = max(at_s - self._sampled_s, 0.001)
        if self._sampled_s:
            per_second = max(commands - self._commands, 0) / passed_s
            middle, worst = recent.percentile(50), recent.percentile(99)
            self.history.append((round(at_s, 1), round(per_second), middle, worst))
        self._sampled_s, self._commands, self._commits = at_s, commands, commits

    def reset(self) -> None:
        """Begin anew what clients may reset; elections are the node's history."""
        for histogram in (self.commits, self.applies, self.batches, self.late):
            histogram.clear()
