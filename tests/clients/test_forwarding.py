"""Clients that know nothing of a cluster, connected to a follower: it takes everything, whoever leads."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node
from tests.clients.conftest import lacking
from tests.clients.test_finding_the_leader import CALM, NodeWriter
from tests.clients.test_libraries import node_complaint

ENOUGH = 5
UNKNOWN = "leadership moved while this write was in flight: it may or may not have happened"
LOST = "the leader was lost before this was read"


@pytest.fixture(scope="module")
def forwarding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "server": {"on_follower_write": "forward"}}
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("forward"), settings=settings) as running:
        yield running


@pytest.fixture
def follower(forwarding: ThrowawayCluster) -> Node:
    return forwarding.followers()[0]


@pytest.fixture
def client(follower: Node) -> Iterator[Any]:
    with redis.Redis(port=follower.port, decode_responses=True) as client:
        client.flushall()
        yield client


def test_a_pipeline_keeps_its_order(client: Any) -> None:
    pipeline = client.pipeline(transaction=False)
    for i in range(300):
        pipeline.set("a", i).get("a").execute_command("SET", "no value")
        if i % 100 == 0:
            pipeline.ping()
    replies = pipeline.execute(raise_on_error=False)
    expected: list[Any] = []
    for i in range(300):
        expected += [True, str(i), "wrong number of arguments for 'set' command"]
        expected += [True] * (i % 100 == 0)
    assert [str(each) if isinstance(each, Exception) else each for each in replies] == expected


def test_transactions_and_watches(client: Any, forwarding: ThrowawayCluster) -> None:
    with forwarding.connect_to_leader() as other, client.pipeline() as pipeline:
        pipeline.watch("a")
        other.call("SET", "a", "1")
        pipeline.multi()
        pipeline.set("a", "2")
        with pytest.raises(redis.WatchError):
            pipeline.execute()
        pipeline.watch("a")
        assert pipeline.get("a") == "1"
        pipeline.multi()
        pipeline.incr("a").get("a").execute_command("SELECT", 3).set("a", "three")
        assert pipeline.execute() == [2, "2", True, True]
        other.call("SELECT", "3")
        assert other.call("GET", "a") == b"three"
        pipeline.watch("b")
        other.call("SET", "b", "1")
        pipeline.unwatch()
        pipeline.multi()
        pipeline.set("c", "1")
        assert pipeline.execute() == [True]


def test_what_a_transaction_selects_stays_selected(follower: Node) -> None:
    with follower.connect() as client:
        client.call("FLUSHALL")
        for words in (("MULTI",), ("SELECT", "5"), ("SET", "k", "five")):
            client.call(*words)
        assert client.call("EXEC") == ["OK", "OK"]
        client.call("SET", "k2", "five")
        client.call("SELECT", "0")
        assert client.call("EXISTS", "k", "k2") == 0
        client.call("SELECT", "5")
        assert client.call("EXISTS", "k", "k2") == 2


def test_what_concerns_this_node_is_no_part_of_a_relayed_transaction(client: Any) -> None:
    pipeline = client.pipeline()
    pipeline.set("a", 1).execute_command("CLIENT", "ID")
    with pytest.raises(redis.exceptions.ExecAbortError, match="'client\\|id' concerns this node"):
        pipeline.execute()
    assert client.exists("a") == 0


def test_blocking_pops_and_reads(client: Any, forwarding: ThrowawayCluster, follower: Node) -> None:
    leader = forwarding.wait_for_leader()
    other = next(node for node in forwarding.nodes if node not in (leader, follower))
    with redis.Redis(port=other.port, decode_responses=True) as pusher:
        for wait, serve, expected in (
            (lambda: client.blpop("l", 30), lambda: pusher.rpush("l", "x"), ("l", "x")),
            (lambda: client.bzpopmin("z", 30), lambda: pusher.zadd("z", {"m": 1}), ("z", "m", 1.0)),
            (lambda: client.xread({"s": "$"}, block=30_000)[0][0], lambda: pusher.xadd("s", {"f": "v"}), "s"),
        ):
            said: list[Any] = []
            waiter = threading.Thread(target=lambda wait=wait, said=said: said.append(wait()))
            waiter.start()
            wait_for(lambda: client.info("clients")["blocked_clients"] == 1, "the client blocks")
            wait_for(lambda: _blocked_sessions(leader), "it waits at the leader")
            serve()
            waiter.join(30)
            assert said == [expected]
    assert client.blpop("nothing", 0.1) is None


def _blocked_sessions(leader: Node) -> bool:
    with redis.Redis(port=leader.port) as client:
        return bool(client.info("clients")["total_blocking_keys"])


def test_a_client_that_died_takes_nothing(client: Any, follower: Node, forwarding: ThrowawayCluster) -> None:
    leader = forwarding.wait_for_leader()
    with socket.create_connection(("127.0.0.1", follower.port)) as sock:
        sock.sendall(b"BLPOP q 0\r\n")
        wait_for(lambda: _blocked_sessions(leader), "it waits at the leader")
    wait_for(lambda: not _blocked_sessions(leader), "it waits no more")
    client.rpush("q", "kept")
    assert client.lrange("q", 0, -1) == ["kept"]


def test_clients_are_unblocked(client: Any, follower: Node, forwarding: ThrowawayCluster) -> None:
    leader = forwarding.wait_for_leader()
    with follower.connect() as waiting:
        number = waiting.call("CLIENT", "ID")
        waiting.send(("BLPOP", "q", "0"))
        wait_for(lambda: _blocked_sessions(leader), "it waits at the leader")
        assert client.client_unblock(number, error=True)
        assert "UNBLOCKED client unblocked via CLIENT UNBLOCK" in str(waiting.read())


def test_large_values_both_ways(client: Any, follower: Node) -> None:
    large = "x" * (10 << 20)
    assert client.set("large", large)
    assert client.getset("large", "small") == large
    with redis.Redis(port=follower.port, protocol=3, decode_responses=True) as third:
        pipeline = third.pipeline()
        pipeline.hset("h", mapping={str(i): "y" * (1 << 20) for i in range(8)}).hgetall("h")
        assert [type(each) if isinstance(each, int) else len(each) for each in pipeline.execute()] == [int, 8]


def test_scripts_run_with_the_rights_of_the_client(client: Any, follower: Node) -> None:
    client.acl_setuser("bob", enabled=True, passwords=["+pw"], keys=["mine:*"], commands=["+@all"])
    wait_for(lambda: "bob" in client.acl_users(), "the user is known here")
    script = "return redis.call('SET', ARGV[1], 1)"
    with redis.Redis(port=follower.port, username="bob", password="pw", decode_responses=True) as bob:
        assert bob.eval(script, 0, "mine:1") == "OK"
        with pytest.raises(redis.ResponseError, match="permission"):
            bob.eval(script, 0, "yours:1")
        with pytest.raises(redis.exceptions.NoPermissionError):
            bob.set("yours:1", 1)
    client.acl_deluser("bob")
    assert client.keys() == ["mine:1"]


def test_messages_reach_every_node(client: Any, forwarding: ThrowawayCluster) -> None:
    with redis.Redis(port=forwarding.wait_for_leader().port, decode_responses=True) as other:
        with other.pubsub() as listener:
            listener.subscribe("c")
            assert listener.get_message(timeout=30) is not None
            client.publish("c", "from a follower")
            assert listener.get_message(timeout=30)["data"] == "from a follower"
        assert client.wait(1, 30_000) >= 1


# -- leaders that go away


class Counter:
    """Raises a number again and again: `done` times for sure, and `unknown` times perhaps."""

    def __init__(self, name: str, node: Node, step: Callable[[Any, str], list[Any]]) -> None:
        self.name = name
        self.done = self.unknown = 0
        self.errors: list[str] = []
        self._client = redis.Redis(port=node.port, decode_responses=True)
        self._step = step
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            last = 0
            for reply in self._step(self._client, self.name):
                if isinstance(reply, redis.WatchError):
                    continue
                if isinstance(reply, Exception):
                    self.unknown += str(reply).endswith(UNKNOWN)
                    if not str(reply).endswith((UNKNOWN, LOST)):
                        self.errors.append(repr(reply))
                else:
                    self.done += 1
                    if reply <= last:
                        self.errors.append(f"{reply} after {last}")
                    last = reply

    def wait_for_more(self) -> None:
        wanted = self.done + ENOUGH
        wait_for(lambda: self.done >= wanted, f"{self.name} counts")

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()


def one_by_one(client: Any, name: str) -> list[Any]:
    try:
        return [client.incr(name)]
    except redis.RedisError as error:
        return [error]


def in_pipelines(client: Any, name: str) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for _ in range(10):
        pipeline.incr(name)
    return list(pipeline.execute(raise_on_error=False))


def watching(client: Any, name: str) -> list[Any]:
    try:
        with client.pipeline() as pipeline:
            pipeline.watch(name)
            number = int(pipeline.get(name) or 0) + 1
            pipeline.multi()
            pipeline.set(name, number)
            pipeline.execute()
            return [number]
    except redis.RedisError as error:
        return [error]


def popping(client: Any, name: str) -> list[Any]:
    """Passes a number on by way of a list, so that it is popped by who waits for it."""
    try:
        number = client.incr(name)
        client.rpush(f"{name} list", number)
        popped = client.blpop(f"{name} list", timeout=1)
        return [number] if popped is not None else []
    except redis.RedisError as error:
        return [error]


@pytest.mark.parametrize("way", ["killed", "stopped"])
def test_nothing_is_lost_or_done_twice_when_the_leader_goes(
    forwarding: ThrowawayCluster, tmp_path: Path, way: str
) -> None:
    leader = forwarding.wait_for_leader()
    one, other = forwarding.followers(leader)
    counters: list[Counter] = []
    writers: list[NodeWriter] = []
    try:
        for step, node in ((one_by_one, one), (in_pipelines, other), (watching, one), (popping, other)):
            counters.append(Counter(f"{way} {step.__name__}", node, step))
        if way == "killed" and node_complaint() is None:
            writers.append(NodeWriter("alone", [one.port], tmp_path))
        for each in (*counters, *writers):
            each.wait_for_more()
        leader.stop(signal.SIGKILL if way == "killed" else signal.SIGTERM)
        for each in (*counters, *writers):
            each.wait_for_more()
    finally:
        for each in (*counters, *writers):
            each.end()
        leader.start()
        forwarding.wait_until_level()
    with forwarding.connect_to_leader() as client:
        for counter in counters:
            assert counter.errors == [], counter.name
            value = int(client.call("GET", counter.name))  # type: ignore[arg-type]
            if counter.name != "killed popping":  # its unknown ones may be those of the list
                assert counter.done <= value <= counter.done + counter.unknown, counter.name
            assert way == "killed" or counter.unknown == 0, counter.name
        for writer in writers:
            keys = [f"{writer.name}:{i}" for i in writer.done]
            assert client.call("EXISTS", *keys) == len(keys)
    if (complaint := node_complaint()) is not None:
        lacking(complaint)
