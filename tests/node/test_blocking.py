"""BLPOP and its kin: who waits is served in Redis's order, and loses nothing when leadership moves."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ironkv.keyspace.slots import slot_of
from tests.commands.oracle import Oracle, running_oracle
from tests.node.beside_redis import Beside
from tests.node.virtual import Client, Cluster, Maker, VirtualNode, clusters

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "25"))
STEPPED_DOWN = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    with pytest.MonkeyPatch.context() as patch:
        yield from clusters(Path(tmp_path_factory.mktemp("nodes")), patch)


@pytest.fixture
def leader(make: Maker) -> VirtualNode:
    cluster: Cluster = make().boot()
    return cluster.elect()


def items(node: VirtualNode, key: bytes, index: int = 0) -> list[bytes]:
    value = node.keyspace.database(index).values[slot_of(key)].get(key)
    return [] if value is None else list(value)


# -- beside Redis, step by step

SCENARIOS: dict[str, list[tuple[str, list[str]]]] = {
    "first come first served": [
        ("p", ["BLPOP k 0"]), ("q", ["BRPOP k 0"]), ("r", ["LPUSH k a", "LPUSH k b"]), ("r", ["LLEN k"]),
    ],
    "several elements at once": [
        ("p", ["BLPOP k 0"]), ("q", ["BLPOP k 0"]), ("r", ["RPUSH k a b c"]), ("r", ["LRANGE k 0 -1"]),
    ],
    "a pop behind the push finds nothing": [("p", ["BLPOP k 0"]), ("r", ["LPUSH k a", "LPOP k", "EXISTS k"])],
    "many keys": [
        ("p", ["BLPOP a b c 0"]), ("q", ["RPUSH c 1"]), ("p", ["BLPOP a b c 0"]),
        ("q", ["MULTI", "RPUSH b 2", "RPUSH a 3", "EXEC"]), ("q", ["LRANGE a 0 -1", "LRANGE b 0 -1"]),
    ],
    "a transaction that takes back what it gave": [
        ("p", ["BLPOP k 0"]), ("q", ["MULTI", "LPUSH k a", "DEL k", "EXEC"]), ("q", ["RPUSH k b"]),
    ],
    "another type does not wake": [
        ("p", ["BLPOP k 0"]), ("q", ["SADD k a"]), ("q", ["DEL k"]), ("q", ["SET k x"]), ("q", ["DEL k"]),
        ("q", ["RPUSH k a"]),
    ],
    "moving on": [
        ("p", ["BLMOVE a b RIGHT LEFT 0"]), ("q", ["BLPOP b 0"]), ("r", ["RPUSH a 1"]),
        ("r", ["EXISTS a b"]),
    ],
    "moving to a wrong type": [
        ("r", ["SET b x"]),
        ("p", ["BLMOVE a b RIGHT LEFT 0"]),
        ("r", ["RPUSH a 1"]),
        ("r", ["LRANGE a 0 -1"]),
    ],
    "moving to what is there": [
        ("r", ["RPUSH b 9"]), ("p", ["BLMOVE a b RIGHT LEFT 0"]), ("r", ["RPUSH b 8"]), ("r", ["RPUSH a 1"]),
        ("r", ["LRANGE b 0 -1"]),
    ],
    "in a circle": [("p", ["BRPOPLPUSH a a 0"]), ("r", ["RPUSH a 1 2"]), ("r", ["LRANGE a 0 -1"])],
    "renamed, copied, swapped, restored": [
        ("p", ["BLPOP k 0"]), ("r", ["RPUSH x 1 2", "RENAME x k"]), ("p", ["BLPOP l 0"]),
        ("r", ["COPY k l"]), ("p", ["BLPOP m 0"]), ("r", ["SELECT 1", "RPUSH m 7", "SWAPDB 0 1"]),
        ("r", ["SELECT 0", "DEL m", "LLEN k"]),
    ],
    "the right database": [
        ("p", ["SELECT 2", "BLPOP k 0"]), ("r", ["RPUSH k 1"]), ("r", ["SELECT 2", "RPUSH k 2"]),
        ("q", ["SELECT 3", "BLPOP k 0"]), ("q2", ["SELECT 4", "RPUSH k 9", "MOVE k 3"]),
    ],
    "sorted sets": [
        ("p", ["BZPOPMIN z 0"]), ("q", ["BZPOPMAX z 0"]), ("r", ["ZADD z 1 a 2 b 3 c"]),
        ("p", ["BZMPOP 0 2 y z MAX COUNT 2"]), ("q", ["BZPOPMIN z 0"]), ("r", ["ZINCRBY z 5 d"]),
        ("r", ["ZRANGE z 0 -1"]),
    ],
    "several members added with options": [
        ("p", ["BZPOPMIN z 0"]), ("q", ["BZPOPMAX z 0"]), ("r", ["ZADD z NX CH 1 a 2 b", "ZPOPMIN z"]),
        ("p", ["BZPOPMIN z 0"]), ("q", ["BZPOPMIN z 0"]), ("r", ["ZADD z GT 1 a 2 a 3 b", "ZPOPMIN z"]),
        ("p", ["BZPOPMIN z 0"]), ("q", ["BZPOPMIN z 0"]),
        ("r", ["ZADD z INCR 1 a", "ZADD z CH 1 b", "ZCARD z"]),
    ],
    "who was served stands behind who waits": [
        ("p", ["BZPOPMIN z 0", "BZPOPMIN z 0"]), ("r", ["BZPOPMIN z 0"]), ("q", ["ZADD z 1 m", "ZADD z 1 m"]),
        ("q", ["ZADD z NX 1 m"]),
    ],
    "several by one": [
        ("p", ["BLMPOP 0 2 a b LEFT COUNT 2"]), ("r", ["RPUSH b 1 2 3"]), ("r", ["LRANGE b 0 -1"]),
        ("p", ["BLMPOP 0 2 a b RIGHT COUNT 9"]), ("r", ["EXISTS b"]),
    ],
    "what stands behind waits": [
        ("p", ["SET x 1", "BLPOP k 0", "INCR x", "GET x", "PING"]), ("r", ["GET x"]), ("r", ["RPUSH k a"]),
        ("r", ["GET x"]),
    ],
    "in a transaction nobody waits": [
        ("p", ["MULTI", "BLPOP k 0", "BLMOVE k l LEFT LEFT 0", "BZPOPMIN k 0", "XREAD BLOCK 0 STREAMS k $",
               "EXEC"]),
        ("p", ["RPUSH k 1", "MULTI", "BLPOP k 0", "BRPOPLPUSH k l 0", "EXEC"]),
    ],
    "streams": [
        ("p", ["XREAD BLOCK 0 STREAMS s $"]), ("q", ["XREAD BLOCK 0 COUNT 1 STREAMS t s 0 $"]),
        ("r", ["XADD s 1-1 f v"]),
        ("p", ["XREAD BLOCK 0 STREAMS s 1-1"]),
        ("r", ["XADD s 2-1 f v", "XADD s 3-1 f v"]),
        ("p", ["XREAD BLOCK 0 STREAMS s 1-0"]),
    ],
    "streams of another type": [
        ("p", ["XREAD BLOCK 0 STREAMS s $"]),
        ("r", ["MULTI", "XADD s 1-1 f v", "DEL s", "LPUSH s x", "EXEC"]),
        ("r", ["DEL s"]), ("r", ["XADD s 2-1 f v"]),
        ("p", ["XREAD BLOCK 0 STREAMS s $"]), ("r", ["DEL s", "RPUSH s x"]),
        ("r", ["DEL s", "XADD s 3-1 f v"]),
    ],
    "groups": [
        ("r", ["XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATE s h $"]),
        ("p", ["XREADGROUP GROUP g me BLOCK 0 STREAMS s >"]),
        ("q", ["XREADGROUP GROUP g you BLOCK 0 STREAMS s >"]),
        ("u", ["XREADGROUP GROUP h me BLOCK 0 STREAMS s >"]),
        ("r", ["XADD s 1-1 f v"]), ("r", ["XADD s 2-1 f v"]), ("r", ["XPENDING s g", "XPENDING s h"]),
        ("p", ["XREADGROUP GROUP g me BLOCK 0 STREAMS s 0"]),
    ],
    "served by a transaction": [
        ("p", ["BLPOP a 0"]),
        ("q", ["BLPOP b 0"]),
        ("r", ["MULTI", "RPUSH b 1", "RPUSH a 2", "LLEN a", "EXEC"]),
        ("r", ["LLEN a", "LLEN b"]),
    ],
    "errors at once": [
        ("p", ["SET s x", "BLPOP s 0", "BLPOP k s 0", "BLPOP k x", "BLPOP k -1", "BLMOVE s k LEFT UP 0"]),
        ("p", ["BLMPOP 0 0 k LEFT", "BLMPOP 0 1 k LEFT COUNT 0", "BZMPOP 0 1 k UP",
               "XREAD BLOCK -1 STREAMS k $"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_as_redis_does(oracle: Oracle, make: Maker, name: str) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        for who, lines in SCENARIOS[name]:
            beside.agree(who, *lines)


VAIN = [
    ("RENAME b a", "LPUSH a 1"),
    ("COPY b a", "RPUSH a 1"),
    ("LPUSH t 1", "RENAME t a", "LPUSH a 2"),
    ("LMOVE b a LEFT LEFT", "RPUSH a 1 2"),
    ("SET a x", "LPUSH a 1", "DEL a", "LPUSH a 2"),
]


@pytest.mark.parametrize(
    "second", ["BLPOP a 0", "BRPOP a b 0", "BLMOVE a c LEFT LEFT 0", "BLMPOP 0 1 a RIGHT"]
)
@pytest.mark.parametrize("lines", VAIN, ids=" ".join)
def test_who_was_tried_in_vain_is_not_overtaken(
    oracle: Oracle, make: Maker, lines: tuple[str, ...], second: str
) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        beside.agree("p", "BLPOP a 0")
        beside.agree("q", second)
        beside.agree("r", *lines)
        beside.agree("r", "LRANGE a 0 -1", "LRANGE c 0 -1")


def test_time_is_up(oracle: Oracle, make: Maker) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        lines = [
            ("p", "BLPOP k 0.4"), ("q", "BLMOVE k l LEFT LEFT 0.4"), ("r", "BZPOPMIN k 0.4"),
            ("s", "XREAD BLOCK 400 STREAMS k $"), ("t", "BLPOP k 0"), ("u", "BLMPOP 0.4 1 k LEFT"),
        ]  # fmt: skip
        # Redis's time is real: that of the first may be up before the last has begun.
        told = [*(beside.step(who, line) for who, line in lines), beside.wait(700)]
        ours, theirs = (
            {who: [reply for each in told for reply in each[side].get(who, [])] for who, _ in lines}
            for side in (0, 1)
        )
        assert ours == theirs
        assert (ours["p"], ours["t"]) == ([None], [])
        beside.agree("p", "RPUSH k 1")


def test_who_leaves_gets_nothing(oracle: Oracle, make: Maker) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        beside.agree("p", "BLPOP k 0")
        beside.agree("q", "BLPOP k 0")
        beside.leave("p")
        beside.agree("r", "RPUSH k 1 2")
        beside.agree("r", "LRANGE k 0 -1")


LINES = [
    "BLPOP a 0", "BRPOP a b 0", "BLPOP b a 0", "BLMOVE a b LEFT RIGHT 0", "BRPOPLPUSH b c 0",
    "BLMPOP 0 2 a c LEFT", "BZPOPMIN z 0", "BZPOPMAX z y 0", "BZMPOP 0 1 z MIN COUNT 2", "LPUSH a 1",
    "RPUSH a 2 3", "RPUSH b 4", "LPUSH c 5", "LPUSHX a 6", "LMOVE c a LEFT LEFT", "DEL a", "DEL b",
    "SET a x", "ZADD z 1 m", "ZADD z 1 m 2 n 3 o", "RENAME b a", "COPY a b", "MULTI", "EXEC", "EXEC",
    "LRANGE a 0 -1", "LRANGE b 0 -1", "LRANGE c 0 -1", "LPOP a", "FLUSHALL", "ZINCRBY z 1 m", "ZREM z m",
    "PING", "BLPOP d 0", "SWAPDB 0 1", "RPUSH d 7",
]  # fmt: skip


def in_scope(lines: list[str]) -> bool:
    """Not: requests behind one that waits, which are carried out when two clients go on at once, in whatever
    order. Nor: what may fail to fill a key, something else that fills it, and a look at it before the next
    batch: who waits in another way than one tried in vain is served with that (docs/compatibility.md)."""
    if any(line.startswith("B") for line in lines[:-1]):
        return False
    return not (len(lines) == 3 and lines[0].startswith(("RENAME", "COPY", "LMOVE")))


pipelines = st.lists(st.sampled_from(LINES), min_size=1, max_size=3).filter(in_scope)
steps = st.lists(
    st.tuples(st.sampled_from("pqrst"), pipelines),
    min_size=3,
    max_size=25,
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_random_steps_as_redis_does(oracle: Oracle, make: Maker, steps: list[tuple[str, list[str]]]) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        for name, lines in steps:
            if not beside.waits(name):
                beside.agree(name, *lines)
    leader.cluster.crash(leader.id)


# -- CLIENT UNBLOCK and PAUSE


@pytest.mark.parametrize("line", ["BLPOP k 0", "BRPOPLPUSH k l 0", "XREAD BLOCK 0 STREAMS k $", "WAIT 9 0"])
def test_unblock(leader: VirtualNode, line: str) -> None:
    client, other = leader.client(), leader.client()
    id_ = client.connection.id
    for reason, told in (("", {None, 0, 2}), ("TIMEOUT", {None, 0, 2}), ("ERROR", None)):
        assert client.ask(line) == []
        assert b"flags=b " in other.ask(f"CLIENT LIST ID {id_}")[0]
        assert other.ask(f"CLIENT UNBLOCK {id_} {reason}") == [1]
        (reply,) = client.take()
        assert reply in told if told else reply == "-UNBLOCKED client unblocked via CLIENT UNBLOCK"
    assert other.ask(f"CLIENT UNBLOCK {id_}", "CLIENT UNBLOCK 99999") == [0, 0]
    assert leader.dispatch.blocking.queues == {}
    assert leader.keyspace.listener is None


def test_a_pause_of_writes(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("SET a 1", "CLIENT PAUSE 500 WRITE")
    assert other.ask("GET a", "INCR a", "GET a") == [b"1"]
    assert client.ask("MULTI", "INCR a", "EXEC") == [b"OK", b"QUEUED"]
    leader.cluster.advance(400)
    assert other.take() == client.take() == []
    leader.cluster.advance(200)
    assert other.take() == [2, b"2"]
    assert client.take() == [[3]]


def test_a_pause_of_writes_holds_what_redis_replicates(leader: VirtualNode) -> None:
    client, other, third = leader.client(), leader.client(), leader.client()
    client.ask("PFADD h a", "SUBSCRIBE c")
    other.ask("CLIENT PAUSE 200 WRITE")
    assert other.ask("PING", "PFCOUNT h", "PING") == [b"PONG"]
    assert third.ask("GET x", "publish c 1") == [None]
    assert third.ask("GET x") == []
    fourth = leader.client()
    assert fourth.ask("MULTI", "PUBLISH c 2", "EXEC")[:2] == [b"OK", b"QUEUED"]
    leader.cluster.advance(300)
    assert other.take() == [1, b"PONG"]
    assert third.take() == [1, None]
    assert fourth.take() == [[1]]


def test_a_pause_of_all_and_its_end(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("CLIENT PAUSE 1000")
    assert other.ask("PING", "GET a") == []
    leader.cluster.advance(1_100)
    assert other.take() == [b"PONG", None]
    client.ask("CLIENT PAUSE 100000 WRITE")
    assert other.ask(*["SET a 1"] * 5) == []
    client.ask("CLIENT UNPAUSE")
    assert other.take() == [b"OK"] * 5


def test_a_pause_ends_though_its_timer_comes_early(
    leader: VirtualNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop's clock is not the node's: by that, a timer may come a moment before its time."""
    call_later = leader.call_later
    monkeypatch.setattr(leader, "call_later", lambda delay_s, work: call_later(delay_s - 0.000_1, work))
    client = leader.client()
    assert client.ask("CLIENT PAUSE 20 ALL") == [b"OK"]
    assert client.ask("PING") == []
    leader.cluster.advance(25)
    assert client.take() == [b"PONG"]


def test_blocked_is_who_stands_in_a_queue_or_in_a_pause(leader: VirtualNode) -> None:
    """Who is shown as blocked is served in the entry of the push: not before his first attempt is settled."""
    client, other = leader.client(), leader.client()
    leader.cluster.automatic_disk = False
    client.send("BLPOP k 0")
    leader.cluster.turn()
    assert b"blocked_clients:0\r" in other.ask("INFO clients")[0]
    leader.cluster.automatic_disk = True
    leader.cluster.advance(100)
    assert b"blocked_clients:1\r" in other.ask("INFO clients")[0]
    client.vanish()
    other.ask("CLIENT PAUSE 500 WRITE")
    leader.client().ask("SET a 1")
    assert b"blocked_clients:1\r" in other.ask("INFO clients")[0]
    leader.cluster.advance(600)
    assert b"blocked_clients:0\r" in other.ask("INFO clients")[0]


# -- when leadership moves


def test_who_waits_is_told_that_the_leader_stepped_down(leader: VirtualNode) -> None:
    waiting = [leader.client() for _ in range(3)]
    for client, line in zip(waiting, ["BLPOP k 0", "BZPOPMIN k 0", "XREAD BLOCK 0 STREAMS k $"], strict=True):
        assert client.ask(line) == []
    leader.cluster.elect(leader.cluster.followers()[0].id)
    assert [client.take() for client in waiting] == [[STEPPED_DOWN]] * 3
    assert leader.dispatch.blocking.queues == {}
    for line in ("BLPOP k 0", "XREAD BLOCK 0 STREAMS k $"):
        replies = waiting[0].ask(line)
        leader.cluster.advance(100)
        assert (replies + waiting[0].take())[0].startswith("-NOTLEADER")


def test_nobody_pops_for_a_client_that_is_gone(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    client.ask("BLPOP k 0")
    leader.cluster.automatic_disk = False
    other.send("SET x 1")
    leader.cluster.settle()  # the journal is busy: what comes gathers
    other.send("RPUSH k 1")
    leader.cluster.turn()
    client.vanish()
    leader.cluster.automatic_disk = True
    leader.cluster.advance(100)
    assert [items(node, b"k") for node in leader.cluster.nodes.values()] == [[b"1"]] * 3


def test_half_closed_is_gone_while_nothing_is_under_way(leader: VirtualNode) -> None:
    client = leader.client()
    client.ask("BLPOP k 0")
    client.half_close()
    assert client.transport.closed
    quick = leader.client()
    leader.client().ask("RPUSH j 1")
    quick.send("BLPOP j 0")
    quick.half_close()
    leader.cluster.settle()
    assert quick.take() == [[b"j", b"1"]]
    slow = leader.client()
    slow.send("BLPOP j 0")
    slow.half_close()
    leader.cluster.settle()
    assert slow.transport.closed or slow.transport.aborted


def served(client: Client) -> list[bytes]:
    """The elements that a client was given."""
    return [reply[1] for reply in client.replies if isinstance(reply, list)]


@pytest.mark.parametrize("seed", range(12))
def test_no_element_is_lost_or_given_twice(make: Maker, seed: int) -> None:
    """Leaders crash and step down while some push and others wait: what was pushed for sure is given to one
    client, or is still there, or was popped for one whose answer is UNKNOWN or who lost his node."""
    chance = random.Random(seed)
    cluster: Cluster = make().boot()
    cluster.elect()
    pushers: list[tuple[Client, bytes]] = []
    poppers: list[Client] = []
    number = 0
    for _ in range(60):
        leader = max(cluster.nodes.values(), key=lambda node: node.core.term * 10 + node.leading)
        for _ in range(chance.randrange(3)):
            popper = leader.client()
            popper.send("BLPOP k j 0")
            poppers.append(popper)
        for _ in range(chance.randrange(3)):
            pusher, number = leader.client(), number + 1
            pusher.send(chance.choice([f"RPUSH k {number}", f"RPUSH j {number}"]))
            pushers.append((pusher, b"%d" % number))
        match chance.randrange(8):
            case 0:
                cluster.isolate(leader.id)
            case 1:
                cluster.heal(lose=chance.random() < 0.5)
            case 2:
                if len(cluster.nodes) == 3:
                    cluster.crash(leader.id)
            case 3:
                missing = set(cluster.names) - cluster.nodes.keys()
                cluster.boot(*missing) if missing else cluster.turn()
            case 4:
                cluster.turn()
            case _:
                cluster.advance(chance.choice([1, 20, 700]))
    cluster.heal()
    if missing := set(cluster.names) - cluster.nodes.keys():
        cluster.boot(*missing)
    leader = cluster.elect()
    cluster.advance(5_000)
    for client, _ in pushers:
        client.take()
    for popper in poppers:
        popper.take()
    given = [element for popper in poppers for element in served(popper)]
    left = items(leader, b"k") + items(leader, b"j")
    assert len(given) == len(set(given)), "given twice"
    assert not set(given) & set(left), "given and still there"
    sure = {element for client, element in pushers if any(isinstance(reply, int) for reply in client.replies)}
    open_ends = sum(not popper.replies or str(popper.replies[0]).startswith("-UNKNOWN") for popper in poppers)
    assert len(sure - set(given) - set(left)) <= open_ends
    states = {tuple(items(node, b"k") + items(node, b"j")) for node in cluster.nodes.values()}
    assert len(states) == 1
