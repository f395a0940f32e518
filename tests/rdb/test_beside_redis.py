"""What Redis writes is read, and what IronKV writes Redis reads: payloads and files, keys of every kind."""

from __future__ import annotations

import io
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ironkv.keyspace.sets import Set
from ironkv.keyspace.values import Value
from ironkv.rdb import file, payload
from ironkv.rdb.values import VERSION, VERSION_MOST, encode
from tests.commands.local import Local
from tests.commands.oracle import Oracle, running_oracle
from tests.commands.wire import meaning
from tests.rdb.keys import MAKERS, SIZES, making, seen

SEEDS = range(int(os.environ.get("IRONKV_EXAMPLES", "60")))
KEYS = 400


def _made_alike(oracle: Oracle, local: Local, commands: list[list[bytes]]) -> None:
    oracle.ask([b"FLUSHALL"])
    for command in commands:
        oracle.ask(command)
        local.ask(command)


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_payload_goes_both_ways(oracle: Oracle, maker: Any, size: int) -> None:
    for seed in range(4):
        local = Local()
        _made_alike(oracle, local, maker(b"k", Random(seed), size))
        if not meaning(oracle.ask([b"EXISTS", b"k"])):
            continue
        expected = seen(oracle.ask, b"k")
        theirs, ours = meaning(oracle.ask([b"DUMP", b"k"])), meaning(local.ask([b"DUMP", b"k"]))
        assert local.ask([b"RESTORE", b"theirs", b"0", theirs]) == b"+OK\r\n"
        assert oracle.ask([b"RESTORE", b"ours", b"0", ours]) == b"+OK\r\n"
        assert local.ask([b"RESTORE", b"again", b"0", ours]) == b"+OK\r\n"
        assert seen(local.ask, b"theirs") == expected
        assert seen(oracle.ask, b"ours") == expected
        assert seen(local.ask, b"again") == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_written_is_read_as_it_was(seed: int) -> None:
    local = Local()
    for command in making(b"k", Random(seed)):
        local.ask(command)
    value = local.db.find(b"k")
    if value is None:
        return
    for version in (VERSION, VERSION_MOST):
        written = payload.dump(value, version)
        assert payload.is_whole(written)
        again = payload.load(written)
        if type(value) is not Set:  # of which integers at the front are put in order, as Redis does
            assert encode(again, version) == encode(value, version)
        local.db.set(b"again", again)
        assert seen(local.ask, b"again") == seen(local.ask, b"k")


def _all_of(oracle: Oracle) -> dict[tuple[int, bytes], list[Any]]:
    found = {}
    for db in (0, 3):
        oracle.ask([b"SELECT", b"%d" % db])
        found |= {(db, key): seen(oracle.ask, key) for key in meaning(oracle.ask([b"KEYS", b"*"]))}
    oracle.ask([b"SELECT", b"0"])
    return found


@pytest.fixture(scope="module", params=[b"yes", b"no"], ids=["compressed", "plain"])
def saved(oracle: Oracle, request: pytest.FixtureRequest) -> tuple[bytes, dict[tuple[int, bytes], list[Any]]]:
    """A file that Redis saved, and what was in it."""
    chance = Random(7)
    oracle.ask([b"FLUSHALL"])
    oracle.ask([b"CONFIG", b"SET", b"rdbcompression", request.param])
    oracle.ask(
        [b"FUNCTION", b"LOAD", b"#!lua name=lib\nredis.register_function('f', function() return 1 end)"]
    )
    for db in (0, 3):
        oracle.ask([b"SELECT", b"%d" % db])
        for number in range(KEYS):
            key = b"key:%d" % number
            for command in making(key, chance):
                oracle.ask(command)
            if number % 3 == 0:
                oracle.ask([b"PEXPIREAT", key, b"%d" % (4_102_444_800_000 + number)])
    found = _all_of(oracle)
    assert oracle.ask([b"SAVE"]) == b"+OK\r\n"
    directory = meaning(oracle.ask([b"CONFIG", b"GET", b"dir"]))[1]
    return (Path(directory.decode()) / "dump.rdb").read_bytes(), found


def _put_into(items: list[tuple[int, bytes, Value, int | None]]) -> Local:
    local = Local(now_ms=1_700_000_000_000)
    for db, key, value, deadline_ms in items:
        local.keyspace.database(db).restore(key, value, deadline_ms)
    return local


def _all_of_local(local: Local) -> dict[tuple[int, bytes], list[Any]]:
    found = {}
    for db in local.keyspace.used():
        local.index = db.index
        found |= {(db.index, key): seen(local.ask, key) for key in list(db.keys())}
    return found


def test_a_file_of_redis_is_read(saved: tuple[bytes, dict[tuple[int, bytes], list[Any]]]) -> None:
    data, expected = saved
    reading = file.read(io.BytesIO(data))
    local = _put_into(list(reading))
    assert _all_of_local(local) == expected
    assert reading.functions == 1
    assert reading.aux[b"redis-ver"].startswith(b"7.")
    assert reading.offset == len(data)


def test_a_file_of_ours_is_read_by_redis(saved: tuple[bytes, dict[tuple[int, bytes], list[Any]]]) -> None:
    data, expected = saved
    out = io.BytesIO()
    assert file.write(out, file.read(io.BytesIO(data)), aux={"redis-ver": "7.2.4"}) == len(expected)
    with running_oracle(out.getvalue()) as other:
        assert _all_of(other) == expected


def test_a_file_without_a_checksum_is_read(saved: tuple[bytes, dict[tuple[int, bytes], list[Any]]]) -> None:
    data, expected = saved  # as with `rdbchecksum no`
    assert len(list(file.read(io.BytesIO(data[:-8] + bytes(8))))) == len(expected)
