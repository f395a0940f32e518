"""Keyspace notifications: what happens to keys, told to this node's subscribers.
https://redis.io/docs/latest/develop/use/keyspace-notifications/

Every node tells its own subscribers when it applies a change, so that nothing need be sent between nodes. It
listens to the keyspace only while the setting wants events and somebody is subscribed to anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ironkv.keyspace.events import CLASS_OF
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.listening import Listeners

if TYPE_CHECKING:
    from ironkv.server.host import Server
    from ironkv.server.pubsub import PubSub

ALL: Final = "g$lshzxetd"
"""What `A` stands for."""


class Notifications:
    """Turns events into messages."""

    def __init__(self, server: Server, listeners: Listeners, pubsub: PubSub) -> None:
        self._server = server
        self._listeners = listeners
        self._pubsub = pubsub
        self._events: frozenset[bytes] = frozenset()
        self._by_key = self._by_event = False
        pubsub.on_audience = self._connect

    def choose(self, classes: str) -> None:
        """As notify-keyspace-events says: letters of classes, `K` and `E` for the two kinds of channel."""
        letters = set(classes.replace("A", ALL))
        self._by_key, self._by_event = "K" in letters, "E" in letters
        self._events = frozenset(event for event, letter in CLASS_OF.items() if letter in letters)
        self._connect()

    def _connect(self) -> None:
        if self._events and (self._by_key or self._by_event) and self._pubsub.heard:
            self._listeners.add(self._heard)
        else:
            self._listeners.remove(self._heard)

    def _heard(self, database: Database, event: bytes, key: bytes) -> None:
        if event not in self._events or database.keyspace.entry <= self._server.replayed:
            return
        if self._by_key:
            self._pubsub.deliver(b"__keyspace@%d__:%b" % (database.index, key), event)
        if self._by_event:
            self._pubsub.deliver(b"__keyevent@%d__:%b" % (database.index, event), key)
