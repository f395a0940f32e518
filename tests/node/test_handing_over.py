"""RAFT TRANSFER: writes wait for the next leader. Nobody is refused what he had sent before."""

from __future__ import annotations

from tests.node.virtual import Maker


def test_what_was_sent_before_is_done_and_what_comes_then_waits_for_the_next_leader(
    make_cluster: Maker,
) -> None:
    cluster = make_cluster().boot()
    old = cluster.elect("node1")
    under_way, gathered, late = old.client(), old.client(), old.client()
    cluster.automatic_disk = False
    under_way.send("INCR n")
    cluster.turn()
    gathered.send("INCR n", "GET n")
    assert old.client().ask("RAFT TRANSFER node2") == [b"OK"]
    late.send("INCR n", "INCR n")
    assert [each.take() for each in (under_way, gathered, late)] == [[], [], []]
    cluster.automatic_disk = True
    cluster.settle()
    cluster.advance(50)
    assert cluster.leader().id == "node2"
    assert under_way.take() == [1]
    assert gathered.take() == [2, b"2"]
    refused = late.take()
    assert len(refused) == 2
    assert all(str(each).startswith("-NOTLEADER not leader: the leader is node2") for each in refused)
    assert cluster.leader().client().ask("GET n") == [b"2"]


def test_with_forward_the_next_leader_does_it(make_cluster: Maker) -> None:
    cluster = make_cluster(on_follower_write="forward").boot()
    old = cluster.elect("node1")
    clients = [node.client() for node in cluster.nodes.values() for _ in range(3)]
    cluster.automatic_disk = False
    for client in clients[:5]:
        client.send("INCR n")
    cluster.turn()
    assert old.client().ask("RAFT TRANSFER node2") == [b"OK"]
    for client in clients[5:]:
        client.send("INCR n")
    cluster.automatic_disk = True
    cluster.settle()
    cluster.advance(100)
    assert cluster.leader().id == "node2"
    replies = [client.take() for client in clients]
    assert sorted(replies) == [[n] for n in range(1, 10)]


def test_writes_go_on_when_nobody_takes_it(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect("node1")
    client = leader.client()
    cluster.isolate("node2")
    assert leader.client().ask("RAFT TRANSFER node2") == [b"OK"]
    client.send("SET a 1")
    cluster.settle()
    assert client.take() == []
    cluster.advance(1_000)
    assert client.take() == [b"OK"]
    assert cluster.leader() is leader


def test_a_pause_of_clients_outlasts_it(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = cluster.elect("node1").client()
    cluster.isolate("node2")
    assert client.ask("CLIENT PAUSE 3000 WRITE", "RAFT TRANSFER node2") == [b"OK", b"OK"]
    client.send("SET a 1")
    cluster.advance(1_500)
    assert client.take() == []
    cluster.advance(2_000)
    assert client.take() == [b"OK"]
