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
