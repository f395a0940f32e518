"""Publish and subscribe on real nodes in virtual time: who hears what, in which order, and how it looks."""

from __future__ import annotations

import pytest

from ironkv.tools.client import encode
from tests.node.virtual import Client, Cluster, Maker


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    cluster = make_cluster().boot()
    cluster.elect("node1")
    return cluster


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.leader().client()


def subscriber(client: Client, *commands: str) -> Client:
    """Another client of the same node, subscribed."""
    other = client.node.client()
    other.ask(*commands)
    return other


def raw(client: Client, *commands: str) -> bytes:
    """The bytes that come."""
    before = len(client.transport.sent)
    client.send(*commands)
    client.node.cluster.settle()
    client.take()
    return bytes(client.transport.sent[before:])


# -- how it looks


def test_messages_in_both_protocols(client: Client) -> None:
    two, three = client.node.client(), client.node.client()
    assert raw(two, "SUBSCRIBE a b") == (
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n"
    )
    three.ask("HELLO 3")
    assert raw(three, "PSUBSCRIBE a*") == b">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:1\r\n"
    before = [len(each.transport.sent) for each in (two, three)]
    assert client.ask("PUBLISH a hello") == [2]
    heard = [bytes(each.transport.sent[n:]) for each, n in zip((two, three), before, strict=True)]
    assert heard == [
        b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$5\r\nhello\r\n",
        b">4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$5\r\nhello\r\n",
    ]


def test_a_subscriber_of_resp2_may_do_little_else(client: Client) -> None:
    said = client.ask("SUBSCRIBE a", "GET x", "nosuch", "PING", "PING hi", "PING a b", "GET", "PUBLISH a x")
    allowed = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    assert said == [
        [b"subscribe", b"a", 1],
        f"-ERR Can't execute 'get': {allowed}",
        "-ERR unknown command 'nosuch', with args beginning with: ",
        [b"pong", b""],
        [b"pong", b"hi"],
        "-ERR wrong number of arguments for 'ping' command",
        "-ERR wrong number of arguments for 'get' command",
        f"-ERR Can't execute 'publish': {allowed}",
    ]
    assert client.ask("UNSUBSCRIBE a", "PING", "SET x 1", "GET x") == [
        [b"unsubscribe", b"a", 0], b"PONG", b"OK", b"1",
    ]  # fmt: skip


def test_in_resp3_a_subscriber_may_do_anything(client: Client) -> None:
    client.ask("HELLO 3", "SUBSCRIBE a")
    assert client.ask("SET x 1", "GET x", "PING")[-3:] == [b"OK", b"1", b"PONG"]
    assert raw(client, "PUBLISH a m") == b":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
    assert raw(client, "HELLO 2", "GET x").endswith(b"QUIT / RESET are allowed in this context\r\n")
    assert client.ask("PING")[-1] == [b"pong", b""]


def test_reset_and_leaving_end_all_subscriptions(client: Client) -> None:
    other = subscriber(client, "SUBSCRIBE a", "PSUBSCRIBE a*", "SSUBSCRIBE a")
    assert client.ask("PUBLISH a x", "SPUBLISH a x", "PUBSUB NUMPAT") == [2, 1, 1]
    assert other.ask("RESET")[-1] == b"RESET"
    assert client.ask("PUBLISH a x", "SPUBLISH a x", "PUBSUB NUMPAT") == [0, 0, 0]
    assert other.ask("GET nothing") == [None]
    gone = subscriber(client, "SUBSCRIBE a", "PSUBSCRIBE a*")
    gone.vanish()
    assert client.ask("PUBLISH a x", "PUBSUB CHANNELS", "PUBSUB NUMPAT") == [0, [], 0]
    assert client.node.dispatch.pubsub.clients == 0


def test_confirmations_are_not_silenced(client: Client) -> None:
    assert client.ask("CLIENT REPLY OFF", "PING", "SUBSCRIBE a") == [[b"subscribe", b"a", 1]]
    client.node.client().ask("PUBLISH a x")
    assert client.take() == [[b"message", b"a", b"x"]]
    assert client.ask("RESET", "CLIENT REPLY OFF", "MULTI", "SET x 1", "SUBSCRIBE b", "EXEC") == [
        b"RESET", [b"subscribe", b"b", 1],
    ]  # fmt: skip


def test_what_the_node_tells_of_them(client: Client) -> None:
    other = subscriber(client, "CLIENT SETNAME me", "SUBSCRIBE a b", "PSUBSCRIBE c*", "SSUBSCRIBE d")
    (listing,) = client.ask("CLIENT LIST TYPE pubsub")
    assert b" name=me " in listing
    assert b" flags=P " in listing
    assert b" sub=2 psub=1 ssub=1 " in listing
    assert b"name=me" not in client.ask("CLIENT LIST TYPE normal")[0]
    found = client.ask("INFO")[0]
    for line in (b"pubsub_clients:1", b"pubsub_channels:2", b"pubsub_patterns:1", b"pubsubshard_channels:1"):
        assert b"\r\n%b\r\n" % line in found
    assert client.ask("CLIENT KILL TYPE pubsub", "PUBLISH a x") == [1, 0]
    assert other.transport.aborted


# -- order


def test_a_channel_s_subscribers_come_before_those_of_patterns(client: Client) -> None:
    other = subscriber(client, "PSUBSCRIBE a* *", "SUBSCRIBE a", "PSUBSCRIBE *a")
    assert client.ask("PUBLISH a x") == [4]
    assert other.take() == [
        [b"message", b"a", b"x"], [b"pmessage", b"a*", b"a", b"x"],
        [b"pmessage", b"*", b"a", b"x"], [b"pmessage", b"*a", b"a", b"x"],
    ]  # fmt: skip


def test_a_message_finds_what_was_written_before_it(client: Client) -> None:
    """SET and PUBLISH in one pipeline: whoever hears of it and looks must find it."""
    client.node.cluster.automatic_disk = False
    other = subscriber(client, "SUBSCRIBE a")
    client.send("SET x 1", "PUBLISH a look", "SET x 2", "PUBLISH a again")
    assert other.take() == []
    client.node.cluster.automatic_disk = True
    client.node.cluster.settle()
    assert client.take() == [b"OK", 1, b"OK", 1]
    assert other.take() == [[b"message", b"a", b"look"], [b"message", b"a", b"again"]]


def test_subscribing_behind_a_write_is_confirmed_before_anything_is_heard(client: Client) -> None:
    client.node.cluster.automatic_disk = False
    client.send("SET x 1", "SUBSCRIBE a")
    assert client.node.client().ask("PUBLISH a early") == [0]
    client.node.cluster.automatic_disk = True
    client.node.cluster.settle()
    assert client.take() == [b"OK", [b"subscribe", b"a", 1]]


def test_subscribing_and_publishing_in_a_transaction(client: Client) -> None:
    other = subscriber(client, "SUBSCRIBE a")
    said = client.ask("MULTI", "SET x 1", "PUBLISH a x", "SUBSCRIBE b", "EXEC", "GET x")
    assert said[4] == [b"OK", 1, [b"subscribe", b"b", 1]]
    assert said[5].startswith("-ERR Can't execute 'get'")
    assert other.take() == [[b"message", b"a", b"x"]]
    said = client.node.client().ask("MULTI", "SSUBSCRIBE a", "EXEC")
    assert said[2] == ["-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"] or str(
        said[2][0]
    ).startswith("ERR SSUBSCRIBE isn't allowed")


@pytest.mark.parametrize("odd", ["PUBLISH a", "publish a x", "PING", "SPUBLISH a x"])
def test_a_pipeline_of_publishing(client: Client, odd: str) -> None:
    other = subscriber(client, "SUBSCRIBE a")
    sent = [f"PUBLISH a {n}" for n in range(20)]
    replies = client.ask(*sent[:10], odd, *sent[10:])
    assert replies[:10] + replies[11:] == [1] * 20
    numbers = [int(data) for _, _, data in other.take() if data != b"x"]
    assert numbers == list(range(20))
    client.ask("HELLO 3", "SUBSCRIBE a")
    one = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
    assert raw(client, *["PUBLISH a m"] * 5) == (b":2\r\n" + one) * 5


def test_one_write_for_all_messages_of_a_turn_to_each_of_many(client: Client) -> None:
    others = [subscriber(client, "SUBSCRIBE a") for _ in range(1000)]
    before = [other.transport.writes for other in others]
    assert client.ask(*["PUBLISH a x"] * 50) == [1000] * 50
    assert [other.transport.writes for other in others] == [writes + 1 for writes in before]
    assert others[7].take() == [[b"message", b"a", b"x"]] * 50


# -- all nodes


def everywhere(cluster: Cluster) -> list[Client]:
    clients = [node.client() for node in cluster.nodes.values()]
    for client in clients:
        client.ask("SUBSCRIBE a", "SSUBSCRIBE s")
    return clients


def test_a_message_reaches_all_nodes_from_any(cluster: Cluster) -> None:
    clients = everywhere(cluster)
    for name, node in cluster.nodes.items():
        commands = [f"PUBLISH a {name}-{n}" for n in range(100)] + ["SPUBLISH s x", "PUBLISH s y"]
        assert node.client().ask(*commands) == [1] * 101 + [0]
        expected = [[b"message", b"a", f"{name}-{n}".encode()] for n in range(100)]
        assert [client.take() for client in clients] == [[*expected, [b"smessage", b"s", b"x"]]] * 3


def test_without_a_leader_messages_still_flow(cluster: Cluster) -> None:
    cluster.crash("node1")
    two, three = everywhere(cluster)
    assert two.node.client().ask("GET a") == []
    assert two.node.client().ask("PUBLISH a x") == [1]
    assert [client.take() for client in (two, three)] == [[[b"message", b"a", b"x"]]] * 2
    cluster.crash("node3")
    cluster.advance(2000)
    assert two.node.client().ask("PUBLISH a alone") == [1]
    assert two.take() == [[b"message", b"a", b"alone"]]


def test_a_restart_repeats_nothing(cluster: Cluster) -> None:
    """What is published is not in the log, nor fired again by what is (trap of stores built on Raft)."""
    client = cluster.leader().client()
    client.ask("CONFIG SET notify-keyspace-events KEA")
    client.ask("MULTI", "SET x 1", "PUBLISH a x", "EXEC", "PUBLISH a y")
    client.raw(encode(["EVAL", "return redis.call('PUBLISH', 'a', 'z')", "0"]))
    cluster.advance(200)
    for name in cluster.names:
        cluster.crash(name)
    cluster.boot()
    for node in cluster.nodes.values():
        node.view.change_settings({"server.notify_keyspace_events": "KEA"})
    clients = [node.client() for node in cluster.nodes.values()]
    for each in clients:
        each.send("SUBSCRIBE a", "PSUBSCRIBE *")
    cluster.elect()
    assert [len(each.take()) for each in clients] == [2] * 3
    assert cluster.leader().client().ask("GET x") == [b"1"]


def test_a_script_publishes_once_on_every_node(cluster: Cluster) -> None:
    clients = everywhere(cluster)
    publisher = cluster.leader().client()
    publisher.raw(
        encode(["EVAL", "redis.call('PUBLISH', 'a', 'z') return redis.call('SPUBLISH', 's', 'y')", "0"])
    )
    cluster.advance(200)
    assert publisher.take() == [0], "how many hear it is not the same on all replicas"
    assert [each.take() for each in clients] == [[[b"message", b"a", b"z"], [b"smessage", b"s", b"y"]]] * 3


# -- subscribers that do not read


def test_a_subscriber_beyond_the_hard_limit_is_closed(client: Client) -> None:
    client.ask("CONFIG SET client-output-buffer-limit x", "PING")
    client.raw(encode(["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0"]))
    slow, quick = subscriber(client, "SUBSCRIBE a"), subscriber(client, "SUBSCRIBE a")
    slow.transport.stuck = True
    message = encode(["PUBLISH", "a", bytes(300_000)])
    for _ in range(3):
        client.raw(message)
        client.node.cluster.settle()
    assert not slow.transport.aborted
    client.raw(message)
    client.node.cluster.settle()
    assert slow.transport.aborted
    client.take()
    assert client.ask("PUBLISH a x") == [1]
    assert len(quick.take()) == 5


def test_a_subscriber_beyond_the_soft_limit_has_some_time(client: Client) -> None:
    client.raw(encode(["CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 100kb 10"]))
    cluster = client.node.cluster
    slow, better = subscriber(client, "SUBSCRIBE a"), subscriber(client, "SUBSCRIBE a")
    for each in (slow, better):
        each.transport.stuck = True
    client.raw(encode(["PUBLISH", "a", bytes(200_000)]))
    cluster.advance(4000)
    better.transport.drain()
    cluster.advance(2000)
    assert not slow.transport.aborted
    client.raw(encode(["PUBLISH", "a", bytes(200_000)]))
    cluster.advance(7000)
    assert slow.transport.aborted
    assert not better.transport.aborted
    cluster.advance(6000)
    assert better.transport.aborted


# -- keyspace notifications


def test_every_node_tells_its_own_subscribers_of_changes(cluster: Cluster) -> None:
    clients = [node.client() for node in cluster.nodes.values()]
    for each in clients:
        assert each.ask("CONFIG SET notify-keyspace-events KEg$x")[0] == b"OK"
        each.ask("PSUBSCRIBE __key*__:*")
    writer = cluster.leader().client()
    writer.ask("SELECT 2", "SET k 1", "LPUSH l 1", "DEL k", "SET e 1 PX 50")
    cluster.advance(1000)
    expected = [
        [b"__keyspace@2__:k", b"set"], [b"__keyevent@2__:set", b"k"],
        [b"__keyspace@2__:k", b"del"], [b"__keyevent@2__:del", b"k"],
        [b"__keyspace@2__:e", b"set"], [b"__keyevent@2__:set", b"e"],
        [b"__keyspace@2__:e", b"expire"], [b"__keyevent@2__:expire", b"e"],
        [b"__keyspace@2__:e", b"expired"], [b"__keyevent@2__:expired", b"e"],
    ]  # fmt: skip
    for each in clients:
        assert [message[2:] for message in each.take()] == expected


def test_nothing_is_listened_to_without_need(client: Client) -> None:
    keyspace = client.node.keyspace
    other = subscriber(client, "SUBSCRIBE __keyevent@0__:set")
    assert keyspace.listener is None
    client.ask("CONFIG SET notify-keyspace-events E$")
    assert keyspace.listener is not None
    other.ask("UNSUBSCRIBE")
    assert keyspace.listener is None
    other.ask("SSUBSCRIBE a")
    assert keyspace.listener is None
    other.ask("PSUBSCRIBE *")
    assert keyspace.listener is not None
    client.ask("CONFIG SET notify-keyspace-events KE")
    assert keyspace.listener is None
    client.ask("CONFIG SET notify-keyspace-events A")
    assert keyspace.listener is None
