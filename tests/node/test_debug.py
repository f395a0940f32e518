"""DEBUG, WAITAOF, FAILOVER and SHUTDOWN: commands about the node itself."""

from __future__ import annotations

import pytest

from ironkv.config import Settings
from tests.node.virtual import Cluster, Maker, VirtualNode


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    return make_cluster().boot()


def follower_of(cluster: Cluster, leader: VirtualNode) -> VirtualNode:
    return next(node for node in cluster.nodes.values() if node is not leader)


def allow(leader: VirtualNode) -> None:
    settings: Settings = leader.settings
    settings.server.enable_debug_command = "yes"


def test_debug_is_refused_unless_allowed(cluster: Cluster) -> None:
    client = cluster.elect().client()
    (refusal,) = client.ask("DEBUG SLEEP 0")
    assert refusal.startswith("-ERR DEBUG command not allowed")


def test_reload_changes_nothing(cluster: Cluster) -> None:
    leader = cluster.elect()
    allow(leader)
    client = leader.client()
    client.ask(
        "SET a 1 EX 100",
        "RPUSH l 1 2",
        "HSET h f v",
        "ZADD z 1 m",
        "XADD s * f v",
        "SADD t x",
        "SELECT 3",
        "SET b 2",
    )
    before = client.ask("DEBUG DIGEST")
    assert client.ask("DEBUG RELOAD", "DEBUG DIGEST") == [b"OK", *before]
    assert client.ask("INCR b", "GET b", "SELECT 0", "TTL a", "LLEN l") == [3, b"3", b"OK", 100, 2]


def test_keys_are_not_freed_without_a_command(cluster: Cluster) -> None:
    leader = cluster.elect()
    allow(leader)
    client = leader.client()
    client.ask("DEBUG SET-ACTIVE-EXPIRE 0", "SET a 1 PX 100", "SET b 1 PX 100")
    cluster.advance(1_000)
    assert client.ask("DBSIZE") == [2]
    client.ask("DEBUG SET-ACTIVE-EXPIRE 1")
    cluster.advance(1_000)
    assert client.ask("DBSIZE") == [0]


def test_waitaof(cluster: Cluster) -> None:
    leader = cluster.elect()
    client = leader.client()
    assert client.ask("SET a 1", "WAITAOF 1 2 0") == [b"OK", [1, 2]]
    assert client.ask("MULTI", "SET a 2", "WAITAOF 1 9 0", "EXEC")[-1][0] == b"OK"
    errors = [
        str(reply) for reply in client.ask("WAITAOF 2 0 0", "WAITAOF 0 -1 0", "WAITAOF 0 0 -1", "WAITAOF 0 0")
    ]
    assert [error[:20] for error in errors] == [
        "-ERR value is out of", "-ERR value is out of", "-ERR timeout is nega", "-ERR wrong number of",
    ]  # fmt: skip
    assert client.ask("WAITAOF 1 3 100") == []
    cluster.advance(200)
    assert client.take() == [[1, 2]]
    (refusal,) = follower_of(cluster, leader).client().ask("WAITAOF 0 0 0")
    assert refusal.startswith("-NOTLEADER")


def test_failover(cluster: Cluster) -> None:
    leader = cluster.elect()
    target = follower_of(cluster, leader)
    client = leader.client()
    client.ask("SET a 1")
    view = next(m for m in leader.view.raft_view()["nodes"] if m["id"] == target.id)
    for line, start in (
        ("FAILOVER TO nobody 1", "-ERR FAILOVER target"), ("FAILOVER ABORT", "-ERR No failover in progress"),
        ("FAILOVER TIMEOUT 0", "-ERR FAILOVER timeout must"),
        ("FAILOVER TO a 1 FORCE", "-ERR FAILOVER with force"),
        ("FAILOVER SOMEHOW", "-ERR syntax error"),
    ):  # fmt: skip
        assert str(client.ask(line)[0]).startswith(start)
    (refusal,) = target.client().ask("FAILOVER")
    assert refusal.startswith("-ERR FAILOVER is not valid")
    assert client.ask(f"FAILOVER TO {view['host']} {view['port']}") == [b"OK"]
    cluster.advance(1_000)
    assert target.leading
    assert target.client().ask("GET a") == [b"1"]


def test_raft_shows_the_cluster_and_hands_over(cluster: Cluster) -> None:
    leader = cluster.elect()
    target = follower_of(cluster, leader)
    client, other = leader.client(), target.client()
    client.ask("SET a 1")
    cluster.advance(200)
    for each, role in ((client, b"leader"), (other, b"follower")):
        (flat,) = each.ask("RAFT STATUS")
        status = dict(zip(flat[::2], flat[1::2], strict=True))
        assert (status[b"role"], status[b"leader"]) == (role, leader.id.encode())
        assert status[b"applied"] == status[b"commit"] == status[b"last_index"]
        (members,) = each.ask("RAFT MEMBERS")
        assert status[b"members"] == members
        shown = [dict(zip(member[::2], member[1::2], strict=True)) for member in members]
        assert [member[b"id"] for member in shown] == sorted(
            node.id.encode() for node in cluster.nodes.values()
        )
        assert [member[b"id"] for member in shown if member[b"role"] == b"leader"] == [leader.id.encode()]
    assert str(client.ask("RAFT TRANSFER nobody")[0]).startswith("-ERR leadership cannot be handed over")
    assert str(client.ask("RAFT TRANSFER a b")[0]).startswith("-ERR wrong number")
    assert client.ask("RAFT REMOVE nobody") == ["-ERR membership cannot be changed: nobody is no member"]
    assert client.ask("RAFT PROMOTE nobody") == ["-ERR membership cannot be changed: nobody is no learner"]
    assert client.ask("RAFT ADD -x h 1 2")[0].startswith("-ERR an id has")
    assert client.ask("RAFT ADD x h 0 2", "RAFT ADD x h 1 65536") == ["-ERR Invalid port"] * 2
    other.send("RAFT REMOVE nobody", f"RAFT TRANSFER {target.id}")  # passed on to the leader
    cluster.advance(1_000)
    assert other.take() == ["-ERR membership cannot be changed: nobody is no member", b"OK"]
    assert target.leading
    assert other.ask("GET a") == [b"1"]


def test_shutdown(cluster: Cluster) -> None:
    leader = cluster.elect()
    client = leader.client()
    assert str(client.ask("SHUTDOWN ABORT")[0]).startswith("-ERR No shutdown")
    assert str(client.ask("SHUTDOWN SAVE NOSAVE")[0]).startswith("-ERR syntax error")
    assert client.ask("SET a 1", "SHUTDOWN") == [b"OK"]
    assert leader.stopping
    assert client.transport.closed
