"""MEMORY, PFDEBUG, PFSELFTEST: what is held, and how."""

from __future__ import annotations

import pytest

from tests.commands.fakes import FakeSession
from tests.commands.local import Local
from tests.commands.oracle import Oracle


@pytest.mark.parametrize("fill", ["SADD", "RPUSH", "PFADD"])
def test_usage_grows_with_what_is_held(fill: str) -> None:
    local = Local()
    sizes = []
    for count in (10, 1_000, 30_000):
        for at in range(0, count, 1_000):
            local.do(
                f"{fill} k{count} " + " ".join(f"element-{n}" for n in range(at, min(at + 1_000, count)))
            )
        sizes.append(local.do(f"MEMORY USAGE k{count}"))
    assert sizes[0] < sizes[1] <= sizes[2]
    if fill != "PFADD":
        assert 30_000 * 40 < sizes[2] < 30_000 * 200
        for samples in (0, 1, 100):
            assert 0.5 < local.do(f"MEMORY USAGE k30000 SAMPLES {samples}") / sizes[2] < 2


def test_usage_of_every_type() -> None:
    local = Local()
    for line in ("SET a 1", "HSET h f v", "ZADD z 1 m", "XADD s 1-1 f v", "RPUSH l x", "SADD t x"):
        local.do(line)
    for key in ("a", "h", "z", "s", "l", "t"):
        assert local.do(f"MEMORY USAGE {key} SAMPLES 0") > 50


def test_errors_are_those_of_redis(oracle: Oracle) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"])
    for line in (
        "SET str x", "PFADD p a b c",
        "MEMORY USAGE none", "MEMORY USAGE k SAMPLES", "MEMORY USAGE k SAMPLES x", "MEMORY USAGE k OTHER 1",
        "PFDEBUG ENCODING none", "PFDEBUG ENCODING str", "PFDEBUG ENCODING p", "PFDEBUG DECODE p", "GET p",
        "PFDEBUG TODENSE p", "PFDEBUG TODENSE p", "PFDEBUG ENCODING p", "PFDEBUG DECODE p",
        "PFDEBUG GETREG p",
        "PFDEBUG NOTHING p", "PFADD q a", "PFDEBUG GETREG q", "PFDEBUG ENCODING q", "PFCOUNT q",
    ):  # fmt: skip
        args = line.encode().split()
        assert local.ask(list(args)) == oracle.ask(args), line


def test_what_the_server_says_of_itself() -> None:
    session = FakeSession()
    assert session.do("PFSELFTEST") == b"OK"
    assert session.do("MODULE LIST") == []
    assert "Nothing stands out" in str(session.do("MEMORY DOCTOR"))
    assert session.do("MEMORY PURGE") == b"OK"
    stats = session.do("MEMORY STATS")
    assert stats[stats.index(b"total.allocated") + 1] > 1_000_000
