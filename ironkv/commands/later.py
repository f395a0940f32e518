"""A reply that cannot be given yet: WAIT, and whatever else blocks its connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ironkv.resp.replies import Reply


class NothingYet(Exception):
    """Raised by a READ handler that finds nothing, when the client wants to wait for `reading`."""

    def __init__(self, reading: Any) -> None:
        self.reading = reading


class Later:
    """Returned by a LOCAL handler in place of a reply. The connection stands still until `resolve`."""

    __slots__ = ("_on_cancel", "_on_reply", "done", "idle", "interrupt", "waits")

    def __init__(self, on_cancel: Callable[[], None] = lambda: None) -> None:
        self._on_cancel = on_cancel
        self._on_reply: Callable[[Reply], None] | None = None
        self.done = False
        self.interrupt: Callable[[Reply], None] | None = None
        """Ends the waiting with a reply, for CLIENT UNBLOCK; None if that cannot be."""
        self.idle = False
        """Nothing is under way for it: a client that leaves now loses nothing."""
        self.waits = True
        """It is past its first attempt: CLIENT LIST and INFO call the client blocked."""

    def then(self, on_reply: Callable[[Reply], None]) -> None:
        """Have `on_reply` called with the reply."""
        self._on_reply = on_reply

    def resolve(self, reply: Reply) -> None:
        """Give the reply; only the first counts."""
        if not self.done:
            self.done = True
            if self._on_reply is not None:
                self._on_reply(reply)

    def cancel(self) -> None:
        """The client is gone."""
        if not self.done:
            self.done = True
            self._on_cancel()
