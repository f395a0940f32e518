"""Reads that must not be stale, whatever the network, the process or the clocks do in between."""

from __future__ import annotations

from typing import Any

import pytest

from tests.node.virtual import Client, Cluster, Maker


def fresh_or_refused(reply: Any, fresh: bytes) -> bool:
    return bool(reply == fresh) or str(reply).startswith("-CLUSTERDOWN ")


def overtaken(cluster: Cluster) -> Client:
    """A client of a leader that was stopped with that client's write in flight: a majority has stored the
    write and said so, the answers wait in the sleeper's socket; the next leader has committed it and
    acknowledged `colour blue` on top."""
    old = cluster.elect("node1")
    assert old.client().ask("SET colour red") == [b"OK"]
    client = old.client().send("SET other 1")
    cluster.turn()
    for to in ("node2", "node3"):
        cluster.deliver("node1", to)
        cluster.nodes[to].finish()
    old.pause()
    cluster.advance(2000)
    new = cluster.leader()
    assert new is not old
    assert new.client().ask("SET colour blue") == [b"OK"]
    return client


def test_a_read_behind_a_write_that_others_have_committed_meanwhile(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = overtaken(cluster)
    client.send("GET colour")  # what the sleeper sees first when it goes on
    client.node.resume()
    cluster.advance(3000)
    write, read = client.take()
    assert write == b"OK"
    assert fresh_or_refused(read, b"blue")


def test_a_read_behind_a_write_whose_term_is_over(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = overtaken(cluster)
    old, new = client.node, cluster.leader()
    for pair in cluster.wires:
        if pair[1] == old.id:
            cluster.wires[pair].clear()  # the answers of its own term got lost
    new._guarded(new.driver.timer)
    old.resume()
    while old.leading:
        cluster.advance(5) if not cluster.deliver(new.id, old.id, 1) else None
    client.send("GET colour")
    cluster.advance(3000)
    write, read = client.take()
    assert write == b"OK"
    assert fresh_or_refused(read, b"blue")


@pytest.mark.parametrize("reads", ["lease", "quorum"])
def test_a_read_behind_a_write_in_flight_sees_it(make_cluster: Maker, reads: str) -> None:
    cluster = make_cluster(reads=reads).boot()
    client = cluster.elect().client().send("SET a 1")
    cluster.turn()
    client.send("GET a", "PING", "SET a 2", "GET a")
    cluster.settle()
    assert client.take() == [b"OK", b"1", b"PONG", b"OK", b"2"]


def test_a_read_of_a_sleeper_whose_lease_is_over(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    other = overtaken(cluster).node.client()
    other.send("GET colour")
    other.node.resume()
    cluster.advance(3000)
    assert fresh_or_refused(other.take()[0], b"blue")


@pytest.mark.parametrize("reads", ["lease", "quorum"])
def test_reads_on_every_node_see_what_was_acknowledged(make_cluster: Maker, reads: str) -> None:
    cluster = make_cluster(reads=reads).boot()
    client = cluster.elect().client()
    for n in range(20):
        assert client.ask(f"SET a {n}", "GET a", "GET b") == [b"OK", b"%d" % n, None]
        for node in cluster.nodes.values():
            assert node.client().ask("GET a") == [b"%d" % n]


def test_a_round_answers_no_read_that_came_after_it(make_cluster: Maker) -> None:
    """The leader's word for the first read is on its way while another write is acknowledged."""
    cluster = make_cluster().boot()
    leader = cluster.elect("node1")
    assert leader.client().ask("SET a old") == [b"OK"]
    cluster.advance(200)
    cluster.cut.add(("node1", "node2"))
    reader = cluster.nodes["node2"].client().send("GET a")
    cluster.settle()
    write = leader.client().send("SET a new")
    cluster.settle()
    assert write.take() == [b"OK"]
    reader.send("GET a")
    cluster.turn()
    while not reader.transport.sent:
        assert cluster.deliver("node1", "node2", 1), "the leader's word is there"
        cluster.turn()
    cluster.cut.clear()
    cluster.advance(1_000)
    first, second = reader.take()
    assert first in (b"old", b"new")
    assert second == b"new"
