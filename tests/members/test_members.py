"""Nodes join, leave and are replaced while clients write: real processes, real disks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import Cluster, ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node

NO_MEMBER = "CLUSTERDOWN this node is no member of the cluster"


@pytest.fixture
def cluster() -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(3) as cluster:
        yield cluster


class Writer(threading.Thread):
    """Counts up on the leader, whoever that is. A reply other than success is noted."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._over = threading.Event()
        self.done = 0
        self.unknown = 0
        self.errors: list[str] = []

    def run(self) -> None:
        client: Client | None = None
        while not self._over.is_set():
            try:
                if client is None:
                    client = self._cluster.connect_to_leader()
                client.call("INCR", "count")
                self.done += 1
            except (ErrorReply, OSError) as error:
                if isinstance(error, OSError) or error.code == "UNKNOWN":
                    self.unknown += 1
                elif error.code not in ("NOTLEADER", "CLUSTERDOWN"):
                    self.errors.append(str(error))
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def stop(self) -> None:
        self._over.set()
        self.join(60)
        assert not self.is_alive()


def members(node: Node) -> dict[str, dict[str, Any]]:
    with node.connect() as client:
        found = [
            {name.decode(): value for name, value in zip(each[::2], each[1::2], strict=True)}
            for each in client.call("RAFT", "MEMBERS")  # type: ignore[union-attr]
        ]
    return {each["id"].decode(): each for each in found}


def voters(node: Node) -> set[str]:
    return {name for name, each in members(node).items() if each["vote"] == b"voter"}


def order(node: Node, *words: str | int) -> None:
    with node.connect(60.0) as client:
        assert client.call("RAFT", *words) == "OK"


def test_from_three_to_five_and_back(cluster: ThrowawayCluster) -> None:
    """While clients write, through any node; then all restart, from what their own logs say."""
    first = cluster.wait_for_leader()
    follower = cluster.followers(first)[0]
    writer = Writer(cluster)
    writer.start()
    for name in ("node4", "node5"):
        newcomer = cluster.newcomer(name, follower)
        newcomer.start()
        cluster.nodes.append(newcomer)
    everybody = {node.id for node in cluster.nodes}
    for node in cluster.nodes:
        wait_for(lambda node=node: voters(node) == everybody, f"five voters on {node.id}")
    order(follower, "REMOVE", first.id)  # the leader, asked for on another node
    second = cluster.wait_for_leader(other_than=first)
    leaves = next(node for node in cluster.nodes if node not in (first, second, cluster["node5"]))
    order(second, "REMOVE", leaves.id)
    writer.stop()
    assert not writer.errors
    stay = [node for node in cluster.nodes if node not in (first, leaves)]
    for node in stay:
        wait_for(lambda node=node: voters(node) == {each.id for each in stay}, f"three voters on {node.id}")
    for gone in (first, leaves):
        wait_for(
            lambda gone=gone: says(gone) == "CLUSTERDOWN this node is no member of the cluster", "it says so"
        )
        gone.stop()
    cluster.nodes = stay
    assert writer.done <= int(cluster.write("GET", "count")) <= writer.done + writer.unknown  # type: ignore[arg-type]
    cluster.kill_all()
    cluster.start()
    assert voters(cluster.wait_for_leader()) == {each.id for each in stay}
    assert int(cluster.write("INCR", "count")) > writer.done  # type: ignore[arg-type]


def says(node: Node) -> str:
    try:
        with node.connect() as client:
            return str(client.call("GET", "count"))
    except ErrorReply as error:
        return str(error)
