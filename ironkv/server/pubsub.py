"""Who is subscribed on this node, and how a message gets to them.

A message is put in wire form once for each protocol, and handed to all its subscribers. None of their sockets
is written to before the loop's turn ends (`Dispatch.flush`), so that a subscriber gets all messages of a turn
in one write. What is published here also goes to the other nodes, at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from ironkv.commands.patterns import matcher
from ironkv.commands.session import Session
from ironkv.commands.subscriptions import Kind

Audience: TypeAlias = dict[bytes, dict[Session, None]]
"""Subscribers by name, in the order in which they came: that is the order in which Redis serves them."""

Message: TypeAlias = tuple[bool, bytes, bytes]
"""(whether it is for a shard channel, channel, message)"""

_HEADS: Final = {
    Kind.CHANNEL: {2: b"*3\r\n$7\r\nmessage\r\n", 3: b">3\r\n$7\r\nmessage\r\n"},
    Kind.PATTERN: {2: b"*4\r\n$8\r\npmessage\r\n", 3: b">4\r\n$8\r\npmessage\r\n"},
    Kind.SHARD: {2: b"*3\r\n$8\r\nsmessage\r\n", 3: b">3\r\n$8\r\nsmessage\r\n"},
}


class PubSub:
    """Implements `commands.subscriptions.PubSub`. `wake` has `Dispatch.flush` called at the end of this turn;
    `has_peers`: other nodes are to hear, too."""

    def __init__(self, wake: Callable[[], None], *, has_peers: bool) -> None:
        self._wake = wake
        self._has_peers = has_peers
        self._channels: Audience = {}
        self._patterns: Audience = {}
        self._shards: Audience = {}
        self._by_kind = {
            Kind.CHANNEL: self._channels,
            Kind.PATTERN: self._patterns,
            Kind.SHARD: self._shards,
        }
        self._matchers: dict[bytes, Callable[[bytes], object]] = {}
        self.outgoing: list[Message] = []
        """Published in this turn and not sent to the other nodes yet."""
        self.clients = 0
        """How many connections are subscribed to anything."""
        self.on_audience: Callable[[], None] = lambda: None
        """Called when the first subscribes to a channel or pattern, and when none is left."""

    # -- subscribing

    @property
    def heard(self) -> bool:
        """Whether anybody is subscribed to a channel or pattern."""
        return bool(self._channels or self._patterns)

    def subscribe(self, session: Session, kind: Kind, name: bytes) -> None:
        if session.subscriptions is None:
            session.subscriptions = {each: {} for each in Kind}
            self.clients += 1
        if name in session.subscriptions[kind]:
            return
        session.subscriptions[kind][name] = None
        heard = self.heard
        self._by_kind[kind].setdefault(name, {})[session] = None
        if kind is Kind.PATTERN:
            self._matchers[name] = matcher(name)
        if heard != self.heard:
            self.on_audience()

    def unsubscribe(self, session: Session, kind: Kind, name: bytes) -> None:
        subscriptions = session.subscriptions
        if subscriptions is None or name not in subscriptions[kind]:
            return
        del subscriptions[kind][name]
        if not any(subscriptions.values()):
            session.subscriptions = None
            self.clients -= 1
        heard = self.heard
        audience = self._by_kind[kind]
        del audience[name][session]
        if not audience[name]:
            del audience[name]
            if kind is Kind.PATTERN:
                del self._matchers[name]
        if heard != self.heard:
            self.on_audience()

    def leave(self, session: Session) -> None:
        """A connection is gone, or to be as new."""
        if session.subscriptions is not None:
            for kind, names in session.subscriptions.items():
                for name in list(names):
                    self.unsubscribe(session, kind, name)

    def audience(self, kind: Kind) -> Mapping[bytes, dict[Session, None]]:
        return self._by_kind[kind]

    # -- publishing

    def publish(self, channel: bytes, message: bytes, publisher: Session | None = None) -> int:
        if self._has_peers:
            self.outgoing.append((False, channel, message))
            self._wake()
        return self.deliver(channel, message, publisher)

    def publish_to_shard(self, channel: bytes, message: bytes, publisher: Session | None = None) -> int:
        if self._has_peers:
            self.outgoing.append((True, channel, message))
            self._wake()
        return self._deliver_to_shard(channel, message, publisher)

    def arrived(self, messages: Iterable[Message]) -> None:
        """Another node has published these."""
        for is_shard, channel, message in messages:
            if is_shard:
                self._deliver_to_shard(channel, message, None)
            else:
                self.deliver(channel, message)

    def deliver(self, channel: bytes, message: bytes, publisher: Session | None = None) -> int:
        """To the subscribers of this node: of the channel first, then of each pattern that matches."""
        receivers = 0
        subscribers = self._channels.get(channel)
        if subscribers is not None:
            self._push(subscribers, Kind.CHANNEL, _two(channel, message), publisher)
            receivers = len(subscribers)
        if self._patterns:
            body = b""
            for pattern, subscribers in self._patterns.items():
                if self._matchers[pattern](channel):
                    body = body or _two(channel, message)
                    named = b"$%d\r\n%b\r\n%b" % (len(pattern), pattern, body)
                    self._push(subscribers, Kind.PATTERN, named, publisher)
                    receivers += len(subscribers)
        return receivers

    def _deliver_to_shard(self, channel: bytes, message: bytes, publisher: Session | None) -> int:
        subscribers = self._shards.get(channel)
        if subscribers is None:
            return 0
        self._push(subscribers, Kind.SHARD, _two(channel, message), publisher)
        return len(subscribers)

    def _push(
        self, subscribers: dict[Session, None], kind: Kind, body: bytes, publisher: Session | None
    ) -> None:
        heads = _HEADS[kind]
        two = three = b""
        for session in subscribers:
            if session.proto == 2:
                wire = two = two or heads[2] + body
            else:
                wire = three = three or heads[3] + body
            if session is publisher:
                session.push(wire, after_reply=True)
            else:
                session.push(wire)
        self._wake()


def _two(channel: bytes, message: bytes) -> bytes:
    return b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel, len(message), message)
