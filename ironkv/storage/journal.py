"""The journal: what this node has promised, on disk.

Tables      entries   index, u64 big-endian  →  record(kind, term, data)      (storage.codec)
            node      b"hard"                →  record(term, voted_for, commit hint, fresh)
                      b"base"                →  record(index, term, crc) of the entry before the first

Always true between writes
    J1  entries run without a gap from first_index to last_index; what lies before is on disk or going
    J2  terms never fall along the log, and none exceeds hard.term
    J3  once write() returns, term, vote and entries are on disk together; or it raised Fault and the
        node stops
    J4  an entry at or below the commit index is never replaced (the Raft core sees to it)
    J5  no write follows a failed one: pages an fsync lost may be reported clean the next time
    J6  `first_index` grows only in `trim_to`, which the thread that reads calls; the entries below it go
        later, oldest first, in the writer's thread: so nobody ever reads what is just going

One thread writes (`JournalWriter`); any thread reads, in transactions that end before they return.
Never writemap, metasync=False or sync=False: https://lmdb.readthedocs.io/ , docs/decisions/.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import lmdb

from ironkv.errors import Fault, IronKVError
from ironkv.histogram import Histogram
from ironkv.raft.messages import Entry, Persist
from ironkv.storage import codec
from ironkv.storage.environment import opened
from ironkv.storage.room import free_bytes, is_full
from ironkv.storage.worker import Done

log = logging.getLogger(__name__)

_HARD = b"hard"
_BASE = b"base"
TRIM_ALONG: Final = 64
"""Old entries removed with each write, and no commit of their own, beside as many as are written."""
TRIM_ALONE: Final = 1_000
"""Old entries removed in a transaction of their own, when no write comes along: about a millisecond."""
HINT_EVERY: Final = 32
"""Writes between two updates of the commit hint: each would dirty a page more, and it is only a hint."""


class DiskFull(IronKVError):
    """There is no room; nothing was written, and nothing is broken: it may be tried again."""


class Journal:
    """The durable log of one node. Raises Fault at open when what is there does not verify."""

    def __init__(self, path: Path, map_size: int = 64 << 30, *, readonly: bool = False) -> None:
        self.path = path
        try:
            self._env = opened(path, map_size, (b"entries", b"node"), readonly=readonly)
            self._entries = self._env.open_db(b"entries", create=False)
            self._node = self._env.open_db(b"node", create=False)
        except lmdb.Error as error:
            raise Fault(f"journal {path} cannot be opened: {error}") from error
        self._failed = False
        self._base = codec.Base()
        self._moving = threading.Lock()
        """Held while the base moves: a trim must not undo the reset that the other thread is writing."""
        self.writes = 0
        self.last_write_ms = 0.0
        self.hard: codec.Hard | None = None
        """As found at open; None when nothing was ever promised here."""
        try:
            self._read_bounds()
        except BaseException:
            self._env.close()
            raise
        self._promise: tuple[int, str | None, bool] | None = None
        self._hint_age = 0

    def _read_bounds(self) -> None:
        """Take term, vote and the ends of the log from disk."""
        with self._env.begin() as txn:
            hard = txn.get(_HARD, db=self._node)
            base = txn.get(_BASE, db=self._node)
            self.hard = codec.decode_hard(hard) if hard is not None else None
            begins = codec.decode_base(base) if base is not None else codec.Base()
            cursor = txn.cursor(self._entries)
            first = codec.index_of(cursor.key()) if cursor.first() else begins.index + 1
            last = codec.index_of(cursor.key()) if cursor.last() else begins.index
            self._chain = codec.crc_of(cursor.value()) if cursor.last() else begins.chain
            last_term = codec.term_of(cursor.value()) if cursor.last() else begins.term
            count = dict(txn.stat(self._entries))["entries"]
        if first != begins.index + 1 or count != last - begins.index:
            raise Fault(
                f"journal {self.path} begins at entry {first} and holds {count} entries up to {last}, where "
                f"{begins.index + 1} and {last - begins.index} are expected: entries are missing"
            )
        with self._moving:
            self._gone, self.last_index = begins.index, last
            if begins.index >= self._base.index:  # else more has been let go of than is gone yet
                self._base = begins
        if last_term > self.term_now:
            says = "is missing" if hard is None else f"says {self.term_now}"
            raise Fault(
                f"journal {self.path} holds an entry of term {last_term}, but its record of term and vote "
                f"{says}: this node must not vote any more"
            )
        if self.commit > self.last_index:
            raise Fault(
                f"journal {self.path} ends at entry {self.last_index}, but entries up to {self.commit} were "
                "committed: the end is missing"
            )

    @property
    def term_now(self) -> int:
        """The term as found at open."""
        return self.hard.term if self.hard is not None else 0

    @property
    def voted_for(self) -> str | None:
        """Who was voted for in it."""
        return self.hard.voted_for if self.hard is not None else None

    @property
    def commit(self) -> int:
        """Entries up to here were known to be committed, as found at open."""
        return self.hard.commit if self.hard is not None else 0

    # -- reading (the Raft core's `Stored`)

    @property
    def first_index(self) -> int:
        """The oldest entry held; `last_index + 1` when there is none."""
        return self._base.index + 1

    def term(self, index: int) -> int:
        """The term of entry `index`, from the one before the first on. Raises KeyError if it is not held."""
        base = self._base
        if index == base.index:
            return base.term
        with self._env.begin(db=self._entries, buffers=True) as txn:
            record = txn.get(codec.key_of(index))
            if record is None:
                raise KeyError(index)
            return codec.term_of(record)

    def entries(self, low: int, high: int, most_bytes: int) -> list[Entry]:
        """Entries low … high, fewer when they exceed `most_bytes`, at least one. Verified as read."""
        found: list[Entry] = []
        size = 0
        for entry in self._scan(low):
            size += len(entry.data)
            if entry.index > high or (found and size > most_bytes):
                break
            found.append(entry)
        return found

    def replay(self, first: int = 0) -> Iterator[Entry]:
        """All entries from `first` on, if held, each verified, read in short transactions."""
        index = max(first, self.first_index)
        while index <= self.last_index:
            for entry in self.entries(index, self.last_index, 4 << 20):
                yield entry
                index = entry.index + 1

    def _scan(self, low: int) -> Iterator[Entry]:
        with self._env.begin(db=self._entries) as txn:
            chain = self._base.chain
            if low > self.first_index:
                before = txn.get(codec.key_of(low - 1))
                if before is None:
                    raise Fault(f"journal entry {low - 1} is missing")
                chain = codec.crc_of(before)
            cursor = txn.cursor()
            if not cursor.set_range(codec.key_of(low)):
                return
            index = low
            for key, record in cursor:
                if codec.index_of(key) != index:
                    raise Fault(f"journal entry {index} is missing")
                chain = codec.verify_entry(index, record, chain)
                yield codec.decode_entry(index, record)
                index += 1

    def view(self) -> dict[str, int | float]:
        """Sizes for INFO."""
        info, page = self._env.info(), self._env.stat()["psize"]
        return {
            "bytes_used": (info["last_pgno"] + 1) * page,
            "bytes_mapped": info["map_size"],
            "first_index": self.first_index,
            "last_index": self.last_index,
            "bytes_free": max(0, info["last_pgno"] + 1 - self._pages_used()) * page,
            "writes": self.writes,
            "last_write_ms": round(self.last_write_ms, 3),
        }

    def _pages_used(self) -> int:
        with self._env.begin() as txn:
            stats: list[dict[str, Any]] = [dict(txn.stat(db)) for db in (self._entries, self._node)]
        return 3 + int(sum(s["branch_pages"] + s["leaf_pages"] + s["overflow_pages"] for s in stats))

    # -- writing

    def write(self, persist: Persist) -> None:
        """One transaction, on disk when this returns. Raises Fault; then never write again (J5)."""
        if self._failed:
            raise Fault("the journal failed before: no write may follow")
        started = time.perf_counter()
        try:
            with self._env.begin(write=True) as txn:
                self._put(txn, persist)
                self._drop_old(txn, TRIM_ALONG + len(persist.entries))
        except lmdb.Error as error:
            self._take_back(error)
        except BaseException:
            self._failed = True
            raise
        self.writes += 1
        self.last_write_ms = (time.perf_counter() - started) * 1000.0

    def _put(self, txn: lmdb.Transaction, persist: Persist) -> None:
        promise = (persist.term, persist.voted_for, persist.fresh)
        if promise != self._promise or self._hint_age >= HINT_EVERY or persist.reset is not None:
            hard = codec.Hard(persist.term, persist.voted_for, persist.commit, persist.fresh)
            txn.put(_HARD, codec.encode_hard(hard), db=self._node)
            self._promise, self._hint_age = promise, 0
        if persist.reset is not None:
            self._begin_anew(txn, *persist.reset)
        if not persist.entries:
            return
        self._hint_age += 1
        first = persist.entries[0].index
        if first > self.last_index + 1 or first < self.first_index:
            raise Fault(f"entries from {first} do not join the journal, which ends at {self.last_index}")
        if first <= self.last_index:
            self._truncate(txn, first)
        chain = self._chain
        for entry in persist.entries:
            record, chain = codec.encode_entry(entry, chain)
            if not txn.put(codec.key_of(entry.index), record, db=self._entries, append=True):
                raise Fault(f"journal {self.path} holds entries behind {entry.index} that it should not")
        self._chain = chain
        self.last_index = persist.entries[-1].index

    def _truncate(self, txn: lmdb.Transaction, first: int) -> None:
        """Drop a conflicting tail; it was never committed (J4)."""
        for index in range(first, self.last_index + 1):
            txn.delete(codec.key_of(index), db=self._entries)
        before = txn.get(codec.key_of(first - 1), db=self._entries) if first > self.first_index else None
        self._chain = codec.crc_of(before) if before is not None else self._base.chain
        self.last_index = first - 1

    # -- compaction

    def trim_to(self, index: int) -> None:
        """Let everything up to entry `index` go (J6). Called in the thread that reads."""
        with self._moving:
            if not self.first_index <= index <= self.last_index:
                return
            with self._env.begin(db=self._entries, buffers=True) as txn:
                record = txn.get(codec.key_of(index))
                if record is not None:  # else it is part of the write under way
                    self._base = codec.Base(index, codec.term_of(record), codec.crc_of(record))

    @property
    def trimming(self) -> bool:
        """Whether entries are still to be removed."""
        return self._gone < self._base.index

    def trim(self, most: int = TRIM_ALONE) -> None:
        """Remove up to `most` old entries in a transaction of their own. Raises Fault."""
        if self._failed:
            raise Fault("the journal failed before: no write may follow")
        try:
            with self._env.begin(write=True) as txn:
                self._drop_old(txn, most)
        except lmdb.Error as error:
            self._take_back(error)

    def _drop_old(self, txn: lmdb.Transaction, most: int) -> None:
        goal = self._base.index
        if self._gone >= goal:
            return
        last = min(goal, self._gone + most)
        record = txn.get(codec.key_of(last), db=self._entries)
        if record is None:
            raise Fault(f"journal entry {last} is missing")
        base = codec.Base(last, codec.term_of(record), codec.crc_of(record))
        for index in range(self._gone + 1, last + 1):
            txn.delete(codec.key_of(index), db=self._entries)
        txn.put(_BASE, codec.encode_base(base), db=self._node)
        self._gone = last

    def note_commit(self, commit: int) -> None:
        """At the end: how far entries are known to be committed, for whoever looks at the files."""
        if self._failed or self._promise is None:
            return
        term, voted_for, fresh = self._promise
        hard = codec.Hard(term, voted_for, min(commit, self.last_index), fresh)
        try:
            with self._env.begin(write=True, db=self._node) as txn:
                txn.put(_HARD, codec.encode_hard(hard))
        except lmdb.Error as error:
            raise Fault(self._explain(error)) from error

    def reset(self, index: int, term: int, *, fresh: bool) -> None:
        """At start: forget every entry; the log goes on behind a snapshot that ends with this one. `fresh`:
        whether this node may have made promises that it has forgotten (`raft.membership`). Raises Fault."""
        hard = self.hard or codec.Hard()
        # A term in which nothing was promised here is no obstacle to one that is known to have been.
        self.hard = hard._replace(
            term=max(hard.term, term),
            voted_for=hard.voted_for if hard.term >= term else None,
            commit=index,
            fresh=fresh,
        )
        try:
            with self._env.begin(write=True) as txn:
                self._begin_anew(txn, index, term)
                txn.put(_HARD, codec.encode_hard(self.hard), db=self._node)
        except lmdb.Error as error:
            raise Fault(self._explain(error)) from error

    def _begin_anew(self, txn: lmdb.Transaction, index: int, term: int) -> None:
        txn.drop(self._entries, delete=False)
        base = codec.Base(index, term, 0)
        txn.put(_BASE, codec.encode_base(base), db=self._node)
        with self._moving:
            self._base = base
            self._gone = self.last_index = index
        self._chain = 0

    def _take_back(self, error: lmdb.Error) -> NoReturn:
        """A transaction failed. Raises DiskFull when that was for want of room and nothing has changed, else
        Fault; then never write again (J5).

        On a full disk the transaction was aborted, and what is on disk is what was there before: no page that
        any older transaction needs was touched. To try again writes all its pages anew, so nothing rests on
        pages that a failed flush may have left clean but not on disk. LMDB reports a failure behind which its
        own state is in doubt as PanicError.
        """
        if isinstance(error, lmdb.PanicError | lmdb.CorruptedError) or not is_full(self.path):
            self._failed = True
            raise Fault(self._explain(error)) from error
        try:
            self._read_bounds()
        except lmdb.Error as doubt:
            self._failed = True
            raise Fault(self._explain(doubt)) from error
        self._promise = None
        raise DiskFull(
            f"the disk under {self.path} is full: nothing is written until there is room"
        ) from error

    def _explain(self, error: lmdb.Error) -> str:
        if isinstance(error, lmdb.MapFullError):
            return f"journal {self.path} has reached its map size: raise journal.map_size and start again"
        return f"journal {self.path} could not be written: {error}. Check the disk before starting again"

    def close(self) -> None:
        self._env.close()


class JournalWriter:
    """The thread that owns every write transaction. One write is under way at a time.

    On a full disk it tries the same write again until there is room: nothing was acknowledged, and a leader
    whose write does not end gives the lead away.
    """

    IDLE_S: Final = 0.02
    """With no write for so long, old entries are removed in transactions of their own."""

    RETRY_S: Final = 0.25

    def __init__(self, journal: Journal, failed: Callable[[BaseException], None]) -> None:
        """`failed` is called in this thread when old entries cannot be removed."""
        self._journal = journal
        self._failed = failed
        self.took = Histogram()
        """What writes took, fsync included (µs)."""
        self.full = False
        """Whether a write is waiting for room."""
        self.free_bytes = 1 << 62
        """What the disk had left behind the newest write."""
        self._pause_s = self.IDLE_S
        self._closing = threading.Event()
        self._orders: queue.SimpleQueue[tuple[Persist, Done] | bool] = queue.SimpleQueue()
        """Writes; True: there may be something to trim; False: the end."""
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def trim_to(self, index: int) -> None:
        """`Journal.trim_to`, and wake the thread: without a write, nothing else would."""
        trimming = self._journal.trimming
        self._journal.trim_to(index)
        if self._journal.trimming and not trimming:
            self._orders.put(True)

    def write(self, persist: Persist, done: Done) -> None:
        """Queue a write. `done` is called in the journal's thread, with what went wrong or None."""
        self._orders.put((persist, done))

    def _work(self) -> None:
        journal = self._journal
        while True:
            try:
                order = self._orders.get(timeout=self._pause_s if journal.trimming else None)
            except queue.Empty:
                self._trim()
                continue
            if order is False:
                return
            if order is True:
                continue
            persist, done = order
            try:
                self._write(persist)
            except BaseException as error:
                done(error)
            else:
                done(None)

    def _write(self, persist: Persist) -> None:
        while True:
            try:
                self._journal.write(persist)
            except DiskFull as full:
                if not self.full:
                    log.error("%s", full)
                self.full = True
                if self._closing.wait(self.RETRY_S):
                    raise
            else:
                self.took.add(int(1000 * self._journal.last_write_ms))
                self.free_bytes = free_bytes(self._journal.path)
                if self.full:
                    log.info("there is room again: the journal goes on")
                self.full = False
                return

    def _trim(self) -> None:
        try:
            self._journal.trim()
            self._pause_s = self.IDLE_S
        except DiskFull:
            self._pause_s = self.RETRY_S
        except BaseException as error:
            self._failed(error)
            self._closing.wait()

    def close(self) -> None:
        """Finish what is queued, if there is room, then end the thread. May be called again."""
        self._closing.set()
        self._orders.put(False)
        self._thread.join()
