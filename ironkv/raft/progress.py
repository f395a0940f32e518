"""What a leader knows about one follower, and how much it may send it.

PROBE       we do not know where the logs part: one empty question at a time, no entries
REPLICATE   they agree up to `next - 1`, unless something gets lost: entries flow without waiting
            for answers, as many as the window allows

Only numbers are kept per follower, never entries, so a slow or dead one costs no memory.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum


class Flow(IntEnum):
    PROBE = 0
    REPLICATE = 1


class Progress:
    __slots__ = (
        "_flight",
        "commit_sent",
        "flight_bytes",
        "flow",
        "fresh_since",
        "goal",
        "goal_set",
        "heard",
        "lost",
        "match",
        "next",
        "question",
        "round",
    )

    def __init__(self, next_index: int, now: float) -> None:
        self.match = 0
        """The highest entry known to agree and to be on the follower's disk. Falls only with that disk."""
        self.next = next_index
        """The next entry to send; always above `match`."""
        self.flow = Flow.PROBE
        self.round = 0
        """The newest round the follower has answered."""
        self.heard = now
        """When it last answered anything."""
        self.commit_sent = 0
        """The highest commit index it has been told."""
        self.question = False
        """A probe is due at once, rather than with the next heartbeat."""
        self.fresh_since = 0
        """When it says it is fresh: the first round that began after we knew. 0: it is not."""
        self.lost = False
        """Its connection is down: sending entries would fill the window for nothing."""
        self.goal = 0
        """Of a learner: what it is to reach next, and since when (thesis §4.2.1). 0: nothing was set yet."""
        self.goal_set = now
        self._flight: deque[tuple[int, int]] = deque()
        self.flight_bytes = 0

    def reborn(self) -> None:
        """It lost its disk: whatever it had acknowledged is void."""
        self.match = self.round = self.commit_sent = self.fresh_since = 0
        self.goal = 0
        self.probe(self.next)
        self.question = True

    @property
    def flight_messages(self) -> int:
        return len(self._flight)

    def window_open(self, most_messages: int, most_bytes: int) -> bool:
        return (
            self.flow is Flow.REPLICATE
            and not self.lost
            and len(self._flight) < most_messages
            and self.flight_bytes < most_bytes
        )

    def sent(self, last_index: int, size: int) -> None:
        """Entries up to `last_index` are on their way: go on behind them without waiting."""
        self._flight.append((last_index, size))
        self.flight_bytes += size
        self.next = last_index + 1

    def accepted(self, match: int) -> bool:
        """The logs agree up to `match`, durably. True if that is news."""
        while self._flight and self._flight[0][0] <= match:
            self.flight_bytes -= self._flight.popleft()[1]
        news = match > self.match
        if news:
            self.match = match
        if self.next <= match:
            self.next = match + 1
        self.flow = Flow.REPLICATE
        return news

    def rejected(self, agreed: int) -> None:
        """The logs may agree at `agreed`, but not further.

        An honest rejection always leads further back; one that does not is an echo of a question
        asked earlier. Below `match` nothing can disagree.
        """
        back = max(agreed, self.match) + 1
        if back < self.next:
            self.probe(back)
            self.question = True

    def probe(self, next_index: int) -> None:
        """Forget what was in flight and feel the way from `next_index`.

        Rather too far ahead than too far back: the follower's hint leads back exactly as far as
        needed, while a question about `match` finds agreement at once, and everything behind it
        would be sent again. A follower that has not answered yet in this term has `match` 0.
        """
        self.flow = Flow.PROBE
        self.next = next_index
        self._flight.clear()
        self.flight_bytes = 0
