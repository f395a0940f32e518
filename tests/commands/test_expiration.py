"""Life and death in virtual time: by stamps alone, alike on every replica."""

from __future__ import annotations

import pytest

from ironkv.commands.table import find
from ironkv.keyspace.keyspace import Due
from tests.commands.local import Local

NOW_MS = 1_700_000_000_000


@pytest.fixture
def local() -> Local:
    return Local(now_ms=NOW_MS)


def wait(local: Local, ms: int) -> None:
    assert local.now_ms is not None
    local.now_ms += ms


def read(local: Local, text: str) -> object:
    """A READ without the tick that a node logs when it meets Due."""
    args = text.encode().split()
    assert local.now_ms is not None
    local.keyspace.now_ms = local.now_ms
    return find(args).handler(local.db, args, local.now_ms)


def test_a_key_dies_at_its_deadline_not_before(local: Local) -> None:
    local.do("SET a 1 PX 100")
    wait(local, 99)
    assert local.do("PTTL a") == 1
    assert local.do("GET a") == b"1"
    wait(local, 1)
    assert local.do("GET a") is None
    assert local.do("PTTL a") == -2


@pytest.mark.parametrize(
    "line",
    ["GET a", "MGET b a", "EXISTS a", "TTL a", "PEXPIRETIME a", "TYPE a", "STRLEN a", "GETRANGE a 0 -1",
     "KEYS *", "SCAN 0", "RANDOMKEY", "OBJECT ENCODING a", "LCS a b", "TOUCH a"],
)  # fmt: skip
def test_a_read_that_sees_a_death_first_has_it_logged(local: Local, line: str) -> None:
    local.do("SET a 1 PX 100")
    wait(local, 100)
    with pytest.raises(Due):
        read(local, line)
    local.do(line)  # logs the tick
    assert local.do("EXISTS a") == 0


def test_once_seen_dead_a_key_stays_dead_under_a_clock_that_is_behind(local: Local) -> None:
    local.do("SET a 1 PX 100")
    wait(local, 100)
    assert local.do("GET a") is None
    wait(local, -50)
    assert local.do("GET a") is None
    assert local.do("EXISTS a") == 0
    assert local.do("SET a 2 NX") is not None
    assert local.do("GET a") == b"2"


def test_relative_times_count_from_the_entry_s_stamp(local: Local) -> None:
    local.keyspace.advance(NOW_MS + 5_000)  # the log is ahead of this node's clock
    local.do("SET a 1 EX 10")
    assert local.do("PEXPIRETIME a") == NOW_MS + 15_000


def test_ttl_rounds_half_up_and_is_never_negative(local: Local) -> None:
    local.do("SET a 1 PX 1500")
    assert local.do("TTL a") == 2
    wait(local, 1)
    assert local.do("TTL a") == 1
    wait(local, 1_498)
    assert local.do("TTL a") == 0
    assert local.do("EXPIRETIME a") == (NOW_MS + 1_500 + 500) // 1_000


@pytest.mark.parametrize("line", ["EXPIRE a 0", "EXPIRE a -1", "PEXPIREAT a 1", "EXPIREAT a -5",
                                  "GETEX a PXAT 1", "SET a 2 PXAT 1",
                                  "EXPIRE a -9223372036854775"])  # fmt: skip
def test_a_deadline_in_the_past_removes_at_once(local: Local, line: str) -> None:
    local.do("SET a 1")
    local.do(line)
    assert local.do("DBSIZE") == 0
    assert local.do("TTL a") == -2


@pytest.mark.parametrize(
    "line",
    ["SET a 2", "GETSET a 2", "MSET a 2", "SETNX a 2", "APPEND a 2", "INCRBY a 2", "INCRBYFLOAT a 2",
     "SETRANGE a 0 2", "SET a 2 KEEPTTL", "SET a 2 NX", "COPY b a", "RENAME b a", "RENAMENX b a"],
)  # fmt: skip
def test_what_is_written_over_a_dead_key_inherits_nothing(local: Local, line: str) -> None:
    local.do("SET a 1 PX 100")
    local.do("SET b 2")
    wait(local, 100)
    local.do(line)
    assert local.do("TTL a") == -1
    assert local.do("GET a") == b"2"
    local.keyspace.advance(NOW_MS + 10_000)
    local.keyspace.purge(100)
    assert local.do("EXISTS a") == 1


@pytest.mark.parametrize(
    ("line", "reply"),
    [("DEL a", 0), ("PERSIST a", 0), ("EXPIRE a 10", 0), ("RENAME a b", None), ("COPY a b", 0),
     ("MOVE a 1", 0), ("GETDEL a", None), ("GETEX a PERSIST", None), ("SET a 2 XX", None), ("UNLINK a a", 0)],
)  # fmt: skip
def test_a_dead_key_is_not_there_for_writes(local: Local, line: str, reply: object) -> None:
    local.do("SET a 1 PX 100")
    wait(local, 100)
    answer = local.do(line)
    assert answer == reply or (line.startswith("RENAME") and str(answer) == "ERR no such key")
    assert local.do("EXISTS a b") == 0


@pytest.mark.parametrize("line", ["SETRANGE a 0 x", "APPEND a x", "INCRBYFLOAT n 1", "INCR n",
                                  "SET a 2 KEEPTTL", "RENAME a c", "COPY a c", "MOVE a 1"])  # fmt: skip
def test_a_change_keeps_the_deadline(local: Local, line: str) -> None:
    local.do("SET a 1 PX 100")
    local.do("SET n 1 PX 100")
    local.do(line)
    name = "c" if line.endswith(" c") else line.split()[1]
    local.index = 1 if line.startswith("MOVE") else 0
    assert local.do(f"PTTL {name}") == 100


def test_a_deadline_that_overflows_is_refused_with_the_clock_s_help(local: Local) -> None:
    local.do("SET a 1")
    most = 2**63 - 1
    for line, name in (
        (f"PEXPIRE a {most}", "pexpire"),
        (f"SET a 1 PX {most}", "set"),
        (f"GETEX a PX {most}", "getex"),
    ):
        assert str(local.do(line)) == f"ERR invalid expire time in '{name}' command"
    assert local.do(f"PEXPIREAT a {most}") == 1
    assert local.do("PEXPIRETIME a") == most
