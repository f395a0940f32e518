"""Images of slots: the very same state again, whatever was written while they were taken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from ironkv import images
from ironkv.commands.table import Route, find
from ironkv.errors import CommandError, Fault
from ironkv.imaging import Imaging
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.slots import slot_of
from ironkv.machine import Machine
from tests.commands.compare import written_out
from tests.commands.strategies import GROUPS
from tests.commands.strategies.common import Args

Image = dict[tuple[int, int], list[tuple[int, bytes]]]
STAMP_MS = 1_800_000_000_000
WRITES = st.one_of([st.one_of(group) for group in GROUPS.values()])
MORE = [
    [b"EVAL", b"redis.call('INCR', KEYS[1]) redis.call('HSET', KEYS[2], 'f', 'v')", b"2", b"k1", b"k2"],
    [b"SCRIPT", b"LOAD", b"return 1"], [b"SCRIPT", b"FLUSH"],
    [b"FLUSHALL"], [b"FLUSHDB"], [b"SWAPDB", b"0", b"1"], [b"MOVE", b"k1", b"1"],
    [b"PEXPIRE", b"k1", b"1500"], [b"PEXPIRE", b"k2", b"3000"], [b"COPY", b"k1", b"k2", b"DB", b"1"],
]  # fmt: skip


class Replica:
    """A machine that is given commands, an entry each."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.stamp_ms = STAMP_MS

    @property
    def keyspace(self) -> Keyspace:
        return self.machine.keyspace

    def write(self, args: list[bytes], database: int = 0, after_ms: int = 1) -> list[Any]:
        """The reply; a command that is refused before it is logged does nothing."""
        self.stamp_ms += after_ms
        try:
            row = find(args)
            if row.route is not Route.WRITE:
                return []
            if row.check is not None:
                row.check(args)
        except CommandError:
            return []
        command = [row.wire_name, *args[1:]]
        replies = self.machine.run(
            self.machine.applied + 1, self.stamp_ms, [database, command], lambda ride: None
        )
        return [str(each) if isinstance(each, CommandError) else each for each in replies]

    def digest(self) -> bytes:
        return images.digest_of_keyspace(self.keyspace)


def restored(image: Image, beside: bytes, of: Imaging, index: int) -> Replica:
    """A replica that begins with what an imaging saw."""
    replica = Replica()
    for (database, _), found in image.items():
        by_slot: dict[int, list[bytes]] = {}
        for slot, part in found:
            by_slot.setdefault(slot, []).append(part)
        for slot, parts in by_slot.items():
            images.load(replica.keyspace.database(database), slot, parts)
    images.load_extras(replica.keyspace, beside)
    replica.keyspace.advance(of.stamp_ms)
    replica.keyspace.entry = index
    replica.machine.applied = index
    return replica


def taken(walk: Iterator[Any], image: Image, most: int = 1 << 60) -> None:
    """Go on with a walk for `most` steps."""
    for _, (group, found) in zip(range(most), walk, strict=False):
        image.setdefault(group, [])
        if found is not None:
            image[group] += zip(found[::2], found[1::2], strict=True)


@settings(max_examples=150)
@given(
    before=st.lists(WRITES, max_size=25),
    during=st.lists(st.one_of(WRITES, st.sampled_from(MORE)), max_size=25),
    after=st.lists(WRITES, max_size=15),
    seed=st.integers(0, 1 << 30),
)
def test_a_replica_restored_from_images_goes_on_alike(
    before: list[Args], during: list[Args], after: list[Args], seed: int
) -> None:
    chance = random.Random(seed)
    one = Replica()
    log: list[tuple[list[bytes], int, int]] = []
    for place, words in enumerate(before):
        one.write(written_out(words, place), chance.choice((0, 0, 1)), chance.choice((1, 1, 700)))
    digest, index, stamp_ms = one.digest(), one.machine.applied, one.stamp_ms
    imaging = Imaging(one.keyspace)
    walk, image = imaging.walk(), Image()
    answers = []
    for place, words in enumerate(during):
        taken(walk, image, chance.choice((0, 0, 1, 50, 2_000)))
        log.append((written_out(words, place), chance.choice((0, 0, 1)), chance.choice((1, 1, 700))))
        answers.append((one.write(*log[-1]), one.digest()))
    taken(walk, image)
    assert one.keyspace.imager is None
    other = restored(image, imaging.extras, imaging, index)
    other.stamp_ms = stamp_ms
    assert other.digest() == digest
    for command, expected in zip(log, answers, strict=True):
        note(f"{command}")
        assert (other.write(*command), other.digest()) == expected
    for place, words in enumerate(after):
        assert one.write(written_out(words, place)) == other.write(written_out(words, place))
    assert one.digest() == other.digest()


@settings(max_examples=100)
@given(st.lists(st.one_of(WRITES, st.sampled_from(MORE)), max_size=40), st.integers(0, 1 << 30))
def test_whatever_changes_is_marked_as_changed(sequence: list[Args], seed: int) -> None:
    """An image that is not taken again is still true."""
    chance = random.Random(seed)
    replica = Replica()
    held: Image = {}
    for place, words in enumerate(sequence):
        replica.write(written_out(words, place), chance.choice((0, 1)), chance.choice((1, 700)))
        if chance.random() < 0.4:
            imaging = Imaging(replica.keyspace)
            changed: Image = {}
            taken(imaging.walk(), changed)
            held |= changed
            again = restored(held, imaging.extras, imaging, replica.machine.applied)
            assert again.digest() == replica.digest()


def test_an_abandoned_imaging_is_made_up_for() -> None:
    replica = Replica()
    replica.write([b"SET", b"a", b"1"])
    imaging = Imaging(replica.keyspace)
    next(imaging.walk())
    imaging.abandon()
    assert replica.keyspace.imager is None
    assert Imaging(replica.keyspace).groups == [(0, slot_of(b"a") // images.GROUP_SLOTS)]


BIG: dict[str, list[bytes]] = {
    "a long string": [b"SET", b"k", random.Random(1).randbytes(3 * images.PART_BYTES + 5)],
    "a hash": [b"HSET", b"k", *(b"%d" % n for n in range(40_000))],
    "a hash of long values": [b"HSET", b"k", *(b"%d" % n * 20_000 for n in range(60))],
    "a list": [b"RPUSH", b"k", *(b"%d" % (n % 7) for n in range(40_000))],
    "a set of numbers": [b"SADD", b"k", *(b"%d" % n for n in range(400))],
    "a set": [b"SADD", b"k", *(b"m%d" % n for n in range(40_000))],
    "a sorted set": [b"ZADD", b"k", *(b"%d" % (n * 7 % 1000) for n in range(40_000))],
}


@pytest.mark.parametrize("what", BIG)
def test_a_large_value_is_cut_into_parts(what: str) -> None:
    replica = Replica()
    replica.write([b"SET", b"{k}before", b"x"])
    replica.write(BIG[what])
    replica.write([b"PEXPIRE", b"k", b"100000"])
    replica.write([b"SET", b"{k}behind", b"x"])
    digest, index = replica.digest(), replica.machine.applied
    imaging, image = Imaging(replica.keyspace), Image()
    walk = imaging.walk()
    taken(walk, image, 2)
    replica.write([b"DEL", b"k", b"{k}before"])
    taken(walk, image)
    parts = [part for group in image.values() for _, part in group]
    assert max(map(len, parts)) < 2 * images.PART_BYTES
    again = restored(image, imaging.extras, imaging, index)
    assert again.digest() == digest
    assert list(again.keyspace.database(0).live(slot_of(b"k"))) == [b"{k}before", b"k", b"{k}behind"]
    assert again.keyspace.database(0).deadline(b"k") is not None


@given(st.binary(max_size=200))
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    keyspace = Keyspace()
    try:
        images.load(keyspace.database(0), 0, [data])
    except Fault:
        return
    assert images.load(Keyspace().database(0), 0, [data]) is None


@pytest.mark.parametrize("other", [0, 1])
@pytest.mark.parametrize("steps", [1, 3])
def test_a_slot_in_the_middle_of_its_image_keeps_all_of_it_over_a_swap(other: int, steps: int) -> None:
    """A slot of many parts is being walked, is written to, moved by SWAPDB, and written to again."""
    replica = Replica()
    for number in range(0, 12_000, 1_000):
        pairs = [b"{t}%d" % n for n in range(number, number + 1_000)]
        replica.write([b"MSET", *(word for key in pairs for word in (key, b"v" * 100))])
    digest, index = replica.digest(), replica.machine.applied
    imaging, image = Imaging(replica.keyspace), Image()
    walk = imaging.walk()
    taken(walk, image, steps)
    replica.write([b"SET", b"{t}1", b"changed"])
    replica.write([b"SWAPDB", b"0", b"%d" % other])
    replica.write([b"DEL", b"{t}2", b"{t}11999"], other)
    replica.write([b"SWAPDB", b"0", b"%d" % other])
    replica.write([b"SET", b"{t}3", b"changed"])
    taken(walk, image)
    assert restored(image, imaging.extras, imaging, index).digest() == digest
    # And what has changed since is marked: the next snapshot holds the state of now.
    later, more = Imaging(replica.keyspace), Image()
    taken(later.walk(), more)
    again = restored({**image, **more}, later.extras, later, replica.machine.applied)
    assert again.digest() == replica.digest()
