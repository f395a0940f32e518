"""Writes that would change nothing: answered like reads, not logged, and never by a stale state."""

from __future__ import annotations

from tests.node.virtual import Maker


def test_what_is_there_already_is_not_logged(make_cluster: Maker) -> None:
    leader = make_cluster().boot().elect()
    client = leader.client()
    assert client.ask("SADD set a b", "SET lock me NX PX 60000", "SETNX flag 1") == [2, b"OK", 1]
    applied, last = leader.machine.applied, leader.driver.proposals.meter.proposals
    assert client.ask("SADD set a") == [0]
    assert client.ask("SADD set b a b") == [0]
    assert client.ask(*["SADD set b"] * 8) == [0] * 8
    assert client.ask("SET lock you PX 5 NX") == [None]
    assert client.ask("SETNX flag 2") == [0]
    assert (leader.machine.applied, leader.driver.proposals.meter.proposals) == (applied, last)
    assert client.ask("SADD set c", "SCARD set", "GET lock", "GET flag") == [1, 3, b"me", b"1"]


def test_what_changes_nothing_at_the_head_of_a_pipeline_is_not_logged(make_cluster: Maker) -> None:
    leader = make_cluster().boot().elect()
    client = leader.client()
    assert client.ask("SADD set a b", "SETNX flag 1") == [2, 1]
    logged = leader.driver.proposals.meter.batches
    before = logged.total
    added = ["SADD set a", "SADD set b", "SADD set b a", "SADD set c", "SADD set a", "SADD set c"]
    assert client.ask(*added) == [0, 0, 0, 1, 0, 0]
    assert logged.total == before + 3
    assert client.ask(*["SETNX flag 2"] * 4, "SETNX other 1", "SETNX other 2") == [0, 0, 0, 0, 1, 0]
    assert logged.total == before + 5
    locks = ["SET flag 3 NX"] * 5 + ["SET flag 4"]
    assert client.ask(*locks) == [None] * 5 + [b"OK"]
    assert logged.total == before + 6


def test_whatever_differs_takes_the_way_of_all_writes(make_cluster: Maker) -> None:
    client = make_cluster().boot().elect().client()
    assert client.ask("SET text 1", "SADD set a") == [b"OK", 1]
    (reply,) = client.ask("SADD text a")
    assert reply.startswith("-WRONGTYPE")
    assert client.ask(*["SADD set a", "SADD set a", "SADD set b", "SADD set a"]) == [0, 0, 1, 0]
    assert client.ask("SET text 2 NX GET") == [b"1"]
    assert client.ask("SET text 2 XX") == [b"OK"]
    assert client.ask("GET text") == [b"2"]


def test_a_write_of_the_same_client_comes_first(make_cluster: Maker) -> None:
    client = make_cluster().boot().elect().client()
    assert client.ask("SADD set a", "SET lock 1") == [1, b"OK"]
    assert client.ask("SREM set a", "SADD set a", "DEL lock", "SET lock 2 NX") == [1, 1, 1, b"OK"]


def test_a_lock_whose_time_is_over_is_free(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = cluster.elect().client()
    assert client.ask("SET lock me NX PX 500") == [b"OK"]
    cluster.advance(400)
    assert client.ask("SET lock you NX PX 500") == [None]
    cluster.advance(200)
    assert client.ask("SET lock you NX PX 500") == [b"OK"]


def test_who_was_replaced_says_nothing_from_its_old_state(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    old = cluster.elect("node1")
    client = old.client()
    assert client.ask("SADD set a", "SET lock me") == [1, b"OK"]
    cluster.isolate("node1")
    while old.driver.readable_until > cluster.now:
        cluster.advance(5)
    assert old.driver.leading  # as far as it knows
    unsure = [old.client().send(what) for what in ("SADD set a", "SET lock you NX")]
    cluster.settle()
    assert [order.take() for order in unsure] == [[], []]
    cluster.advance(3_000)
    new = next(node for node in cluster.nodes.values() if node is not old and node.driver.leading)
    assert new.client().ask("DEL set lock") == [2]
    add, lock = old.client().send("SADD set a"), old.client().send("SET lock you NX")
    cluster.advance(100)
    for order in add, lock:
        assert all(str(reply).startswith("-") for reply in order.take())
