"""How long nobody takes a write: when the leader is killed, and when it is asked to go."""

from __future__ import annotations

import re
import signal
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import Cluster, ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node

_HINT = re.compile(r" at \S+:(\d+)$")


class Acknowledged(NamedTuple):
    """One write that was answered OK."""

    sent: float
    at: float
    by: str


@dataclass(slots=True)
class Pauses:
    """Seconds, one per try."""

    killed: list[float] = field(default_factory=list)
    handed_over: list[float] = field(default_factory=list)

    @property
    def killed_median(self) -> float:
        return statistics.median(self.killed)

    @property
    def handed_over_median(self) -> float:
        return statistics.median(self.handed_over)


class Probe(threading.Thread):
    """A client that writes without a pause and goes wherever a write is taken."""

    def __init__(self, nodes: list[Node]) -> None:
        super().__init__(name="failover probe", daemon=True)
        self.acknowledged: list[Acknowledged] = []
        self._nodes = nodes
        self._at = 0
        self._client: Client | None = None
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.is_set():
            sent = time.monotonic()
            try:
                if self._client is None:
                    self._client = self._nodes[self._at].connect(timeout=5)
                self._client.call("SET", "failover:probe", f"{sent}")
            except ErrorReply as error:
                self._move_on(str(error))
            except OSError:
                self._move_on("")
            else:
                self.acknowledged.append(Acknowledged(sent, time.monotonic(), self._nodes[self._at].id))
        if self._client is not None:
            self._client.close()

    def finish(self) -> None:
        self._over.set()
        self.join(30)

    def _move_on(self, error: str) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        hint = _HINT.search(error)
        known = [
            i for i, node in enumerate(self._nodes) if hint and node.port == int(hint[1]) and i != self._at
        ]
        self._at = known[0] if known else (self._at + 1) % len(self._nodes)
        self._over.wait(0.001)


def measure(parent: Path, tries: int, say: Callable[[str], None]) -> Pauses:
    """`tries` times each, on one cluster that is whole again before the next try."""
    pauses = Pauses()
    with ThrowawayCluster(3, parent=parent) as cluster:
        for number in range(tries):
            pause = _pause(cluster, signal.SIGKILL)
            pauses.killed.append(pause)
            say(f"[{number + 1:2}/{tries}] leader killed:      next write after {pause * 1000:6.0f} ms")
        for number in range(tries):
            pause = _pause(cluster, signal.SIGTERM)
            pauses.handed_over.append(pause)
            say(f"[{number + 1:2}/{tries}] leader asked to go: writes paused {pause * 1000:6.0f} ms")
    return pauses


def _pause(cluster: Cluster, number: signal.Signals) -> float:
    """SIGKILL: from the kill to the next acknowledged write. SIGTERM: the longest time between two
    acknowledged writes until a new leader takes them, because the old one serves on for a moment."""
    leader = cluster.wait_for_leader()
    cluster.wait_until_level()
    process = leader.process()
    assert process is not None
    probe = Probe(cluster.nodes)
    probe.start()
    try:
        wait_for(
            lambda: len(probe.acknowledged) >= 50 and probe.acknowledged[-1].by == leader.id, "writes flow"
        )
        began = time.monotonic()
        process.send(number)
        after = wait_for(
            lambda: next(
                (a for a in probe.acknowledged[::-1] if a.sent >= began and a.by != leader.id), None
            ),
            f"a write acknowledged after {number.name} for {leader.id}",
            pause=0.05,
        )
    finally:
        probe.finish()
    leader.stop(number, grace=30)
    leader.start()
    cluster.wait_until_level()
    writes = [a for a in probe.acknowledged if a.at <= after.at]
    if number is signal.SIGKILL:
        return next(a.at for a in writes if a.sent >= began) - began
    times = [began, *(a.at for a in writes if a.at >= began)]
    return max(later - earlier for earlier, later in pairwise(times))
