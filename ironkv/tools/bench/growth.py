"""What the clients of a loaded cluster notice when a node joins it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ironkv.tools.bench.loads import fill, load, rate
from ironkv.tools.client import maps
from ironkv.tools.cluster import Sections, ThrowawayCluster
from ironkv.tools.nodes import Node

BESIDE_S = 4.0
"""So long the load is watched before the node joins, and afterwards."""
SETTINGS: Sections = {"snapshot": {"keep_entries": 1_000, "keep_bytes": "1mb"}}
"""The newcomer cannot have all it lacks from the log: it is sent a snapshot."""


class Growth(NamedTuple):
    """Writes a second before a node joins, until it votes, and afterwards; and how long it took (s)."""

    before: float
    during: float
    after: float
    took: float

    @property
    def dip(self) -> float:
        """Which part of the writes is lost meanwhile."""
        return max(0.0, 1 - self.during / self.before)


def measure(parent: Path, keys: int, tries: int, say: Callable[[str], None]) -> list[Growth]:
    """A fourth node joins three, `tries` times, and is removed again."""
    found: list[Growth] = []
    with ThrowawayCluster(3, parent=parent, settings=SETTINGS) as cluster:
        leader = cluster.wait_for_leader()
        fill(leader.port, keys)
        cluster.wait_until_level()
        for number in range(tries):
            newcomer = cluster.newcomer(f"node{4 + number}", leader)
            found.append(_join(leader, newcomer, keys))
            say(
                f"[{number + 1:2}/{tries}] {newcomer.id} joins in {found[-1].took:.1f} s: "
                f"{100 * found[-1].dip:.0f} % fewer writes"
            )
    return found


def _join(leader: Node, newcomer: Node, keys: int) -> Growth:
    try:
        with load(leader.port, keys):
            time.sleep(1.0)
            before = rate(leader, BESIDE_S)
            began = time.monotonic()
            newcomer.start()
            during = rate(leader, until=lambda: _votes(leader, newcomer.id))
            took = time.monotonic() - began
            after = rate(leader, BESIDE_S)
        with leader.connect(60) as client:
            client.call("RAFT", "REMOVE", newcomer.id)
    finally:
        newcomer.kill()
    return Growth(before, during, after, took)


def _votes(leader: Node, name: str) -> bool:
    with leader.connect() as client:
        members = maps(client.call("RAFT", "MEMBERS"))
    return any(each["id"] == name and each["vote"] == "voter" for each in members)
