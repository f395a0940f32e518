"""Term, vote and whether this node is fresh, and the messages that may not leave before these are on disk.

A vote that is forgotten in a crash can be given twice, and two leaders share a term. So whatever
rests on the hard state — a granted vote, a request for votes, an answer given in a new term — is held
back until the journal has reported the very version of it (figure 2, "updated on stable storage
before responding to RPCs").
"""

from __future__ import annotations

from ironkv.raft.messages import Message


class Promises:
    __slots__ = ("_durable", "_held", "_version", "_writing", "fresh", "term", "voted_for")

    def __init__(self, term: int, voted_for: str | None, fresh: bool) -> None:
        self.term = term
        self.voted_for = voted_for
        self.fresh = fresh
        self._version = self._writing = self._durable = 0
        # One of a kind per receiver: the newer says all the older did, and a stalled disk piles up nothing.
        self._held: dict[tuple[type, str], Message] = {}

    def set(self, term: int, voted_for: str | None) -> None:
        if term != self.term:
            self._held.clear()  # nobody waits for answers of a term gone by
        self.term = term
        self.voted_for = voted_for
        self._version += 1

    def settle_in(self, leader: str) -> None:
        """Fresh no longer; and whoever may have had our vote in this term, `leader` has won it."""
        self.fresh = False
        self.set(self.term, self.voted_for or leader)

    @property
    def durable(self) -> bool:
        return self._durable == self._version

    @property
    def written(self) -> bool:
        """Whether the journal has been given the current version."""
        return self._writing == self._version

    def begin_write(self) -> None:
        self._writing = self._version

    def end_write(self) -> None:
        self._durable = self._writing

    def give(self, message: Message, outbox: list[Message]) -> None:
        """Send at once if all it rests on is durable, else keep it."""
        if self.durable:
            outbox.append(message)
        else:
            self._held[type(message), message.to] = message

    def drop(self, peer: str) -> None:
        """Keep nothing for `peer`: who asked is no more."""
        for key in [key for key in self._held if key[1] == peer]:
            del self._held[key]

    def release(self, outbox: list[Message]) -> None:
        if self._held and self.durable:
            outbox.extend(self._held.values())
            self._held.clear()
