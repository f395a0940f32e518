"""`maxmemory`: what adds data is refused, beside a real Redis; and a script runs alike on every replica."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv import images
from ironkv.tools.client import encode
from tests.commands.oracle import Oracle, running_oracle
from tests.node.beside_redis import Beside
from tests.node.virtual import Maker, clusters

WRITES = "redis.call('set',KEYS[1],1);return(1)"
DELETES_FIRST = "redis.call('del',KEYS[1]);redis.call('set',KEYS[1],7);return(redis.call('get',KEYS[1]))"
CATCHES = "local(t)=redis.pcall('set',KEYS[1],1);return(t.err)"
READS = "return(redis.call('get',KEYS[1]))"
"""Without spaces: `Beside` cuts lines into words at them."""


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    with pytest.MonkeyPatch.context() as patch:
        yield from clusters(Path(tmp_path_factory.mktemp("nodes")), patch)


def test_what_adds_data_is_refused_as_by_redis(oracle: Oracle, make: Maker) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        beside.agree("p", "SET a 1", "RPUSH l x y", "MULTI", "GET a", "PING")
        beside.agree("q", "MULTI", "GET a", "SET a 2")
        beside.agree("s", "MULTI", f"EVAL {READS} 1 a", f"EVAL {DELETES_FIRST} 1 c")
        beside.agree("o", "CONFIG SET maxmemory 1", "CONFIG GET maxmemory")
        try:
            beside.agree("p", "EXEC")
            beside.agree("q", "EXEC", "GET a")
            beside.agree("s", "EXEC", f"EVAL {DELETES_FIRST} 1 c")
            beside.agree(
                "r", "SET a 3", "SETEX n 9 x", "LPUSH l z", "GET a", "LPOP l", "DEL n", "EXPIRE a 100"
            )
            beside.agree("r", *["SET a 3"] * 9)
            beside.agree(
                "r", "MULTI", "SET a 4", "EXEC", "MULTI", "LPOP l", "EXEC", "MULTI", "SET a 4", "DISCARD"
            )
            for script in (WRITES, DELETES_FIRST, CATCHES, READS):
                beside.agree("r", f"EVAL {script} 1 b", "GET b", f"EVAL_RO {READS} 1 b")
        finally:
            beside.agree("o", "CONFIG SET maxmemory 0")
        beside.agree("r", "SET a 5", f"EVAL {WRITES} 1 b", "GET a", "GET b")
    leader.cluster.crash(leader.id)


def test_flags_of_scripts(make: Maker) -> None:
    """Beyond what 7.0 and lines without spaces can say."""
    leader = make(1).boot().elect()
    client = leader.client()

    def run(*words: str) -> object:
        client.raw(encode(list(words)))
        leader.cluster.settle()
        return client.take()[-1]

    run("CONFIG", "SET", "maxmemory", "1")
    default, allows, reads = "#!lua\nreturn 1", "#!lua flags=allow-oom\n", "#!lua flags=no-writes\nreturn 1"
    assert str(run("EVAL", default, "0")).startswith("-OOM allow-oom flag is not set on the script")
    assert run("EVAL", allows + "return redis.call('set','x','1')", "0") == b"OK"
    assert run("EVAL", reads, "0") == 1
    assert run("EVAL_RO", reads, "0") == 1
    run("CONFIG", "SET", "maxmemory", "0")
    assert run("EVAL", default, "0") == 1
    leader.cluster.crash(leader.id)


def test_replicas_do_as_the_leader_says(make: Maker) -> None:
    leader = make(3).boot().elect()
    client = leader.client()
    for words in (
        ["CONFIG", "SET", "maxmemory", "1"],
        *[["EVAL", script, "1", "x"] for script in (CATCHES, WRITES)],
    ):
        client.raw(encode(words))
    leader.cluster.advance(1000)
    nodes = leader.cluster.nodes.values()
    assert [len(node.keyspace.database(0)) for node in nodes] == [0, 0, 0]
    assert len({images.digest_of_keyspace(node.keyspace) for node in nodes}) == 1
