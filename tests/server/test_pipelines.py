"""Pipelines: replies come in request order, whatever stands between a request and its reply."""

from __future__ import annotations

import pytest

from ironkv.commands.table import TABLE
from tests.node.virtual import Client, Cluster, Maker

UNAVAILABLE = "-CLUSTERDOWN no leader is known: an election is under way or too few nodes are up"


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    cluster = make_cluster().boot()
    cluster.elect("node1")
    return cluster


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.leader().client()


def test_all_kinds_of_commands_mixed(client: Client) -> None:
    replies = client.ask(
        "PING", "GET a", "SET a 1", "GET a", "NOSUCH", "INCR a", "PING x", "GET", "SET a", "GET a",
        "SET a x", "INCR a", "GET a", "ECHO e", "DEL a b", "GET a",
    )  # fmt: skip
    assert replies == [
        b"PONG", None, b"OK", b"1", "-ERR unknown command 'NOSUCH', with args beginning with: ", 2, b"x",
        "-ERR wrong number of arguments for 'get' command",
        "-ERR wrong number of arguments for 'set' command", b"2",
        b"OK", "-ERR value is not an integer or out of range", b"x", b"e", 1, None,
    ]  # fmt: skip


def test_nothing_behind_a_pending_write_is_answered_before_it(client: Client) -> None:
    client.send("PING", "SET a 1", "PING", "GET a", "NOSUCH", "GET")
    assert client.take() == [b"PONG"]
    client.node.cluster.settle()
    assert client.take()[:3] == [b"OK", b"PONG", b"1"]
    assert len(client.replies) == 6


def test_one_write_to_the_socket_for_all_replies_of_a_turn(client: Client) -> None:
    client.send(*["SET a 1", "GET a", "PING"] * 50)
    before = client.transport.writes
    client.node.cluster.settle()
    assert len(client.take()) == 150
    assert client.transport.writes == before + 1


def test_any_case_of_a_name(client: Client) -> None:
    assert client.ask("set a 1", "Get a", "gET a", "sEt a 2", "get a") == [b"OK", b"1", b"1", b"OK", b"2"]
    assert client.ask(*["sEt a 3"] * 5, *["get a"] * 5) == [b"OK"] * 5 + [b"3"] * 5
    assert client.ask(*["get a"] * 5) == [b"3"] * 5


def test_a_pipeline_of_one_command_in_various_lengths(client: Client) -> None:
    assert client.ask("RPUSH l a", "RPUSH l b c", "rpush l d", "RPUSH l e f g") == [1, 3, 4, 7]
    assert client.ask(*["LPOP l"] * 4, "LPOP l 2", "LPOP l", "LPOP l") == [
        b"a", b"b", b"c", b"d", [b"e", b"f"], b"g", None,
    ]  # fmt: skip
    assert client.ask("MSET a 1", "MSET a 2 b 3", "MSET c 4", "MSET c 5") == [b"OK"] * 4
    assert client.ask("ZADD z 1 a", "ZADD z NX 2 b", "ZADD z 3 c 4 d", "ZADD z 5 a") == [1, 1, 2, 0]


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("ZADD z x m", "-ERR value is not a valid float"),
        ("ZADD z NX m", "-ERR syntax error"),
        ("ZADD z", "-ERR wrong number of arguments for 'zadd' command"),
        ("ZADD z NX XX 1 m", "-ERR XX and NX options at the same time are not compatible"),
    ],
)
def test_one_that_is_wrong_among_many_alike(client: Client, line: str, refusal: str) -> None:
    good = [f"ZADD z NX {n} {n}" for n in range(5)]
    assert client.ask(*good, line, *good) == [1] * 5 + [refusal] + [0] * 5
    assert client.ask("ZADD s 1 a", "ZADD s 2 b", "ZADD s 3 c", line) == [1, 1, 1, refusal]
    assert client.ask("ZADD s 4 a b", "ZCARD s") == ["-ERR syntax error", 3]


def test_subcommands_that_write(client: Client) -> None:
    assert client.ask("XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATECONSUMER s g me") == [b"OK", 1]
    assert client.ask(*["XGROUP DELCONSUMER s g me"] * 5, "XGROUP NOPE s")[:5] == [0] * 5


def test_select_in_the_middle_of_pending_writes(client: Client) -> None:
    replies = client.ask(
        "SET a zero", "SELECT 1", "SET a one", "GET a", "SELECT 0", "GET a", "SELECT 16", "GET a",
        "SELECT 2", "GET a", "SET a two", "SELECT 1", "GET a",
    )  # fmt: skip
    assert replies == [
        b"OK", b"OK", b"OK", b"one", b"OK", b"zero", "-ERR DB index is out of range", b"zero",
        b"OK", None, b"OK", b"OK", b"one",
    ]  # fmt: skip
    assert client.ask("SELECT 2", "GET a") == [b"OK", b"two"]


def test_databases_of_different_connections_in_one_entry(client: Client) -> None:
    others = [client.node.client() for _ in range(3)]
    for n, other in enumerate(others):
        other.send(f"SELECT {n}", f"SET a {n}")
    client.send("SET a last")
    client.node.cluster.settle()
    assert [other.take() for other in others] == [[b"OK", b"OK"]] * 3
    assert [other.ask("GET a") for other in others] == [[b"last"], [b"1"], [b"2"]]


def test_swapdb_in_the_middle_of_an_entry(client: Client) -> None:
    assert client.ask("SET a 0", "SELECT 1", "SET a 1") == [b"OK"] * 3
    replies = client.ask(
        "SWAPDB 0 1", "GET a", "SET a new", "SELECT 0", "GET a", "SET a old", "SELECT 1", "GET a"
    )
    assert replies == [b"OK", b"0", b"OK", b"OK", b"1", b"OK", b"OK", b"new"]


def test_hello_behind_a_write_does_not_change_the_write_s_reply(client: Client) -> None:
    client.send("SET a 1", "GET none", "HELLO 3", "GET none", "HELLO 2")
    client.node.cluster.settle()
    assert bytes(client.transport.sent).startswith(b"+OK\r\n$-1\r\n%7\r\n")
    assert b"\r\n_\r\n*14\r\n" in client.transport.sent


def test_client_reply_behind_a_write(client: Client) -> None:
    assert client.ask("SET a 1", "CLIENT REPLY OFF", "SET a 2", "GET a", "CLIENT REPLY ON", "GET a") == [
        b"OK", b"OK", b"2",
    ]  # fmt: skip
    assert client.ask("SET a 1", "CLIENT REPLY SKIP", "SET a 3", "GET a") == [b"OK", b"3"]
    assert client.ask("CLIENT REPLY SKIP", "GET a", "GET a") == [b"3"]


def test_reset_behind_a_write(client: Client) -> None:
    assert client.ask("SELECT 3", "SET a 1", "RESET", "GET a") == [b"OK", b"OK", b"RESET", None]


def test_quit_behind_a_write(client: Client) -> None:
    assert client.ask("SET a 1", "QUIT", "SET a 2", "GET a") == [b"OK", b"OK"]
    assert client.transport.closed
    assert client.node.client().ask("GET a") == [b"1"]


def test_wait_behind_a_write(client: Client) -> None:
    assert client.ask("SET a 1", "WAIT 2 0", "GET a") == [b"OK", 2, b"1"]
    assert client.ask("WAIT 0 0", "PING") == [2, b"PONG"]


def test_wait_for_more_than_there_are(client: Client) -> None:
    client.send("SET a 1", "WAIT 3 200", "GET a")
    client.node.cluster.settle()
    assert client.take() == [b"OK"]
    client.send("PING")
    client.node.cluster.advance(199)
    assert client.take() == []
    client.node.cluster.advance(2)
    assert client.take() == [2, b"1", b"PONG"]


@pytest.mark.parametrize("timeout", [1 << 40, (1 << 63) - 1])
def test_wait_for_ages(client: Client, timeout: int) -> None:
    client.send("SET a 1", f"WAIT 3 {timeout}", "PING")
    client.node.cluster.advance(1000)
    assert client.take()[0] == b"OK"
    for reply in client.replies[1:]:
        assert reply in ("-ERR timeout is out of range", b"PONG")


def test_wait_on_a_follower(cluster: Cluster) -> None:
    replies = cluster.followers()[0].client().ask("PING", "WAIT 0 0", "PING")
    assert replies[0] == replies[2] == b"PONG"
    assert replies[1].startswith("-NOTLEADER not leader: the leader is node1 at ")


def test_a_client_that_is_gone_while_it_waits(client: Client) -> None:
    client.send("SET a 1", "WAIT 3 0", "SET a 2")
    client.node.cluster.settle()
    client.vanish()
    client.node.cluster.advance(1000)
    assert client.node.client().ask("GET a") == [b"1"]


# -- a node that must ask before it reads


@pytest.fixture
def asker(make_cluster: Maker) -> Client:
    """A client of a leader that confirms every batch of reads by a round."""
    cluster = make_cluster(reads="quorum").boot()
    return cluster.elect().client()


def test_requests_behind_a_read_that_waits(asker: Client) -> None:
    asker.send("GET a", "PING", "SET a 1")
    assert asker.take() == []
    asker.send("GET a", "NOSUCH")
    asker.node.cluster.settle()
    assert asker.take()[:4] == [None, b"PONG", b"OK", b"1"]
    assert len(asker.replies) == 5


def test_what_must_wait_for_writes_keeps_its_place_among_what_came_later(asker: Client) -> None:
    """A round is granted to what was there when it began; HELLO of that part must still be answered
    before what has come since."""
    cluster = asker.node.cluster
    asker.send("GET a", "SET a 1", "CLIENT REPLY ON", "ECHO first")
    cluster.turn()  # the round begins
    asker.send("ECHO second", "GET a")
    cluster.settle()
    assert asker.take() == [None, b"OK", b"OK", b"first", b"second", b"1"]


def test_wait_keeps_its_place_too(asker: Client) -> None:
    cluster = asker.node.cluster
    asker.send("GET a", "WAIT 3 100", "ECHO first")
    cluster.turn()
    asker.send("ECHO second")
    cluster.advance(200)
    assert asker.take() == [None, 2, b"first", b"second"]


def test_reads_that_nobody_confirms(asker: Client) -> None:
    cluster = asker.node.cluster
    leader = asker.node
    cluster.isolate(leader.id)
    asker.send(*["GET a"] * 1000, "PING", "GET a")
    cluster.advance(1000)
    assert asker.take() == [UNAVAILABLE] * 1000 + [b"PONG", UNAVAILABLE]


def test_reads_of_a_follower_whose_leader_does_not_answer(cluster: Cluster) -> None:
    """They fail together, not one election timeout after the other."""
    reader = cluster.followers()[0].client()
    cluster.isolate(reader.node.id)
    reader.send(*["GET a"] * 1000)
    cluster.advance(700)
    assert reader.take() == [UNAVAILABLE] * 1000


def test_a_follower_s_pipeline(cluster: Cluster) -> None:
    assert cluster.leader().client().ask("SET a 1") == [b"OK"]
    reader = cluster.followers()[0].client()
    replies = reader.ask("GET a", "SET a 2", "PING", "GET a", *["GET a"] * 5)
    assert replies[0] == replies[3] == b"1"
    assert replies[1].startswith("-NOTLEADER")
    assert replies[2] == b"PONG"
    assert replies[4:] == [b"1"] * 5


def test_writes_all_alike_on_a_follower(cluster: Cluster) -> None:
    replies = cluster.followers()[0].client().ask(*["SET a 2"] * 10)
    assert len(replies) == 10
    assert all(reply.startswith("-NOTLEADER") for reply in replies)


def test_readonly_reads_at_once(cluster: Cluster) -> None:
    reader = cluster.followers()[0].client()
    cluster.isolate(reader.node.id)
    reader.send("READONLY", "GET a")
    assert reader.take() == [b"OK", None]


# -- keys that are due


def test_a_read_that_meets_a_key_that_is_due(client: Client) -> None:
    cluster = client.node.cluster
    assert client.ask("SET a 1 PX 100", "SET b 1") == [b"OK", b"OK"]
    cluster.now += 101
    before = client.node.core.last_index
    client.send("GET b", "GET a", "PING", "GET b", "EXISTS a", "SET c 1", "TTL a")
    cluster.settle()
    assert client.take() == [b"1", None, b"PONG", b"1", 0, b"OK", -2]
    assert client.node.core.last_index == before + 1, "the tick is the write's entry"


def test_a_pipeline_of_reads_that_meets_keys_that_are_due(client: Client) -> None:
    cluster = client.node.cluster
    assert client.ask("SET a 1 PX 100", "SET b 1") == [b"OK", b"OK"]
    cluster.now += 101
    assert client.ask(*["GET b", "GET a"] * 20) == [b"1", None] * 20
    assert client.ask(*["GET a"] * 20) == [None] * 20


def test_a_follower_shows_a_key_until_the_leader_has_logged_its_end(cluster: Cluster) -> None:
    assert cluster.leader().client().ask("SET a 1 PX 100") == [b"OK"]
    cluster.advance(20)
    reader = cluster.followers()[0].client()
    cluster.now += 100
    assert reader.ask("GET a") == [b"1"]
    assert cluster.leader().client().ask("GET a") == [None]
    assert reader.ask("GET a") == [None]


# -- streams that end or break


@pytest.mark.parametrize("last", ["PING", "GET a", "SET b 1", "QUIT", "WAIT 0 0", "HELLO 2", "NOSUCH"])
def test_a_client_that_half_closes_gets_all_its_replies(client: Client, last: str) -> None:
    client.send("SET a 1", "GET a", last, "SET a 2", last)
    client.half_close()
    assert not client.transport.closed
    client.node.cluster.settle()
    assert len(client.take()) == (3 if last == "QUIT" else 5)
    assert client.transport.closed


def test_a_client_that_half_closes_while_its_reads_wait(asker: Client) -> None:
    asker.send("GET a", "PING", "GET a", "PING", "SET a 1", "WAIT 2 0", "GET a")
    asker.half_close()
    asker.node.cluster.settle()
    assert asker.take() == [None, b"PONG", None, b"PONG", b"OK", 2, b"1"]
    assert asker.transport.closed


def test_a_client_that_half_closes_after_all_is_said(client: Client) -> None:
    assert client.ask("PING") == [b"PONG"]
    client.half_close()
    assert client.transport.closed


BROKEN = b"*1\r\n$-5\r\nPING\r\n"
PROTOCOL_ERROR = "-ERR Protocol error: invalid bulk length"


def test_a_broken_stream_behind_pending_writes(client: Client) -> None:
    client.send("SET a 1", "GET a").raw(b"PING\r\n" + BROKEN)
    assert not client.transport.closed
    client.raw(b"PING\r\n")  # too late
    client.node.cluster.settle()
    assert client.take() == [b"OK", b"1", b"PONG", PROTOCOL_ERROR]
    assert client.transport.closed


def test_a_broken_stream_alone(client: Client) -> None:
    client.raw(b"*1\r\n$4\r\nPING\r\n" + BROKEN)
    client.node.cluster.settle()
    assert client.take() == [b"PONG", PROTOCOL_ERROR]
    assert client.transport.closed


def test_a_broken_stream_behind_reads_that_wait(asker: Client) -> None:
    asker.send("GET a", "PING").raw(BROKEN)
    asker.node.cluster.settle()
    assert asker.take() == [None, b"PONG", PROTOCOL_ERROR]
    assert asker.transport.closed


def test_a_broken_stream_behind_what_waits_for_writes(client: Client) -> None:
    client.send("SET a 1", "WAIT 3 50", "SET a 2", "HELLO 2").raw(BROKEN)
    client.node.cluster.advance(100)
    replies = client.take()
    assert replies[:3] == [b"OK", 2, b"OK"]
    assert replies[4:] == [PROTOCOL_ERROR]
    assert client.transport.closed


def test_quit_before_a_broken_stream(client: Client) -> None:
    client.raw(b"PING\r\nQUIT\r\n" + BROKEN)
    client.node.cluster.settle()
    assert client.take() == [b"PONG", b"OK"]
    assert client.transport.closed


def test_a_client_that_is_gone_with_replies_pending(client: Client) -> None:
    other = client.node.client()
    client.send("SET a 1", "GET a")
    other.send("GET a", "SET a 2", "GET a")
    client.vanish()
    client.node.cluster.settle()
    assert other.take() == [None, b"OK", b"2"]
    assert client.take() == []
    assert client.node.client().ask("GET a") == [b"2"], "what was received counts"


# -- a node that does not serve


def test_while_the_journal_is_replayed(client: Client) -> None:
    client.node.loading = True
    loading = "-LOADING Redis is loading the dataset in memory"
    replies = client.ask("GET a", "SET a 1", "ECHO e", "NOSUCH", "SELECT 1", *["GET a"] * 5)
    assert replies[:3] == [loading, loading, b"e"]
    assert replies[3].startswith("-ERR unknown command")
    assert replies[4:] == [b"OK", *[loading] * 5]


def test_more_clients_than_allowed(make_cluster: Maker) -> None:
    node = make_cluster(1, maxclients=2).boot().elect()
    clients = [node.client() for _ in range(3)]
    assert clients[2].transport.closed
    assert clients[2].ask("PING") == ["-ERR max number of clients reached"]
    assert clients[1].ask("PING") == [b"PONG"]
    clients[0].vanish()
    assert node.client().ask("PING") == [b"PONG"]
    assert node.view.connections_rejected == 1


def test_a_handler_that_fails_says_so_and_ends_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    for name in (b"GET", b"ECHO", b"STRLEN"):
        monkeypatch.setattr(TABLE[name], "handler", fails)
        monkeypatch.setattr(TABLE[name], "timed", fails)
    monkeypatch.setattr(TABLE[b"SET"], "check", fails)
    internal = "-ERR internal error, see the node's log"
    assert client.ask("GET a", "ECHO e", "SET a 1", "GET a", "STRLEN a", "SET a b EX 5", "EXISTS a") == [
        internal, internal, b"OK", internal, internal, internal, 1,
    ]  # fmt: skip
