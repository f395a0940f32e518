"""The log: memory in front, the journal behind, and what a write vouches for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv.errors import Fault
from ironkv.raft.log import ENTRY_OVERHEAD, Log
from ironkv.raft.messages import Entry, EntryKind, Mark, Persist
from tests.sim.disk import Disk


def entries(first: int, *terms: int, size: int = 0) -> list[Entry]:
    return [Entry(first + i, term, EntryKind.BATCH, b"x" * size) for i, term in enumerate(terms)]


def stored(*terms: int, size: int = 0) -> Disk:
    disk = Disk()
    disk.log = entries(1, *terms, size=size)
    return disk


def write(log: Log, disk: Disk) -> None:
    """One journal write, from start to end."""
    reset, entries = log.begin_write()
    disk.begin(Persist(Mark(0, 9, log.last_index), 9, None, 0, entries, reset=reset))
    disk.finish()
    log.end_write()


def test_starts_where_the_journal_ends() -> None:
    log = Log(stored(1, 1, 2), commit=2, applied=1)
    assert (log.last_index, log.last_term, log.durable, log.commit, log.handed) == (3, 2, 3, 2, 1)


def test_the_commit_hint_never_reaches_beyond_the_log() -> None:
    assert Log(stored(1, 1), commit=9, applied=0).commit == 2


@pytest.mark.parametrize("applied", [3, -1])
def test_a_state_that_does_not_fit_the_journal_is_a_fault(applied: int) -> None:
    with pytest.raises(Fault, match="do not belong together"):
        Log(stored(1, 1), commit=0, applied=applied)


def test_a_write_vouches_for_what_is_still_there() -> None:
    log = Log(stored(1, 1), commit=2, applied=2)
    log.append(entries(3, 1, 1, 1))
    log.begin_write()
    log.merge(entries(4, 2, 2))
    log.end_write()
    assert (log.durable, log.written, log.last_index) == (3, 3, 5)
    assert [entry.term for entry in log.begin_write()[1]] == [2, 2]
    log.end_write()
    assert log.durable == 5


def test_durable_falls_when_durable_entries_are_replaced() -> None:
    log = Log(stored(1, 1, 1), commit=1, applied=1)
    log.merge(entries(2, 2))
    assert (log.durable, log.last_index, log.term(2)) == (1, 2, 2)


def test_a_snapshot_that_fits_keeps_what_lies_behind_it() -> None:
    log = Log(stored(1, 1), commit=1, applied=1)
    log.append(entries(3, 1, 2, 2))
    assert not log.install(4, 2)
    assert (log.commit, log.handed, log.last_index, log.durable) == (4, 4, 5, 2)
    reset, written = log.begin_write()
    assert (reset, [entry.index for entry in written]) == (None, [3, 4, 5])


@pytest.mark.parametrize("snapshot", [(4, 3), (9, 2)], ids=["another term", "beyond the end"])
def test_a_snapshot_that_does_not_fit_replaces_the_log(snapshot: tuple[int, int]) -> None:
    index, term = snapshot
    log = Log(stored(1, 1, 2, 2, 2), commit=1, applied=1)
    log.append(entries(6, 2))
    log.begin_write()
    assert log.install(index, term)
    assert (log.first_index, log.last_index, log.last_term) == (index + 1, index, term)
    assert (log.commit, log.handed, log.durable) == (index, index, 1)
    assert log.matches(index, term)
    assert not log.knows(index - 1)
    log.end_write()
    assert log.durable == 1, "the write under way was of the log that is gone"
    log.append(entries(index + 1, 3))
    reset, written = log.begin_write()
    assert reset == snapshot
    assert [entry.index for entry in written] == [index + 1]
    log.append(entries(index + 2, 3))
    assert log.begin_write()[0] is None, "said once"
    log.end_write()


def test_a_later_snapshot_is_not_taken_for_the_one_being_written() -> None:
    log = Log(stored(), commit=0, applied=0)
    log.install(5, 1)
    assert log.begin_write() == ((5, 1), ())
    log.install(9, 2)
    log.end_write()
    assert (log.durable, log.first_index, log.term(9)) == (0, 10, 2)
    assert log.begin_write() == ((9, 2), ())
    log.end_write()
    assert log.durable == 9


def test_the_last_agreement_may_lie_before_all_that_is_known() -> None:
    disk = stored(1, 1, 3, 3, 4)
    disk.compact(3)
    log = Log(disk, commit=3, applied=3)
    assert log.last_with_term_up_to(9, 9) == 5
    assert log.last_with_term_up_to(3, 9) == 4
    assert log.last_with_term_up_to(2, 9) == 2, "entry 3 is of a later term"
    assert log.last_with_term_up_to(2, 3) == 2
    assert log.last_with_term_up_to(9, 1) == 1


def test_a_committed_entry_is_never_replaced() -> None:
    log = Log(stored(1, 1, 1), commit=2, applied=0)
    with pytest.raises(Fault, match="committed"):
        log.merge(entries(2, 2))


def test_a_repeat_cuts_nothing() -> None:
    log = Log(stored(), commit=0, applied=0)
    log.append(entries(1, 1, 1, 1))
    log.merge(entries(1, 1))
    assert log.last_index == 3


@pytest.mark.parametrize(
    ("term", "high", "found"),
    [(9, 99, 8), (9, 5, 5), (4, 99, 5), (3, 99, 3), (2, 99, 3), (1, 99, 2), (0, 99, 0), (2, 1, 1), (2, 0, 0)],
)
def test_last_with_term_up_to(term: int, high: int, found: int) -> None:
    assert Log(stored(1, 1, 2, 4, 4, 5, 5, 6), commit=0, applied=0).last_with_term_up_to(term, high) == found


def test_slices_are_cut_by_bytes_but_never_empty() -> None:
    log = Log(stored(1, 1, size=100), commit=0, applied=0)
    log.append(entries(3, 1, 1, 1, size=100))
    one = 100 + ENTRY_OVERHEAD
    assert [entry.index for entry in log.slice(3, 5, 2 * one)] == [3, 4]
    assert [entry.index for entry in log.slice(3, 5, 2 * one + 1)] == [3, 4]
    assert [entry.index for entry in log.slice(3, 5, 1)] == [3]
    assert [entry.index for entry in log.slice(1, 5, 9999)] == [1, 2]  # one source at a time
    assert [entry.index for entry in log.slice(1, 5, 1)] == [1]
    assert [entry.index for entry in log.slice(4, 4, 9999)] == [4]


def test_committed_entries_are_handed_out_once_in_slices() -> None:
    log = Log(stored(1, 1, size=100), commit=2, applied=0)
    log.append(entries(3, 1, 1, size=100))
    log.commit = 4
    handed = []
    while batch := log.hand_out(1):
        handed.append([entry.index for entry in batch])
    assert handed == [[1], [2], [3], [4]]


def test_memory_keeps_what_is_not_durable_or_not_handed_out() -> None:
    disk = stored()
    log = Log(disk, commit=0, applied=0)
    log.append(entries(1, 1, 1, 1, 1, size=100))
    log.trim(0)
    assert log.term(1) == 1  # from memory: the disk has nothing
    write(log, disk)
    log.commit = 3
    log.hand_out(9999)
    log.trim(0)
    disk.log[0] = Entry(1, 77, EntryKind.BATCH, b"")
    assert log.term(1) == 77  # from the disk
    assert [entry.index for entry in log.slice(1, 4, 9999)] == [1, 2, 3]
    assert [entry.index for entry in log.slice(4, 4, 9999)] == [4]


@given(st.data())
def test_behaves_like_a_list(data: st.DataObject) -> None:
    """Whatever is appended, replaced, written and trimmed: reading gives what a plain list would hold."""
    disk = Disk()
    log, model, term = Log(disk, 0, 0), [], 1
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.sampled_from(("append", "conflict", "write", "commit", "trim"))):
            case "append":
                new = entries(log.last_index + 1, *[term] * data.draw(st.integers(1, 3)), size=10)
                log.append(new)
                model += new
            case "conflict":
                at = data.draw(st.integers(log.commit, log.last_index))
                term += 1
                new = entries(at + 1, term, term)
                log.merge(new)
                model[at:] = new
            case "write":
                write(log, disk)
                assert disk.log == model
            case "commit":
                log.commit = data.draw(st.integers(log.commit, log.last_index))
                while log.hand_out(50):
                    pass
            case "trim":
                log.trim(data.draw(st.integers(0, 300)))
        assert log.last_index == len(model)
        assert [log.term(i + 1) for i in range(len(model))] == [entry.term for entry in model]
        read: list[Entry] = []
        while len(read) < len(model):
            read += log.slice(len(read) + 1, len(model), 200)
        assert read == model
