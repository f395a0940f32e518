"""A disk that forgets what was not synced."""

from __future__ import annotations

from ironkv.raft.config import HardState
from ironkv.raft.messages import Entry, Persist


class Disk:
    """The journal of one node: `Stored`, plus writing and crashing."""

    first_index = 1

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.hard = HardState()
        self.writing: Persist | None = None

    @property
    def last_index(self) -> int:
        return len(self.log)

    def term(self, index: int) -> int:
        return self.log[index - 1].term if index else 0

    def entries(self, low: int, high: int, most_bytes: int) -> list[Entry]:
        assert 1 <= low <= high <= len(self.log), (low, high, len(self.log))
        found: list[Entry] = []
        for entry in self.log[low - 1 : high]:
            most_bytes -= len(entry.data)
            if found and most_bytes < 0:
                break
            found.append(entry)
        return found

    def begin(self, persist: Persist) -> None:
        assert self.writing is None, "two writes at once"
        self.writing = persist

    def finish(self) -> Persist:
        """The write under way is durable."""
        persist = self.writing
        assert persist is not None
        self.writing = None
        if persist.entries:
            first = persist.entries[0].index
            assert first <= len(self.log) + 1, f"a gap before {first}"
            self.log[first - 1 :] = persist.entries
        assert persist.term >= self.hard.term, "the term on disk went back"
        assert persist.commit <= len(self.log), "a commit hint beyond the log"
        self.hard = HardState(persist.term, persist.voted_for, persist.commit)
        return persist

    def crash(self) -> None:
        """What was not synced is gone."""
        self.writing = None
