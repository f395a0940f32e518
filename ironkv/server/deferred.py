"""A reply that is waited for: its connection takes no further request until it has come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironkv.commands.later import Later
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.node.proposals import Batch
    from ironkv.server.connection import Connection


class Deferred:
    """Implements `server.rides.Owner`: what a batch owes goes to `later`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.later = Later()
        self.batch: Batch | None = None
        self.pending = 0

    def settle(self, replies: list[Reply]) -> None:
        self.pending -= len(replies)
        self.connection.batch = self.batch  # WAIT asks for the entry
        self.later.resolve(replies[0])
