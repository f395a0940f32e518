"""MONITOR beside a real Redis: who listens is shown the same lines, in the same order."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.oracle import Oracle, running_oracle
from tests.node.beside_redis import Beside
from tests.node.virtual import Maker, clusters

SCRIPT = (
    "redis.call('set',KEYS[1],ARGV[1]);redis.pcall('get');redis.call('select',1);"
    "return{redis.pcall('incr',KEYS[1])}"
)
READS = "return{redis.call('get',KEYS[1])}"
"""Without spaces: `Beside` cuts lines into words at them."""


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    with pytest.MonkeyPatch.context() as patch:
        yield from clusters(Path(tmp_path_factory.mktemp("nodes")), patch)


def plain(told: dict[str, Any]) -> dict[str, Any]:
    """Lines without their time and the address of who sent it, and without the PINGs
    by which `Beside` lets Redis settle."""
    cut = re.compile(r"^[0-9.]+ \[(\d+) (?:(lua)|\S+)\] ")
    shown = {name: [cut.sub(r"[\1 \2] ", _text(each)) for each in replies] for name, replies in told.items()}
    return {name: [line for line in lines if not line.endswith('"PING"')] for name, lines in shown.items()}


def _text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


STORIES = {
    "commands": [
        ("p", ["SET a 1", "GET a", "NOPE", "GET", "ECHO x", "SELECT 2", "GET a", "CONFIG RESETSTAT"])
    ],
    "scripts": [
        ("p", [f"EVAL {SCRIPT} 1 a 5"]),
        ("p", ["SELECT 3", f"EVAL_RO {READS} 1 a"]),
        ("p", ["EVAL return(1 0", f"EVALSHA {'0' * 40} 0"]),
    ],
    "a transaction": [("p", ["MULTI", "SET a 1", "EXEC"]), ("p", ["MULTI", "NOPE", "EXEC"])],
    "its own RESET": [("p", ["ECHO x"]), ("m", ["ECHO x", "RESET"]), ("p", ["ECHO x"])],
    "the RESET of another": [("o", ["MONITOR"]), ("m", ["RESET"]), ("p", ["ECHO x"])],
    "who waits": [("q", ["BLPOP l 0"]), ("p", ["LPUSH l 1"]), ("p", ["LPUSH l 2"])],
}


@pytest.mark.parametrize("story", STORIES)
def test_a_listener_is_shown_the_same(oracle: Oracle, make: Maker, story: str) -> None:
    leader = make(1).boot().elect()
    with contextlib.closing(Beside(leader, oracle)) as beside:
        for name, lines in [("m", ["MONITOR"]), *STORIES[story]]:
            ours, theirs = beside.step(name, *lines)
            assert plain(ours) == plain(theirs), (name, lines)
    leader.cluster.crash(leader.id)
