"""INFO and ROLE: Redis's names, and what is true of this node."""

from __future__ import annotations

import pytest

from tests.commands.fakes import FakeNode, FakeSession
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

OF_OUR_OWN = ("ironkv_", "raft_", "errorstat_")
FROM_REDIS_ELSEWHERE = {
    "loading_loaded_perc", "loading_eta_seconds",  # while loading
    "aof_current_size",  # with appendonly
    "master_host", "master_port", "master_link_status", "master_sync_in_progress", "slave_read_repl_offset",
    "slave_repl_offset", "slave_read_only",  # of a replica
    "total_blocking_keys", "total_blocking_keys_on_nokey",  # since 7.2
    "pubsub_clients",  # since 7.4
    "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key",  # since 7.2
    "acl_access_denied_channel",
}  # fmt: skip


def sections(text: bytes) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in text.decode().removeprefix("txt:").splitlines():
        if line.startswith("# "):
            found[line[2:]] = {}
        elif line:
            name, _, value = line.partition(":")
            found[list(found)[-1]][name] = value
    return found


def info(session: FakeSession, *names: str) -> dict[str, str]:
    """All fields."""
    shown = sections(session.do(f"INFO {' '.join(names)}"))
    return {name: value for fields in shown.values() for name, value in fields.items()}


@pytest.mark.parametrize("role", ["leader", "follower", "loading"])
def test_fields_are_redis_fields_in_redis_sections(oracle: Oracle, role: str) -> None:
    node = FakeNode()
    if role == "follower":
        node.follow("node2")
    node.loading = role == "loading"
    ours = sections(FakeSession(node).do("INFO"))
    theirs = sections(meaning(oracle.ask([b"INFO", b"everything"])))
    for title, fields in ours.items():
        if title == "Raft":
            continue
        for name in fields:
            known = name in theirs[title] or name in FROM_REDIS_ELSEWHERE or name.startswith(OF_OUR_OWN)
            assert known or name.rstrip("0123456789") in ("slave", "db"), f"{title}: {name}"
    assert [title for title in theirs if title in ours] == [title for title in ours if title != "Raft"]


def test_what_clients_look_for_is_there() -> None:
    found = info(FakeSession())
    assert found["redis_version"] == "7.2.4"
    assert found["ironkv_version"] == "1.2.3"
    assert found["redis_mode"] == "standalone"
    assert found["loading"] == "0"
    assert found["role"] == "master"
    assert found["maxmemory_policy"] == "noeviction"
    assert found["cluster_enabled"] == "0"
    assert found["uptime_in_days"] == "1"
    assert found["run_id"] == "ab" * 20
    assert int(found["used_memory"]) > 1 << 20
    assert found["used_memory_human"].endswith(("M", "G"))
    for name in ("process_id", "tcp_port", "connected_clients", "total_commands_processed", "aof_enabled"):
        assert found[name].isdigit(), name


def test_sections_are_chosen() -> None:
    session = FakeSession()

    def titles(line: str) -> list[str]:
        return list(sections(session.do(line)))

    everything = titles("INFO")
    assert titles("info DEFAULT") == everything
    assert titles("INFO all") == titles("INFO everything")
    assert set(titles("INFO all")) - set(everything) == {"Commandstats", "Latencystats", "Host"}
    assert titles("INFO server") == ["Server"]
    assert titles("INFO KEYSPACE Server") == ["Server", "Keyspace"], "in Redis's order"
    assert titles("INFO nonsense") == []
    assert titles("INFO nonsense cpu") == ["CPU"]
    assert "Raft" in everything


def test_info_is_for_reading() -> None:
    session = FakeSession()
    assert session.ask([b"INFO", b"cluster"]) == b"$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"
    session.proto = 3
    assert session.ask([b"INFO", b"cluster"]) == b"=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"


# -- replication


def test_a_leader_is_a_master_with_its_followers() -> None:
    session = FakeSession()
    found = info(session, "replication")
    assert (found["role"], found["connected_slaves"]) == ("master", "1"), "node3 is away"
    assert found["slave0"].startswith("ip=10.0.0.2,port=7002,state=online,offset=38,lag=")
    assert found["master_repl_offset"] == "41"
    assert "master_host" not in found
    assert session.do("ROLE") == [b"master", 41, [[b"10.0.0.2", b"7002", b"38"]]]


def test_a_follower_is_a_replica_of_its_leader() -> None:
    session = FakeSession()
    session.node.follow("node2")
    found = info(session, "replication")
    assert (found["role"], found["master_host"], found["master_port"]) == ("slave", "10.0.0.2", "7002")
    assert found["master_link_status"] == "up"
    assert found["connected_slaves"] == "0"
    role = session.do("ROLE")
    assert role[0] == b"slave"
    assert role[1:] == [b"10.0.0.2", 7002, b"connected", 40]


@pytest.mark.parametrize("leader", ["node3", None])
def test_a_follower_without_a_leader_in_reach(leader: str | None) -> None:
    session = FakeSession()
    session.node.follow(leader)
    assert info(session, "replication")["master_link_status"] == "down"
    assert session.do("ROLE")[3] == b"connect"


def test_role_is_shaped_as_redis_shapes_it(oracle: Oracle) -> None:
    theirs = meaning(oracle.ask([b"ROLE"]))
    ours = FakeSession().do("ROLE")
    assert [type(item) for item in ours] == [type(item) for item in theirs]


def test_the_raft_section() -> None:
    found = info(FakeSession(), "raft")
    assert (found["raft_role"], found["raft_term"], found["raft_leader"]) == ("leader", "3", "node1")
    assert (found["raft_commit_index"], found["raft_applied_index"]) == ("40", "40")
    assert found["raft_nodes"] == "3"


# -- counts


def test_counts() -> None:
    session = FakeSession()
    node = session.node
    node.commands_processed, node.bytes_in, node.connections_rejected = 5, 6, 7
    node.errors.update(ERR=3, WRONGTYPE=1)
    node.loading = True
    found = info(session)
    assert (found["total_commands_processed"], found["total_net_input_bytes"]) == ("5", "6")
    assert found["rejected_connections"] == "7"
    assert (found["total_error_replies"], found["errorstat_ERR"]) == ("4", "count=3")
    assert found["errorstat_WRONGTYPE"] == "count=1"
    assert (found["loading"], found["instantaneous_ops_per_sec"]) == ("1", "12")


def test_keyspace() -> None:
    session = FakeSession()
    keyspace = session.node.keyspace
    assert sections(session.do("INFO keyspace")) == {"Keyspace": {}}
    keyspace.database(0).set(b"a", b"1")
    keyspace.database(3).set(b"a", b"1")
    keyspace.database(3).set(b"b", b"1")
    keyspace.database(3).set_deadline(b"b", 10**13)
    assert info(session, "keyspace") == {
        "db0": "keys=1,expires=0,avg_ttl=0",
        "db3": "keys=2,expires=1,avg_ttl=0",
    }
