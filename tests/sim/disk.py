"""A disk that forgets what was not synced."""

from __future__ import annotations

from ironkv.raft.config import HardState
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import Entry, EntryKind, Persist


class Disk:
    """The journal of one node: `Stored`, plus writing and crashing."""

    def __init__(self, *, fresh: bool = False) -> None:
        self.log: list[Entry] = []
        self.base_index = self.base_term = 0
        """The last entry that was compacted away."""
        self.hard = HardState(fresh=fresh)
        self.writing: Persist | None = None

    @property
    def first_index(self) -> int:
        return self.base_index + 1

    @property
    def last_index(self) -> int:
        return self.base_index + len(self.log)

    def term(self, index: int) -> int:
        assert self.base_index <= index <= self.last_index, (self.base_index, index, self.last_index)
        return self.base_term if index == self.base_index else self.log[index - self.first_index].term

    def holds(self, entry: Entry) -> bool:
        """Whether this entry is here. What was compacted away counts as being in the snapshot."""
        if entry.index <= self.base_index:
            return True
        return entry.index <= self.last_index and self.log[entry.index - self.first_index] == entry

    def compact(self, index: int) -> None:
        """Forget entries up to `index`."""
        if index > self.base_index:
            term = self.term(index)
            del self.log[: index - self.base_index]
            self.base_index, self.base_term = index, term

    def entries(self, low: int, high: int, most_bytes: int) -> list[Entry]:
        assert self.first_index <= low <= high <= self.last_index, (
            self.first_index,
            low,
            high,
            self.last_index,
        )
        found: list[Entry] = []
        for entry in self.log[low - self.first_index : high - self.base_index]:
            most_bytes -= len(entry.data)
            if found and most_bytes < 0:
                break
            found.append(entry)
        return found

    def members(self, base: tuple[int, Configuration]) -> list[tuple[int, Configuration]]:
        """What a core is told at start: the snapshot's configuration, and those in the log behind it."""
        index = base[0]
        return [
            base,
            *(
                (entry.index, Configuration.decode(entry.data))
                for entry in self.log
                if entry.kind is EntryKind.CONFIG and entry.index > index
            ),
        ]

    def reset(self, index: int, term: int) -> None:
        """Forget all entries; the log goes on behind a snapshot."""
        self.log.clear()
        self.base_index, self.base_term = index, term

    def begin(self, persist: Persist) -> None:
        assert self.writing is None, "two writes at once"
        self.writing = persist

    def finish(self) -> Persist:
        """The write under way is durable."""
        persist = self.writing
        assert persist is not None
        self.writing = None
        if persist.reset is not None:
            self.reset(*persist.reset)
        if persist.entries:
            first = persist.entries[0].index
            assert self.base_index < first <= self.last_index + 1, f"a gap before {first}"
            self.log[first - self.first_index :] = persist.entries
        assert persist.term >= self.hard.term, "the term on disk went back"
        assert persist.commit <= self.last_index, "a commit hint beyond the log"
        self.hard = HardState(persist.term, persist.voted_for, persist.commit, persist.fresh)
        return persist

    def crash(self) -> None:
        """What was not synced is gone."""
        self.writing = None
