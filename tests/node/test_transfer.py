"""A snapshot sent from node to node: whole or not at all, over a wire that loses, repeats and breaks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ironkv import images
from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.node import transfer
from ironkv.node.transfer import FETCH, OFFER, RECORDS, Receiving, Sending
from ironkv.storage.snapshots import Damaged, Manifest
from ironkv.storage.worker import Done
from tests.storage.test_snapshots import Disk


class World:
    """One side: its disk works at once, what it sends lies in `sent`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sent: deque[list[Any]] = deque()
        self.timers: deque[Callable[[], None]] = deque()

    def steady_ms(self) -> float:
        self.now += 0.1
        return self.now

    def send_parcel(self, peer: str, parcel: list[Any]) -> None:
        self.sent.append(parcel)

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        try:
            work()
        except Fault as fault:
            self.timers.append(lambda fault=fault: done(fault))  # type: ignore[misc]
        else:
            self.timers.append(lambda: done(None))

    def later(self, ms: float, work: Callable[[], None]) -> None:
        self.timers.append(work)


class Pair:
    """A leader with a snapshot and a follower without."""

    def __init__(self, path: Path, keys: int = 4_000) -> None:
        chance = random.Random(5)
        self.leader = Disk(path / "leader")
        self.leader.write(*(f"SET key{n} {chance.randbytes(300).hex()}" for n in range(keys)))
        self.leader.write("ZADD z 1 a", f"SET big {chance.randbytes(900_000).hex()}", "PEXPIRE key1 9999")
        self.leader.snapshot()
        self.follower = Disk(path / "follower")
        self.up, self.down = World(), World()
        self.sending = Sending(self.up, self.leader.snapshots)
        self.installed: list[tuple[Manifest, Keyspace]] = []
        self.begun = 0
        self.receiving = Receiving(self.down, self.follower.snapshots, self._begins, self._installs)
        self.stranded: tuple[str, ...] = ("f",)

    def _begins(self) -> None:
        self.begun += 1

    def _installs(self, manifest: Manifest, keyspace: Keyspace) -> None:
        self.installed.append((manifest, keyspace))

    @property
    def applied(self) -> int:
        """How far the follower's state is."""
        return max((manifest.index for manifest, _ in self.installed), default=0)

    @staticmethod
    def receiving_of(manifest: Manifest) -> Manifest:
        """The same snapshot as the follower keeps it."""
        return replace(manifest, base=manifest.index)

    def at_leader(self, parcel: list[Any]) -> None:
        match parcel:
            case [transfer.FETCH, index, after]:
                self.sending.fetched("f", index, after)

    def at_follower(self, parcel: list[Any]) -> None:
        match parcel:
            case [transfer.OFFER, index, packed]:
                self.receiving.offered("l", index, packed, self.applied)
            case [transfer.RECORDS, index, after, pairs, more]:
                self.receiving.received("l", index, after, pairs, more)

    def turn(
        self, lose: Callable[[], bool] = lambda: False, twice: Callable[[], bool] = lambda: False
    ) -> None:
        """Half a second: offers and repeats, then whatever is on its way."""
        self.up.now += 500
        self.down.now += 500
        self.sending.offer(self.stranded)
        self.receiving.upkeep()
        while self.up.sent or self.down.sent or self.up.timers or self.down.timers:
            for world in (self.up, self.down):
                while world.timers:
                    world.timers.popleft()()
            for world, arrives in ((self.up, self.at_follower), (self.down, self.at_leader)):
                if world.sent:
                    parcel = world.sent.popleft()
                    if not lose():
                        arrives(parcel)
                        if twice():
                            arrives(parcel)

    def close(self) -> None:
        self.leader.snapshots.close()
        self.follower.snapshots.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    yield (pair := Pair(tmp_path))
    pair.close()


def check(pair: Pair) -> None:
    ((manifest, keyspace),) = pair.installed
    assert images.digest_of_keyspace(keyspace) == pair.leader.digest() == manifest.digest
    # And it is on the follower's disk, as its own.
    again = pair.follower.recovered()
    assert again.digest() == pair.leader.digest()
    pair.follower = again


def test_a_follower_gets_the_whole_state(pair: Pair) -> None:
    pair.turn()
    check(pair)
    assert pair.begun == 1


def test_parcels_are_small_and_asked_for(pair: Pair) -> None:
    sizes = []
    seen = pair.at_follower

    def at_follower(parcel: list[Any]) -> None:
        if parcel[0] == RECORDS:
            sizes.append(sum(len(record) for _, record in parcel[3]))
        seen(parcel)

    pair.at_follower = at_follower  # type: ignore[method-assign]
    pair.turn()
    assert max(sizes) < 3 * transfer.PARCEL_BYTES
    assert len(sizes) > 10
    check(pair)


@pytest.mark.parametrize("seed", range(12))
def test_over_a_wire_that_loses_and_repeats(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair(tmp_path, 2_000)
    for _ in range(3_000):
        pair.turn(lambda: chance.random() < 0.2, lambda: chance.random() < 0.2)
        if pair.installed:
            break
    check(pair)
    pair.close()


def test_another_leader_with_the_same_snapshot_goes_on_where_the_first_was(pair: Pair) -> None:
    lost = iter([False] * 12 + [True] * 10_000)
    pair.turn(lambda: next(lost))
    fetched = pair.receiving.bytes
    assert fetched > 0
    manifest = pair.leader.snapshots.newest
    assert manifest is not None
    pair.receiving.offered("other", manifest.index, manifest.packed(), applied=0)
    assert pair.down.sent[-1][:2] == [FETCH, manifest.index]
    assert pair.down.sent[-1][2] != b"", "not from the beginning"


def test_a_newer_snapshot_offered_instead_begins_anew(pair: Pair) -> None:
    lost = iter([False] * 12 + [True] * 10_000)
    pair.turn(lambda: next(lost))
    assert pair.receiving.bytes > 0
    pair.leader.write("SET key1 another", "DEL key2")
    pair.leader.snapshot()
    pair.sending.offer(())
    pair.turn()
    pair.turn()
    assert pair.begun == 2
    check(pair)


def test_a_snapshot_being_sent_is_pinned_until_it_has_arrived(pair: Pair) -> None:
    lost = iter([False] * 8 + [True] * 10_000)
    pair.turn(lambda: next(lost))
    manifest = pair.leader.snapshots.newest
    assert manifest is not None
    assert pair.sending.pinned == manifest.index
    pair.leader.snapshotting.pinned = pair.sending.pinned
    for turn in range(3):
        pair.leader.write(*(f"SET key{n} {turn}" for n in range(500)))
        pair.leader.snapshot()
    pair.down.now += 5_000
    pair.turn()
    ((installed, keyspace),) = pair.installed
    assert installed.index == manifest.index
    assert images.digest_of_keyspace(keyspace) == manifest.digest
    pair.sending.offer(())
    assert pair.sending.pinned == transfer.LATEST


def test_a_connection_that_breaks_for_a_moment_costs_nothing(pair: Pair) -> None:
    """The follower is not stranded while it is away, and goes on with the same snapshot when it is back."""
    lost = iter([False] * 8 + [True] * 10_000)
    pair.turn(lambda: next(lost))
    manifest = pair.leader.snapshots.newest
    assert manifest is not None
    for turn in range(3):
        pair.sending.offer(())
        pair.up.now += 1_000
        assert pair.sending.pinned == manifest.index
        pair.leader.snapshotting.pinned = pair.sending.pinned
        pair.leader.write(f"SET key1 {turn}")
        pair.leader.snapshot()
    pair.down.now += 5_000
    pair.turn()
    assert pair.begun == 1
    assert [installed for installed, _ in pair.installed] == [pair.receiving_of(manifest)]


def test_what_is_fetched_after_it_was_pruned_is_not_sent(pair: Pair) -> None:
    """A fetch waits for the thread that prunes just what it asks for: no fault of this node."""
    pair.sending.offer(pair.stranded)
    manifest = pair.leader.snapshots.newest
    assert manifest is not None
    held: list[tuple[Callable[[], object], Done]] = []
    pair.up.in_thread = lambda work, done: held.append((work, done))  # type: ignore[method-assign]
    pair.up.sent.clear()
    pair.sending.fetched("f", manifest.index, b"")
    for turn in range(2):
        pair.leader.write(*(f"SET key{n} {turn}" for n in range(4_000)))
        pair.leader.snapshot()
    assert manifest not in pair.leader.snapshots.manifests
    for work, done in held:
        try:
            work()
        except Fault as fault:
            done(fault)
        else:
            done(None)
    assert not pair.up.sent
    del pair.up.in_thread
    pair.turn()
    check(pair)


def test_a_follower_that_cannot_take_what_was_sent_is_offered_a_newer_one(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be sent the same for ever, and the log behind it kept for ever."""
    bad = pair.leader.snapshots.newest
    assert bad is not None

    def load(manifest: Manifest, keyspace: Keyspace) -> Iterator[float]:
        if manifest.index == bad.index:
            raise Damaged("it does not fit")
        yield from whole(manifest, keyspace)

    whole = pair.follower.snapshots.load
    monkeypatch.setattr(pair.follower.snapshots, "load", load)
    for turn in range(100):
        pair.turn()
        pair.leader.snapshotting.pinned = pair.sending.pinned
        pair.leader.write(f"SET key1 {turn}")
        pair.leader.snapshot()
        if pair.installed:
            break
    monkeypatch.undo()
    assert pair.installed[0][0].index > bad.index


def test_nobody_is_waited_for_for_ever(pair: Pair) -> None:
    pair.sending.offer(pair.stranded)
    assert pair.sending.pinned < transfer.LATEST
    pair.up.now += transfer.PATIENCE_MS + 1
    pair.sending.offer(())
    assert pair.sending.pinned == transfer.LATEST


def test_damage_on_the_way_or_at_the_sender_is_never_taken(pair: Pair) -> None:
    pair.sending.offer(pair.stranded)
    offer = pair.up.sent.popleft()
    assert offer[0] == OFFER
    damaged = bytearray(offer[2])
    damaged[9] ^= 1
    with pytest.raises(Fault):
        pair.receiving.offered("l", offer[1], bytes(damaged), applied=0)
    pair.at_follower(offer)
    pair.at_leader(pair.down.sent.popleft())
    while pair.up.timers:
        pair.up.timers.popleft()()
    records = pair.up.sent.popleft()
    key, record = records[3][0]
    for spoiled in ([key, record[:-1] + b"?"], [key[:-1] + b"?", record], [key, b""], [b"", record], [1, 2]):
        with pytest.raises(Damaged):
            pair.receiving.received("l", records[1], b"", [spoiled], 1)
    assert not pair.installed


def test_what_is_behind_or_unasked_for_is_ignored(pair: Pair) -> None:
    manifest = pair.leader.snapshots.newest
    assert manifest is not None
    pair.receiving.offered("l", manifest.index, manifest.packed(), applied=manifest.index)
    pair.receiving.received("l", manifest.index, b"", [], 0)
    pair.sending.fetched("stranger", manifest.index, b"")
    assert not pair.receiving.active
    assert not pair.down.sent
    assert not pair.up.sent


@pytest.mark.parametrize("step", ["clear_leftovers", "put_records", "finish"])
def test_a_disk_that_cannot_store_it_gives_up_and_may_begin_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: Any, **__: Any) -> int:
        raise Fault("no room")

    monkeypatch.setattr(pair.follower.snapshots, step, full)
    pair.turn()
    assert not pair.receiving.active
    monkeypatch.undo()
    pair.turn()
    check(pair)
