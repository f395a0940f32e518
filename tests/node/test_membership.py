"""Orders that change the members, and what a node does that is no member any more."""

from __future__ import annotations

from tests.node.virtual import Maker


def test_who_was_removed_serves_no_local_reads_either(make_cluster: Maker) -> None:
    cluster = make_cluster(reads="local").boot()
    leader = cluster.elect()
    assert leader.client().ask("SET a 1") == [b"OK"]
    gone = cluster.followers()[0]
    cluster.advance(200)
    assert gone.client().ask("GET a") == [b"1"]
    order = leader.client().send(f"RAFT REMOVE {gone.id}")
    cluster.advance(200)
    assert order.take() == [b"OK"]
    client = gone.client()
    client.ask("READONLY")
    client.send("GET a")
    cluster.advance(1000)
    (reply,) = client.take()[-1:]
    assert reply.startswith("-CLUSTERDOWN")


def test_of_an_order_that_began_nobody_says_that_nothing_was_done(make_cluster: Maker) -> None:
    """The next leader may have the entry, and bring it to its end."""
    cluster = make_cluster().boot()
    leader = cluster.elect()
    other = cluster.followers()[0]
    cluster.isolate(leader.id)
    order = leader.client().send(f"RAFT REMOVE {other.id}")
    cluster.advance(5000)
    (reply,) = order.take()
    assert reply.startswith("-UNKNOWN")


def test_a_state_that_lags_does_not_tell_that_a_removal_is_done(make_cluster: Maker) -> None:
    """The follower that passed the order on has not even heard that the node was added."""
    cluster = make_cluster().boot()
    leader = cluster.elect()
    behind, other = cluster.followers()
    cluster.cut.add((leader.id, behind.id))
    order = leader.client().send("RAFT ADD node9 10.0.0.1 7009 8009")
    cluster.advance(100)
    assert order.take() == [b"OK"]
    cluster.isolate(leader.id)
    order = behind.client().send("RAFT REMOVE node9")
    cluster.advance(10)
    behind._on_peer(leader.id, False)
    assert order.take() == []
    cluster.advance(10_000)
    (reply,) = order.take()
    assert reply.startswith("-UNKNOWN")
    assert "node9" in other.core.configuration.everybody


def test_an_order_whose_answer_was_lost_is_found_to_be_done(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect()
    asked, other = cluster.followers()
    order = leader.client().send("RAFT ADD node9 10.0.0.1 7009 8009")
    cluster.advance(200)
    assert order.take() == [b"OK"]
    cluster.cut.add((leader.id, asked.id))
    order = asked.client().send("RAFT REMOVE node9")
    cluster.advance(100)
    assert "node9" not in other.core.configuration.everybody
    asked._on_peer(leader.id, False)
    cluster.isolate(leader.id)
    cluster.wires[leader.id, asked.id].clear()
    cluster.advance(3_000)
    assert order.take() == [b"OK"]


def test_an_answer_to_an_order_of_an_earlier_life_is_none_to_one_of_this_life(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect()
    asked, other = cluster.followers()
    cluster.cut.add((other.id, leader.id))
    asked.client().send("RAFT ADD node9 10.0.0.1 7009 8009")
    cluster.deliver(asked.id, leader.id)
    cluster.cut.add((asked.id, leader.id))
    cluster.crash(asked.id)
    cluster.boot(asked.id).advance(60)
    order = cluster.nodes[asked.id].client().send(f"RAFT REMOVE {other.id}")
    cluster.cut.remove((other.id, leader.id))
    cluster.advance(60)
    assert "node9" in leader.machine.membership[1].everybody
    assert order.take() == []
