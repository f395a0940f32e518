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
        assert self.done


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
    """As an operator would: given again when nothing was done, or nobody knows: leaders change on a machine
    that has no time for them."""
    again = False

    def done() -> bool:
        nonlocal again
        try:
            with node.connect(60.0) as client:
                return client.call("RAFT", *words) == "OK"
        except ErrorReply as error:
            if again and "is no member" in str(error):
                return True
            if error.code not in ("NOTLEADER", "CLUSTERDOWN", "UNKNOWN"):
                raise
            again |= error.code == "UNKNOWN"
            return False

    wait_for(done, f"RAFT {' '.join(map(str, words))} on {node.id}")


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
    except OSError:
        return ""


def test_a_node_comes_back_to_strangers() -> None:
    """While it was down all the others were replaced: it is called by nodes that its log does not know. The
    newcomers were sent a snapshot, and know the members from that when they start again."""
    settings = {"snapshot": {"keep_entries": 1, "keep_bytes": 0}}
    with ThrowawayCluster(3, settings=settings) as cluster:
        leader = cluster.wait_for_leader()
        with leader.connect() as client:
            client.pipeline([("SET", f"key{number}", number) for number in range(100)])
        sleeper, leaves = cluster.followers(leader)
        sleeper.stop()
        before = [leader, leaves]
        cluster.nodes = [*before]
        order(leader, "SNAPSHOT")
        for name in ("node4", "node5"):
            newcomer = cluster.newcomer(name, leader)
            newcomer.start()
            cluster.nodes.append(newcomer)
            wait_for(lambda name=name: name in voters(leader), f"{name} votes")
        for node in before:
            order(cluster["node4"], "REMOVE", node.id)
            cluster.nodes.remove(node)
            node.kill()
            cluster.wait_until_level()
        cluster.write("SET", "after", "all of them")
        cluster.kill_all()
        everybody = [*cluster.nodes, sleeper]
        cluster.nodes = everybody
        cluster.start()
        assert voters(sleeper) == {node.id for node in everybody}
        assert cluster.write("GET", "after") == b"all of them"
        assert cluster.write("DBSIZE") == 101


def test_a_node_that_slept_through_its_removal(cluster: ThrowawayCluster) -> None:
    """It disturbs nobody, and serves nothing; taken in again it goes on with the data it has."""
    leader = cluster.wait_for_leader()
    sleeper, other = cluster.followers(leader)
    sleeper.kill()
    order(other, "REMOVE", sleeper.id)
    with pytest.raises(ErrorReply, match="is no member"):
        order(other, "REMOVE", sleeper.id)
    cluster.nodes = [leader, other]
    term = cluster.facts()[leader.id].term  # type: ignore[union-attr]
    sleeper.start()
    wait_for(lambda: says(sleeper).startswith("CLUSTERDOWN no leader is known"), "it waits")
    for _ in range(20):
        cluster.write("INCR", "count")
    assert cluster.facts()[leader.id].term == term  # type: ignore[union-attr]
    host, port = sleeper.settings.host, sleeper.settings.port
    order(leader, "ADD", sleeper.id, host, port, sleeper.settings.cluster_port)
    cluster.nodes.append(sleeper)
    wait_for(lambda: sleeper.id in voters(sleeper), "it votes again")
    cluster.wait_until_level()


def test_a_node_that_cannot_join_says_why(cluster: ThrowawayCluster) -> None:
    for number, (name, value, complaint) in enumerate(
        [
            ("name", "another", "that node is of cluster 'ironkv-throwaway', this is 'another'"),
            ("join", "127.0.0.1:1", "Connection refused"),
        ]
    ):
        newcomer = cluster.newcomer(f"newcomer{number}", cluster.nodes[0], {name: value})
        newcomer.start()
        assert newcomer.exit_status(60.0) == 70
        assert "--join 127.0.0.1:" in newcomer.log_tail()
        assert complaint in newcomer.log_tail()
        assert not newcomer.data_dir.exists()


def test_what_the_settings_may_say(cluster: ThrowawayCluster) -> None:
    """Once the log names the members, the file need not; but what stood alone stays alone."""
    follower = cluster.followers()[0]
    newcomer = cluster.newcomer("node4", follower)
    newcomer.start()
    leader = cluster.wait_for_leader()
    wait_for(lambda: "node4" in voters(leader), "it votes")
    wait_for(lambda: "node4" in voters(follower), "it is known")
    file = follower.settings.config
    text = file.read_text()
    follower.stop()
    alone = text.split("[[cluster.nodes]]")[0].replace("enabled = true", "enabled = false", 1)
    file.write_text(alone)
    follower.start()
    assert follower.exit_status(60.0) == 70
    assert (
        "belongs to members ['node1', 'node2', 'node3', 'node4'], this is members []" in follower.log_tail()
    )
    others = [each for each in text.split("[[cluster.nodes]]")[1:] if f'"{follower.id}"' not in each]
    file.write_text(text.replace("[[cluster.nodes]]" + others[0], ""))  # who is left out is found in the log
    follower.start()
    cluster.nodes.append(newcomer)
    cluster.wait_until_level()
    assert len(voters(follower)) == 4
