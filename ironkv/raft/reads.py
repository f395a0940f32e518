"""Linearizable reads without writing to the log (thesis §6.4).

A leader that has been replaced does not know it. Before it answers from memory it must be sure that
it still led *after* the read arrived. Both ways to be sure rest on rounds: numbered broadcasts, whose
number a follower's answer repeats.

ReadIndex   Start a round after the read arrived. Once a majority has answered it, nobody else had
            been elected when it was sent.
Lease       A follower that answered promised to elect nobody for an election timeout from then on.
            The promise began after the round was *sent*, so the leader counts from there: for
            `LEASE_FRACTION` of an election timeout reads need no round of their own.

Either way nothing is answered before an entry of the leader's own term is committed: until then its
commit index may lie behind what an earlier leader has acknowledged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from ironkv.raft.messages import Message, ReadGrant, ReadIndex

LEASE_FRACTION: Final = 0.8
"""Which part of an election timeout a lease lasts.

The leader times its lease and the follower times its promise, each with its own clock. If these run
at rates 1-r and 1+r, then safety asks that LEASE_FRACTION / (1-r) < 1 / (1+r): 0.8 bears clocks that
are both off by r = 11 %, in opposite directions. CLOCK_BOOTTIME is slewed by at most 0.05 %; the rest
is left for virtual machines that are stopped and told the time late.
"""


class Rounds:
    """The broadcasts of one term: when each was sent, and the newest a majority has answered."""

    __slots__ = ("_sent", "confirmed", "confirmed_sent", "floor", "number")

    def __init__(self) -> None:
        self.number = 0
        self.confirmed = 0
        self.confirmed_sent = -inf
        self.floor = 0
        """No lease may rest on this round or an earlier one: it was given away in a transfer."""
        self._sent: deque[tuple[int, float]] = deque()

    def begin(self, now: float) -> int:
        self.number += 1
        self._sent.append((self.number, now))
        return self.number

    def confirm(self, number: int) -> None:
        """A majority has answered round `number`, and with it all earlier ones."""
        while self._sent and self._sent[0][0] <= number:
            self.confirmed, self.confirmed_sent = self._sent.popleft()

    def unanswered_since(self) -> float:
        """When the oldest round that still lacks its majority was sent."""
        return self._sent[0][1] if self._sent else inf

    def give_away(self, upto: int) -> None:
        """Leave the rounds up to `upto` to a transfer that came to nothing."""
        self.number = self.floor = upto


@dataclass(frozen=True, slots=True)
class WaitingRead:
    read_id: int
    asker: str | None
    """The follower that asked; None for a read of our own."""
    deadline: float


class ReadQueue:
    """Reads that wait for a round. They all wait equally long, so the oldest is always in front."""

    __slots__ = ("_asked", "_gathering")

    def __init__(self) -> None:
        self._gathering: deque[WaitingRead] = deque()
        self._asked: deque[tuple[int, WaitingRead]] = deque()

    def add(self, read: WaitingRead) -> None:
        self._gathering.append(read)

    def wants_round(self) -> bool:
        """One round at a time: reads that arrive while it is under way share the next one."""
        return bool(self._gathering) and not self._asked

    def start(self, number: int) -> None:
        """Round `number` begins now, which is after all these reads have arrived."""
        while self._gathering:
            self._asked.append((number, self._gathering.popleft()))

    def confirmed(self, number: int) -> Iterator[WaitingRead]:
        while self._asked and self._asked[0][0] <= number:
            yield self._asked.popleft()[1]

    def expired(self, now: float) -> Iterator[WaitingRead]:
        while self._asked and self._asked[0][1].deadline <= now:
            yield self._asked.popleft()[1]
        while self._gathering and self._gathering[0].deadline <= now:
            yield self._gathering.popleft()

    def next_deadline(self) -> float:
        if self._asked:
            return self._asked[0][1].deadline
        return self._gathering[0].deadline if self._gathering else inf


class ForwardedReads:
    """A follower's reads that its leader is asked about. All wait equally long, so the oldest is in front."""

    __slots__ = ("_grants", "_me", "_next_id", "_outbox", "_timeout", "_waiting")

    def __init__(
        self, me: str, timeout: float, outbox: list[Message], grants: list[ReadGrant], random: Random
    ) -> None:
        self._me, self._timeout, self._outbox, self._grants = me, timeout, outbox, grants
        self._waiting: dict[int, tuple[int, float]] = {}
        # Ids on the wire are drawn anew at each start, so that no answer meant for an earlier life fits.
        self._next_id = random.getrandbits(32) << 30

    def ask(self, read_id: int, leader: str, term: int, now: float) -> None:
        self._next_id += 1
        self._waiting[self._next_id] = (read_id, now + self._timeout)
        self._outbox.append(ReadIndex(self._me, leader, term, self._next_id))

    def answered(self, wire_id: int, index: int | None) -> None:
        waiting = self._waiting.pop(wire_id, None)
        if waiting is not None:
            self._grants.append(ReadGrant(waiting[0], index))

    def expire(self, now: float) -> None:
        while self._waiting and self.next_deadline() <= now:
            self.answered(next(iter(self._waiting)), None)

    def fail(self) -> None:
        """Whoever was asked leads no more, or is not there."""
        self._grants.extend(ReadGrant(read_id, None) for read_id, _ in self._waiting.values())
        self._waiting.clear()

    def next_deadline(self) -> float:
        return next(iter(self._waiting.values()))[1] if self._waiting else inf
