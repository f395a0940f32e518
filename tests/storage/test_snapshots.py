"""Snapshots on disk: whole or not there, whatever happens while they are made."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lmdb
import pytest

from ironkv import batch, images
from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.node.snapshotting import Snapshotting
from ironkv.raft.configuration import Address, Configuration
from ironkv.raft.messages import Entry, EntryKind
from ironkv.storage.snapshots import Chunk, Damaged, Manifest, Snapshots, open_record
from ironkv.storage.worker import Done

MAP = 64 << 20


class World:
    """A disk thread that works when it is told to."""

    def __init__(self) -> None:
        self.orders: deque[tuple[Callable[[], object], Done]] = deque()
        self.durable = 1 << 60
        self.now = 0.0
        self.ended: list[Manifest | None] = []

    def steady_ms(self) -> float:
        self.now += 0.3
        return self.now

    def wall_ms(self) -> float:
        return 1_800_000_000_000.0

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        self.orders.append((work, done))

    def durable_index(self) -> int:
        return self.durable

    def work(self, most: int = 1 << 60) -> None:
        while self.orders and most > 0:
            most -= 1
            work, done = self.orders.popleft()
            try:
                work()
            except Fault as fault:
                done(fault)
            else:
                done(None)


class Disk:
    """A machine, its snapshots and what takes them; `reopened` is the same disk after a crash."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshots = Snapshots(path, MAP)
        self.world = World()
        self.machine = Machine()
        self.snapshotting = Snapshotting(self.world, self.machine, self.snapshots, self.world.ended.append)

    def write(self, *commands: str, stamp_ms: int = 0) -> None:
        items: list[batch.Item] = [command.encode().split() for command in commands]
        stamp_ms = stamp_ms or self.machine.keyspace.stamp_ms + 1
        index = self.machine.applied + 1
        self.machine.apply(Entry(index, 1, EntryKind.BATCH, batch.encode(stamp_ms, items)))

    def snapshot(self, steps: int = 1 << 60) -> bool:
        """Take one, or as much of it as `steps` of the loop and of the disk's thread; whether it ended."""
        self.snapshotting.begin(1)
        while self.snapshotting.active and steps > 0:
            steps -= 1
            self.world.work(1)
            self.snapshotting.step(busy=False)
        return not self.snapshotting.active

    def digest(self) -> bytes:
        return images.digest_of_keyspace(self.machine.keyspace)

    def reopened(self) -> Disk:
        self.snapshots.close()
        return Disk(self.path)

    def recovered(self) -> Disk:
        """After a crash: what the newest snapshot says."""
        disk = self.reopened()
        newest = disk.snapshots.newest
        if newest is not None:
            for _ in disk.snapshots.load(newest, disk.machine.keyspace):
                pass
            disk.machine.applied = newest.index
        return disk

    def images(self) -> int:
        """Images held, of whatever snapshot."""
        return sum(1 for _ in self.snapshots._all_keys())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    yield (disk := Disk(tmp_path / "snapshots"))
    disk.snapshots.close()


def fill(disk: Disk, keys: int = 300, value: str = "v") -> None:
    disk.write(*(f"SET key{n} {value}{n}" for n in range(keys)))
    disk.write("HSET h a 1 b 2", "ZADD z 1 a 2 b", "RPUSH l x y", "SADD s 1 2 3", "PEXPIRE key1 5000")


def test_what_was_taken_comes_back(disk: Disk) -> None:
    fill(disk)
    told = Configuration(
        frozenset({"n1"}), frozenset({"n2"}), frozenset({"n3"}), (("n3", Address("h", 1, 2)),)
    )
    disk.machine.membership = 1, told
    assert disk.snapshot()
    digest, again = disk.digest(), disk.recovered()
    assert again.digest() == digest
    newest = again.snapshots.newest
    assert newest is not None
    assert newest.digest == digest
    assert (newest.index, newest.keys, newest.membership) == (2, 304, (1, told))


def test_nothing_new_is_no_snapshot(disk: Disk) -> None:
    assert not disk.snapshotting.begin(1)  # nothing was ever applied
    fill(disk)
    assert disk.snapshot()
    assert not disk.snapshotting.begin(1)


def test_only_what_changed_is_written_and_what_it_replaces_goes(disk: Disk) -> None:
    fill(disk)
    disk.snapshot()
    held = disk.images()
    disk.write("SET key5 another")
    disk.snapshot()
    newest = disk.snapshots.newest
    assert newest is not None
    assert newest.bytes_written < 500
    assert disk.images() == held
    assert len(disk.snapshots.manifests) == 1
    digest = disk.digest()
    again = disk.recovered()
    assert again.digest() == digest
    again.write("DEL key6")
    again.snapshot()
    last = again.snapshots.newest
    assert last is not None
    assert last.bytes_written < 500, "what was loaded need not be written again"
    digest = again.digest()
    assert again.recovered().digest() == digest


def test_a_cleared_database_leaves_nothing(disk: Disk) -> None:
    fill(disk)
    disk.snapshot()
    disk.write("FLUSHALL")
    disk.snapshot()
    digest, again = disk.digest(), disk.recovered()
    assert again.digest() == digest
    assert sum(map(len, again.machine.keyspace.used())) == 0


def test_a_crash_at_any_step_leaves_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    old = new = b""
    for steps in range(200):
        disk = Disk(tmp_path / f"{steps}")
        fill(disk, 30)
        disk.snapshot()
        old = disk.digest()
        disk.write("SET key1 changed", "DEL key2", "HSET h c 3")
        new = disk.digest()
        ended = disk.snapshot(steps)
        disk.write("SET key3 later")
        again = disk.recovered()
        assert again.digest() == (new if ended else old) or again.digest() == new
        again.write("SET key4 behind")
        digest = again.digest()
        again.snapshot()
        final = again.recovered()
        assert final.digest() == digest
        final.snapshots.close()
        if ended:
            return
    pytest.fail("the snapshot never ended")


def test_leftovers_of_an_unfinished_one_are_no_part_of_the_next(disk: Disk) -> None:
    """Restarted, the node may take its next snapshot at the very index of the one it did not finish."""
    fill(disk)
    disk.snapshot()
    disk.write("SET big " + "x" * 600_000)
    disk.snapshotting.begin(1)
    for _ in range(10):
        disk.snapshotting.step(busy=False)
        disk.world.work()
        if disk.snapshotting._job is not None and disk.snapshotting._job.walk is None:
            break
    again = disk.recovered()
    again.write("SET big small")
    digest = again.digest()
    again.snapshot()
    final = again.recovered()
    assert final.digest() == digest
    final.snapshots.close()


def test_it_becomes_current_only_when_the_journal_has_it_all(disk: Disk) -> None:
    fill(disk)
    disk.world.durable = 1
    assert not disk.snapshot(500)
    assert disk.snapshots.newest is None
    disk.world.durable = 2
    assert disk.snapshot()


def test_several_are_kept_if_wanted_and_each_is_whole(disk: Disk) -> None:
    disk.snapshotting.keep = 3
    digests: dict[int, bytes] = {}
    for turn in range(6):
        fill(disk, 40, f"v{turn}")
        disk.write(f"DEL key{turn}")
        disk.snapshot()
        digests[disk.machine.applied] = disk.digest()
    assert [each.index for each in disk.snapshots.manifests] == list(digests)[-3:]
    for manifest in disk.snapshots.manifests:
        keyspace = Keyspace()
        for _ in disk.snapshots.load(manifest, keyspace):
            pass
        assert images.digest_of_keyspace(keyspace) == digests[manifest.index]


def test_one_that_is_being_sent_is_not_pruned(disk: Disk) -> None:
    fill(disk)
    disk.snapshot()
    first = disk.snapshots.newest
    assert first is not None
    disk.snapshotting.pinned = first.index
    plan = disk.snapshots.plan(first)
    for turn in range(3):
        fill(disk, 300, f"v{turn}")
        disk.snapshot()
    assert all(disk.snapshots.records(group, index) for group, index in plan)
    disk.snapshotting.pinned = 1 << 63
    disk.write("SET a 1")
    disk.snapshot()
    assert len(disk.snapshots.manifests) == 1


def test_a_failed_one_is_made_up_for(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(disk)

    def full(*_: Any) -> int:
        raise Fault("no room")

    monkeypatch.setattr(disk.snapshots, "put_records", full)
    disk.snapshot()
    assert disk.world.ended == [None]
    assert disk.snapshotting.error == "no room"
    monkeypatch.undo()
    disk.write("SET a 1")
    assert disk.snapshot()
    assert disk.snapshotting.error is None
    digest = disk.digest()
    assert disk.recovered().digest() == digest


def test_one_whose_last_image_failed_does_not_become_current(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an empty store that image is all there is: no bytes that are counted, but it has to be there."""
    disk.write("SET a 1", "DEL a")
    put_records = disk.snapshots.put_records

    def fail_once(records: Any) -> int:
        monkeypatch.undo()
        raise Fault("the disk failed")

    assert disk.snapshotting.begin(1)
    monkeypatch.setattr(disk.snapshots, "put_records", fail_once)
    while disk.snapshotting.active:
        for _ in range(3):  # all that can be ordered is, before the disk does any of it
            disk.snapshotting.step(False)
        disk.world.work()
    assert disk.snapshots.put_records == put_records
    assert disk.world.ended == [None]
    assert disk.recovered().snapshots.newest is None


def test_every_flipped_byte_is_noticed(disk: Disk) -> None:
    disk.write("SET a 1", "SET b 2", "HSET h f v", "SET c " + "x" * 3000)
    disk.snapshot()
    newest = disk.snapshots.newest
    assert newest is not None
    env, table = disk.snapshots._env, disk.snapshots._images
    with env.begin(db=table) as txn:
        records = list(txn.cursor())
    for key, value in records:
        for place in range(len(value)):
            damaged = bytearray(value)
            damaged[place] ^= 1 << place % 8
            put(env, table, key, bytes(damaged))
            with pytest.raises(Fault):
                list(disk.snapshots.load(newest, Keyspace()))
        put(env, table, key, value)
    for key, value in records:
        with env.begin(write=True, db=table) as txn:
            txn.delete(key)
        with pytest.raises(Damaged):
            list(disk.snapshots.load(newest, Keyspace()))
        put(env, table, key, value)
    for (key, value), (_, other) in pairwise(records):
        put(env, table, key, other)
        with pytest.raises(Damaged):
            list(disk.snapshots.load(newest, Keyspace()))
        put(env, table, key, value)
    list(disk.snapshots.load(newest, Keyspace()))


def put(env: lmdb.Environment, table: Any, key: bytes, value: bytes) -> None:
    with env.begin(write=True, db=table) as txn:
        txn.put(key, value)


def test_a_damaged_manifest_is_refused(disk: Disk) -> None:
    fill(disk)
    disk.snapshot()
    env, table = disk.snapshots._env, disk.snapshots._manifests
    with env.begin(db=table) as txn:
        key, value = next(iter(txn.cursor()))
    for place in range(len(value)):
        damaged = bytearray(value)
        damaged[place] ^= 1 << place % 8
        put(env, table, key, bytes(damaged))
        with pytest.raises(Fault):
            disk.snapshots._read_manifests()
    put(env, table, key, value)


def test_a_large_group_is_many_chunks(disk: Disk) -> None:
    data = random.Random(3).randbytes(2_000_000).hex()
    disk.write(f"SET big {data}")
    disk.snapshot()
    assert disk.images() > 5
    digest = disk.digest()
    assert disk.recovered().digest() == digest


def test_a_chunk_without_content_says_that_a_group_is_empty(disk: Disk) -> None:
    disk.snapshots.put(5, [Chunk((0, 7), 0, [], last=True)])
    ((key, record),) = disk.snapshots.records((0, 7), 5)
    assert open_record(disk.snapshots.path, key, record) == []
