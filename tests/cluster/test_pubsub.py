"""Publish and subscribe over three processes, with redis-py as its users have it."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from ironkv.tools.client import Client
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node

PATIENCE_S = 20.0


def subscribed(node: Node, *commands: tuple[str, ...]) -> Client:
    client = node.connect()
    for command in commands:
        client.send(command)
        client.read()
    return client


def heard(client: Client, count: int) -> list[Any]:
    return [client.read() for _ in range(count)]


def publish_until_heard(publisher: Client, listeners: list[Client], message: bytes) -> None:
    """Nodes that have just started find each other within moments; until then they miss what is published."""
    for listener in listeners:
        listener.socket.settimeout(0.2)
    waiting = set(range(len(listeners)))

    def all_heard() -> bool:
        publisher.call("PUBLISH", "ready", message)
        for place in list(waiting):
            try:
                listeners[place].read()
            except TimeoutError:
                continue
            waiting.discard(place)
        return not waiting

    wait_for(all_heard, "all nodes hear each other", PATIENCE_S)
    for listener in listeners:
        listener.socket.settimeout(10)


def until(client: Client, channel: bytes, count: int) -> list[bytes]:
    """The next messages of a channel."""
    found: list[bytes] = []
    while len(found) < count:
        message: Any = client.read()
        if message[1] == channel:
            found.append(message[2])
    return found


def test_messages_reach_all_nodes_in_order_also_after_one_is_killed(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    nodes = [leader, *cluster.followers(leader)]
    listeners = [subscribed(node, ("SUBSCRIBE", "ready", "news")) for node in nodes]
    for listener in listeners:
        listener.read()
    for node in nodes:
        with node.connect() as publisher:
            publish_until_heard(publisher, listeners, node.id.encode())
            sent = [f"{node.id}-{n}".encode() for n in range(2000)]
            assert publisher.pipeline([("PUBLISH", "news", each) for each in sent]) == [1] * 2000
            for listener in listeners:
                assert until(listener, b"news", 2000) == sent
    leader.kill()
    rest = nodes[1:]
    listeners[0].close()
    for node in rest:  # at once: there is no leader yet, and none is needed
        with node.connect() as publisher:
            sent = [f"without-{node.id}-{n}".encode() for n in range(500)]
            assert publisher.pipeline([("PUBLISH", "news", each) for each in sent]) == [1] * 500
            for listener in listeners[1:]:
                assert until(listener, b"news", 500) == sent
    cluster.wait_for_leader(other_than=leader)
    for listener in listeners[1:]:
        listener.close()


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(shared_cluster: ThrowawayCluster, protocol: int) -> None:
    leader = shared_cluster.wait_for_leader()
    follower = shared_cluster.followers(leader)[0]

    def connect(node: Node) -> Any:
        host, port = node.address.split(":")
        return redis.Redis(host=host, port=int(port), protocol=protocol, socket_timeout=10)

    with connect(leader) as publisher, connect(follower) as other, other.pubsub() as pubsub:
        pubsub.subscribe("a", "b")
        pubsub.psubscribe("a*")
        confirmed = [pubsub.get_message(timeout=10) for _ in range(3)]
        assert [(each["type"], each["data"]) for each in confirmed] == [
            ("subscribe", 1), ("subscribe", 2), ("psubscribe", 3),
        ]  # fmt: skip
        assert other.publish("a", "from here") == 2
        assert publisher.publish("a", "from there") == 0
        found = [pubsub.get_message(timeout=10) for _ in range(4)]
        assert [(each["type"], each["pattern"], each["data"]) for each in found] == [
            ("message", None, b"from here"), ("pmessage", b"a*", b"from here"),
            ("message", None, b"from there"), ("pmessage", b"a*", b"from there"),
        ]  # fmt: skip
        pubsub.ping()
        assert pubsub.get_message(timeout=10)["type"] == "pong"
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        gone = [pubsub.get_message(timeout=10) for _ in range(3)]
        assert sorted(each["data"] for each in gone) == [0, 1, 2]
        assert other.pubsub_numsub("a", "b") == [(b"a", 0), (b"b", 0)]


def test_every_node_tells_of_changed_keys(shared_cluster: ThrowawayCluster) -> None:
    leader = shared_cluster.wait_for_leader()
    nodes = [leader, *shared_cluster.followers(leader)]
    for node in nodes:
        with node.connect() as client:
            assert client.call("CONFIG", "SET", "notify-keyspace-events", "KEA") == "OK"
    listeners = [subscribed(node, ("SUBSCRIBE", "__keyspace@0__:told")) for node in nodes]
    try:
        for command in (("SET", "told", 1), ("APPEND", "told", 2), ("EXPIRE", "told", 100), ("DEL", "told")):
            shared_cluster.write(*command)
        for listener in listeners:
            assert [each[2] for each in heard(listener, 4)] == [b"set", b"append", b"expire", b"del"]
    finally:
        for listener in listeners:
            listener.close()
        for node in nodes:
            with node.connect() as client:
                client.call("CONFIG", "SET", "notify-keyspace-events", "")
