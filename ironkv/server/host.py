"""What dispatch asks of the node it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ironkv.errors import NotAvailable

if TYPE_CHECKING:
    import asyncio

    from ironkv.server.connection import Connection
    from ironkv.server.pubsub import Message


class Server(Protocol):
    """What dispatch asks of the node."""

    leading: bool
    loading: bool
    no_room: NotAvailable | None
    """What commands that add data are told while the disk is full."""
    replayed: int
    """Entries up to this one were in the journal when the node started: they may have been applied before."""

    patience_ms: float
    """How long a leader is waited for, and how long one that has lost its place may take to answer."""

    def leader(self) -> str | None:
        """The node that leads, as far as is known."""

    def reaches(self, peer: str) -> bool:
        """Whether a node can be spoken to."""

    def relay(self, peer: str, message: list[Any]) -> None:
        """Send a message of `server.relays` to a node, at the end of this loop turn."""

    def may_read(self, connection: Connection) -> bool:
        """Whether the state is current for this connection's reads, now."""

    def is_current(self) -> bool:
        """Whether the state is current for anybody."""

    def set_read_time(self) -> None:
        """Let reads see the cluster's present time."""

    def not_leader(self, slot: int = 0) -> NotAvailable:
        """What a write to this slot is told on a node that does not lead."""

    def no_quorum(self) -> NotAvailable:
        """What a read is told when nobody confirms that the state is current."""

    def steady_ms(self) -> float:
        """The steady clock."""

    def call_later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        """Have `work` done after a while."""

    def wake(self) -> None:
        """There is something to propose, to read or to send, at the end of this loop turn."""

    def spread(self, messages: list[Message]) -> None:
        """Send messages that were published here to all other nodes."""
