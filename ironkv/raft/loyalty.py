"""What a node owes the leader it heard last: for an election timeout it elects nobody else.

Leases rest on that (thesis §4.2.3, §6.4.1), and they last less than that (reads.py).
"""

from __future__ import annotations


class Loyalty:
    __slots__ = ("_amnesia_term", "_amnesia_until", "_timeout", "heard", "heard_round")

    def __init__(self, timeout: float, term: int, now: float) -> None:
        """`term`: the one found on disk."""
        self._timeout = timeout
        # A node that starts has forgotten whom it promised its loyalty, and must behave as if it had
        # heard from a leader just now. Otherwise a crash could break a lease that rests on it.
        self.heard = now
        self.heard_round = (0, 0)
        """(term, round) of the newest broadcast that was heard."""
        self._amnesia_until = now + timeout
        self._amnesia_term = term

    def hear(self, term: int, round_number: int, now: float) -> None:
        """The leader of `term` has spoken."""
        self.heard = now
        self.heard_round = max(self.heard_round, (term, round_number))

    def binds(self, now: float) -> bool:
        """Whether nobody else may be elected."""
        return now < self.heard + self._timeout

    def is_forgotten(self, term: int, now: float) -> bool:
        """Whether an earlier life may have promised a leader of `term` something that still holds."""
        return now < self._amnesia_until and term <= self._amnesia_term
