"""Consumer groups of a stream: who was given which entry, and has not acknowledged it yet.

Always true between two commands
    C1  an id is pending for exactly one consumer of the group: `Group.pending` names him, and his own ids are
        those of the group that name him
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

from sortedcontainers import SortedDict, SortedList

from ironkv.keyspace.stream_blocks import Id, signed

UNKNOWN: Final = -1
"""Instead of the number of entries that a group has read."""
NEVER: Final = -1
"""Instead of a time in milliseconds."""


Held: TypeAlias = tuple[Id, bytes, int, int]
"""A pending id: of which consumer, when it was delivered in milliseconds, how often."""


class Consumer:
    """One of those who share the work of a group."""

    __slots__ = ("active_ms", "ids", "name", "seen_ms")

    def __init__(self, name: bytes, seen_ms: int) -> None:
        self.name = name
        self.seen_ms = seen_ms
        """When he last asked for entries."""
        self.active_ms = NEVER
        """When he last got some."""
        self.ids: Any = SortedList()
        """Pending for him, in order."""


class Pending:
    """An entry that was delivered and is not acknowledged."""

    __slots__ = ("consumer", "delivered_ms", "deliveries")

    def __init__(self, consumer: Consumer, delivered_ms: int, deliveries: int = 1) -> None:
        self.consumer = consumer
        self.delivered_ms = delivered_ms
        self.deliveries = deliveries

    def deliver_again(self, now_ms: int) -> None:
        """Note that the consumer was given the entry once more."""
        self.delivered_ms = now_ms
        self.deliveries = signed(self.deliveries + 1)


class Group:
    """Consumers between whom a stream is divided."""

    __slots__ = ("consumers", "entries_read", "last_id", "pending")

    def __init__(self, last_id: Id, entries_read: int) -> None:
        self.last_id = last_id
        """Of what was delivered."""
        self.entries_read = entries_read
        """How many entries there were up to `last_id`, or UNKNOWN."""
        self.pending: Any = SortedDict()
        """Id -> Pending, in order of the ids."""
        self.consumers: dict[bytes, Consumer] = {}

    def in_order(self) -> list[Consumer]:
        """The consumers by name, as Redis lists them."""
        return [self.consumers[name] for name in sorted(self.consumers)]

    def add_consumer(self, name: bytes, now_ms: int) -> Consumer:
        """Make a consumer, who must not be there yet."""
        consumer = self.consumers[name] = Consumer(name, now_ms)
        return consumer

    def remove_consumer(self, name: bytes) -> int:
        """Forget a consumer and what was pending for him; how many entries that were."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return 0
        if 2 * len(consumer.ids) > len(self.pending):  # then to keep the others is less work
            kept = [(id_, each) for id_, each in self.pending.items() if each.consumer is not consumer]
            self.pending = SortedDict(kept)
        else:
            for id_ in consumer.ids:
                del self.pending[id_]
        return len(consumer.ids)

    def hold(self, id_: Id, consumer: Consumer, delivered_ms: int, deliveries: int) -> Pending:
        """Let an id that is not pending be so."""
        pending = self.pending[id_] = Pending(consumer, delivered_ms, deliveries)
        consumer.ids.add(id_)
        return pending

    def hold_all(self, held: Iterable[Held]) -> None:
        """Let all these ids be pending, of a group for which none is."""
        by_name: dict[bytes, list[Id]] = {name: [] for name in self.consumers}
        pending: dict[Id, Pending] = {}
        for id_, name, delivered_ms, deliveries in held:
            pending[id_] = Pending(self.consumers[name], delivered_ms, deliveries)
            by_name[name].append(id_)
        self.pending.update(pending)
        for name, ids in by_name.items():
            self.consumers[name].ids.update(ids)

    def all_held(self) -> Iterator[Held]:
        """What is pending, in order of the ids."""
        for id_, each in self.pending.items():
            yield id_, each.consumer.name, each.delivered_ms, each.deliveries

    def hand_over(self, id_: Id, pending: Pending, consumer: Consumer) -> None:
        """Let a pending id be another consumer's."""
        if pending.consumer is not consumer:
            pending.consumer.ids.remove(id_)
            consumer.ids.add(id_)
            pending.consumer = consumer

    def release(self, id_: Id) -> bool:
        """Let an id be pending no more; whether it was."""
        pending = self.pending.pop(id_, None)
        if pending is None:
            return False
        pending.consumer.ids.remove(id_)
        return True

    def copy(self) -> Group:
        new = Group(self.last_id, self.entries_read)
        for name, consumer in self.consumers.items():
            new.add_consumer(name, consumer.seen_ms).active_ms = consumer.active_ms
        new.hold_all(self.all_held())
        return new
