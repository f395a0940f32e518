"""`ironkv-import` and `ironkv-export` with real nodes and a real Redis."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.values import Value
from ironkv.offline import export_rdb
from ironkv.rdb import file
from ironkv.tools import import_rdb
from ironkv.tools.cluster import ThrowawayCluster
from tests.commands.local import Local
from tests.commands.oracle import running_oracle
from tests.commands.wire import meaning
from tests.rdb.keys import making, seen

LATER_MS = 4_102_444_800_000


def _many_keys() -> Local:
    local, chance = Local(now_ms=1_700_000_000_000), Random(3)
    for number in range(120):
        local.index = number % 2 * 3
        key = b"key:%d" % number
        for command in making(key, chance):
            local.ask(command)
        if number % 5 == 0:
            local.ask([b"PEXPIREAT", key, b"%d" % (LATER_MS + number)])
    return local


def _all_of(local: Local) -> dict[tuple[int, bytes], list[Any]]:
    found = {}
    for db in local.keyspace.used():
        local.index = db.index
        found |= {(db.index, key): seen(local.ask, key) for key in list(db.keys())}
    return found


def _written(path: Path, keyspace: Keyspace) -> Path:
    with path.open("wb") as stream:
        file.write(stream, export_rdb.items(keyspace))
    return path


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_from_a_file_into_a_node_and_out_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    local = _many_keys()
    expected = _all_of(local)
    source, target = _written(tmp_path / "in.rdb", local.keyspace), tmp_path / "out.rdb"
    with ThrowawayCluster(1, parent=tmp_path) as cluster:
        node = cluster.nodes[0]
        address = ["--host", node.settings.host, "--port", str(node.settings.port), "--json"]
        assert import_rdb.main([str(source), *address]) == 0
        assert _json(capsys)["written"] == len(expected)
        assert import_rdb.main([str(source), *address]) == 1
        assert _json(capsys)["there_already"] == len(expected)
        assert import_rdb.main([str(source), *address, "--replace"]) == 0
        capsys.readouterr()
        directory = cluster.directory / node.settings.data_dir
        assert export_rdb.main([str(directory), str(target)]) == 1
        assert "in use" in capsys.readouterr().err
        assert node.stop()
        assert export_rdb.main([str(directory), str(target), "--json"]) == 0
        assert _json(capsys)["keys"] == len(expected)
        assert export_rdb.main([str(directory), str(tmp_path / "certain.rdb"), "--certain", "--json"]) == 0
        assert _json(capsys)["keys"] <= len(expected)
        assert export_rdb.main([str(directory), str(target)]) == 1
        assert "--force" in capsys.readouterr().err
    with running_oracle(target.read_bytes()) as redis:
        for (db, key), held in expected.items():
            redis.ask([b"SELECT", b"%d" % db])
            assert seen(redis.ask, key) == held
        assert meaning(redis.ask([b"DBSIZE"])) == sum(db == 3 for db, _ in expected)


def test_a_follower_says_where_the_leader_is(
    tmp_path: Path, cluster: ThrowawayCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    local = Local(now_ms=1_700_000_000_000)
    local.do("MSET a 1 b 2 c 3")
    source = _written(tmp_path / "in.rdb", local.keyspace)
    leader = cluster.wait_for_leader()
    follower = next(node for node in cluster.nodes if node.id != leader.id)
    host, port = follower.settings.host, str(follower.settings.port)
    assert import_rdb.main([str(source), "--host", host, "--port", port, "--json"]) == 0
    assert _json(capsys)["written"] == 3


@pytest.mark.parametrize(
    "value",
    [b"x" * 5_000_000, [b"%d" % n * 300 for n in range(20_000)]],
    ids=["string", "list"],
)
def test_a_large_value_goes_in_parts(value: Value) -> None:
    local, command = Local(), [b"APPEND", b"k", value]
    if isinstance(value, list):
        command = [b"RPUSH", b"k", *value]
    local.ask(command)
    _goes_in_parts(local)


@pytest.mark.parametrize("name", ["SADD", "HSET", "ZADD"])
def test_a_large_collection_goes_in_parts(name: str) -> None:
    local, chance = Local(), Random(1)
    for _ in range(30):
        words = [b"%d" % chance.randrange(10**9) for _ in range(1_000)]
        local.ask([name.encode(), b"k", *words])
    _goes_in_parts(local)


def _goes_in_parts(local: Local) -> None:
    other, count = Local(), 0
    for part in import_rdb.parts(b"k", local.db.find(b"k")):
        assert not other.ask(part).startswith(b"-")
        assert sum(map(len, part)) < 2 * import_rdb.PART_BYTES
        count += 1
    assert count > 1
    assert seen(other.ask, b"k") == seen(local.ask, b"k")


@pytest.mark.parametrize("spoil", [b"", b"REDIS0011", b"junk" * 10])
def test_a_file_that_is_none(tmp_path: Path, spoil: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.rdb"
    path.write_bytes(spoil)
    assert import_rdb.main([str(path), "--port", "1"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert import_rdb.main([str(tmp_path / "none.rdb")]) == 1
    assert export_rdb.main([str(tmp_path), str(tmp_path / "x.rdb")]) == 1


def test_a_damaged_file_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _written(tmp_path / "in.rdb", _many_keys().keyspace)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert import_rdb.main([str(path), "--port", "1"]) == 1
    assert "checksum" in capsys.readouterr().err


def test_from_a_file_into_new_directories(tmp_path: Path) -> None:
    local = _many_keys()
    source = _written(tmp_path / "in.rdb", local.keyspace)
    cluster = ThrowawayCluster(3, parent=tmp_path, settings={"raft": {"election_timeout_ms": 1_000}})
    into = [word for node in cluster.nodes for word in ("--into", f"{node.id}={node.data_dir}")]
    assert import_rdb.main([str(source), *into, "--cluster", "ironkv-throwaway", "--quiet"]) == 0
    try:
        cluster.start()
        with cluster.connect_to_leader() as client:
            for db in local.keyspace.used():
                client.call("SELECT", db.index)
                assert client.call("DBSIZE") == len(db)
            client.call("SELECT", 0)
            local.index = 0
            for key in list(local.db.keys())[:40]:
                assert client.call("DUMP", key) == meaning(local.ask([b"DUMP", key]))
        assert import_rdb.main([str(source), *into, "--quiet"]) == 1, "the directories are not empty"
    finally:
        cluster.close()
