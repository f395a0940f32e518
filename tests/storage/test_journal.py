"""The journal: what was reported durable is there again, and what is not right is not believed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ironkv.errors import Fault
from ironkv.raft.messages import Entry, EntryKind, Mark, Persist
from ironkv.storage import codec
from ironkv.storage.journal import Journal, JournalWriter

MAP = 16 << 20


def entries(first: int, last: int, term: int = 1, data: bytes = b"data") -> tuple[Entry, ...]:
    return tuple(Entry(i, term, EntryKind.BATCH, b"%b %d" % (data, i)) for i in range(first, last + 1))


def persist(*new: Entry, term: int = 1, vote: str | None = None, commit: int = 0) -> Persist:
    return Persist(Mark(1, term, new[-1].index if new else 0), term, vote, commit, new)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    path.mkdir(exist_ok=True)
    journal = Journal(path, MAP)
    yield journal
    journal.close()


def reopen(journal: Journal) -> Journal:
    journal.close()
    journal.__init__(journal.path, MAP)  # type: ignore[misc]
    return journal


def held(journal: Journal) -> list[Entry]:
    return list(journal.replay())


def change(path: Path, table: bytes, key: bytes, value: bytes | None) -> None:
    """Put something into a journal that is not open."""
    with lmdb.open(str(path), map_size=MAP, max_dbs=2) as env:
        db = env.open_db(table)
        with env.begin(write=True, db=db) as txn:
            txn.delete(key) if value is None else txn.put(key, value)


def records(path: Path) -> list[tuple[bytes, bytes, bytes]]:
    found = []
    with lmdb.open(str(path), map_size=MAP, max_dbs=2) as env:
        for table in (b"entries", b"node"):
            with env.begin(db=env.open_db(table)) as txn:
                found += [(table, key, value) for key, value in txn.cursor()]
    return found


def test_a_new_journal_is_empty(journal: Journal) -> None:
    assert (journal.first_index, journal.last_index, journal.term_now, journal.commit) == (1, 0, 0, 0)
    assert journal.voted_for is None
    assert journal.term(0) == 0
    assert held(journal) == []


def test_what_was_written_is_there_again(journal: Journal) -> None:
    journal.write(persist(*entries(1, 3), term=2, vote="node2", commit=1))
    journal.write(persist(*entries(4, 4, term=2), term=2, vote="node2", commit=2))
    for _ in range(2):
        assert held(journal) == [*entries(1, 3), *entries(4, 4, term=2)]
        assert [journal.term(i) for i in range(5)] == [0, 1, 1, 1, 2]
        assert (journal.first_index, journal.last_index) == (1, 4)
        reopen(journal)
        assert (journal.term_now, journal.voted_for) == (2, "node2")
    with pytest.raises(KeyError):
        journal.term(5)


def test_term_and_vote_alone(journal: Journal) -> None:
    journal.write(persist(term=7, vote="nöde"))
    reopen(journal)
    assert (journal.term_now, journal.voted_for, journal.last_index) == (7, "nöde", 0)
    journal.write(persist(term=8))
    reopen(journal)
    assert (journal.term_now, journal.voted_for) == (8, None)


@pytest.mark.parametrize("first", [1, 2, 5, 6])
def test_a_conflicting_tail_is_replaced(journal: Journal, first: int) -> None:
    journal.write(persist(*entries(1, 5)))
    new = entries(first, first + 1, term=2, data=b"new")
    journal.write(persist(*new, term=2))
    for _ in range(2):
        assert held(journal) == [*entries(1, first - 1), *new]
        assert journal.last_index == first + 1
        reopen(journal)
    journal.write(persist(*entries(first + 2, first + 3, term=2), term=2))
    assert [entry.index for entry in held(journal)] == list(range(1, first + 4))


def test_a_shorter_log_may_replace_a_longer_one(journal: Journal) -> None:
    journal.write(persist(*entries(1, 100)))
    journal.write(persist(*entries(2, 2, term=2), term=2))
    reopen(journal)
    assert held(journal) == [*entries(1, 1), *entries(2, 2, term=2)]


def test_entries_that_leave_a_gap_are_refused_and_nothing_follows(journal: Journal) -> None:
    journal.write(persist(*entries(1, 2)))
    with pytest.raises(Fault, match="do not join"):
        journal.write(persist(*entries(4, 4)))
    with pytest.raises(Fault, match="failed before"):
        journal.write(persist(*entries(3, 3)))
    reopen(journal)
    assert held(journal) == list(entries(1, 2))


def test_entries_out_of_order_are_not_reported_durable(journal: Journal) -> None:
    one, two, three = entries(1, 3)
    with pytest.raises(Fault):
        journal.write(persist(one, three, two))
    reopen(journal)
    assert held(journal) == []


def test_term_vote_and_entries_are_one(journal: Journal) -> None:
    """A write that fails at its last entry has changed nothing at all (J3)."""
    journal.write(persist(*entries(1, 2), term=1, vote="node1"))
    with pytest.raises(Fault):
        journal.write(persist(*entries(2, 3, term=2), entries(2, 2)[0], term=2, vote="node2"))
    reopen(journal)
    assert (journal.term_now, journal.voted_for) == (1, "node1")
    assert held(journal) == list(entries(1, 2))


def test_parts_are_read_by_size(journal: Journal) -> None:
    journal.write(persist(*entries(1, 10)))
    size = len(entries(1, 1)[0].data)
    assert journal.entries(3, 9, 1) == list(entries(3, 3))
    assert journal.entries(3, 9, 3 * size) == list(entries(3, 5))
    assert journal.entries(3, 5, 1 << 30) == list(entries(3, 5))
    assert journal.entries(10, 10, 1) == list(entries(10, 10))


def test_a_large_log_is_replayed_in_parts(journal: Journal) -> None:
    large = [Entry(i, 1, EntryKind.BATCH, bytes([i]) * (1 << 20)) for i in range(1, 10)]
    journal.write(persist(*large))
    assert held(journal) == large


# -- damage


def test_every_flipped_byte_is_noticed(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 3), term=2, vote="node2", commit=1))
    journal.write(persist(Entry(4, 2, EntryKind.NOOP, b""), term=2, vote="node3", commit=3))
    journal.close()
    for table, key, value in records(path):
        for place in range(len(value)):
            for mask in (0x01, 0x80, 0xFF):
                damaged = bytearray(value)
                damaged[place] ^= mask
                change(path, table, key, bytes(damaged))
                _must_not_be_believed(path)
        change(path, table, key, value)
    reopen(journal)
    assert len(held(journal)) == 4


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 13, 14])
def test_records_cut_short_are_noticed(journal: Journal, path: Path, length: int) -> None:
    journal.write(persist(*entries(1, 3), term=2, vote="node2"))
    journal.close()
    for table, key, value in records(path):
        change(path, table, key, value[:length])
        _must_not_be_believed(path)
        change(path, table, key, value)
    reopen(journal)


def test_records_that_change_places_are_noticed(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 4, data=b"same")))
    journal.close()
    found = [record for record in records(path) if record[0] == b"entries"]
    for one in found:
        for other in found:
            if one is not other:
                change(path, b"entries", one[1], other[2])
                _must_not_be_believed(path)
        change(path, b"entries", one[1], one[2])
    reopen(journal)


def test_a_missing_record_is_noticed(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 4), commit=4))
    journal.close()
    for table, key, value in records(path):
        change(path, table, key, None)
        _must_not_be_believed(path)
        change(path, table, key, value)
    reopen(journal)


def test_a_key_that_is_no_index_is_noticed(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 2)))
    journal.close()
    change(path, b"entries", b"zzz", b"what is this")
    _must_not_be_believed(path)
    change(path, b"entries", b"zzz", None)
    reopen(journal)


def test_entries_of_another_log_are_noticed(journal: Journal, path: Path, tmp_path: Path) -> None:
    journal.write(persist(*entries(1, 4)))
    journal.close()
    (tmp_path / "other").mkdir()
    other = Journal(tmp_path / "other", MAP)
    other.write(persist(*entries(1, 4, data=b"other")))
    other.close()
    for table, key, value in records(tmp_path / "other"):
        if table == b"entries" and codec.index_of(key) > 1:
            change(path, table, key, value)
            _must_not_be_believed(path)
    for table, key, value in records(tmp_path / "other"):
        change(path, table, key, value)
    reopen(journal)
    assert held(journal) == list(entries(1, 4, data=b"other"))


def test_a_later_format_is_named(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 1)))
    journal.close()
    hard = b"\x03" + bytes(17)
    change(path, b"node", b"hard", codec._CRC.pack(codec.crc32(hard)) + hard)
    with pytest.raises(Fault, match="format 3"):
        Journal(path, MAP)
    change(path, b"node", b"hard", codec.encode_hard(codec.Hard(1)))
    reopen(journal)


def test_a_file_that_is_no_journal(path: Path) -> None:
    path.mkdir()
    (path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(Fault, match="cannot be opened"):
        Journal(path, MAP)


def _must_not_be_believed(path: Path) -> None:
    with pytest.raises(Fault, match=r".{20}"):
        _read_all(path)


def _read_all(path: Path) -> None:
    journal = Journal(path, MAP)
    try:
        held(journal)
    finally:
        journal.close()


# -- a model


writes = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 5), st.booleans(), st.binary(max_size=20)), max_size=12
)


@settings(max_examples=40)
@given(writes)
def test_against_a_list(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool, bytes]]
) -> None:
    """Any sequence of appends, replacements and restarts (J1, J2)."""
    path = tmp_path_factory.mktemp("model")
    journal, model, term = Journal(path, MAP), list[Entry](), 1
    for back, count, again, data in steps:
        first = max(1, len(model) + 1 - back)
        term += first <= len(model)
        new = [Entry(i, term, EntryKind.BATCH, data) for i in range(first, first + count)]
        if new:
            model[first - 1 :] = new
        journal.write(persist(*new, term=term, vote=f"node{count}"))
        if again:
            reopen(journal)
            assert (journal.term_now, journal.voted_for) == (term, f"node{count}")
        assert held(journal) == model
        assert [journal.term(entry.index) for entry in model] == [entry.term for entry in model]
    journal.close()
    shutil.rmtree(path)


# -- a journal that is full, and the thread that writes


def test_a_full_journal_stops_with_a_message_and_keeps_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    journal = Journal(tmp_path / "small", 1 << 20)
    last = 0
    fault = ""
    while not fault:
        try:
            journal.write(persist(Entry(last + 1, 1, EntryKind.BATCH, bytes(100_000))))
            last += 1
        except Fault as error:
            fault = str(error)
    assert "map size" in fault
    assert "journal.map_size" in fault
    with pytest.raises(Fault, match="no write may follow"):
        journal.write(persist(term=1))
    journal.close()
    larger = Journal(tmp_path / "small", 4 << 20)
    assert larger.last_index == last
    larger.write(persist(Entry(last + 1, 1, EntryKind.BATCH, bytes(100_000))))
    assert len(held(larger)) == last + 1
    larger.close()


def test_the_writer_reports_in_order_and_ends_after_the_last(journal: Journal) -> None:
    reported: list[tuple[int, BaseException | None]] = []
    writer = JournalWriter(journal, pytest.fail)
    for index in range(1, 21):
        writer.write(persist(*entries(index, index)), lambda error, i=index: reported.append((i, error)))  # type: ignore[misc]
    writer.close()
    assert reported == [(index, None) for index in range(1, 21)]
    assert journal.last_index == 20


def test_after_a_failed_write_the_writer_refuses_all_others(journal: Journal) -> None:
    errors: list[BaseException | None] = []
    done = Event()
    writer = JournalWriter(journal, pytest.fail)
    writer.write(persist(*entries(5, 5)), errors.append)
    writer.write(persist(*entries(1, 1)), errors.append)
    writer.write(persist(), lambda error: (errors.append(error), done.set())[0])
    assert done.wait(30)
    writer.close()
    assert [type(error) for error in errors] == [Fault] * 3
    reopen(journal)
    assert journal.last_index == 0


def test_readers_do_not_disturb_the_writer(journal: Journal) -> None:
    """Entries are read in the loop's thread while the journal's thread writes."""
    writer = JournalWriter(journal, pytest.fail)
    durable = [0]

    def done(last: int) -> None:
        durable[0] = last

    for index in range(1, 201):
        writer.write(persist(*entries(index, index)), lambda _, i=index: done(i))  # type: ignore[misc]
        known = durable[0]
        if known:
            assert journal.entries(1, known, 1 << 20) == list(entries(1, known))
    writer.close()
    assert held(journal) == list(entries(1, 200))


# -- trimming


def test_what_is_trimmed_is_gone_and_the_rest_verifies(journal: Journal) -> None:
    journal.write(persist(*entries(1, 500)))
    journal.trim_to(300)
    assert (journal.first_index, journal.last_index) == (301, 500), "seen at once"
    assert journal.term(300) == 1
    assert held(journal) == list(entries(301, 500))
    while journal.trimming:
        journal.trim(100)
    reopen(journal)
    assert (journal.first_index, journal.last_index) == (301, 500)
    assert journal.term(300) == 1
    assert held(journal) == list(entries(301, 500))


def test_a_trim_that_was_not_finished_goes_on_from_where_it_was(journal: Journal) -> None:
    journal.write(persist(*entries(1, 500)))
    journal.trim_to(300)
    journal.trim(100)
    reopen(journal)
    assert journal.first_index == 101
    assert held(journal) == list(entries(101, 500))
    journal.trim_to(300)
    assert held(journal) == list(entries(301, 500))


def test_trimming_rides_along_with_writes(journal: Journal) -> None:
    journal.write(persist(*entries(1, 500)))
    journal.trim_to(400)
    index = 500
    while journal.trimming:
        index += 1
        journal.write(persist(*entries(index, index)))
    assert index < 510
    reopen(journal)
    assert held(journal) == list(entries(401, index))


def test_all_may_be_trimmed(journal: Journal) -> None:
    journal.write(persist(*entries(1, 5)))
    journal.trim_to(5)
    journal.trim()
    reopen(journal)
    assert (journal.first_index, journal.last_index, journal.term(5)) == (6, 5, 1)
    journal.write(persist(*entries(6, 7, term=2), term=2))
    reopen(journal)
    assert held(journal) == list(entries(6, 7, term=2))


def test_what_is_not_there_is_not_trimmed(journal: Journal) -> None:
    journal.write(persist(*entries(1, 5)))
    journal.trim_to(3)
    for index in (0, 2, 3, 6, 1000):
        journal.trim_to(index)
    assert journal.first_index == 4


def test_a_tail_behind_the_base_is_replaced(journal: Journal) -> None:
    journal.write(persist(*entries(1, 5)))
    journal.trim_to(3)
    journal.trim()
    journal.write(persist(*entries(4, 4, term=2), term=2))
    assert held(journal) == list(entries(4, 4, term=2))
    reopen(journal)
    assert held(journal) == list(entries(4, 4, term=2))


def test_behind_a_snapshot_everything_begins_anew(journal: Journal) -> None:
    journal.write(persist(*entries(1, 50), term=3, vote="a"))
    journal.write(Persist(Mark(2, 3, 101), 3, "a", 100, entries(101, 101, term=3), False, (100, 3)))
    for _ in range(2):
        assert (journal.first_index, journal.last_index, journal.term(100)) == (101, 101, 3)
        assert held(journal) == list(entries(101, 101, term=3))
        reopen(journal)
    assert (journal.term_now, journal.voted_for, journal.commit) == (3, "a", 100)


def test_reset_at_start_keeps_the_promise(journal: Journal) -> None:
    journal.write(persist(*entries(1, 5), term=3, vote="a"))
    reopen(journal)
    journal.reset(100, 2, fresh=False)
    reopen(journal)
    assert (journal.first_index, journal.last_index, journal.term(100)) == (101, 100, 2)
    assert (journal.term_now, journal.voted_for, journal.commit) == (3, "a", 100)
    journal.reset(200, 7, fresh=False)
    reopen(journal)
    assert (journal.term_now, journal.voted_for, journal.commit) == (7, None, 200)


def test_a_fresh_node_stays_fresh_until_it_says_otherwise(journal: Journal) -> None:
    assert journal.hard is None
    journal.write(Persist(Mark(1, 1, 0), 1, None, 0, (), True))
    reopen(journal)
    assert journal.hard is not None
    assert journal.hard.fresh
    journal.write(Persist(Mark(1, 1, 0), 1, "a", 0, (), False))
    reopen(journal)
    assert not journal.hard.fresh


def test_the_layout_before_flags_is_read(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 3)))
    journal.close()
    hard = b"\x01" + (7).to_bytes(8, "little") + (2).to_bytes(8, "little") + b"node2"
    change(path, b"node", b"hard", codec._CRC.pack(codec.crc32(hard)) + hard)
    journal.__init__(path, MAP)  # type: ignore[misc]
    assert journal.hard == codec.Hard(7, "node2", 2)


def test_missing_entries_at_the_beginning_are_noticed(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 5)))
    journal.close()
    change(path, b"entries", codec.key_of(1), None)
    with pytest.raises(Fault, match="begins at entry 2"):
        Journal(path, MAP)


def test_the_file_stops_growing_once_what_is_written_is_trimmed(path: Path) -> None:
    path.mkdir()
    journal = Journal(path, 256 << 20)
    size = 0
    for turn in range(1_500):
        first = turn * 20 + 1
        journal.write(persist(*entries(first, first + 19, data=b"x" * 200)))
        journal.trim_to(first - 2_000)
        if turn == 700:
            size = (path / "data.mdb").stat().st_size
    assert (path / "data.mdb").stat().st_size < 1.2 * size
    assert (path / "data.mdb").stat().st_size < 4 * 2_000 * 230
    journal.close()


def test_a_hole_is_noticed_at_once(journal: Journal, path: Path) -> None:
    journal.write(persist(*entries(1, 100)))
    journal.close()
    change(path, b"entries", codec.key_of(50), None)
    with pytest.raises(Fault, match="holds 99 entries"):
        Journal(path, MAP)


def test_an_idle_journal_is_trimmed(journal: Journal) -> None:
    writer = JournalWriter(journal, pytest.fail)
    done = Event()
    writer.write(persist(*entries(1, 4_000)), lambda error: done.set())
    assert done.wait(10)
    writer.trim_to(3_900)
    for _ in range(500):
        if not journal.trimming:
            break
        done.clear()
        done.wait(0.02)
    assert not journal.trimming
    writer.close()
    assert held(journal) == list(entries(3_901, 4_000))


def test_a_trim_does_not_undo_a_reset(journal: Journal) -> None:
    journal.write(persist(*entries(1, 1_000)))
    journal.write(Persist(Mark(2, 1, 5_000), 1, None, 5_000, (), False, (5_000, 1)))
    journal.trim_to(900)
    assert (journal.first_index, journal.term(5_000)) == (5_001, 1)


def test_what_was_known_to_be_committed_is_noted_at_the_end(journal: Journal) -> None:
    journal.write(persist(*entries(1, 20), term=2, vote="a"))
    journal.note_commit(15)
    reopen(journal)
    assert (journal.term_now, journal.voted_for, journal.commit) == (2, "a", 15)
