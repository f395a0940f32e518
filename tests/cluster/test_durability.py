"""What was acknowledged is there after any crash, with its deadline."""

from __future__ import annotations

import time

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.load import WriteLoad


def test_killing_all_nodes_under_load_loses_nothing_acknowledged(cluster: ThrowawayCluster) -> None:
    loads = []
    for crash in range(3):
        with WriteLoad(cluster.nodes, writers=16, prefix=f"crash{crash}:") as load:
            load.wait_acknowledged(500)
            cluster.kill_all()
        loads.append(load)
        cluster.start()
        for node in cluster.nodes:
            with node.connect() as client:
                for earlier in loads:
                    assert earlier.check(client) == []


def test_a_restart_keeps_data_and_deadlines(cluster: ThrowawayCluster) -> None:
    values = {f"key:{i}".encode(): bytes([i, 0, 13, 10]) * 50 for i in range(200)}
    with cluster.connect_to_leader() as client:
        for reply in client.pipeline([("SET", key, value) for key, value in values.items()]):
            assert reply == "OK"
        client.call("SET", "lasting", "x", "PX", 600_000)
        deadline = client.call("PEXPIRETIME", "lasting")
    cluster.stop()
    cluster.start()
    for node in cluster.nodes:
        with node.connect() as client:
            assert client.pipeline([("GET", key) for key in values]) == list(values.values())
            assert client.call("PEXPIRETIME", "lasting") == deadline
            assert client.call("DBSIZE") == len(values) + 1


def test_a_key_whose_time_came_while_all_were_down_is_gone(cluster: ThrowawayCluster) -> None:
    cluster.write("SET", "brief", "x", "PX", 500)
    cluster.write("SET", "lasting", "x")
    cluster.kill_all()
    fallen_due = time.time() + 0.5
    wait_for(lambda: time.time() > fallen_due, "its time has come")
    cluster.start()

    def gone_everywhere() -> bool:
        for node in cluster.nodes:
            with node.connect() as client:
                if client.pipeline([("EXISTS", "brief"), ("EXISTS", "lasting")]) != [0, 1]:
                    return False
        return True

    wait_for(gone_everywhere, "brief is gone, lasting is not")


def test_one_node_alone_is_as_durable(lone_node: ThrowawayCluster) -> None:
    node = lone_node.nodes[0]
    with WriteLoad(lone_node.nodes, writers=16) as load:
        load.wait_acknowledged(500)
        node.kill()
    lone_node.start()
    with node.connect() as client:
        assert load.check(client) == []
        assert client.call("SET", "goes on", "1") == "OK"
