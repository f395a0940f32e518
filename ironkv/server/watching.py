"""WATCH: which keys somebody watches, and whether they were touched. Only the leader can know."""

from __future__ import annotations

from collections.abc import Iterable

from ironkv.keyspace.events import UNTOUCHED
from ironkv.keyspace.keyspace import Database, Keyspace
from ironkv.keyspace.listening import Listeners
from ironkv.keyspace.slots import slot_of

Key = tuple[int, bytes]
"""(database, key)"""


class Watch:
    """What one connection watches, until its EXEC."""

    __slots__ = ("dirty", "keys")

    def __init__(self) -> None:
        self.keys: dict[Key, bool] = {}
        """Key -> whether it was dead already when it was watched: then its removal is no change."""
        self.dirty = False
        """One of them was touched, or might have been: the transaction must not happen."""


class Watches:
    """All watches of this node."""

    def __init__(self, keyspace: Keyspace, listeners: Listeners) -> None:
        self._keyspace = keyspace
        self._listeners = listeners
        self._by_key: dict[Key, list[Watch]] = {}

    def add(self, watch: Watch, database: Database, keys: Iterable[bytes], now_ms: int) -> None:
        """Watch further keys of a database; `now_ms` is the time at which the client looks."""
        for name in keys:
            key = database.index, name
            if key not in watch.keys:
                deadline = self._deadline(key)
                watch.keys[key] = deadline is not None and deadline <= now_ms
                self._by_key.setdefault(key, []).append(watch)
        self._listeners.add(self._heard)

    def forget(self, watch: Watch) -> None:
        for key in watch.keys:
            watching = self._by_key.get(key, [])
            if watch in watching:
                watching.remove(watch)
                if not watching:
                    del self._by_key[key]
        if not self._by_key:
            self._listeners.remove(self._heard)

    def give_up(self) -> None:
        """This node does not lead any more: whatever is watched may be touched unheard."""
        for watching in self._by_key.values():
            for watch in watching:
                watch.dirty = True
        self._by_key.clear()
        self._listeners.remove(self._heard)

    def doom_ms(self, watch: Watch) -> int:
        """When the first of the keys dies that were alive; 0 for never."""
        deadlines = [self._deadline(key) for key, was_dead in watch.keys.items() if not was_dead]
        return min((deadline for deadline in deadlines if deadline is not None), default=0)

    def _deadline(self, key: Key) -> int | None:
        index, name = key
        deadlines = self._keyspace.database(index).deadlines[slot_of(name)]
        return deadlines.get(name) if deadlines else None

    # -- what is heard of changes

    def _heard(self, database: Database, event: bytes, name: bytes) -> None:
        key = database.index, name
        for watch in self._by_key.get(key, ()):
            if event == b"expired" and watch.keys[key]:
                watch.keys[key] = False
            elif event not in UNTOUCHED:
                watch.dirty = True

    def replacing(self, database: Database, other: Database | None) -> None:
        """All keys of a database are about to go, and those of another may take their place
        (`Keyspace.replacing`)."""
        for key, watching in self._by_key.items():
            index, name = key
            if index != database.index:
                continue
            is_here = name in database.values[slot_of(name)]
            comes = other is not None and name in other.values[slot_of(name)]
            for watch in watching:
                if watch.keys[key] and not comes:
                    watch.keys[key] = False
                elif is_here or comes:
                    watch.dirty = True
