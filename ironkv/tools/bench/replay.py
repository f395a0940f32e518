"""How long a node takes to come back with a long log and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ironkv.tools.bench.partners import KEYS, VALUE_BYTES
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node


@dataclass(frozen=True, slots=True)
class Replay:
    writes: int
    log_bytes: int
    empty_start_s: float
    one_node_s: float
    all_nodes_s: float


def measure(parent: Path, writes: int, say: Callable[[str], None]) -> Replay:
    """Restart one follower with `writes` SETs behind it, then the whole cluster."""
    with ThrowawayCluster(3, parent=parent) as cluster:
        follower = cluster.followers()[0]
        follower.kill()
        empty = _seconds_until_applied(follower, 0)
        cluster.wait_until_level()

        say(f"writing {writes:,} SETs")
        _fill(cluster.wait_for_leader().port, writes)
        cluster.wait_until_level()
        leader = cluster.wait_for_leader()
        commit = _commit(leader)
        follower = cluster.followers(leader)[0]
        size = sum(f.stat().st_blocks * 512 for f in follower.data_dir.rglob("*") if f.is_file())

        say(f"restarting one node with {size / 2**20:,.0f} MiB of log")
        follower.kill()
        one = _seconds_until_applied(follower, commit)

        say("restarting all three at once")
        cluster.kill_all()
        began = time.monotonic()
        for node in cluster.nodes:
            node.start()
        cluster.wait_for_leader(timeout=120)
        everyone = time.monotonic() - began
    return Replay(writes, size, round(empty, 2), round(one, 2), round(everyone, 2))


def _fill(port: int, writes: int) -> None:
    program = shutil.which("redis-benchmark")
    if program is None:
        raise SystemExit("no redis-benchmark here (Debian: apt install redis-tools)")
    words = [
        program,
        "-p",
        port,
        "-t",
        "set",
        "-n",
        writes,
        "-r",
        KEYS,
        "-d",
        VALUE_BYTES,
        "-c",
        50,
        "-P",
        16,
        "-q",
    ]
    subprocess.run([str(w) for w in words], stdout=subprocess.DEVNULL, timeout=300, check=True)


def _commit(node: Node) -> int:
    facts = node.facts()
    if facts is None:
        raise SystemExit(f"{node.id} does not answer")
    return facts.commit


def _seconds_until_applied(node: Node, index: int) -> float:
    """From the start of the process until it answers with everything applied."""
    began = time.monotonic()
    node.start()

    def caught_up() -> bool:
        facts = node.facts()
        return facts is not None and facts.applied >= index

    wait_for(caught_up, f"{node.id} has applied {index}", timeout=180)
    return time.monotonic() - began
