"""CLUSTER and SENTINEL: what a node says of the cluster, in the words of clients that know others."""

from __future__ import annotations

import pytest

from ironkv.commands.table import find
from ironkv.commands.topology import slot_of_request
from ironkv.config import load
from ironkv.node.roster import Roster
from ironkv.node.whereabouts import Whereabouts
from tests.commands.fakes import FakeNode, FakeSession


@pytest.fixture
def session() -> FakeSession:
    """On node1, which leads node2 and node3; node3 is away."""
    node = FakeNode()
    node.settings.server.on_follower_write = "redirect"
    return FakeSession(node)


def _id(name: str) -> bytes:
    node = FakeNode("--cluster", "--node-id", name)
    node.settings.server.on_follower_write = "redirect"
    found = FakeSession(node).do("CLUSTER MYID")
    assert isinstance(found, bytes)
    return found


def test_ids_are_a_nodes_own_and_the_same_everywhere(session: FakeSession) -> None:
    ids = [_id(f"node{n}") for n in (1, 2, 3)]
    assert len(set(ids)) == 3
    assert all(len(each) == 40 for each in ids)
    (shard,) = session.do("CLUSTER SLOTS")
    assert [endpoint[2] for endpoint in shard[2:]] == ids[:2]


def test_slots_names_the_leader_first_and_who_is_away_not_at_all(session: FakeSession) -> None:
    assert [each[:2] for each in session.do("CLUSTER SLOTS")[0][2:]] == [
        [b"10.0.0.1", 7001],
        [b"10.0.0.2", 7002],
    ]
    session.node.follow("node2")
    ((low, high, *endpoints),) = session.do("CLUSTER SLOTS")
    assert (low, high) == (0, 16383)
    assert [each[1] for each in endpoints] == [7002, 7001]


def test_the_last_leader_has_the_slots_until_there_is_another(session: FakeSession) -> None:
    session.node.follow("node2")
    session.node.follow(None)
    assert session.do("CLUSTER SLOTS")[0][2][1] == 7002
    assert b"cluster_state:fail" in session.do("CLUSTER INFO")
    assert session.do("SENTINEL GET-MASTER-ADDR-BY-NAME mymaster") is None
    session.proto = 3
    assert session.do("SENTINEL MASTER mymaster")[b"flags"] == b"master,s_down,o_down"


def test_before_the_first_leader_nobody_has_them(session: FakeSession) -> None:
    session.node.follow(None)
    session.node.raft["last_leader"] = None
    assert session.do("CLUSTER SLOTS") == []
    assert b"cluster_slots_assigned:0" in session.do("CLUSTER INFO")
    assert session.do("SENTINEL MASTERS") == []


def test_nodes_has_a_line_each(session: FakeSession) -> None:
    one, two, three = (line.split() for line in session.do("CLUSTER NODES").decode().splitlines())
    assert one[1:] == ["10.0.0.1:7001@6380", "myself,master", "-", "0", "0", "3", "connected", "0-16383"]
    assert two[1:] == ["10.0.0.2:7002@6382", "slave", one[0], "0", "0", "3", "connected"]
    assert three[1:] == ["10.0.0.3:7003@6384", "slave,fail?", one[0], "0", "0", "3", "disconnected"]
    assert session.do(f"CLUSTER REPLICAS {one[0]}") == [" ".join(line).encode() for line in (two, three)]
    assert session.do(f"CLUSTER COUNT-FAILURE-REPORTS {three[0]}") == 1


def test_shards_tells_the_health(session: FakeSession) -> None:
    session.proto = 3
    (shard,) = session.do("CLUSTER SHARDS")
    assert shard[b"slots"] == [0, 16383]
    assert [(n[b"role"], n[b"health"], n[b"replication-offset"]) for n in shard[b"nodes"]] == [
        (b"master", b"online", 40),
        (b"replica", b"online", 38),
        (b"replica", b"failed", 9),
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("CLUSTER COUNTKEYSINSLOT 16384", "ERR Invalid slot"),
        ("CLUSTER COUNTKEYSINSLOT x", "ERR value is not an integer or out of range"),
        ("CLUSTER GETKEYSINSLOT 0 -1", "ERR Invalid slot or number of keys"),
        ("CLUSTER REPLICAS nobody", "ERR Unknown node nobody"),
        ("CLUSTER FOO", "ERR unknown subcommand 'FOO'. Try CLUSTER HELP."),
        ("SELECT 1", "ERR SELECT is not allowed in cluster mode"),
        ("SENTINEL MASTER nobody", "ERR No such master with that name"),
    ],
)
def test_refusals(session: FakeSession, line: str, error: str) -> None:
    assert session.ask(line.encode().split()) == f"-{error}\r\n".encode()


def test_keys_of_a_slot(session: FakeSession) -> None:
    database = session.node.keyspace.database(0)
    for key in (b"{foo}1", b"{foo}2", b"bar"):
        database.restore(key, b"v", None)
    slot = session.do("CLUSTER KEYSLOT foo")
    assert slot == 12182
    assert session.do(f"CLUSTER COUNTKEYSINSLOT {slot}") == 2
    assert session.do(f"CLUSTER GETKEYSINSLOT {slot} 1") == [b"{foo}1"]


@pytest.mark.parametrize("line", ["CLUSTER SLOTS", "CLUSTER KEYSLOT x", "ASKING", "CLUSTER HELP"])
def test_without_redirect_there_is_no_redis_cluster(line: str) -> None:
    refused = FakeSession().ask(line.encode().split())
    assert refused == b"-ERR This instance has cluster support disabled\r\n"


def test_sentinel_sees_everybody_but_itself(session: FakeSession) -> None:
    session.proto = 3
    assert session.do("SENTINEL GET-MASTER-ADDR-BY-NAME ironkv") == [b"10.0.0.1", b"7001"]
    assert session.do("SENTINEL GET-MASTER-ADDR-BY-NAME nobody") is None
    assert [m[b"name"] for m in session.do("SENTINEL MASTERS")] == [b"ironkv", b"mymaster"]
    assert [r[b"flags"] for r in session.do("SENTINEL REPLICAS mymaster")] == [
        b"slave",
        b"slave,s_down,disconnected",
    ]
    assert [s[b"port"] for s in session.do("SENTINEL SENTINELS mymaster")] == [b"7002", b"7003"]
    assert session.ask(b"SENTINEL CKQUORUM mymaster".split()).startswith(b"+OK 2 usable Sentinels.")


def test_too_few_for_a_quorum(session: FakeSession) -> None:
    nodes = [{**member, "online": member["id"] == "node1"} for member in session.node.raft["nodes"]]
    session.node.raft["nodes"] = nodes
    assert session.ask(b"SENTINEL CKQUORUM mymaster".split()).startswith(b"-NOQUORUM 1 usable Sentinels.")


def test_names_are_announced_and_moved_to() -> None:
    """Behind NAT or in containers a node's own addresses are of no use to clients."""
    leader: str | None = "node2"
    said: list[tuple[bytes, bytes]] = []
    settings = load(["--cluster"], {})
    settings.server.on_follower_write = "redirect"
    for member in settings.cluster.nodes:
        member.announce_host, member.announce_port = f"{member.id}.example.org", 7000
    whereabouts = Whereabouts(
        settings, Roster(settings), lambda: leader, lambda *message: said.append(message)
    )
    assert str(whereabouts.not_leader(12182)) == "MOVED 12182 node2.example.org:7000"
    whereabouts.changed()
    assert said == []
    leader = None
    whereabouts.changed()
    assert str(whereabouts.not_leader()).startswith("CLUSTERDOWN ")
    leader = "node3"
    whereabouts.changed()
    whereabouts.changed()
    change = b"node2.example.org 7000 node3.example.org 7000"
    assert said == [(b"+switch-master", name + b" " + change) for name in (b"ironkv", b"mymaster")]
    assert str(whereabouts.not_done()).startswith("TRYAGAIN ")
    settings.server.on_follower_write = "readonly"
    assert str(whereabouts.not_leader()) == "READONLY You can't write against a read only replica."


@pytest.mark.parametrize(
    ("line", "slot"),
    [
        ("SET foo bar", 12182),
        ("EVAL x 1 {foo}1", 12182),
        ("EVAL x nonsense", 0),
        ("FLUSHALL", 0),
        ("MSET foo 1 bar 2", 12182),
    ],
)
def test_the_slot_of_a_request_is_its_first_keys(line: str, slot: int) -> None:
    args = line.encode().split()
    assert slot_of_request(find(args), args) == slot
