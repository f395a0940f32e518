"""When to take a snapshot, and how much of the journal to keep behind it.

A snapshot is due once the journal has grown by so many bytes or entries since the last one, or the last one
is old and anything has changed. What the newest snapshot covers is then trimmed, but for a tail: a follower
that was away for a moment catches up from the log, which is cheaper than being sent the whole state.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from ironkv.storage.snapshots import Manifest

if TYPE_CHECKING:
    from ironkv.config import SnapshotSection

MARK_BYTES: Final = 1 << 20
"""The tail is measured in steps of about this many bytes."""
RETRY_MS: Final = 60_000.0
"""After a snapshot that failed the next one waits this long."""
SHORT_RETRY_MS: Final = 2_000.0
"""And so long when the disk is short of room: any snapshot may make some, as keys are deleted meanwhile."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the log stood: the entry that was applied, and how many bytes of entries came up to it."""

    index: int
    bytes: int


class Compaction:
    """What is told here is counted; `due` and `trim_to` say what follows. Times in ms of the steady clock."""

    def __init__(self, settings: SnapshotSection, now: float) -> None:
        self._settings = settings
        self.applied = Mark(0, 0)
        self._marks: deque[Mark] = deque()
        self._last = Mark(0, 0)
        """Where the log stood when the newest snapshot was begun."""
        self._begun = self._last
        self._last_at = now
        self._failed_at = -inf
        self._size = 0
        """What the newest snapshot holds, compressed."""
        self.snapshot_index = 0

    def recovered(self, index: int, size: int) -> None:
        """The state was loaded from a snapshot of `size` bytes."""
        self.applied = self._last = self._begun = Mark(index, 0)
        self.snapshot_index, self._size = index, size
        self._marks.clear()

    def advanced(self, index: int, size: int) -> None:
        """Entries up to `index` were applied; those that are new had `size` bytes."""
        self.applied = Mark(index, self.applied.bytes + size)
        if not self._marks or self.applied.bytes - self._marks[-1].bytes >= MARK_BYTES:
            self._marks.append(self.applied)
            while self._marks[0].bytes < self.applied.bytes - self._settings.keep_bytes:
                self._marks.popleft()

    @property
    def behind(self) -> bool:
        """While a snapshot is taken: so much was written meanwhile that the next is due already."""
        return self.applied.bytes - self._begun.bytes >= max(self._settings.journal_bytes, self._size)

    @property
    def entries_since(self) -> int:
        """Entries applied since the newest snapshot was begun."""
        return self.applied.index - self._last.index

    def due(self, now: float, *, short_of_room: bool = False, wanted: bool = False) -> bool:
        """Whether a snapshot should begin. Short of room any is welcome: it lets the journal be trimmed.
        `wanted`: a follower needs one, and there is none."""
        settings, entries = self._settings, self.entries_since
        if entries <= 0 or now < self._failed_at + (SHORT_RETRY_MS if short_of_room else RETRY_MS):
            return False
        if wanted:
            return True
        if short_of_room:
            return now - self._last_at >= SHORT_RETRY_MS
        grown = self.applied.bytes - self._last.bytes
        # Not each time a few bytes of a large state have changed: the rewriting would outweigh the writes.
        enough = max(settings.journal_bytes, self._size)
        old = settings.every_s and now - self._last_at >= settings.every_s * 1000.0
        return grown >= enough or entries >= settings.entries or bool(old)

    def begun(self, now: float) -> None:
        """A snapshot of what is applied now has begun."""
        self._begun, self._last_at = self.applied, now

    def finished(self, manifest: Manifest | None, size: int, now: float) -> None:
        """It is current, all images taking `size` bytes; or it failed (None)."""
        if manifest is None:
            self._failed_at = now
            return
        self._last = self._begun
        self.snapshot_index, self._size = manifest.index, size

    def trim_to(self, pinned: int, keep_tail: bool = True) -> int:
        """The last entry the journal may drop. `pinned`: a snapshot that is being sent to a follower, which
        will need all that lies behind it. Without `keep_tail`, room is worth more than a short catch-up."""
        if not keep_tail:
            return min(self.snapshot_index, pinned)
        far = self._marks[0].index if self._marks else 0
        tail = max(self.applied.index - self._settings.keep_entries, far)
        return min(self.snapshot_index, pinned, tail)
