"""Taking a snapshot: images in slices on the loop, digests, compression and the disk in a thread of its own.

    begin → imaging (slices) → written → durable (the journal has all of it too) → current → old ones pruned

Nothing here waits: `step` does a slice and says when it wants to be called again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, Protocol

from ironkv import images
from ironkv.imaging import Imaging
from ironkv.machine import Machine
from ironkv.storage.chunks import Cutter, Digests, extras
from ironkv.storage.snapshots import Chunk, Group, Manifest, Snapshots
from ironkv.storage.worker import Done

log = logging.getLogger(__name__)

SLICE_MS: Final = 1.0
PAUSE_MS: Final = 2.0
BUSY_PAUSE_MS: Final = 20.0
"""Between two slices while clients keep the loop busy. A snapshot costs them more than its slices: the copies
before writes, the thread's share of the interpreter. So it takes its time: 16 s for a million keys."""
BEHIND_PAUSE_MS: Final = 6.0
"""The same while the journal grows faster than snapshots are taken: it is trimmed only when one is whole."""
ORDER_BYTES: Final = 2 << 20
"""Image bytes handed to the disk at a time."""
QUEUED_MOST: Final = 16 << 20
"""Image bytes waiting for the disk beyond which the walk waits too."""


class World(Protocol):
    """What taking a snapshot needs from outside."""

    def steady_ms(self) -> float: ...

    def wall_ms(self) -> float: ...

    def in_thread(self, work: Callable[[], object], done: Done) -> None:
        """Do `work` off the loop, in order; `done` is called on the loop."""

    def durable_index(self) -> int:
        """How far the journal is on disk."""


class _Job:
    """One snapshot under way."""

    def __init__(self, imaging: Imaging, machine: Machine, term: int, started: float) -> None:
        self.imaging = imaging
        self.index, self.membership = machine.applied, machine.membership
        self.term, self.started = term, started
        self.walk: Iterator[tuple[Group, list[Any] | None]] | None = imaging.walk()
        self.cutter = Cutter()
        self.chunks: list[Chunk] = []
        """Whole chunks not handed to the disk yet."""
        self.chunks_bytes = 0
        self.orders = 0
        """What the disk has not reported yet."""
        self.queued = 0
        """Image bytes the disk has still to take."""
        self.digests = Digests()
        self.bytes_written = 0
        self.finishing = False


class Snapshotting:
    """At most one snapshot at a time. `finished(manifest)` is called on the loop, with None for a failure."""

    def __init__(
        self,
        world: World,
        machine: Machine,
        snapshots: Snapshots,
        finished: Callable[[Manifest | None], None],
    ) -> None:
        self._world = world
        self._machine = machine
        self._snapshots = snapshots
        self._finished = finished
        self._job: _Job | None = None
        self.keep = 1
        self.pinned = 1 << 63
        """Snapshots from this index on are kept: one of them is being sent."""
        self.error: str | None = None
        """Why the newest attempt failed."""
        self.longest_slice_ms = 0.0

    @property
    def active(self) -> bool:
        return self._job is not None

    @property
    def progress(self) -> float:
        """How much of the snapshot under way is imaged: 0 to 1."""
        return 0.0 if self._job is None else self._job.imaging.progress

    def begin(self, term: int) -> bool:
        """Begin a snapshot of the state as it is; False when there is one under way or nothing is new.
        `term`: that of the last applied entry."""
        newest = self._snapshots.newest
        if self._job is not None or self._machine.applied <= (newest.index if newest is not None else 0):
            return False
        now = self._world.steady_ms()
        job = self._job = _Job(Imaging(self._machine.keyspace), self._machine, term, now)
        job.orders += 1
        self._world.in_thread(self._snapshots.clear_leftovers, lambda error: self._written(job, 0, error))
        return True

    def abandon(self) -> None:
        """Give up what is under way: the state is about to be replaced."""
        if self._job is not None:
            self._job.imaging.abandon()
            self._job = None

    def step(self, busy: bool, *, hurry: bool = False) -> float | None:
        """Go on; in how many ms to be called again. None: nothing is under way."""
        job = self._job
        if job is None:
            return None
        if job.walk is None:
            self._try_to_finish(job)
        elif job.queued < QUEUED_MOST:
            started = self._world.steady_ms()
            self._walk(job, job.walk, started + SLICE_MS)
            self.longest_slice_ms = max(self.longest_slice_ms, self._world.steady_ms() - started)
        if not busy:
            return PAUSE_MS
        return BEHIND_PAUSE_MS if hurry else BUSY_PAUSE_MS

    # -- on the loop

    def _walk(self, job: _Job, walk: Iterator[tuple[Group, list[Any] | None]], until: float) -> None:
        take, chunks = job.cutter.take, job.chunks
        for group, piece in walk:
            if piece is not None:
                job.chunks_bytes += len(piece[1])
            if (chunk := take(group, piece)) is not None:
                chunks.append(chunk)
                if job.chunks_bytes >= ORDER_BYTES:
                    chunks = self._order(job)
            if self._world.steady_ms() >= until:
                return
        job.walk = None
        job.chunks.append(extras(job.imaging.extras))
        self._order(job)

    def _order(self, job: _Job) -> list[Chunk]:
        """Hand what has been cut to the disk; the list for what is cut next."""
        chunks, size = job.chunks, job.chunks_bytes
        job.chunks, job.chunks_bytes = [], 0
        job.queued += size
        job.orders += 1
        self._world.in_thread(lambda: self._write(job, chunks), lambda error: self._written(job, size, error))
        return job.chunks

    def _written(self, job: _Job, size: int, error: BaseException | None) -> None:
        job.queued -= size
        job.orders -= 1
        if error is not None and job is self._job:
            self._fail(job, error)

    def _try_to_finish(self, job: _Job) -> None:
        """All is imaged. Once it is written, and the journal has every entry of it, it becomes current."""
        # Not while an order is out, however small: had it failed, the manifest would name what is not there.
        if job.orders or job.finishing or self._world.durable_index() < job.index:
            return
        job.finishing = True
        newest = self._snapshots.newest
        manifest = Manifest(
            index=job.index,
            term=job.term,
            base=newest.base if newest is not None else job.index,
            stamp_ms=job.imaging.stamp_ms,
            digest=b"",
            membership=job.membership,
            taken_ms=int(self._world.wall_ms()),
            took_ms=int(self._world.steady_ms() - job.started),
            keys=job.imaging.keys,
            bytes_written=job.bytes_written,
        )
        self._world.in_thread(lambda: self._finish(job, manifest), lambda error: self._ended(job, error))

    def _ended(self, job: _Job, error: BaseException | None) -> None:
        if job is not self._job:
            return
        if error is not None:
            self._fail(job, error)
            return
        self._job = None
        self.error = None
        self._finished(self._snapshots.newest)

    def _fail(self, job: _Job, error: BaseException) -> None:
        self.error = str(error)
        log.error("the snapshot at entry %d failed: %s", job.index, error)
        self.abandon()
        self._finished(None)

    # -- in the thread

    def _write(self, job: _Job, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            job.digests.add(chunk)
        job.bytes_written += self._snapshots.put(job.index, chunks)

    def _finish(self, job: _Job, manifest: Manifest) -> None:
        snapshots = self._snapshots
        changed = {**snapshots.digests, **job.digests.by_group}
        digests = {group: digest for group, digest in changed.items() if digest}
        digest = images.digest_of_state(digests, job.imaging.extras, manifest.stamp_ms)
        snapshots.finish(replace(manifest, digest=digest))
        snapshots.digests = digests
        snapshots.prune(self.keep, self.pinned)
