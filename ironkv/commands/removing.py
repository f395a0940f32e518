"""How keys go, and what the listener is told of it."""

from __future__ import annotations

from collections.abc import Sized

from ironkv.keyspace.keyspace import Database


def delete(db: Database, key: bytes) -> bool:
    """Remove a key as DEL does; whether it was there and alive."""
    if not db.remove(key):
        return False
    if db.keyspace.listener is not None:
        db.notify(b"del", key)
    else:
        db.keyspace.changes += 1
    return True


def remove_empty(db: Database, key: bytes, value: Sized) -> None:
    """Remove a structure in which nothing is left (K3)."""
    if not len(value):
        db.remove(key)
        db.tell(b"del", key)
