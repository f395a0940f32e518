"""What is done while a disk is recorded: `python -m tests.storage.lossy.work WHAT FOLDER NODE SEED`.

Real nodes in virtual time, one of them on the recorded disk. After everything that a client could know of, a
mark goes into the record: how far NODE's log is promised, and what the state is after which entry.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import pytest

from ironkv import images
from ironkv.offline import compact
from ironkv.storage.stopped import StoppedNode
from tests.node.test_recovery import TAIL, talk
from tests.node.virtual import Client, Cluster, VirtualNode, make_time_virtual


class Marks:
    """Writes marks behind what was done before them."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = os.open(f"{folder / name}.marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(self, durable: int, node: VirtualNode) -> None:
        """`durable`: up to which entry the log is promised. `node`: one whose state is known to be right."""
        digest = images.digest_of_keyspace(node.keyspace).hex()
        mark = {"durable": durable, "applied": node.machine.applied, "digest": digest}
        os.write(self._file, json.dumps(mark).encode())


def serve(cluster: Cluster, marks: Marks, chance: random.Random) -> None:
    """One node: writes, snapshots, trims, restarts."""
    for _ in range(4):
        cluster.boot("node1")
        node = cluster.nodes["node1"]
        cluster.advance(100)
        for turn in range(12):
            talk(node.client(), chance)
            for ms in (0, 1, chance.choice((10, 150, 300))):
                cluster.advance(ms)
                marks.mark(node.core.durable_index, node)
            if turn % 5 == 4:
                node.storage.begin()
        cluster.advance(500)
        marks.mark(node.core.durable_index, node)
        cluster.crash("node1")


def install(cluster: Cluster, marks: Marks, chance: random.Random) -> None:
    """A follower that is sent a snapshot, twice, and goes on."""
    leader = cluster.boot().elect("node1")
    follower = cluster.nodes["node2"]
    for _ in range(2):
        cluster.isolate(follower.id)
        for _ in range(20):
            talk(leader.client(), chance)
            cluster.advance(5)
            marks.mark(follower.core.durable_index, leader)
        leader.storage.begin()
        cluster.advance(2_000)
        cluster.heal(lose=True)
        for _ in range(50):
            cluster.advance(100)
            marks.mark(follower.core.durable_index, leader)
        assert follower.machine.applied == leader.machine.applied


def fold(cluster: Cluster, marks: Marks, chance: random.Random) -> None:
    """A node's directory, compacted when it has stopped."""
    cluster.boot("node1")
    node = cluster.nodes["node1"]
    cluster.advance(100)
    client: Client = node.client()
    for _ in range(20):
        talk(client, chance)
        cluster.advance(20)
        marks.mark(node.core.durable_index, node)
    node.storage.note_commit()
    cluster.crash("node1")
    for _ in range(2):
        with StoppedNode(cluster.path / "node1") as stopped:
            compact.compact(stopped, lambda doing, done: None)
        marks.mark(node.core.durable_index, node)


WORKS = {"serve": (serve, 1), "install": (install, 3), "fold": (fold, 1)}


def main(what: str, folder: str, name: str, seed: str) -> None:
    work, size = WORKS[what]
    cluster = Cluster(Path(folder), size, snapshot=TAIL)
    with pytest.MonkeyPatch.context() as patch:
        make_time_virtual(cluster, patch)
        work(cluster, Marks(Path(folder), name), random.Random(int(seed)))
        for node in cluster.nodes.values():
            node.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
