"""Snapshots, trimming and catching up in real processes, on real disks, under load."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.client import ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.load import WriteLoad
from ironkv.tools.nodes import Node

BUSY = {
    "raft": {"election_timeout_ms": 1_000},
    "snapshot": {"entries": 1_000, "journal_bytes": "1mb", "keep_entries": 200, "keep_bytes": "256kb"},
}
"""A snapshot every second or so."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ThrowawayCluster]:
    with ThrowawayCluster(parent=tmp_path, settings=BUSY) as running:
        yield running


def fact(node: Node, name: str) -> int:
    facts = node.facts()
    return int(facts.all.get(name, -1)) if facts is not None else -1


def save(node: Node) -> None:
    """Take a snapshot; one may be under way by itself."""

    def saved() -> bool:
        with node.connect(60) as client, contextlib.suppress(ErrorReply):
            return client.call("SAVE") == "OK"
        return False

    wait_for(saved, f"{node.id} has saved")


def fill(cluster: ThrowawayCluster, count: int = 3_000) -> None:
    with cluster.connect_to_leader() as client:
        for start in range(0, count, 100):
            client.pipeline([("SET", f"key:{n}", "x" * 300) for n in range(start, start + 100)])
        client.pipeline(
            [
                ("HSET", "hash", *range(2_000)),
                ("ZADD", "zset", *(part for n in range(500) for part in (n % 7, f"m{n}"))),
                ("RPUSH", "list", *range(3_000)),
                ("SADD", "set", *(f"s{n}" for n in range(700))),
                ("XADD", "stream", "5-1", "field", "value"),
                ("SET", "big", "y" * 3_000_000),
                ("PEXPIRE", "key:1", 600_000),
            ]
        )


def answers(node: Node) -> list[object]:
    """Some of what a node holds of `fill`."""
    with node.connect() as client:
        return client.pipeline(
            [
                ("DBSIZE",),
                ("MGET", *(f"key:{n}" for n in range(0, 3_000, 7))),
                ("HGETALL", "hash"),
                ("ZRANGE", "zset", 0, -1, "WITHSCORES"),
                ("LRANGE", "list", 0, -1),
                ("SCARD", "set"),
                ("XRANGE", "stream", "-", "+"),
                ("STRLEN", "big"),
                ("PEXPIRETIME", "key:1"),
            ]
        )


def holds_all(node: Node, load: WriteLoad) -> bool:
    """Whether the node has everything; False while nobody leads."""
    try:
        with node.connect() as client:
            wrong = load.check(client)
    except ErrorReply as error:
        if error.code in ("CLUSTERDOWN", "LOADING"):
            return False
        raise
    assert wrong == []
    return True


def test_killing_all_nodes_in_the_middle_of_snapshots_loses_nothing(cluster: ThrowawayCluster) -> None:
    loads = []
    for crash in range(3):
        with WriteLoad(cluster.nodes, writers=16, prefix=f"crash{crash}:") as load:
            for _ in range(3):
                load.wait_acknowledged(700)
                for node in cluster.nodes:
                    with node.connect() as client, contextlib.suppress(ErrorReply):
                        client.call("BGSAVE")  # refused while one is under way by itself
            cluster.kill_all()
        loads.append(load)
        cluster.start()
        for node in cluster.nodes:
            with node.connect() as client:
                for earlier in loads:
                    assert earlier.check(client) == []
    assert max(fact(node, "ironkv_journal_first_index") for node in cluster.nodes) > 1, (
        "something was trimmed"
    )


def test_restarted_from_a_snapshot_it_holds_the_same(cluster: ThrowawayCluster) -> None:
    fill(cluster)
    cluster.wait_until_level()
    before = [answers(node) for node in cluster.nodes]
    assert before[0] == before[1] == before[2]
    for node in cluster.nodes:
        save(node)
    cluster.kill_all()
    cluster.start()
    cluster.wait_until_level()
    assert [answers(node) for node in cluster.nodes] == before
    assert min(fact(node, "ironkv_snapshot_index") for node in cluster.nodes) > 0


@pytest.mark.parametrize("wiped", [False, True])
def test_a_follower_that_was_away_too_long_is_sent_a_snapshot(cluster: ThrowawayCluster, wiped: bool) -> None:
    fill(cluster)
    leader = cluster.wait_for_leader()
    follower = cluster.followers(leader)[0]
    follower.kill()
    if wiped:
        shutil.rmtree(follower.data_dir)
    with WriteLoad([leader], writers=16) as load:
        before = fact(leader, "ironkv_journal_first_index")
        wait_for(lambda: fact(leader, "ironkv_journal_first_index") > before + 500, "the leader has trimmed")
        follower.start()
        goal = fact(leader, "raft_commit_index")
        wait_for(lambda: fact(follower, "raft_applied_index") >= goal, "the follower has caught up")
        load.wait_acknowledged(500)
    cluster.wait_until_level()
    with follower.connect() as client:
        assert load.check(client) == []
    assert answers(follower) == answers(leader)
    # Level with the leader is not enough: a wiped node has no say until its leader has told it so.
    wait_for(lambda: fact(follower, "raft_fresh") == 0, "the follower counts as a member again")
    # With it and one other, everything goes on.
    leader.kill()
    cluster.write("SET", "after", "x")
    follower.kill()
    follower.start()
    wait_for(lambda: fact(follower, "loading") == 0, "the follower is back")
    cluster.wait_for_leader()
    wait_for(lambda: holds_all(follower, load), "the follower serves, and holds all that was acknowledged")


def test_a_wiped_follower_does_not_help_to_forget(cluster: ThrowawayCluster) -> None:
    """Acknowledged by two; one of them is wiped and the other stopped: those left must not elect a leader."""
    leader = cluster.wait_for_leader()
    wiped, behind = cluster.followers(leader)
    behind.kill()
    cluster.write("SET", "precious", "x")
    wiped.kill()
    shutil.rmtree(wiped.data_dir)
    leader.kill()
    wiped.start()
    behind.start()
    time.sleep(3.0)
    assert cluster.leader() is None
    leader.start()
    assert cluster.write("GET", "precious") == b"x"
    cluster.wait_until_level()


def test_save_and_its_kin(cluster: ThrowawayCluster) -> None:
    fill(cluster, 500)
    save(cluster.wait_for_leader())
    with cluster.connect_to_leader() as client:
        saved = client.call("LASTSAVE")
        assert isinstance(saved, int)
        assert abs(saved - time.time()) < 60
        client.call("SET", "a", "b")
        assert client.call("BGREWRITEAOF") in (
            "Background append only file rewriting started",
            "Background append only file rewriting scheduled",
        )
