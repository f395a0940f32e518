"""What connections are subscribed to, as commands and the server see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from ironkv.commands.session import Session


class Kind(Enum):
    """What a connection subscribes to; the value stands before `subscribe` and `message`."""

    CHANNEL = b""
    PATTERN = b"p"
    SHARD = b"s"
    """Channels of SSUBSCRIBE and SPUBLISH: a world of their own, without patterns."""


Subscriptions: TypeAlias = dict[Kind, dict[bytes, None]]
"""Of one connection: names in the order of subscribing, for every kind."""


def count(subscriptions: Subscriptions | None, kind: Kind) -> int:
    """What confirmations tell: channels and patterns are counted together, those of shards apart."""
    if subscriptions is None:
        return 0
    if kind is Kind.SHARD:
        return len(subscriptions[kind])
    return len(subscriptions[Kind.CHANNEL]) + len(subscriptions[Kind.PATTERN])


class PubSub(Protocol):
    """Who hears what on this node."""

    def subscribe(self, session: Session, kind: Kind, name: bytes) -> None:
        """Let a connection hear what comes on a channel, or on those that match; a second time is as good
        as one."""

    def unsubscribe(self, session: Session, kind: Kind, name: bytes) -> None:
        """The opposite; nothing, if it was not subscribed."""

    def audience(self, kind: Kind) -> Mapping[bytes, Collection[Session]]:
        """Who is subscribed, by name. No name is without a subscriber."""

    def publish(self, channel: bytes, message: bytes, publisher: Session | None = None) -> int:
        """Send a message to all that hear the channel, on every node; how many of them are on this one.

        Not part of the state: it is called by the one node that answers the client (in EXEC, too). What every
        replica does for itself, a script, uses `Keyspace.messenger`, which sends nothing to other nodes.
        `publisher`: who gets its own copy only after the reply to its command.
        """

    def publish_to_shard(self, channel: bytes, message: bytes, publisher: Session | None = None) -> int:
        """The same for a shard channel."""
