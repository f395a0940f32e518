"""Several who listen to one keyspace. While nobody does, nothing is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ironkv.keyspace.keyspace import Database, Keyspace

Listener: TypeAlias = Callable[[Database, bytes, bytes], None]
"""Given (database, event, key) after a change."""


class Listeners:
    """Holds `keyspace.listener`."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Let it hear from now on, once of each event however often it was added."""
        if listener not in self._listeners:
            self._listeners.append(listener)
            self._connect()

    def remove(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._connect()

    def _connect(self) -> None:
        match self._listeners:
            case []:
                self._keyspace.listener = None
            case [listener]:
                self._keyspace.listener = listener
            case listeners:
                self._keyspace.listener = _all_of(tuple(listeners))


def _all_of(listeners: tuple[Listener, ...]) -> Listener:
    def hear(database: Database, event: bytes, key: bytes) -> None:
        for listener in listeners:
            listener(database, event, key)

    return hear
