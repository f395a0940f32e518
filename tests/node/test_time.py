"""Time in a cluster: what clients see of it when clocks are wrong and leaders change."""

from __future__ import annotations

from tests.node.virtual import STARTED_MS, WALL_MS, Cluster, Maker, VirtualNode

YEAR = 365 * 24 * 3600 * 1000.0


def right_now(cluster: Cluster) -> float:
    return WALL_MS + cluster.now - STARTED_MS


def off_by(node: VirtualNode) -> float:
    """How far a node's idea of the cluster's time is from the truth."""
    return abs(node.time.now_ms(node.cluster.now) - right_now(node.cluster))


def test_a_time_to_live_is_the_same_on_a_follower_whose_clock_is_ahead(make_cluster: Maker) -> None:
    cluster = make_cluster(walls={"node3": 5_000.0}).boot()
    leader = cluster.elect("node1")
    assert leader.client().ask("SET a 1 PX 60000", "PTTL a") == [b"OK", 60_000]
    assert cluster.nodes["node3"].client().ask("PTTL a") == [60_000]


def test_a_clock_that_is_ahead_tells_nobody_so_when_it_is_elected(make_cluster: Maker) -> None:
    """The first words of a new leader must be in the cluster's time already: peers take them for law."""
    cluster = make_cluster(walls={"node1": YEAR}).boot()
    cluster.elect("node1")
    assert all(off_by(node) < 10 for node in cluster.nodes.values())
    cluster.crash("node1")
    leader = cluster.elect()
    assert leader.client().ask("SET a 1 PX 60000", "PTTL a") == [b"OK", 60_000]
    assert abs(leader.keyspace.stamp_ms - right_now(cluster)) < 10


def test_a_time_to_live_never_rises_at_a_failover(make_cluster: Maker) -> None:
    cluster = make_cluster(walls={"node2": -800.0, "node3": 700.0}).boot()
    client = cluster.elect("node1").client()
    assert client.ask("SET a 1 PX 100000", "PTTL a") == [b"OK", 100_000]
    left = 100_000
    for name in ("node2", "node3", "node1", "node2"):
        cluster.elect(name)
        for node in cluster.nodes.values():
            now_left = node.client().ask("PTTL a")[0]
            assert 0 < now_left <= left
            left = now_left


def test_a_jump_of_the_system_clock_expires_nothing(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect()
    client = leader.client()
    assert client.ask("SET a 1 EX 3600") == [b"OK"]
    for node in cluster.nodes.values():
        node.wall_off_ms = YEAR
    cluster.advance(5_000)
    assert client.ask("SET b 1", "GET a") == [b"OK", b"1"]


def test_an_idle_store_writes_nothing(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = cluster.elect().client()
    assert client.ask("SET a 1", "SET b 1 EX 100000") == [b"OK", b"OK"]
    before = cluster.leader().core.last_index
    cluster.advance(30_000)
    assert cluster.leader().core.last_index == before


def test_a_deadline_that_comes_is_logged_once_and_frees_the_key(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = cluster.elect().client()
    assert client.ask("SET a 1 PX 500", "SET b 1") == [b"OK", b"OK"]
    before = cluster.leader().core.last_index
    cluster.advance(30_000)
    assert cluster.leader().core.last_index == before + 1
    for node in cluster.nodes.values():
        assert node.client().ask("DBSIZE", "GET a") == [1, None]


def test_a_key_seen_dead_stays_dead_under_the_next_leader(make_cluster: Maker) -> None:
    """The read that meets it logs a tick first, so the next leader starts at least there."""
    cluster = make_cluster(walls={"node1": 900.0, "node2": -900.0}).boot()
    client = cluster.elect("node1").client()
    assert client.ask("SET a 1 PX 300") == [b"OK"]
    cluster.advance(250)
    assert client.ask("GET a") == [b"1"]
    cluster.now += 51
    assert client.ask("GET a", "PING", "EXISTS a") == [None, b"PONG", 0]
    cluster.crash("node1")
    cluster.elect("node2")
    for node in cluster.nodes.values():
        assert node.client().ask("GET a") == [None]


def test_what_is_due_is_freed_though_nobody_asks_for_it(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect()
    assert leader.client().ask("SET a 1 PX 500", "SADD b 1", "PEXPIRE b 700") == [b"OK", 1, 1]
    cluster.advance(3_000)
    assert [len(node.keyspace.database(0)) for node in cluster.nodes.values()] == [0, 0, 0]
