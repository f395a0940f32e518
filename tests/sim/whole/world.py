"""Time and chance: the event queue, and what the modules of a node see of both.

Nodes call `clock.boot_ms()` without saying who they are, so whoever calls into a node notes whose turn it is.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from tests.sim.whole.computer import Computer

WALL_MS = 1_800_000_000_000.0
"""What a right wall clock shows when a run begins."""


class Timer:
    """What `call_later` gives."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class World:
    """`now` is the true time in ms since the run began."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], Any]]] = []
        self._order = count()
        self.turn_of: Computer | None = None

    def after(self, delay_ms: float, work: Callable[[], Any]) -> None:
        heappush(self._events, (self.now + delay_ms, next(self._order), work))

    def run_until(self, end: float) -> None:
        events = self._events
        while events and events[0][0] <= end:
            self.now, _, work = heappop(events)
            work()
        self.now = end

    # -- what a node sees

    def steady_ms(self) -> float:
        assert self.turn_of is not None
        return self.turn_of.steady_ms()

    def wall_ms(self) -> float:
        assert self.turn_of is not None
        return self.turn_of.wall_ms()

    @contextlib.contextmanager
    def applied(self, lmdb: Any, writer: Any, worker: Any, statvfs: Callable[[Any], Any]) -> Iterator[None]:
        """Put this world under the modules of a node. One world at a time."""
        chance = self.chance
        times = SimpleNamespace(
            time=lambda: self.wall_ms() / 1000.0,
            monotonic=lambda: self.steady_ms() / 1000.0,
            perf_counter=lambda: self.now / 1000.0,
            time_ns=lambda: int(self.wall_ms() * 1e6),
        )
        generators = SimpleNamespace(Random=lambda *seed: random.Random(*(seed or (chance.getrandbits(64),))))
        numbers = SimpleNamespace(
            randbits=chance.getrandbits, token_hex=lambda size: f"{chance.getrandbits(8 * size):0{2 * size}x}"
        )
        replaced = {
            "ironkv.clock.boot_ms": self.steady_ms,
            "ironkv.clock.wall_ms": self.wall_ms,
            "ironkv.node.node.time": times,
            "ironkv.node.view.time": times,
            "ironkv.storage.journal.time": times,
            "ironkv.node.node.random": generators,
            "ironkv.keyspace.keyspace.random": generators,
            "ironkv.node.view.secrets": numbers,
            "ironkv.node.joining.join": lambda settings: self.turn_of.told,  # type: ignore[union-attr]
            "ironkv.storage.directory.secrets": numbers,
            "ironkv.storage.environment.lmdb": lmdb,
            "ironkv.storage.journal.lmdb": lmdb,
            "ironkv.storage.snapshots.lmdb": lmdb,
            "ironkv.storage.room.os": SimpleNamespace(statvfs=statvfs),
            "ironkv.node.storage.JournalWriter": writer,
            "ironkv.node.storage.Worker": worker,
        }
        with contextlib.ExitStack() as stack:
            for name, what in replaced.items():
                stack.enter_context(mock.patch(name, what))
            yield
