"""The log as the core sees it: a tail in memory, everything older in the journal.

Always true between calls
    G1  first_index - 1 <= handed <= commit <= last_index
    G2  durable <= written <= last_index
    G3  an entry at or below `commit` is never replaced (§5.4.3)
    G4  the tail in memory holds all that is not durable, and the journal is asked only for what lies
        below the tail: no write under way touches that
    G5  terms never fall along the log

`written` is what has been given to the journal, `durable` what it has reported back. Between the
two lies at most one write. If a conflict cuts the log while that write is under way, then what it
still covers is cut as well: its report must not vouch for entries that have come since (ABA).

A snapshot that does not fit the log replaces it (§7). From then on until the journal has reported the
write that says so, the entry it ends with is `_base`, and nothing is asked of the journal: what that
holds below is of another log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from ironkv.errors import Fault
from ironkv.raft.messages import Entry

ENTRY_OVERHEAD: Final = 96
"""Added to an entry's data when bytes are counted: what the object and its frame cost."""


class Stored(Protocol):
    """The durable log, read back. Asked only for entries that a write under way cannot touch.

    Compaction may run in a thread of its own, but shows only between two calls of the core: first
    `first_index` grows, in the thread that calls the core, and only then the entries below it go.
    """

    @property
    def first_index(self) -> int:
        """The oldest entry still held; `last_index + 1` when there is none. Grows, never beyond what is
        handed out, and not while the core is at work."""

    @property
    def last_index(self) -> int:
        """The newest entry; asked once, at start."""

    def term(self, index: int) -> int:
        """The term of entry `index`, from `first_index - 1` (the entry before the log) on; 0 at index 0."""

    def entries(self, low: int, high: int, most_bytes: int) -> list[Entry]:
        """Entries low..high, both included, cut short after about `most_bytes` but never empty."""


def size(entry: Entry) -> int:
    """What an entry counts against a limit in bytes."""
    return len(entry.data) + ENTRY_OVERHEAD


def size_of(entries: Sequence[Entry]) -> int:
    total = ENTRY_OVERHEAD * len(entries)
    for entry in entries:
        total += len(entry.data)
    return total


class Log:
    """Entries, and how far they are written, durable, committed and handed out."""

    __slots__ = (
        "_base",
        "_base_given",
        "_stored",
        "_tail",
        "_tail_bytes",
        "_tail_first",
        "_writing",
        "commit",
        "durable",
        "handed",
        "last_index",
        "last_term",
        "written",
    )

    def __init__(self, stored: Stored, commit: int, applied: int) -> None:
        last = stored.last_index
        if not stored.first_index - 1 <= applied <= last:
            raise Fault(
                f"the state stands at index {applied}, but the journal holds {stored.first_index}..{last}: "
                "they do not belong together; restore this node from a backup or from its peers"
            )
        self._stored = stored
        self._base: tuple[int, int] | None = None
        """(index, term) of a snapshot that replaced the log, while the journal does not have that."""
        self._base_given = False
        self._tail: list[Entry] = []
        self._tail_first = last + 1
        self._tail_bytes = 0
        self.last_index = self.durable = self.written = self._writing = last
        self.last_term = stored.term(last)
        # The journal's commit index is a hint that may lag; what was applied was surely committed.
        self.commit = max(applied, min(commit, last))
        self.handed = applied

    @property
    def first_index(self) -> int:
        return self._stored.first_index if self._base is None else self._base[0] + 1

    def knows(self, index: int) -> bool:
        """Whether the term of entry `index` can be told."""
        return self.first_index - 1 <= index <= self.last_index

    def term(self, index: int) -> int:
        if index == self.last_index:
            return self.last_term
        offset = index - self._tail_first
        return self._tail[offset].term if offset >= 0 else self._term_below(index)

    def _term_below(self, index: int) -> int:
        """The term of an entry that is older than the tail in memory."""
        if self._base is None:
            return self._stored.term(index)
        assert index == self._base[0], "the log begins behind a snapshot"
        return self._base[1]

    def matches(self, index: int, term: int) -> bool:
        """The consistency check of AppendEntries (§5.3)."""
        return self.knows(index) and self.term(index) == term

    def up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a log ending there is at least as complete as this one (§5.4.1)."""
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def last_with_term_up_to(self, term: int, high: int) -> int:
        """The last entry at or below `high` whose term is not above `term`.

        Terms never fall along the log (G5), so a binary search finds it in a few lookups. If all that is
        known has a higher term, then it lies before that: the answer is the entry before the first known.
        """
        low = self.first_index - 1
        high = min(high, self.last_index)
        if high < low or self.term(low) > term:
            return max(min(high, low - 1), 0)
        while low < high:
            middle = (low + high + 1) // 2
            if self.term(middle) <= term:
                low = middle
            else:
                high = middle - 1
        return low

    # -- growing and cutting ------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries right behind the last one."""
        self._tail.extend(entries)
        self._tail_bytes += size_of(entries)
        newest = entries[-1]
        self.last_index = newest.index
        self.last_term = newest.term

    def merge(self, entries: Sequence[Entry]) -> int:
        """Take a leader's entries, whose predecessor is known to match; conflicts are cut off (§5.3).

        From where on the log is new; 0 if all was here.
        """
        for position, entry in enumerate(entries):
            if entry.index > self.last_index:
                self.append(entries[position:])
                return entry.index
            # Entries already here stay: cutting on a mere repeat would drop newer ones (§5.3, figure 2).
            if self.knows(entry.index) and self.term(entry.index) != entry.term:
                self._cut(entry.index)
                self.append(entries[position:])
                return entry.index
        return 0

    def _cut(self, index: int) -> None:
        """Forget entry `index` and everything behind it."""
        if index <= self.commit:
            raise Fault(f"entry {index} is committed and must not be replaced: this log has gone astray")
        offset = index - self._tail_first
        if offset >= 0:
            self._tail_bytes -= size_of(self._tail[offset:])
            del self._tail[offset:]
        else:
            self._tail.clear()
            self._tail_bytes = 0
            self._tail_first = index
        self.last_index = index - 1
        self.last_term = self._tail[-1].term if self._tail else self._term_below(index - 1)
        self.durable = min(self.durable, index - 1)
        self.written = min(self.written, index - 1)
        self._writing = min(self._writing, index - 1)

    def install(self, index: int, term: int) -> bool:
        """Go on from a snapshot of the state at `index`, above `commit`. Whether the log was replaced."""
        replaced = not self.matches(index, term)
        if replaced:
            # What is on disk vouches for what was committed before, and the write under way for nothing.
            self.durable = self.written = self._writing = min(self.durable, self.commit)
            self._tail.clear()
            self._tail_bytes = 0
            self._tail_first = index + 1
            self.last_index, self.last_term = index, term
            self._base, self._base_given = (index, term), False
        # Otherwise what lies behind the snapshot stays (§7).
        self.commit = self.handed = index
        return replaced

    # -- the journal's side -------------------------------------------------------------------

    def begin_write(self) -> tuple[tuple[int, int] | None, tuple[Entry, ...]]:
        """What the journal has not been given yet: the snapshot that replaces its entries, and entries."""
        reset = None if self._base_given else self._base
        entries = tuple(self._tail[max(self.written + 1 - self._tail_first, 0) :])
        self.written = self._writing = self.last_index
        self._base_given = self._base is not None
        return reset, entries

    def end_write(self) -> None:
        """The write under way is on disk: as much of it as is still part of this log counts."""
        self.durable = max(self.durable, self._writing)
        if self._base_given:
            self._base, self._base_given = None, False

    # -- reading ------------------------------------------------------------------------------

    def slice(self, low: int, high: int, most_bytes: int) -> Sequence[Entry]:
        """Entries low..high, cut short once `most_bytes` are reached, but at least one."""
        held, first = self._tail, self._tail_first
        if low < first:
            # Clipped again below: the journal may count bytes otherwise than we do.
            high = min(high, first - 1)
            held, first = self._stored.entries(low, high, most_bytes), low
            high = min(high, low + len(held) - 1)
        start = end = low - first
        while end <= high - first and (most_bytes > 0 or end == start):
            most_bytes -= size(held[end])
            end += 1
        # The last one taken may have been too much.
        return held[start : end - 1 if most_bytes < 0 and end - start > 1 else end]

    def hand_out(self, most_bytes: int) -> tuple[Entry, ...]:
        """The next committed entries, each given exactly once."""
        if self.handed >= self.commit:
            return ()
        entries = self.slice(self.handed + 1, self.commit, most_bytes)
        self.handed = entries[-1].index
        return tuple(entries)

    def trim(self, most_bytes: int) -> None:
        """Drop the oldest entries from memory once they outgrow `most_bytes`; the journal has them (G4)."""
        if self._tail_bytes <= most_bytes:
            return
        # Down to three quarters, so that moving the rest of the list is paid once in a while only.
        keep_from = min(self.durable, self.handed) + 1 - self._tail_first
        drop = 0
        while drop < keep_from and self._tail_bytes > most_bytes * 3 // 4:
            self._tail_bytes -= size(self._tail[drop])
            drop += 1
        del self._tail[:drop]
        self._tail_first += drop
