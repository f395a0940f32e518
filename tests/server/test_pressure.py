"""Clients that send more than they read, and nodes that cannot keep up: the socket is not read any more, and
memory stays bounded; when there is room again everything goes on in order."""

from __future__ import annotations

import tracemalloc

import pytest

from ironkv.server.connection import BACKLOG_BYTES, OUT_SLICE, PENDING_MAX
from ironkv.server.weights import AMONG_OTHERS
from ironkv.tools.client import encode
from tests.node.virtual import Client, Cluster, Maker


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    cluster = make_cluster(max_proposal_bytes=1 << 20).boot()
    cluster.elect("node1")
    return cluster


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.leader().client()


def set_big(client: Client, size: int = 1 << 20) -> bytes:
    value = bytes(range(256)) * (size // 256)
    client.raw(encode(["SET", "big", value]))
    client.node.cluster.settle()
    assert client.take() == [b"OK"]
    return value


def drain(client: Client) -> None:
    """The client reads all there is."""
    client.transport.drain()
    client.node.cluster.settle()


@pytest.mark.parametrize("command", ["GET big", "MGET big", "GETRANGE big 0 -1", "MGET big big big big"])
def test_a_client_that_does_not_read_large_replies(client: Client, command: str) -> None:
    """A few kilobytes of requests may ask for gigabytes: no more of it is copied than the socket takes."""
    value = set_big(client)
    client.transport.stuck = True
    client.send(*[command] * 60)
    assert client.transport.reading_paused
    assert client.transport.buffered <= OUT_SLICE + 8 * len(value)
    while client.transport.buffered:
        assert client.transport.buffered <= OUT_SLICE + 8 * len(value)
        drain(client)
    replies = client.take()
    wanted = [value] * (len(command.split()) - 1)
    assert replies == [wanted if command.startswith("MGET") else value] * 60
    assert not client.transport.reading_paused
    assert client.ask("PING") == [b"PONG"]


def test_large_replies_behind_a_write_to_a_client_that_does_not_read(client: Client) -> None:
    value = set_big(client)
    client.transport.stuck = True
    client.send("SET a 1", *["GET big"] * 100, "PING")
    client.node.cluster.settle()
    assert client.transport.buffered <= OUT_SLICE + 8 * len(value)
    while client.transport.buffered:
        drain(client)
    assert client.take() == [b"OK", *[value] * 100, b"PONG"]


def test_quit_and_half_close_wait_for_what_is_not_sent_yet(client: Client) -> None:
    value = set_big(client)
    client.transport.stuck = True
    other = client.node.client()
    other.transport.stuck = True
    client.send(*["GET big"] * 20, "QUIT")
    other.send(*["GET big"] * 20)
    other.half_close()
    for each in (client, other):
        assert not each.transport.closed
        while each.transport.buffered:
            drain(each)
        assert each.transport.closed
    assert client.take() == [*[value] * 20, b"OK"]
    assert other.take() == [value] * 20


def test_a_slow_client_that_goes_away(client: Client) -> None:
    set_big(client)
    client.transport.stuck = True
    client.send(*["GET big"] * 100)
    client.vanish()
    assert client.connection.out == []
    assert client.node.client().ask("STRLEN big") == [1 << 20]


def test_a_client_that_does_not_read_small_replies(client: Client) -> None:
    assert client.ask("SET a 1") == [b"OK"]
    client.transport.stuck = True
    client.connection.transport.set_write_buffer_limits(high=1000)
    sent = 0
    while not client.transport.reading_paused:
        client.send(*["GET a"] * 50)
        sent += 50
        assert sent < 1000
    drain(client)
    assert not client.transport.reading_paused
    assert client.take() == [b"1"] * sent


def test_too_many_replies_pending(client: Client) -> None:
    client.node.cluster.automatic_disk = False
    requests = PENDING_MAX + 1
    client.send(*["INCR a"] * requests)
    assert client.transport.reading_paused
    client.node.cluster.automatic_disk = True
    client.node.cluster.settle()
    assert not client.transport.reading_paused
    assert client.take() == list(range(1, requests + 1))


def test_too_many_bytes_on_their_way_into_the_log(client: Client) -> None:
    """Whoever added to them is not read until half of them are done; others are."""
    cluster = client.node.cluster
    cluster.automatic_disk = False
    other, reader = client.node.client(), client.node.client()
    client.raw(encode(["SET", "a", bytes(700_000)]))
    other.raw(encode(["SET", "b", bytes(700_000)]))
    assert not client.transport.reading_paused
    assert other.transport.reading_paused
    assert reader.ask("GET none") == [None]
    assert not reader.transport.reading_paused
    cluster.automatic_disk = True
    cluster.settle()
    assert not other.transport.reading_paused
    assert client.node.proposals.bytes == 0
    assert [each.take() for each in (client, other)] == [[b"OK"]] * 2


def test_who_pours_writes_has_less_under_way_while_others_write(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client, other = cluster.elect().client(), cluster.leader().client()

    def is_read_with(size: int) -> bool:
        """Whether it is read on while writes of that size are not answered."""
        cluster.automatic_disk = False
        client.raw(encode(["SET", "a", bytes(size)]))
        is_read = not client.transport.reading_paused
        cluster.automatic_disk = True
        cluster.settle()
        assert not client.transport.reading_paused
        assert client.take() == [b"OK"]
        return is_read

    assert is_read_with(900_000)
    assert not is_read_with(1_100_000)
    other.ask("SET b 1")
    assert is_read_with(AMONG_OTHERS - 1_000)
    assert not is_read_with(AMONG_OTHERS + 1_000)
    cluster.advance(2_000)
    assert is_read_with(900_000)


def test_what_is_poured_at_once_is_taken_in_parts_while_others_write(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client, other = cluster.elect().client(), cluster.leader().client()
    rows = [["INCR", "n"], ["SET", "a", bytes(1_000)], ["GET", "n"], ["MULTI"], ["INCR", "n"], ["EXEC"]]
    chunk = b"".join(map(encode, rows)) * 240
    replies = [
        each for n in range(1, 480, 2)
        for each in (n, b"OK", b"%d" % n, b"OK", b"QUEUED", [n + 1])
    ]  # fmt: skip

    def most_under_way() -> int:
        cluster.automatic_disk = False
        client.raw(chunk)
        under_way = client.node.proposals.bytes
        cluster.automatic_disk = True
        cluster.settle()
        assert client.take() == replies
        assert not client.transport.reading_paused
        assert client.connection.backlog_bytes == 0
        client.ask("DEL n")
        return under_way

    assert most_under_way() > 250_000
    other.ask("SET b 1")
    assert 0 < most_under_way() <= 2 * AMONG_OTHERS  # what is queued by MULTI counts beside the requests
    cluster.advance(2_000)
    assert most_under_way() > 250_000


def test_what_another_node_relays_is_taken_in_parts_as_well(make_cluster: Maker) -> None:
    cluster = make_cluster(on_follower_write="forward").boot()
    leader = cluster.elect("node1")
    leader.client().ask("SET b 1")
    leader.client().ask("SET b 2")
    client = cluster.nodes["node2"].client()
    rows = [["INCR", "n"], ["SET", "a", bytes(1_000)], ["GET", "n"], ["MULTI"], ["INCR", "n"], ["EXEC"]]
    client.raw(b"".join(map(encode, rows)) * 240)
    leader.client().ask("SET b 3")
    for _ in range(20):
        cluster.advance(20)
    assert client.take() == [
        each for n in range(1, 480, 2)
        for each in (n, b"OK", b"%d" % n, b"OK", b"QUEUED", [n + 1])
    ]  # fmt: skip


def test_a_value_counts_whole_however_it_arrives(client: Client) -> None:
    client.node.cluster.automatic_disk = False
    wire = encode(["SET", "a", bytes(2 << 20)])
    for at in range(0, len(wire), 100_000):
        client.raw(wire[at : at + 100_000])
    assert client.node.proposals.bytes >= 2 << 20
    assert client.transport.reading_paused


def test_large_values_of_many_clients_do_not_make_one_large_entry(client: Client) -> None:
    cluster = client.node.cluster
    clients = [client.node.client() for _ in range(8)]
    wire = encode(["SET", "a", bytes(2 << 20)])
    before = client.node.core.last_index
    for each in clients:
        for at in range(0, len(wire), 250_000):
            each.raw(wire[at : at + 250_000])
    cluster.settle()
    assert [each.take() for each in clients] == [[b"OK"]] * 8
    assert client.node.core.last_index == before + 8


def test_large_values_that_waited_do_not_make_one_large_entry(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    client = cluster.elect().client()
    before = client.node.core.last_index
    client.send("SET a 1", "WAIT 3 100")
    cluster.settle()
    wire = encode(["SET", "a", bytes(300_000)])
    for _ in range(10):
        if not client.transport.reading_paused:
            client.raw(wire)
    assert client.transport.reading_paused
    assert client.connection.backlog_bytes <= BACKLOG_BYTES + len(wire)
    cluster.advance(200)
    assert client.take()[:2] == [b"OK", 2]
    assert set(client.replies[2:]) == {b"OK"}
    assert client.node.core.last_index > before + 1
    assert not client.transport.reading_paused


def test_requests_behind_a_wait_do_not_pile_up(client: Client) -> None:
    cluster = client.node.cluster
    client.send("WAIT 3 100")
    sent = 0
    while not client.transport.reading_paused:
        client.send(*["PING"] * 1000)
        sent += 1000
        assert sent <= PENDING_MAX + 1000
    cluster.advance(200)
    assert client.take() == [2, *[b"PONG"] * sent]
    assert not client.transport.reading_paused


def test_without_a_majority_memory_does_not_grow(client: Client) -> None:
    cluster = client.node.cluster
    cluster.isolate(client.node.id)
    sent = 0
    while not client.transport.reading_paused:
        client.raw(encode(["SET", "a", bytes(100_000)]))
        sent += 1
        assert sent < 20
    cluster.advance(5000)
    replies = client.take()
    assert len(replies) == sent
    assert all(reply.startswith("-UNKNOWN ") for reply in replies)
    assert not client.transport.reading_paused
    assert client.node.proposals.bytes == 0


@pytest.mark.parametrize(
    ("kind", "command", "most"),
    [("string", "GET x", 0.2), ("list", "LRANGE x 0 -1", 0.2), ("hash", "HGETALL x", 0.6)],
)
def test_a_large_reply_is_not_copied_as_a_whole(client: Client, kind: str, command: str, most: float) -> None:
    """`most`: what answering takes besides what is held, as a part of the reply."""
    size = 32 << 20
    value = b"v" * 1_000
    if kind == "string":
        client.raw(encode(["SET", "x", b"v" * size]))
    for at in range(0, size // 1_000, 1_000):
        if kind == "list":
            client.raw(encode(["RPUSH", "x", *[value] * 1_000]))
        elif kind == "hash":
            client.raw(encode(["HSET", "x", *[w for n in range(at, at + 1_000) for w in (b"%d" % n, value)]]))
    client.node.cluster.settle()
    client.take()
    client.transport.stuck = True
    tracemalloc.start()
    client.send(command)
    client.node.cluster.settle()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * size
    assert client.transport.buffered <= 4 * OUT_SLICE
    while client.transport.buffered:
        drain(client)
    (reply,) = client.take()
    if kind == "string":
        assert reply == b"v" * size
    else:
        assert sum(map(len, reply)) >= size
        assert reply[-1] == value
