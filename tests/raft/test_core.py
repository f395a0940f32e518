"""What reads better as plain calls than as a story."""

from __future__ import annotations

import random

import pytest

from ironkv.errors import Fault
from ironkv.raft.config import HardState, RaftConfig
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Append, Entry, EntryKind, Message, ReadIndex, Role
from tests.sim.disk import Disk

THREE = frozenset({"a", "b", "c"})


def follower(seed: int) -> RaftCore:
    """A fresh node "a" that has heard from leader "b" in term 1."""
    core = RaftCore(RaftConfig("a", THREE), HardState(), Disk(), random.Random(seed), 0.0)
    core.step(Append("b", "a", 1, 0, 0, 0, 1, ()), 1.0)
    return core


def messages(core: RaftCore, now: float) -> list[Message]:
    ready = core.ready(now)
    return list(ready.messages) if ready is not None else []


def alone(**limits: int) -> tuple[RaftCore, Disk]:
    """A cluster of one that leads."""
    disk = Disk()
    config = RaftConfig("a", frozenset("a"), **limits)
    core = RaftCore(config, HardState(), disk, random.Random(1), 0.0)
    turn(core, disk)
    assert core.role is Role.LEADER
    return core, disk


def turn(core: RaftCore, disk: Disk) -> list[Entry]:
    """All that is to be done, with a disk that takes no time; what was handed out."""
    committed: list[Entry] = []
    while (ready := core.ready(0.0)) is not None:
        committed += ready.committed
        if ready.persist is not None:
            disk.begin(ready.persist)
            core.persisted(disk.finish().mark, 0.0)
    return committed


def test_questions_of_another_life_have_other_ids() -> None:
    """Else an answer to the last life's read, still under way, would be taken for this life's."""
    ids = []
    for life in (1, 2):
        core = follower(life)
        core.read(7, 2.0)
        ids += [message.read_id for message in messages(core, 2.0) if isinstance(message, ReadIndex)]
    assert len(set(ids)) == 2
    assert all(0 < read_id < 1 << 63 for read_id in ids), "must fit a signed 64-bit integer on the wire"


def test_the_same_inputs_give_the_same_outputs() -> None:
    def run() -> list[object]:
        core = follower(3)
        out: list[object] = []
        for now in range(0, 3000, 7):
            core.tick(float(now))
            out += [core.ready(float(now)), core.next_wakeup()]
        return out

    assert run() == run()


def test_memory_keeps_a_tail_only() -> None:
    core, disk = alone(tail_bytes=10_000)
    for _ in range(1000):
        core.propose(b"x" * 100, 0.0)
        turn(core, disk)
    assert core.commit == 1001
    assert core._log._tail_bytes <= 10_000
    assert len(core._log._tail) < 60


def test_everything_is_handed_out_once_however_small_the_slices() -> None:
    core, disk = alone(apply_bytes=1)
    for _ in range(50):
        core.propose(b"x", 0.0)
    assert [entry.index for entry in turn(core, disk)] == list(range(2, 52))


def test_a_proposal_says_where_it_went() -> None:
    core, _ = alone()
    assert core.propose(b"x", 0.0) == Entry(2, 1, EntryKind.BATCH, b"x")


def test_two_leaders_in_a_term_are_a_fault() -> None:
    core, _ = alone()
    other = RaftCore(RaftConfig("a", THREE), HardState(), Disk(), random.Random(1), 0.0)
    other._lead = core._lead  # it cannot come about honestly
    other._hard.set(1, "a")
    with pytest.raises(Fault, match="two leaders"):
        other.step(Append("b", "a", 1, 0, 0, 0, 1, ()), 1.0)


def test_a_leader_that_contradicts_what_was_committed_is_a_fault() -> None:
    disk = Disk()
    disk.log = [Entry(1, 1, EntryKind.BATCH, b""), Entry(2, 1, EntryKind.BATCH, b"")]
    core = RaftCore(RaftConfig("a", THREE), HardState(1, None, 2), disk, random.Random(1), 0.0)
    with pytest.raises(Fault, match="committed"):
        core.step(Append("b", "a", 2, 2, 9, 0, 1, ()), 1.0)


def test_a_malformed_append_changes_nothing() -> None:
    core = follower(1)
    gap = (Entry(1, 1, EntryKind.BATCH, b""), Entry(3, 1, EntryKind.BATCH, b""))
    core.step(Append("b", "a", 1, 0, 0, 0, 1, gap), 2.0)
    assert core.last_index == 0


def test_a_follower_that_needs_compacted_entries_is_kept_loyal() -> None:
    """Until a snapshot comes it is not caught up, but neither does it disturb."""
    disk = Disk()
    disk.base_index, disk.base_term = 10, 1
    core = RaftCore(RaftConfig("a", THREE), HardState(1, None, 10), disk, random.Random(1), 0.0, applied=10)
    other = RaftCore(RaftConfig("b", THREE), HardState(1), Disk(), random.Random(2), 0.0)
    cores, disks, now = {"a": core, "b": other}, {"a": disk, "b": other._log._stored}, 0.0
    while now < 3000:
        now += 5
        for each in cores.values():
            each.tick(now)
        for _ in range(20):
            for name, each in cores.items():
                while (ready := each.ready(now)) is not None:
                    for message in ready.messages:
                        if message.to in cores:
                            cores[message.to].step(message, now)
                    if ready.persist is not None:
                        store = disks[name]
                        assert isinstance(store, Disk)
                        store.begin(ready.persist)
                        each.persisted(store.finish().mark, now)
    assert core.role is Role.LEADER
    assert other.leader == "a"
    assert core.stranded() == ("b",)
    assert other.last_index == 0
