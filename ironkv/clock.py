"""Time: the node's steady clock, and the cluster's wall clock, which no single machine can throw.

`boot_ms` counts on while the machine sleeps (CLOCK_BOOTTIME): a suspended leader must not wake up
believing in its lease. `ClusterClock` tells a leader what time it is for the keys.
"""

from __future__ import annotations

import time
from typing import Final

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_ms() -> float:
    """Milliseconds of a clock that never jumps, suspension included."""
    return time.clock_gettime(_BOOTTIME) * 1000.0


def wall_ms() -> float:
    """What this machine believes the time is: milliseconds since the epoch."""
    return time.time() * 1000.0


class ClusterClock:
    """The time a leader stamps entries with: anchored when it is elected, then steady.

    The system clock of one machine may be wrong, or be set while the node runs. So a new leader does
    not take its own: it takes the lower median of its own and of what the peers last said, and is never
    behind what a leader before it said. From then on only the steady clock moves it. One clock
    of three that is a year ahead expires nothing, and a time-to-live never rises at a failover.
    """

    def __init__(self, now: float, wall: float) -> None:
        self._offset = wall - now
        self._peers: dict[str, float] = {}
        self._floor = float("-inf")
        self._anchored = False

    def heard(self, peer: str, wall: float, now: float) -> None:
        """A peer told its wall clock."""
        self._peers[peer] = wall - now

    def heard_leader(self, cluster_ms: float, now: float) -> None:
        """The leader told the cluster's time; it will not be earlier than that any more."""
        self._floor = max(self._floor, cluster_ms - now)
        # Until it is elected itself a node goes by what leaders say: its own clock may be ahead.
        self._offset = max(self._offset, self._floor) if self._anchored else self._floor

    def anchor(self, now: float, wall: float) -> float:
        """Set the cluster's time at an election; how far (ms) this machine's own clock is off it."""
        offsets = sorted([*self._peers.values(), wall - now])
        self._offset = max(offsets[(len(offsets) - 1) // 2], self._floor)
        self._anchored = True
        return wall - now - self._offset

    def now_ms(self, now: float) -> int:
        """The cluster's time, in whole milliseconds since the epoch."""
        return int(now + self._offset)

    def now_us(self, now: float) -> int:
        """The same in microseconds."""
        return int((now + self._offset) * 1000)
