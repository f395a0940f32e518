"""What connections hand to the log besides writes: who is owed replies, and what rides (`node.proposals`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ironkv.commands.table import Command
from ironkv.resp.replies import Reply

if TYPE_CHECKING:
    from ironkv.node.proposals import Batch


class Owner(Protocol):
    """Who waits for a reply: a connection."""

    batch: Batch | None
    """The newest batch that holds something of it; unresolved as long as `pending`."""
    pending: int
    """Replies it is owed by batches."""

    def settle(self, replies: list[Reply]) -> None:
        """Take the next owed replies, in order."""


class Ride:
    """Something to be answered between the writes of a batch: a read, or (row None) a ready reply."""

    __slots__ = ("args", "database", "owner", "row")

    def __init__(self, owner: Owner, row: Command | None, args: Any, database: int = 0) -> None:
        self.owner = owner
        self.row = row
        self.args = args
        """The request; the reply itself when `row` is None."""
        self.database = database
