"""A thread with a queue: work that waits for a disk, done in order and off the loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Done = Callable[[BaseException | None], None]


class Worker:
    """LMDB's write transactions belong to the thread that began them: one worker owns one environment's."""

    def __init__(self, name: str) -> None:
        self._orders: queue.SimpleQueue[tuple[Callable[[], object], Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], object], done: Done) -> None:
        """Queue `work`. `done` is called in the worker's thread, with what went wrong or None."""
        self._orders.put((work, done))

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            work, done = order
            try:
                work()
            except BaseException as error:
                done(error)
            else:
                done(None)

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._orders.put(None)
        self._thread.join()
