"""Nodes that die, are asked to go, and come back: service goes on and nothing acknowledged is lost."""

from __future__ import annotations

import signal

import pytest

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.load import WriteLoad


def test_service_goes_on_when_the_leader_is_killed(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    with WriteLoad(cluster.nodes) as load:
        load.wait_acknowledged(300)
        leader.kill()
        load.wait_acknowledged(300)
        leader.start()
        load.wait_acknowledged(300)
    cluster.wait_until_level()
    for node in cluster.nodes:
        with node.connect() as client:
            assert load.check(client) == []


def test_service_goes_on_while_a_follower_is_away(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    follower = cluster.followers(leader)[0]
    with WriteLoad(cluster.nodes) as load:
        load.wait_acknowledged(100)
        follower.kill()
        load.wait_acknowledged(300)
        follower.start()
        load.wait_acknowledged(100)
    cluster.wait_until_level()
    assert cluster.wait_for_leader() is leader, "a follower that comes back deposes nobody"
    with follower.connect() as client:
        assert load.check(client) == []


def test_without_a_majority_writes_are_refused_and_then_go_on(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    others = cluster.followers(leader)
    cluster.write("SET", "before", "1")
    for node in others:
        node.kill()

    def refused() -> bool:
        with leader.connect() as client:
            reply = client.pipeline([("SET", "alone", "1")])[0]
        assert reply != "OK", "acknowledged without a majority"
        return str(reply).startswith("CLUSTERDOWN ")

    wait_for(refused, "a leader without a majority steps down")
    for node in others:
        node.start()
    cluster.wait_until_level()
    assert cluster.write("GET", "before") == b"1"
    assert cluster.write("SET", "after", "1") == "OK"


def test_sigterm_hands_leadership_over(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    facts = leader.facts()
    assert facts is not None
    with WriteLoad(cluster.nodes) as load:
        load.wait_acknowledged(200)
        leader.terminate()
        successor = cluster.wait_for_leader(other_than=leader)
        load.wait_acknowledged(200)
    assert leader.exit_status() == 0
    after = successor.facts()
    assert after is not None
    assert after.term == facts.term + 1, "handed over in one election, not fought for"
    leader.start()
    cluster.wait_until_level()
    with leader.connect() as client:
        assert load.check(client) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_each_node_may_go_in_turn(cluster: ThrowawayCluster, how: signal.Signals) -> None:
    with WriteLoad(cluster.nodes) as load:
        for node in cluster.nodes:
            load.wait_acknowledged(100)
            node.stop(how)
            load.wait_acknowledged(100)
            node.start()
            cluster.wait_until_level()
    with cluster.connect_to_leader() as client:
        assert load.check(client) == []
