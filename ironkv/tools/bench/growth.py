"""What the clients of a loaded cluster notice when a node joins it.

Two loads: as much as three nodes take, and half of that at a steady pace. Where all nodes share a machine
that has nothing left, a fourth takes its part of it for good: that is not what joining costs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Self

from ironkv.tools.bench.loads import fill, key, load, rate
from ironkv.tools.client import Client, maps
from ironkv.tools.cluster import Sections, ThrowawayCluster
from ironkv.tools.nodes import Node

SETTINGS: Sections = {"snapshot": {"keep_entries": 1_000, "keep_bytes": "1mb"}}
"""The newcomer cannot have all it lacks from the log: it is sent a snapshot."""


class Growth(NamedTuple):
    """Writes a second before a node joins, until it votes, and afterwards; and how long it took (s)."""

    steady: bool
    before: float
    during: float
    after: float
    took: float

    @property
    def dip(self) -> float:
        """Which part of the writes is lost meanwhile."""
        return max(0.0, 1 - self.during / self.before)


class Steady(threading.Thread):
    """SETs at a pace that leaves the machine something. What cannot be sent in time is not made up for."""

    EVERY_S = 0.01

    def __init__(self, port: int, per_second: float, keys: int) -> None:
        super().__init__(daemon=True)
        self._port, self._keys = port, keys
        self._number = max(1, round(per_second * self.EVERY_S))
        self._over = threading.Event()

    def run(self) -> None:
        sent = 0
        due = time.monotonic()
        with Client("127.0.0.1", self._port, timeout=60) as client:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                due = max(due, time.monotonic()) + self.EVERY_S
                names = (key(n % self._keys) for n in range(sent, sent + self._number))
                client.pipeline([("SET", name, bytes(64)) for name in names])
                sent += self._number

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def measure(parent: Path, keys: int, tries: int, beside_s: float, say: Callable[[str], None]) -> list[Growth]:
    """A fourth node joins three, `tries` times under each load, and is removed again. The load is watched for
    `beside_s` before that, and afterwards."""
    found: list[Growth] = []
    with ThrowawayCluster(3, parent=parent, settings=SETTINGS) as cluster:
        leader = cluster.wait_for_leader()
        fill(leader.port, keys)
        cluster.wait_until_level()
        for number in range(2 * tries):
            newcomer = cluster.newcomer(f"node{4 + number}", leader)
            steady = number % 2 == 1
            beside: AbstractContextManager[object] = (
                Steady(leader.port, found[-1].before / 2, keys) if steady else load(leader.port, keys)
            )
            found.append(_join(leader, newcomer, beside, steady, beside_s))
            say(
                f"[{number + 1:2}/{2 * tries}] {newcomer.id} joins in {found[-1].took:.1f} s: "
                f"{found[-1].before:,.0f} writes a second before, {found[-1].during:,.0f} meanwhile"
            )
    return found


def _join(
    leader: Node, newcomer: Node, beside: AbstractContextManager[object], steady: bool, beside_s: float
) -> Growth:
    try:
        with beside:
            time.sleep(beside_s / 4)
            before = rate(leader, beside_s)
            began = time.monotonic()
            newcomer.start()
            during = rate(leader, until=lambda: _votes(leader, newcomer.id))
            took = time.monotonic() - began
            after = rate(leader, beside_s)
        with leader.connect(60) as client:
            client.call("RAFT", "REMOVE", newcomer.id)
    finally:
        newcomer.kill()
    return Growth(steady, before, during, after, took)


def _votes(leader: Node, name: str) -> bool:
    with leader.connect() as client:
        members = maps(client.call("RAFT", "MEMBERS"))
    return any(each["id"] == name and each["vote"] == "voter" for each in members)
