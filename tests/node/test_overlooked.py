"""What planted bugs showed nobody else would notice (`tests/mutation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lmdb
import pytest

from ironkv import batch
from ironkv.config import SnapshotSection
from ironkv.errors import Fault
from ironkv.machine import Machine
from ironkv.node.compaction import Compaction
from ironkv.node.proposals import Proposals
from ironkv.node.storage import Storage
from ironkv.raft.config import Overloaded
from ironkv.raft.messages import Entry, EntryKind
from ironkv.storage.snapshots import Manifest
from tests.node.virtual import Maker


def test_a_write_in_flight_at_step_down_is_answered(make_cluster: Maker) -> None:
    cluster = make_cluster().boot()
    leader = cluster.elect()
    client = leader.client()
    cluster.isolate(leader.id)
    client.send("SET a 1")
    cluster.advance(5000)
    (reply,) = client.take()
    assert reply.startswith("-UNKNOWN")


def test_what_the_log_has_no_room_for_is_proposed_once() -> None:
    machine = Machine()
    proposals = Proposals(machine, lambda ride, applied: None)
    told: list[Any] = []

    class Asker:
        batch = None
        pending = 0

        @staticmethod
        def settle(replies: list[Any]) -> None:
            told.extend(replies)

    proposals.write(Asker(), [[b"INCR", b"n"]], 0)  # type: ignore[arg-type]
    entries: list[Entry] = []

    def refuse(data: bytes) -> Entry:
        raise Overloaded

    def take(data: bytes) -> Entry:
        entries.append(Entry(len(entries) + 1, 1, EntryKind.BATCH, data))
        return entries[-1]

    proposals.propose(1, refuse)
    proposals.propose(2, take)
    assert [batch.decode(entry.data)[1] for entry in entries] == [[[b"INCR", b"n"]]]
    for entry in entries:
        proposals.apply(entry, Overloaded())
    assert told == [1]
    assert proposals.idle


def test_nothing_is_trimmed_that_a_snapshot_being_sent_needs() -> None:
    compaction = Compaction(SnapshotSection(keep_entries=0, keep_bytes=0), 0.0)
    compaction.advanced(100, 5000)
    compaction.begun(1.0)
    compaction.finished(Manifest(100, 1, 0, 5, b""), 10, 2.0)
    assert compaction.trim_to(1 << 63) == 100
    for keep_tail in (True, False):
        assert compaction.trim_to(40, keep_tail) == 40


def test_an_environment_that_lmdb_gave_up_stops_the_node(make_cluster: Maker) -> None:
    """Nothing could be stored in it any more, so a follower behind the log would never catch up."""
    node = make_cluster().boot().elect()
    told: list[object] = []

    def fail() -> None:
        raise Fault("snapshots could not be written") from lmdb.PanicError("MDB_PANIC")

    class Now:
        """The thread, which works at once."""

        @staticmethod
        def do(work: Callable[[], object], done: Callable[[BaseException | None], None]) -> None:
            try:
                work()
            except Fault as fault:
                done(fault)

    storage = node.storage
    storage._worker, worker = Now(), storage._worker  # type: ignore[assignment]
    Storage.in_thread(storage, fail, told.append)
    storage._worker = worker
    with pytest.raises(Fault, match="Check the disk"):
        node.cluster.turn()
    assert node.faults
    assert not told
