"""MULTI, EXEC and WATCH on real nodes in virtual time: all or nothing, and not if a watched key changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.virtual import Client, Cluster, Maker, VirtualNode, clusters

ABORTED = "-EXECABORT Transaction discarded because of previous errors."


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    yield from clusters(tmp_path, monkeypatch)


@pytest.fixture
def leader(make: Maker) -> VirtualNode:
    cluster: Cluster = make().boot()
    return cluster.elect()


def value(node: VirtualNode, key: bytes, index: int = 0) -> bytes | None:
    return node.keyspace.database(index).values and node.keyspace.database(index).string(key)


# -- what is in a transaction


def test_all_replies_in_one_array_in_one_entry(leader: VirtualNode) -> None:
    client = leader.client()
    before = leader.machine.applied
    replies = client.ask("MULTI", "SET a 1", "INCR a", "GET a", "INCR b", "PING", "LPUSH a x", "EXEC")
    assert replies[:7] == [b"OK", *[b"QUEUED"] * 6]
    assert [str(reply) for reply in replies[7][:5]] == ["b'OK'", "2", "b'2'", "1", "b'PONG'"]
    assert "WRONGTYPE" in str(replies[7][5])
    assert leader.machine.applied == before + 1
    leader.cluster.advance(100)
    assert [value(node, b"a") for node in leader.cluster.nodes.values()] == [b"2"] * 3


def test_a_database_chosen_inside_holds_inside_and_after(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask(
        "SET a zero", "MULTI", "SET a first", "SELECT 3", "SET a third", "GET a", "EXEC", "GET a", "SET b 1"
    )
    assert client.replies[-3:] == [[b"OK", b"OK", b"OK", b"third"], b"third", b"OK"]
    leader.cluster.advance(100)
    for node in leader.cluster.nodes.values():
        assert (value(node, b"a"), value(node, b"a", 3), value(node, b"b", 3)) == (b"first", b"third", b"1")


def test_a_malformed_write_fails_alone_and_is_not_logged(leader: VirtualNode) -> None:
    client = leader.client()
    *_, replies = client.ask("MULTI", "SET a 1 PX nonsense", "SET b 1", "SELECT 99", "INCR a", "EXEC")
    assert [str(reply) for reply in replies] == [
        "ERR value is not an integer or out of range", "b'OK'", "ERR DB index is out of range", "1",
    ]  # fmt: skip


def test_ten_thousand_commands(leader: VirtualNode) -> None:
    client = leader.client()
    before = leader.machine.applied
    *_, replies = client.ask("MULTI", *["INCR a"] * 10_000, "EXEC")
    assert replies == list(range(1, 10_001))
    assert leader.machine.applied == before + 1


def test_many_transactions_in_one_pipeline(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask(*["MULTI", "INCR a", "EXEC", "GET a", "INCR a"] * 2000)
    replies = client.replies
    assert len(replies) == 10_000
    assert replies[2::5] == [[2 * n + 1] for n in range(2000)]
    assert replies[3::5] == [b"%d" % (2 * n + 1) for n in range(2000)]


def test_a_transaction_behind_writes_and_before_reads(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask(
        "SET a 1", "MULTI", "GET a", "EXEC", "MULTI", "EXEC", "INCR a", "MULTI", "INCR a", "EXEC", "GET a"
    )
    assert client.replies == [b"OK", b"OK", b"QUEUED", [b"1"], b"OK", [], 2, b"OK", b"QUEUED", [3], b"3"]


def test_one_that_only_reads_is_not_logged(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask("SET a 1")
    before = leader.machine.applied
    assert client.ask("MULTI", "GET a", "ECHO x", "EXEC")[-1] == [b"1", b"x"]
    assert leader.machine.applied == before


def test_one_that_only_reads_on_a_follower(leader: VirtualNode) -> None:
    leader.client().ask("SET a 1")
    follower = leader.cluster.followers()[0].client()
    follower.ask("MULTI", "GET a", "EXEC", "PING")
    leader.cluster.advance(200)
    assert follower.replies + follower.take() == [b"OK", b"QUEUED", [b"1"], b"PONG"]


def test_a_read_of_a_key_that_is_due(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask("SET a 1 PX 50")
    leader.cluster.now += 60
    assert client.ask("MULTI", "CLIENT SETNAME x", "GET a", "EXEC")[-1] == [b"OK", None]


def test_what_is_refused_when_queued_ends_the_transaction(leader: VirtualNode) -> None:
    client = leader.client()
    replies = client.ask("MULTI", "NOPE", "SET a 1", "EXEC", "GET a", "EXEC", "DISCARD")
    assert replies[1].startswith("-ERR unknown command")
    assert replies[2:] == [b"QUEUED", ABORTED, None, "-ERR EXEC without MULTI", "-ERR DISCARD without MULTI"]


def test_nesting(leader: VirtualNode) -> None:
    client = leader.client()
    replies = client.ask(
        "MULTI", "MULTI", "WATCH a", "SET a 1", "EXEC x", "MULTI", "SET a 2", "DISCARD", "GET a"
    )
    assert replies == [
        b"OK", "-ERR MULTI calls can not be nested", "-ERR WATCH inside MULTI is not allowed", b"QUEUED",
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
        b"OK", b"QUEUED", b"OK", None,
    ]  # fmt: skip


def test_reset_and_quit_are_not_queued(leader: VirtualNode) -> None:
    client = leader.client()
    assert client.ask("SET a 1", "MULTI", "INCR a", "RESET", "GET a", "EXEC") == [
        b"OK", b"OK", b"QUEUED", b"RESET", b"1", "-ERR EXEC without MULTI",
    ]  # fmt: skip
    assert client.ask("MULTI", "INCR a", "QUIT", "EXEC") == [b"OK", b"QUEUED", b"OK"]
    assert client.transport.closed


def test_a_follower_refuses_writes_when_they_are_queued(leader: VirtualNode) -> None:
    follower = leader.cluster.followers()[0].client()
    replies = follower.ask("MULTI", "SET a 1", "GET a", "EXEC", "WATCH a", "EXEC")
    assert replies[1].startswith("-NOTLEADER")
    assert replies[2:4] == [b"QUEUED", ABORTED]
    assert replies[4].startswith("-NOTLEADER")
    assert replies[5] == "-ERR EXEC without MULTI"


def test_what_is_queued_is_bounded(make: Maker) -> None:
    leader = make(1, client_query_buffer_limit=1 << 20).boot().elect()
    client = leader.client()
    for _ in range(40):
        client.ask("MULTI" if client.connection.queued < 0 else "SET a " + "x" * 100_000)
    assert client.connection.transaction is not None
    assert sum(len(args[2]) for _, args in client.connection.transaction.commands) < 1 << 20
    assert client.replies[-1].startswith("-ERR the transaction is larger")
    assert client.ask("EXEC", "PING") == [ABORTED, b"PONG"]


def test_clients_show_their_transactions(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("WATCH a b", "MULTI", "SET a 1")
    line = next(line for line in other.ask("CLIENT LIST")[0].splitlines() if b"multi=1" in line)
    assert b"flags=x " in line
    other.ask("SET b 1")
    assert any(b"flags=xd " in line for line in other.ask("CLIENT LIST")[0].splitlines())


# -- WATCH


def transaction(client: Client) -> object:
    """What EXEC says of a transaction that sets `done`."""
    return client.ask("MULTI", "SET done 1", "EXEC")[-1]


TOUCHES = [
    "SET w 2", "DEL w", "EXPIRE w 100", "APPEND w x", "RENAME w v", "RENAME v w", "FLUSHALL", "FLUSHDB",
    "SWAPDB 0 1", "MSET x 1 w 1", "COPY v w REPLACE", "MOVE w 5", "GETDEL w",
]  # fmt: skip
SPARES = [
    "SET x 1",
    "SETNX w 1",
    "PERSIST w",
    "GETEX w",
    "SET w 1 XX GET NX",
    "SREM no x",
    "SWAPDB 3 4",
    "GET w",
]  # fmt: skip


@pytest.mark.parametrize("line", TOUCHES)
def test_a_touched_key_ends_it(leader: VirtualNode, line: str) -> None:
    client, other = leader.client(), leader.client()
    other.ask("SET w 1", "SET v 1")
    client.ask("WATCH w")
    other.ask(line)
    assert transaction(client) is None
    assert transaction(client) == [b"OK"], "only the next EXEC is concerned"


@pytest.mark.parametrize("line", SPARES)
def test_what_touches_nothing_does_not(leader: VirtualNode, line: str) -> None:
    client, other = leader.client(), leader.client()
    other.ask("SET w 1", "SET v 1")
    client.ask("WATCH w")
    other.ask(line)
    assert transaction(client) == [b"OK"]


def test_a_missing_key_is_not_touched_by_a_flush(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask("WATCH no")
    leader.client().ask("FLUSHALL")
    assert transaction(client) == [b"OK"]


def test_unwatch_discard_and_reset_forget(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    for forget in (["UNWATCH"], ["MULTI", "DISCARD"], ["RESET"]):
        client.ask("WATCH w")
        other.ask("INCR w")
        client.ask(*forget)
        assert transaction(client) == [b"OK"], forget
    assert leader.keyspace.listener is None, "nobody listens any more"


def test_the_watched_database_counts(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("SELECT 1", "WATCH w")
    other.ask("SET w 1")
    assert transaction(client) == [b"OK"]


def test_one_s_own_write_touches_too(leader: VirtualNode) -> None:
    client = leader.client()
    assert client.ask("SET w 1", "WATCH w", "SET w 2", "MULTI", "GET w", "EXEC")[-1] is None
    assert client.ask("SET w 1", "WATCH w", "MULTI", "GET w", "EXEC")[-1] == [b"1"]


def test_a_write_on_its_way_is_waited_for(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("SET w 1", "WATCH w")
    other.send("SET w 2")  # gathered, or in flight
    client.send("MULTI", "SET done 1", "EXEC")
    leader.cluster.settle()
    assert client.take()[-1] is None


def test_another_s_transaction_behind_it_leaves_its_decision_alone(leader: VirtualNode) -> None:
    """It joins the batch that waits to be decided; it once made that be carried out undecided."""
    client, other, third = leader.client(), leader.client(), leader.client()
    client.ask("SET w 1", "WATCH w")
    other.send("SET w 2")
    client.send("MULTI", "SET w lost", "EXEC")
    third.send("MULTI", "SET x 1", "EXEC")
    leader.cluster.settle()
    assert client.take()[-1] is None
    assert third.take()[-1] == [b"OK"]
    assert value(leader, b"w") == b"2"


def test_writes_that_change_nothing_do_not_starve_it(leader: VirtualNode) -> None:
    """Others poll a lock with SET NX, always one of them in flight, while its holder gives it up."""
    cluster, holder, others = leader.cluster, leader.client(), [leader.client() for _ in range(3)]
    holder.ask("SET lock me", "WATCH lock")
    cluster.automatic_disk = False
    others[0].send("SET lock other NX")
    cluster.settle()
    holder.send("MULTI", "DEL lock", "EXEC", "GET lock")
    for step in range(12):
        others[step % 3].send("SET lock other NX")
        cluster.settle()
        for node in cluster.nodes.values():
            node.finish()
        cluster.settle()
        if holder.take()[-2:-1] == [[1]]:
            break
    else:
        pytest.fail("EXEC never came to be decided")


def test_a_key_that_dies_before_exec_ends_it(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask("SET w 1 PX 500", "WATCH w")
    leader.cluster.advance(400)
    assert transaction(client) == [b"OK"]
    client.ask("WATCH w")
    leader.cluster.advance(200)
    assert transaction(client) is None
    client.ask("WATCH w")
    leader.cluster.advance(5_000)  # it is purged
    assert transaction(client) == [b"OK"], "it was dead already"


def test_death_is_judged_by_the_entry_alike_everywhere(leader: VirtualNode) -> None:
    cluster, client = leader.cluster, leader.client()
    client.ask("SET w 1 PX 500", "WATCH w")
    cluster.automatic_disk = False
    leader.client().send("SET x 1")
    cluster.settle()  # the journal is busy: what comes is stamped later
    client.send("MULTI", "SET done 1", "EXEC")
    cluster.settle()
    cluster.now += 600
    cluster.automatic_disk = True
    cluster.advance(200)
    assert client.take()[-1] is None
    assert [value(node, b"done") for node in cluster.nodes.values()] == [None] * 3
    assert [value(node, b"x") for node in cluster.nodes.values()] == [b"1"] * 3


# -- when leadership moves


def test_a_new_leader_knows_nothing_of_watches(leader: VirtualNode) -> None:
    cluster, client = leader.cluster, leader.client()
    client.ask("WATCH w")
    other = cluster.followers()[0].id
    cluster.elect(other)
    replies = client.ask("MULTI", "SET a 1", "EXEC")
    assert replies[1].startswith("-NOTLEADER")
    assert replies[2] == ABORTED
    cluster.elect(leader.id)
    client.ask("MULTI", "GET a", "EXEC")
    cluster.advance(100)
    assert client.replies[-1] == [None]


def test_leading_again_does_not_renew_a_watch(leader: VirtualNode) -> None:
    cluster, client = leader.cluster, leader.client()
    client.ask("WATCH w")
    cluster.elect(cluster.followers()[0].id)
    cluster.elect(leader.id)
    assert transaction(client) is None
    assert transaction(client) == [b"OK"]


@pytest.mark.parametrize("persisted", [0, 1, 2])
def test_a_crash_leaves_all_or_nothing(leader: VirtualNode, persisted: int) -> None:
    """The leader dies with an EXEC in flight, stored by so many others."""
    cluster, client = leader.cluster, leader.client()
    cluster.automatic_disk = False
    client.send("MULTI", "SET a 1", "SET b 1", "SELECT 1", "SET c 1", "EXEC")
    cluster.turn()
    for peer in cluster.followers()[:persisted]:
        cluster.deliver(leader.id, peer.id)
        peer.finish()
    cluster.crash(leader.id)
    cluster.automatic_disk = True
    cluster.elect()
    cluster.advance(500)
    states = {(value(node, b"a"), value(node, b"b"), value(node, b"c", 1)) for node in cluster.nodes.values()}
    assert states in ({(None, None, None)}, {(b"1", b"1", b"1")})
    if persisted == 2:
        assert states == {(b"1", b"1", b"1")}
    cluster.boot(leader.id)
    cluster.advance(1000)
    returned = cluster.nodes[leader.id]
    assert (value(returned, b"a"), value(returned, b"b"), value(returned, b"c", 1)) in states


def test_an_exec_whose_fate_nobody_knows(leader: VirtualNode) -> None:
    cluster, client = leader.cluster, leader.client()
    client.ask("SELECT 2")
    cluster.isolate(leader.id)
    client.send("MULTI", "SET a 1", "SELECT 3", "EXEC", "PING")
    cluster.advance(5_000)
    assert client.take()[-2].startswith("-UNKNOWN")
    assert client.replies[-1] == b"PONG"
    assert client.connection.db_index == 2


def test_one_that_waits_to_be_decided_when_leadership_goes(leader: VirtualNode) -> None:
    cluster, client, other = leader.cluster, leader.client(), leader.client()
    client.ask("WATCH w")
    cluster.isolate(leader.id)
    other.send("SETNX w 1")
    cluster.settle()
    client.send("MULTI", "SET a 1", "EXEC")
    cluster.advance(5_000)
    assert client.take()[-1].startswith(("-NOTLEADER", "-CLUSTERDOWN"))
    assert cluster.leader().proposals.idle
    assert leader.proposals.idle
    assert leader.keyspace.listener is None
