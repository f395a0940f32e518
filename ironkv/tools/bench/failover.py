"""How long nobody takes a write: when the leader is killed, asked to go, or told to hand over."""

from __future__ import annotations

import re
import signal
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
    """By SIGKILL: from there to the next acknowledged write."""
    asked_to_go: list[float] = field(default_factory=list)
    """By SIGTERM: the longest time between two acknowledged writes, for the old leader serves on a moment."""
    handed_over: list[float] = field(default_factory=list)
    """By RAFT TRANSFER: the same."""


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


class Tries(NamedTuple):
    kills: int
    stops: int
    transfers: int


def measure(parent: Path, tries: Tries, say: Callable[[str], None]) -> Pauses:
    """On one cluster, that is whole again before the next try."""
    pauses = Pauses()
    with ThrowawayCluster(3, parent=parent) as cluster:
        for what, end, found, count in (
            ("leader killed:      next write after", _kill, pauses.killed, tries.kills),
            ("leader asked to go: writes paused   ", _ask_to_go, pauses.asked_to_go, tries.stops),
            ("leader hands over:  writes paused   ", _hand_over, pauses.handed_over, tries.transfers),
        ):
            for number in range(count):
                found.append(_pause(cluster, end))
                say(f"[{number + 1:2}/{count}] {what} {found[-1] * 1000:6.0f} ms")
    return pauses


def _kill(leader: Node) -> None:
    leader.kill()


def _ask_to_go(leader: Node) -> None:
    process = leader.process()
    assert process is not None
    process.send(signal.SIGTERM)


def _hand_over(leader: Node) -> None:
    with leader.connect() as client:
        client.call("RAFT", "TRANSFER")


def _pause(cluster: Cluster, end: Callable[[Node], None]) -> float:
    leader = cluster.wait_for_leader()
    cluster.wait_until_level()
    probe = Probe(cluster.nodes)
    probe.start()
    try:
        wait_for(
            lambda: len(probe.acknowledged) >= 50 and probe.acknowledged[-1].by == leader.id, "writes flow"
        )
        began = time.monotonic()
        end(leader)
        after = wait_for(
            lambda: next(
                (a for a in probe.acknowledged[::-1] if a.sent >= began and a.by != leader.id), None
            ),
            f"a write acknowledged by another than {leader.id}",
            pause=0.05,
        )
    finally:
        probe.finish()
    if end is not _hand_over:
        leader.stop(grace=30)
        leader.start()
    cluster.wait_until_level()
    writes = [a for a in probe.acknowledged if a.at <= after.at]
    if end is _kill:
        return next(a.at for a in writes if a.sent >= began) - began
    times = [began, *(a.at for a in writes if a.at >= began)]
    return max(later - earlier for earlier, later in pairwise(times))
