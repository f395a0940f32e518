"""An election, from the side of who would win it: first words are asked for, then votes.

Words (PreVote, thesis §9.6) bind nobody and raise no term: they only tell whether an election could be won.
Votes (§5.2) are asked for once term and our own vote are durable. Both are asked for until they are there.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

from ironkv.raft.configuration import Members
from ironkv.raft.log import Log
from ironkv.raft.messages import Message, PreVote, Vote
from ironkv.raft.promises import Promises


class Ballot:
    __slots__ = (
        "_every", "_hard", "_log", "_me", "_members", "_outbox", "_request", "_votes", "_words", "ask_at"
    )  # fmt: skip

    def __init__(
        self, me: str, every: float, members: Members, log: Log, hard: Promises, outbox: list[Message]
    ) -> None:
        """`every`: after so many ms those are asked again who have not answered."""
        self._me, self._every = me, every
        self._members, self._log, self._hard, self._outbox = members, log, hard, outbox
        self.ask_at = inf
        """When to `ask` again."""
        self._words: dict[str, bool] | None = None
        """Who would vote for us, and whether it is fresh; None while we do not ask."""
        self._votes: dict[str, bool] = {}
        self._request: Vote | None = None
        """What a candidate asks of everybody, but for the address."""

    @property
    def sounding(self) -> bool:
        """Whether words are asked for."""
        return self._words is not None

    def sound_out(self, now: float) -> None:
        """Ask whether an election could be won."""
        self._words = {self._me: self._hard.fresh}
        self.ask(now)

    def stand(self, handed_over_in: int | None, now: float) -> None:
        """Ask for votes in the term that has been set; `handed_over_in`: the round of the leader's order."""
        self._words, self._votes = None, {}
        log, handed_over = self._log, handed_over_in is not None
        self._request = Vote(
            self._me, "", self._hard.term, log.last_index, log.last_term, handed_over, handed_over_in or 0
        )
        self.ask(now)

    def withdraw(self) -> None:
        """Ask for nothing any more."""
        self._words = self._request = None
        self.ask_at = inf

    def ask(self, now: float) -> None:
        """Ask those who have not agreed yet."""
        self.ask_at = now + self._every
        log = self._log
        for peer in self._members.voters.others:
            if self._words is not None and peer not in self._words:
                term = self._hard.term + 1
                self._outbox.append(PreVote(self._me, peer, term, log.last_index, log.last_term))
            elif self._request is not None and peer not in self._votes:
                self._hard.give(replace(self._request, to=peer), self._outbox)

    def word(self, voter: str, fresh: bool) -> bool:
        """A word is given; whether those that are there would elect us."""
        if self._words is None:
            return False
        self._words[voter] = fresh
        return self._members.voters.won(self._words)

    def vote(self, voter: str, fresh: bool) -> bool:
        """A vote is given; whether those that are there elect us."""
        self._votes[voter] = fresh
        return self._members.voters.won(self._votes)

    def gives_way_to(self, other: PreVote) -> bool:
        """Two ask at once and would split the vote: more log goes first, else the greater name."""
        mine = (self._log.last_term, self._log.last_index, self._me)
        return self.sounding and (other.last_term, other.last_index, other.sender) > mine
