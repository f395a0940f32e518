"""A disk that is full: what adds data is refused, the rest is served, and it recovers by itself.

On a real file system of some MB, mounted for the test.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.client import ErrorReply
from ironkv.tools.cluster import ThrowawayCluster, wait_for
from ironkv.tools.nodes import Node
from tests.small_disk import small_disk

SIZE_MB = 48
RESERVE_MB = 4
SETTINGS = {
    "disk": {"reserve": f"{RESERVE_MB}mb"},
    "snapshot": {"journal_bytes": "4mb", "keep_bytes": "256kb", "keep_entries": 100},
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", SIZE_MB << 10) as mount:
        yield mount


@pytest.fixture
def node(disk: Path) -> Iterator[Node]:
    with ThrowawayCluster(1, parent=disk, settings=SETTINGS) as cluster:
        yield cluster.nodes[0]


def fill(node: Node, prefix: str, most: int = 4_000) -> tuple[int, str]:
    """Write until it is refused: how many 20 kB values went in, and the refusal."""
    value = os.urandom(10_000).hex()
    with node.connect(30) as client:
        for number in range(most):
            try:
                client.call("SET", f"{prefix}{number}", value)
            except ErrorReply as error:
                return number, str(error)
    raise AssertionError("it was never refused")


def takes_writes(node: Node) -> bool:
    with contextlib.suppress(ErrorReply, OSError), node.connect(30) as client:
        return client.call("SET", "probe", "x") == "OK"
    return False


def test_at_the_reserve_only_what_adds_data_is_refused(node: Node) -> None:
    count, refusal = fill(node, "key")
    assert count > 100
    assert refusal.startswith("MISCONF the disk is nearly full")
    with node.connect(30) as client:
        assert client.call("STRLEN", "key0") == 20_000
        with pytest.raises(ErrorReply, match="MISCONF"):
            client.call("LPUSH", "list", "x")
        with pytest.raises(ErrorReply, match="MISCONF"):
            client.call("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "script")
        assert client.call("MULTI") == "OK"
        with pytest.raises(ErrorReply, match="MISCONF"):
            client.call("SET", "a", "b")
        assert client.call("DISCARD") == "OK"
        assert client.call("PEXPIRE", "key1", 10_000_000) == 1
        for number in range(count):
            assert client.call("DEL", f"key{number}") == 1, "deletes are served, all of them"
        assert client.call("DBSIZE") == 0
    wait_for(lambda: takes_writes(node), "there is room again after the deletes", 30)


def test_room_made_from_outside_is_noticed(disk: Path, node: Node) -> None:
    filler = disk / "filler"
    filler.write_bytes(bytes((SIZE_MB - 12) << 20))
    _, refusal = fill(node, "key")
    assert refusal.startswith("MISCONF")
    filler.unlink()
    wait_for(lambda: takes_writes(node), "there is room again")


def test_nothing_acknowledged_is_lost_on_a_disk_filled_to_the_brim(disk: Path, node: Node) -> None:
    """Somebody else fills the disk in the middle of writes: the commit fails, waits, and then happens."""
    with node.connect(30) as client:
        for number in range(50):
            client.call("SET", f"key{number}", "x" * 1000)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(bytes(64 << 10))
        client.send(*(("SET", f"late{number}", "y" * 20_000) for number in range(20)))
        wait_for(lambda: "is full" in node.log_tail(), "the node says so")
        with node.connect(30) as other:
            assert other.call("GET", "key7") == b"x" * 1000, "reads are served"
        filler.unlink()
        replies = [client.read() for _ in range(20)]
    taken = [number for number, reply in enumerate(replies) if reply == "OK"]
    assert taken, "what had been given to the journal went on"
    assert all(reply == "OK" or "MISCONF" in str(reply) for reply in replies)
    wait_for(lambda: takes_writes(node), "there is room again")
    node.kill()
    node.start()
    wait_for(lambda: takes_writes(node), "the node is back")
    with node.connect(30) as client:
        assert client.pipeline([("STRLEN", f"late{number}") for number in taken]) == [20_000] * len(taken)
        assert client.call("GET", "key49") == b"x" * 1000
