"""What a follower does: refuse writes, name the leader, serve reads that are not stale."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ironkv.tools.client import Client
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import FOLLOWER, LEADER
from tests.cluster.conftest import CALM


def test_three_nodes_elect_one_leader(shared_cluster: ThrowawayCluster) -> None:
    shared_cluster.wait_until_level()
    roles = sorted(facts.role for facts in shared_cluster.facts().values() if facts)
    assert roles == [FOLLOWER, FOLLOWER, LEADER]


def test_a_write_on_a_follower_is_refused_and_names_the_leader(shared_cluster: ThrowawayCluster) -> None:
    leader = shared_cluster.wait_for_leader()
    wanted = f"-NOTLEADER not leader: the leader is {leader.id} at {leader.address}\r\n".encode()
    for follower in shared_cluster.followers(leader):
        with follower.connect() as client:
            client.send(("SET", "refused", "x"))
            assert client.socket.recv(1000) == wanted
    with leader.connect() as client:
        assert client.call("EXISTS", "refused") == 0


def test_a_refused_write_does_not_end_the_pipeline(shared_cluster: ThrowawayCluster) -> None:
    follower = shared_cluster.followers()[0]
    with follower.connect() as client:
        replies = client.pipeline([("PING",), ("SET", "refused", "x"), ("ECHO", "still here")])
    assert [replies[0], replies[2]] == ["PONG", b"still here"]
    assert str(replies[1]).startswith("NOTLEADER ")


def test_followers_read_what_was_just_acknowledged(shared_cluster: ThrowawayCluster) -> None:
    leader = shared_cluster.wait_for_leader()
    others = [node.connect() for node in shared_cluster.followers(leader)]
    try:
        with leader.connect() as writer:
            for i in range(200):
                assert writer.call("SET", "fresh", i) == "OK"
                for reader in others:
                    assert reader.call("GET", "fresh") == str(i).encode()
    finally:
        for reader in others:
            reader.close()


def test_reads_on_any_node_never_go_back(shared_cluster: ThrowawayCluster) -> None:
    """Readers hop from node to node; what one has seen, no later read on any node may miss."""
    shared_cluster.write("SET", "rising", 0)
    acknowledged = 0
    stale: list[str] = []
    over = threading.Event()

    def read_around(first: int) -> None:
        clients = [node.connect() for node in shared_cluster.nodes]
        turn = first
        try:
            while not over.is_set() and not stale:
                known = acknowledged
                reply = clients[turn % len(clients)].call("GET", "rising")
                if not isinstance(reply, bytes) or int(reply) < known:
                    stale.append(
                        f"{shared_cluster.nodes[turn % len(clients)].id} said {reply!r} after {known}"
                    )
                turn += 1
        finally:
            for client in clients:
                client.close()

    readers = [threading.Thread(target=read_around, args=(i,)) for i in range(3)]
    for reader in readers:
        reader.start()
    try:
        with shared_cluster.connect_to_leader() as writer:
            for i in range(1, 501):
                assert writer.call("SET", "rising", i) == "OK"
                acknowledged = i
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert not stale


def test_a_read_behind_a_write_of_its_connection_sees_it(shared_cluster: ThrowawayCluster) -> None:
    with shared_cluster.connect_to_leader() as client:
        commands = [
            (verb, "own", i) if verb == "SET" else (verb, "own") for i in range(50) for verb in ("SET", "GET")
        ]
        replies = client.pipeline(commands)
    assert replies == [reply for i in range(50) for reply in ("OK", str(i).encode())]


@pytest.mark.parametrize("reads", ["lease", "quorum"])
def test_a_leader_that_slept_through_its_deposition_gives_no_stale_read(tmp_path: Path, reads: str) -> None:
    with ThrowawayCluster(parent=tmp_path, settings={"raft": {"reads": reads, **CALM["raft"]}}) as cluster:
        _oversleep(cluster)


def _oversleep(cluster: ThrowawayCluster) -> None:
    sleeper = cluster.wait_for_leader()
    cluster.write("SET", "colour", "red")
    cluster.wait_until_level()
    with sleeper.connect() as asleep:
        assert asleep.call("GET", "colour") == b"red"
        sleeper.pause()
        try:
            # It is in the sleeper's socket when it wakes up, before any message of the new leader.
            asleep.send(("GET", "colour"))
            _write_on_another(cluster, sleeper.id, "SET", "colour", "blue")
        finally:
            sleeper.resume()
        answer = asleep.read()
        assert answer == b"blue" or isinstance(answer, Exception), answer
    cluster.wait_until_level()
    for node in cluster.nodes:
        with node.connect() as client:
            assert client.call("GET", "colour") == b"blue"


def _write_on_another(cluster: ThrowawayCluster, not_on: str, *command: str) -> None:
    awake = [node for node in cluster.nodes if node.id != not_on]

    def done() -> bool:
        for node in awake:
            facts = node.facts()
            if facts and facts.role == LEADER:
                with node.connect() as client:
                    return _is_ok(client, *command)
        return False

    wait_for(done, "a new leader takes a write")


def _is_ok(client: Client, *command: str) -> bool:
    return client.pipeline([command]) == ["OK"]
