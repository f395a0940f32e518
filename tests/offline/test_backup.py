"""`ironkv-backup` and `ironkv-restore`: a running node into a file, and a file into a new cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ironkv.errors import Fault
from ironkv.offline import backup, restore, verify
from ironkv.offline.backup_file import Reader, Writer
from ironkv.storage.stopped import StoppedNode
from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.load import WriteLoad
from ironkv.tools.nodes import Node

CALM = {"raft": {"election_timeout_ms": 1_000}}


def fill(client: Client) -> None:
    client.pipeline([("SET", f"key{n}", f"value{n}") for n in range(500)])
    client.pipeline(
        [
            ("HSET", "hash", *range(40)), ("RPUSH", "list", *range(300)), ("SADD", "set", "a", "b"),
            ("ZADD", "zset", 1.5, "a", 2, "b"), ("XADD", "stream", "5-1", "f", "v"),
            ("XGROUP", "CREATE", "stream", "g", 0), ("PEXPIRE", "key1", 10_000_000),
            ("SCRIPT", "LOAD", "return 'kept'"), ("SELECT", 3), ("SET", "elsewhere", "x"), ("SELECT", 0),
        ]
    )  # fmt: skip


def holdings(client: Client) -> list[Any]:
    found = client.pipeline(
        [
            ("DBSIZE",), ("MGET", *(f"key{n}" for n in range(0, 500, 7))), ("HGETALL", "hash"),
            ("LRANGE", "list", 0, -1), ("SMEMBERS", "set"), ("ZRANGE", "zset", 0, -1, "WITHSCORES"),
            ("XRANGE", "stream", "-", "+"), ("PEXPIRETIME", "key1"),
            ("EVALSHA", "831718c21eb8cace8e6f31e7782a9d8e38ed5600", 0),
            ("SELECT", 3), ("GET", "elsewhere"), ("SELECT", 0),
        ]
    )  # fmt: skip
    return [str(each) if isinstance(each, ErrorReply) else each for each in found]


def back_up(node: Node, path: Path) -> None:
    assert backup.main([str(path), "--port", str(node.port), "--force"]) == 0
    assert backup.main([str(path), "--verify"]) == 0


def test_backed_up_under_load_and_restored_into_a_new_cluster(tmp_path: Path) -> None:
    file = tmp_path / "monday.backup"
    with ThrowawayCluster(parent=tmp_path, settings=CALM) as old:
        with old.connect_to_leader() as client:
            fill(client)
        old.wait_until_level()
        with WriteLoad([old.wait_for_leader()], writers=4) as load:
            load.wait_acknowledged(200)
            for node in old.nodes:
                back_up(node, file)
            load.wait_acknowledged(100)
        back_up(old.wait_for_leader(), file)
        with old.connect_to_leader() as client:
            expected = holdings(client)
            client.call("SET", "after", "the backup")
    new = ThrowawayCluster(parent=tmp_path, settings={**CALM, "cluster": {"name": "restored"}})
    into = [word for node in new.nodes for word in ("--into", f"{node.id}={node.data_dir}")]
    assert restore.main([str(file), "--cluster", "restored", *into]) == 0
    try:
        new.start()
        with new.connect_to_leader() as client:
            assert expected[8] == b"kept"
            assert holdings(client) == expected
            assert client.call("EXISTS", "after") == 0
            assert load.check(client) == []
            assert client.call("SET", "new", "life") == "OK"
        new.wait_until_level()
        new.stop()
        assert verify.main([str(node.data_dir) for node in new.nodes]) == 0
    finally:
        new.close()


def test_to_a_point_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "b"
    with ThrowawayCluster(1, parent=tmp_path) as cluster:
        node = cluster.nodes[0]
        with node.connect() as client:
            client.call("SET", "counter", 0)
            back_up(node, file)
            for _ in range(10):
                client.call("INCR", "counter")
        node.terminate()
        node.stop()
        with Reader(file) as reader:
            index = reader.header.manifest.index
        capsys.readouterr()
        words = ["--cluster", "c2", "--journal", str(node.data_dir), "--json"]
        assert (
            restore.main([str(file), *words, "--into", f"n={tmp_path / 'r1'}", "--at", str(index + 4)]) == 0
        )
        assert json.loads(capsys.readouterr().out)["index"] == index + 4
        assert counter(tmp_path / "r1") == b"4"
        with StoppedNode(node.data_dir) as stopped:
            stamps = [stamp for entry in stopped.entries(index + 1) if (stamp := restore._stamp(entry))]
        assert (
            restore.main([str(file), *words, "--into", f"n={tmp_path / 'r2'}", "--at", str(stamps[6])]) == 0
        )
        assert int(counter(tmp_path / "r2")) >= 7
        assert restore.main([str(file), *words, "--into", f"n={tmp_path / 'r3'}"]) == 0
        assert counter(tmp_path / "r3") == b"10"
        assert restore.main([str(file), *words, "--into", f"n={tmp_path / 'r4'}", "--at", "yesterday"]) == 70
        for at in (str(index - 1), "99999", "2001-01-01T00:00:00Z"):
            assert restore.main([str(file), *words, "--into", f"n={tmp_path / 'r5'}", "--at", at]) == 70
        assert not (tmp_path / "r5").exists()
    with ThrowawayCluster(1, parent=tmp_path, settings={"cluster": {"name": "foreign"}}) as cluster:
        cluster.nodes[0].terminate()
        cluster.nodes[0].stop()
        words = ["--cluster", "c2", "--journal", str(cluster.nodes[0].data_dir)]
        assert restore.main([str(file), *words, "--into", f"n={tmp_path / 'r6'}"]) == 70


def counter(path: Path) -> bytes:
    with StoppedNode(path) as node:
        value = node.state().keyspace.database(0).string(b"counter")
        assert value is not None
        return value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small backup."""
    path = tmp_path / "small"
    with ThrowawayCluster(1, parent=tmp_path) as cluster:
        with cluster.nodes[0].connect() as client:
            client.call("SET", "a", "b")
        back_up(cluster.nodes[0], path)
    return path


def test_every_flipped_or_missing_byte_is_noticed(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    damaged = tmp_path / "damaged"
    for place in range(len(data)):
        for spoiled in (data[:place], data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]):
            damaged.write_bytes(spoiled)
            with pytest.raises(Fault), Reader(damaged) as reader:
                list(reader.records())
    for place in range(len(data)):
        damaged.write_bytes(data[:place] + bytes(len(data) - place))
        assert backup.main([str(damaged), "--verify"]) == 70, "zeros to the end"
    damaged.write_bytes(data + b"x")
    assert backup.main([str(damaged), "--verify"]) == 70


def test_a_backup_that_is_well_written_but_lacks_something_is_noticed(file: Path, tmp_path: Path) -> None:
    """Every checksum of the file fits: only the state tells."""
    with Reader(file) as reader:
        header, records = reader.header, [record for batch in reader.records() for record in batch]
    for place in range(len(records)):
        lacking = tmp_path / f"lacking{place}"
        with lacking.open("wb") as out:
            writer = Writer(out, header)
            writer.add([part for record in records[:place] + records[place + 1 :] for part in record])
            writer.finish()
        assert backup.main([str(lacking), "--verify"]) == 70
    assert backup.main([str(file), "--verify"]) == 0


def test_what_is_refused(file: Path, tmp_path: Path) -> None:
    into = ["--into", f"n={tmp_path / 'x'}"]
    assert restore.main([str(tmp_path / "nowhere"), "--cluster", "c2", *into]) == 66
    with Reader(file) as reader:
        name = reader.header.cluster
    assert restore.main([str(file), "--cluster", name, *into]) == 70
    assert restore.main([str(file), "--cluster", name, *into, "--same-name"]) == 0
    assert restore.main([str(file), "--cluster", "c2", *into]) == 1, "not empty"
    shutil.rmtree(tmp_path / "x")
    with pytest.raises(SystemExit, match="2"):
        restore.main([str(file), "--cluster", "c2", "--into", "n"])
    with pytest.raises(SystemExit, match="2"):
        restore.main([str(file), "--cluster", "c2", *into, "--at", "5"])
    assert backup.main([str(file), "--port", "1"]) == 1, "it is there already"
    assert backup.main([str(tmp_path / "y"), "--port", "1"]) == 1


def test_a_client_that_goes_away_keeps_nothing(tmp_path: Path) -> None:
    with ThrowawayCluster(1, parent=tmp_path) as cluster, cluster.nodes[0].connect() as client:
        client.call("SET", "a", "b")
        client.call("IRONKV", "BACKUP")
        with pytest.raises(ErrorReply, match="no snapshot 999"):
            client.call("IRONKV", "RECORDS", 999, "")
        for turn in range(3):
            client.call("SET", "a", turn)
            wait_for(lambda: client.call("SAVE") == "OK", "saved")
