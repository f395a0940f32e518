"""Two clients with random transactions, beside a real Redis: they must be told the same at every step."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.commands.oracle import Oracle, running_oracle
from tests.node.beside_redis import Beside
from tests.node.virtual import Maker, clusters

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "30"))

LINES = [
    "MULTI", "MULTI", "EXEC", "EXEC", "EXEC", "DISCARD", "WATCH a", "WATCH a b", "UNWATCH", "SET a 1",
    "SET b x", "INCR a", "GET a", "GET b", "DEL a", "LPUSH b y", "LPOP b", "LRANGE b 0 -1", "SELECT 0",
    "SELECT 1", "SELECT 99", "PING", "ECHO x", "NOPE", "GET", "EXEC x", "MULTI x", "WATCH", "RESET",
    "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "EXPIRE a -1", "PERSIST a", "RENAME a b", "COPY b a REPLACE",
    "MOVE a 1", "SETNX a 5", "SADD b z", "DBSIZE", "HELLO 9", "CLIENT GETNAME",
    "CLIENT SETNAME n", "SET a 1 EX x", "MGET a b", "EXISTS a b", "WAIT 0 0", "EXPIRE a 100", "APPEND a 1",
    "SET a 1 NX", "CLIENT NOPE",
]  # fmt: skip

steps = st.lists(
    st.tuples(st.sampled_from("pq"), st.lists(st.sampled_from(LINES), min_size=1, max_size=5)),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    with pytest.MonkeyPatch.context() as patch:
        yield from clusters(Path(tmp_path_factory.mktemp("nodes")), patch)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_everybody_is_told_the_same(oracle: Oracle, make: Maker, steps: list[tuple[str, list[str]]]) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        for name, lines in steps:
            beside.agree(name, *lines)
    leader.cluster.crash(leader.id)
