"""The journal's and the snapshots' thread: work that is done after a delay, and reported after another.

A crash may come in between: then what was done is on the disk, and nobody was told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ironkv.raft.messages import Persist
from ironkv.storage.journal import DiskFull, Journal
from ironkv.storage.room import free_bytes
from ironkv.storage.worker import Done

if TYPE_CHECKING:
    from tests.sim.whole.computer import Computer

TRIM_MS = 20.0
RETRY_MS = 250.0
REPORT_MS = 0.05


class Thread:
    """Does one thing after the other."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer
        self._orders: deque[tuple[Callable[[], object], Done]] = deque()
        self._busy = False

    def put(self, work: Callable[[], object], done: Done) -> None:
        self._orders.append((work, done))
        if not self._busy:
            self._next()

    def _next(self) -> None:
        self._busy = bool(self._orders)
        if self._busy:
            self._computer.on_disk(self._computer.disk_delay(), self._do)

    def _do(self) -> None:
        work, done = self._orders[0]
        error: BaseException | None = None
        try:
            work()
        except DiskFull as full:
            if self._wait_for_room(full):
                self._computer.on_disk(RETRY_MS, self._do)
                return
            error = full
        except Exception as failed:
            error = failed
        self._orders.popleft()
        # `done` hands over to the loop: it may be called here, and is heard a moment later.
        self._computer.on_disk(self._computer.report_delay(), lambda: done(error))
        self._next()

    def _wait_for_room(self, full: DiskFull) -> bool:
        return False


class Worker(Thread):
    """`storage.worker.Worker`"""

    def do(self, work: Callable[[], object], done: Done) -> None:
        self.put(work, done)

    def close(self) -> None:
        pass


class Writer(Thread):
    """`storage.journal.JournalWriter`: the same decisions, without the thread."""

    def __init__(self, computer: Computer, journal: Journal, failed: Callable[[BaseException], None]) -> None:
        super().__init__(computer)
        self._journal = journal
        self._failed = failed
        self._trimming = False
        self.full = False
        self.free_bytes = 1 << 62

    def write(self, persist: Persist, done: Done) -> None:
        self._computer.cluster.checks.writes(self._computer, persist)
        self.put(lambda: self._write(persist), done)

    def _write(self, persist: Persist) -> None:
        self._journal.write(persist)
        self.free_bytes = free_bytes(self._journal.path)
        self.full = False

    def _wait_for_room(self, full: DiskFull) -> bool:
        self.full = True
        return True

    def trim_to(self, index: int) -> None:
        self._journal.trim_to(index)
        if self._journal.trimming and not self._trimming:
            self._trimming = True
            self._computer.on_disk(TRIM_MS, self._trim)

    def _trim(self) -> None:
        wait = TRIM_MS
        if not self._busy:
            try:
                self._journal.trim()
            except DiskFull:
                wait = RETRY_MS
            except Exception as error:
                self._failed(error)
                return
        self._trimming = self._journal.trimming
        if self._trimming:
            self._computer.on_disk(wait, self._trim)

    def close(self) -> None:
        pass
