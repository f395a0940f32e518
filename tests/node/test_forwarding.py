"""Relayed requests when leaders and links come and go at the worst moment."""

from __future__ import annotations

import pytest

from ironkv.node.figures import relayed
from tests.node.virtual import Client, Cluster, Maker

UNKNOWN = "-UNKNOWN leadership moved while this write was in flight: it may or may not have happened"
PATIENCE_MS = 4 * 300


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    cluster = make_cluster(on_follower_write="forward").boot()
    cluster.elect("node1")
    return cluster


def _break(cluster: Cluster, name: str) -> None:
    """The node is killed, and the others notice at once."""
    cluster.crash(name)
    for node in cluster.nodes.values():
        node._on_peer(name, False)


def _client(cluster: Cluster) -> Client:
    """Of a follower."""
    return cluster.nodes["node2"].client()


def test_one_frame_for_a_pipeline(cluster: Cluster) -> None:
    client = _client(cluster)
    client.send(*["INCR a"] * 50, "GET a")
    cluster.turn()
    assert len(cluster.wires["node2", "node1"]) == 1
    cluster.settle()
    assert client.take() == [*range(1, 51), b"50"]


def test_what_was_sent_when_the_leader_died_is_unknown_and_sent_to_nobody(cluster: Cluster) -> None:
    client = _client(cluster)
    cluster.automatic_disk = False
    client.send("INCR a", "SET b 1", "GET a")
    cluster.settle()
    client.send("INCR c")
    _break(cluster, "node1")
    cluster.automatic_disk = True
    cluster.settle()
    assert client.take() == [UNKNOWN, UNKNOWN, "-CLUSTERDOWN the leader was lost before this was read"]
    cluster.advance(PATIENCE_MS)
    assert client.take() == [1], "what had not been sent was sent to the next leader"
    assert client.ask("MGET a b")[0] in ([None, None], [b"1", b"1"])


def test_a_leader_is_waited_for_but_not_for_ever(cluster: Cluster) -> None:
    client = _client(cluster)
    _break(cluster, "node1")
    _break(cluster, "node3")
    client.send("INCR a", "INCR a")
    cluster.advance(PATIENCE_MS - 100)
    assert client.take() == []
    cluster.advance(200)
    assert [reply.split()[0] for reply in client.take()] == ["-CLUSTERDOWN", "-CLUSTERDOWN"]


def test_one_hop_at_most(cluster: Cluster) -> None:
    """A node that is believed to lead and does not passes nothing on."""
    client, node = _client(cluster), cluster.nodes["node2"]
    other = cluster.nodes["node3"]
    real, node.leader = node.leader, lambda: "node3"  # type: ignore[method-assign]
    client.send("INCR a")
    cluster.advance(100)
    assert client.take() == []
    assert len(other.dispatch.relayed) == 0
    assert other.dispatch.forwarding is not None
    assert len(other.dispatch.forwarding) == 0
    node.leader = real  # type: ignore[method-assign]
    cluster.advance(100)
    assert client.take() == [1]


def test_writes_that_certainly_did_not_happen_are_done_by_the_next_leader(cluster: Cluster) -> None:
    """They are in the old leader's log only, and overwritten."""
    client = _client(cluster)
    cluster.isolate("node1")
    cluster.cut -= {("node2", "node1")}
    client.send("INCR a", "INCR a", "GET a")
    cluster.settle()
    cluster.advance(1_000)
    assert cluster.leader().id != "node1"
    cluster.heal()
    cluster.advance(200)
    assert client.take() == [1, 2, b"2"]


def test_a_leader_that_is_stopped_with_its_links_up_is_not_waited_for(cluster: Cluster) -> None:
    client = _client(cluster)
    cluster.nodes["node1"].pause()
    client.send("INCR a")
    cluster.settle()
    cluster.advance(600 + PATIENCE_MS + 1_000)
    assert client.take() == [UNKNOWN]
    assert client.ask("INCR a") == [1]
    cluster.nodes["node1"].resume()
    cluster.advance(500)
    assert client.ask("GET a") == [b"1"], "what it had not taken is refused when it goes on"


def test_a_watch_that_is_lost_lets_nothing_happen(cluster: Cluster) -> None:
    client = _client(cluster)
    assert client.ask("WATCH a", "MULTI", "SET a 1") == [b"OK", b"OK", b"QUEUED"]
    _break(cluster, "node1")
    cluster.advance(1_000)
    assert client.ask("EXEC", "GET a") == [None, None]
    assert client.ask("WATCH a", "MULTI", "SET a 1", "EXEC") == [b"OK", b"OK", b"QUEUED", [b"OK"]]


def test_a_watch_is_void_on_the_node_that_leads_next(cluster: Cluster) -> None:
    client = _client(cluster)
    client.ask("WATCH a")
    cluster.elect("node2")
    assert client.ask("MULTI", "SET a 1", "EXEC", "GET a") == [b"OK", b"QUEUED", None, None]


def test_who_waits_for_an_element_waits_on_when_leadership_is_handed_over(cluster: Cluster) -> None:
    client = _client(cluster)
    other = cluster.nodes["node3"].client()
    client.ask("BLPOP l 0")
    cluster.elect("node3")
    cluster.advance(200)
    assert client.take() == []
    assert other.ask("RPUSH l x") == [1]
    cluster.advance(100)
    assert client.take() == [[b"l", b"x"]]


def test_who_is_gone_is_given_nothing(cluster: Cluster) -> None:
    client, node = _client(cluster), cluster.nodes["node2"]
    client.ask("BLPOP l 0")
    client.half_close()
    cluster.settle()
    assert client.connection.closing
    other = node.client()
    client = node.client()
    client.ask("BLPOP l 0")
    client.vanish()
    cluster.settle()
    assert other.ask("RPUSH l x", "LRANGE l 0 -1") == [1, [b"x"]]
    assert len(cluster.nodes["node1"].dispatch.relayed) == 1


def test_a_client_that_does_not_read_holds_no_more_than_a_slice(cluster: Cluster) -> None:
    client = _client(cluster)
    client.raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%b\r\n" % (1 << 23, bytes(1 << 23)))
    cluster.settle()
    assert client.take() == [b"OK"]
    client.transport.stuck = True
    client.send("GETSET a b")
    cluster.settle()
    assert client.transport.buffered + sum(map(len, client.connection.out)) < 4 << 20
    while client.transport.buffered:
        client.transport.drain()
        cluster.settle()
    assert client.take() == [bytes(1 << 23)]


def test_a_reply_that_was_begun_ends_with_the_connection(cluster: Cluster) -> None:
    client = _client(cluster)
    client.raw(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n%b\r\n" % (1 << 23, bytes(1 << 23)))
    cluster.settle()
    client.take()
    client.transport.stuck = True
    client.send("GETSET a b")
    cluster.settle()
    _break(cluster, "node1")
    assert client.transport.aborted


def test_replies_that_are_not_wanted_are_left_out(cluster: Cluster) -> None:
    client = _client(cluster)
    assert client.ask("CLIENT REPLY OFF", "INCR a", "INCR a", "CLIENT REPLY ON") == [b"OK"]
    assert client.ask("CLIENT REPLY SKIP", "INCR a", "INCR a") == [4]


def test_a_link_that_breaks_ends_its_sessions_on_both_sides(cluster: Cluster) -> None:
    client, node = _client(cluster), cluster.nodes["node2"]
    leader = cluster.nodes["node1"]
    client.ask("BLPOP l 0")
    leader._on_peer("node2", False)
    assert len(leader.dispatch.relayed) == 0
    node._on_peer("node1", False)
    cluster.settle()
    assert client.take() == [UNKNOWN]
    assert client.ask("RPUSH l x", "LRANGE l 0 -1") == [1, [b"x"]]


def test_a_node_that_leaves_is_asked_no_more(cluster: Cluster) -> None:
    """It ends when all know that: nothing is on its way to it then."""
    client, leader = _client(cluster), cluster.nodes["node1"]
    client.ask("INCR a")
    leader.dispatch.relayed.leave(["node2", "node3"])
    assert not leader.dispatch.relayed.idle
    client.send("INCR a")
    cluster.settle()
    assert leader.dispatch.relayed.idle
    assert client.take() == [2], "it was on its way"
    assert client.ask("INCR a") == []
    _break(cluster, "node1")
    cluster.advance(1_000)
    assert client.take() == [3]


def test_what_all_nodes_share_is_set_by_the_leader(cluster: Cluster) -> None:
    client, leader = _client(cluster), cluster.nodes["node1"].client()
    assert client.ask("CONFIG SET set-max-intset-entries 7 hash-max-listpack-entries 9") == [b"OK"]
    assert leader.ask("CONFIG GET set-max-intset-entries") == [[b"set-max-intset-entries", b"7"]]
    assert "CONFIG SET failed" in client.ask("CONFIG SET set-max-intset-entries many")[0]
    assert client.ask("CONFIG SET timeout 100", "CONFIG GET timeout") == [b"OK", [b"timeout", b"100"]]
    assert leader.ask("CONFIG GET timeout") == [[b"timeout", b"0"]], "each node's own stays its own"
    assert client.ask("CONFIG SET requirepass pw", "SET a 1") == [b"OK", b"OK"]
    for node in cluster.nodes.values():
        assert node.client().ask("GET a", "AUTH pw", "GET a") == [
            "-NOAUTH Authentication required.", b"OK", b"1",
        ]  # fmt: skip


def test_a_password_that_may_have_been_set_is_not_set_again(cluster: Cluster) -> None:
    client = _client(cluster)
    cluster.automatic_disk = False
    client.send("CONFIG SET requirepass pw")
    cluster.settle()
    _break(cluster, "node1")
    cluster.automatic_disk = True
    cluster.settle()
    assert client.take() == [UNKNOWN]


def test_what_is_relayed_is_counted(cluster: Cluster) -> None:
    client, node = _client(cluster), cluster.nodes["node2"]
    client.ask("SET a 1", "SET a 2", "GET a")
    served = {"sessions": 0, "waiting": 0, "requests": 0, "unknown": 0, "sessions_here": 1}
    mine = {"sessions": 1, "waiting": 0, "requests": 3, "unknown": 0, "sessions_here": 0}
    assert relayed(cluster.nodes["node1"]) == served
    assert relayed(node) == mine
    cluster.automatic_disk = False
    client.send("SET a 3", "GET a")
    cluster.settle()
    _break(cluster, "node1")
    assert relayed(node) == {**mine, "sessions": 0, "requests": 5, "unknown": 1}
