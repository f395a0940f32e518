"""Clients of Redis Cluster and of Sentinel, unmodified, find the leader, and whoever follows it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.cluster import ClusterNode, RedisCluster
from redis.sentinel import Sentinel

from ironkv.tools.cluster import ThrowawayCluster, wait_for
from tests.clients.conftest import lacking, programs
from tests.clients.crew import run
from tests.clients.test_libraries import node_complaint

CALM = {"raft": {"election_timeout_ms": 1_000}}
ENOUGH = 20


class Writer:
    """Writes one key after the other until it is over; `done` are the numbers that were acknowledged."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.done: list[int] = []
        self.errors: list[str] = []

    def wait_for_more(self) -> None:
        wanted = len(self.done) + ENOUGH
        try:
            wait_for(lambda: len(self.done) >= wanted, f"{self.name} writes")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.errors[-5:]}") from None


class PythonWriter(Writer):
    def __init__(self, name: str, client: Any) -> None:
        super().__init__(name)
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        i = 0
        while not self._over.is_set():
            i += 1
            try:
                self._client.set(f"{self.name}:{i}", i)
                self.done.append(i)
            except redis.RedisError as error:
                self.errors.append(repr(error))

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()


class NodeWriter(Writer):
    def __init__(self, way: str, ports: list[int], directory: Path) -> None:
        super().__init__(f"ioredis {way}")
        self._said = (directory / f"ioredis {way}").open("w+")
        self._process = subprocess.Popen(
            ["node", str(programs("node") / "ioredis_failover.mjs"), way, *map(str, ports)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.done.extend(map(int, lines))

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._thread.join()
            self._said.close()


def _kill_the_leader(cluster: ThrowawayCluster, start: Callable[[], list[Any]]) -> None:
    """While writers write: nobody stops for good, and nothing acknowledged is lost."""
    writers: list[Any] = []
    leader = cluster.wait_for_leader()
    try:
        writers += start()
        for writer in writers:
            writer.wait_for_more()
        leader.stop(signal.SIGKILL)
        cluster.wait_for_leader(other_than=leader)
        for writer in writers:
            writer.wait_for_more()
    finally:
        for writer in writers:
            writer.end()
        leader.start()
        cluster.wait_until_level()
    with cluster.connect_to_leader() as client:
        for writer in writers:
            keys = [f"{writer.name}:{i}" for i in writer.done]
            assert client.call("EXISTS", *keys) == len(keys), writer.name


@pytest.fixture(scope="module")
def redirecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "server": {"on_follower_write": "redirect"}}
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("redirect"), settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "server": {"on_follower_write": "readonly"}}
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("sentinel"), settings=settings) as running:
        yield running


def _ports(cluster: ThrowawayCluster) -> list[int]:
    """Those of followers first, so that nobody begins where it need not look any further."""
    leader = cluster.wait_for_leader()
    return [node.port for node in sorted(cluster.nodes, key=lambda node: node is leader)]


# -- Redis Cluster


def test_a_follower_says_where_the_slot_is(redirecting: ThrowawayCluster) -> None:
    leader = redirecting.wait_for_leader()
    for follower in redirecting.followers(leader):
        with redis.Redis(port=follower.port, decode_responses=True) as client:
            with pytest.raises(redis.ResponseError, match=rf"^(MOVED )?12182 {leader.address}$"):
                client.set("foo", "bar")
            with pytest.raises(redis.ResponseError, match=rf"^(MOVED )?12182 {leader.address}$"):
                client.execute_command("EVAL", "return 1", 1, "{foo}bar")
            with pytest.raises(redis.ResponseError, match="SELECT is not allowed in cluster mode"):
                client.execute_command("SELECT", 1)
            assert client.info("cluster") == {"cluster_enabled": 1}
            assert client.execute_command("ASKING") in ("OK", True)


def test_there_is_one_database_in_transactions_too(redirecting: ThrowawayCluster) -> None:
    with redirecting.connect_to_leader() as client:
        for words in (("MULTI",), ("SELECT", "1"), ("SET", "one database", "1")):
            client.call(*words)
        assert "SELECT is not allowed in cluster mode" in str(client.call("EXEC"))
        assert client.call("GET", "one database") == b"1"


def test_redis_cli_follows(redirecting: ThrowawayCluster, tmp_path: Path) -> None:
    if shutil.which("redis-cli") is None:
        lacking("no redis-cli here (Debian: apt install redis-tools)")
    follower = redirecting.followers()[0]
    said = run(["redis-cli", "-c", "-p", str(follower.port), "SET", "by redis-cli", "1"], tmp_path)
    assert said.strip() == "OK"


def test_clients_of_redis_cluster_follow_a_failover(redirecting: ThrowawayCluster, tmp_path: Path) -> None:
    ports = _ports(redirecting)

    def start() -> list[Any]:
        nodes = [ClusterNode("127.0.0.1", port) for port in ports]
        writers: list[Any] = [PythonWriter("redis-py cluster", RedisCluster(startup_nodes=nodes))]
        if node_complaint() is None:
            writers.append(NodeWriter("cluster", ports, tmp_path))
        return writers

    _kill_the_leader(redirecting, start)
    if (complaint := node_complaint()) is not None:
        lacking(complaint)


# -- Sentinel


def test_clients_of_sentinel_follow_a_failover(watched: ThrowawayCluster, tmp_path: Path) -> None:
    ports = _ports(watched)

    def start() -> list[Any]:
        sentinel = Sentinel([("127.0.0.1", port) for port in ports], min_other_sentinels=2)
        assert len(sentinel.discover_slaves("mymaster")) == 2
        writers: list[Any] = [PythonWriter("redis-py sentinel", sentinel.master_for("mymaster"))]
        if node_complaint() is None:
            writers.append(NodeWriter("sentinel", ports, tmp_path))
        return writers

    _kill_the_leader(watched, start)
    if (complaint := node_complaint()) is not None:
        lacking(complaint)


def test_another_leader_is_announced_and_found(watched: ThrowawayCluster) -> None:
    """The old one is as alive as before: a client has only its word for it that another leads."""
    old = watched.wait_for_leader()
    new = watched.followers(old)[0]
    sentinel = Sentinel([("127.0.0.1", new.port)])
    master = sentinel.master_for("ironkv-throwaway")
    master.set("before", 1)
    with contextlib.ExitStack() as stack:
        listeners = []
        for node in watched.nodes:
            client = stack.enter_context(redis.Redis(port=node.port, decode_responses=True))
            listener = stack.enter_context(client.pubsub())
            listener.subscribe("+switch-master")
            assert listener.get_message(timeout=30) is not None
            listeners.append(listener)
        with old.connect() as client_of_old:
            client_of_old.call("RAFT", "TRANSFER", new.id)
        for listener in listeners:
            heard = {listener.get_message(timeout=30)["data"] for _ in range(2)}
            assert heard == {
                f"{name} 127.0.0.1 {old.port} 127.0.0.1 {new.port}"
                for name in ("mymaster", "ironkv-throwaway")
            }

    def found() -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return bool(master.set("after", 1))
        return False

    wait_for(found, "the client finds the new leader")
    assert sentinel.discover_master("mymaster") == ("127.0.0.1", new.port)
