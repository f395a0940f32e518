"""What a keyspace holds, for tools: keys with type, size and deadline, and commands that make them anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

from ironkv.commands.patterns import matcher
from ironkv.commands.stream_ids import id_text
from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.lists import List
from ironkv.keyspace.sets import Set
from ironkv.keyspace.stream_blocks import ID_MOST
from ironkv.keyspace.values import Value, encoding, type_name
from ironkv.keyspace.zsets import SortedSet
from ironkv.offline.console import quoted
from ironkv.rdb import payload
from ironkv.resp.replies import format_float

BATCH = 100
"""Elements in one command of `commands`."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `deadline_ms` None: it lives for ever."""

    database: int
    name: bytes
    value: Value
    deadline_ms: int | None

    @property
    def type(self) -> str:
        return type_name(self.value).decode()

    @property
    def encoding(self) -> str:
        return encoding(self.value).decode()

    @property
    def elements(self) -> int:
        """Elements of a collection, bytes of a string."""
        return len(self.value)

    @property
    def bytes(self) -> int:
        """Of its name and of all it holds."""
        return len(self.name) + (len(self.value) if type(self.value) is bytes else _weight(self.value))


def _weight(value: Any) -> int:
    return sum(_item_weight(item) for piece in value.pieces(4_096) for item in piece)


def _item_weight(item: Any) -> int:
    if isinstance(item, bytes):
        return len(item)
    return sum(map(_item_weight, item)) if isinstance(item, list | tuple) else 8


def keys(keyspace: Keyspace, database: int | None = None, pattern: bytes = b"*") -> Iterator[Key]:
    """The live keys, database by database, as SCAN would find them."""
    matches = matcher(pattern)
    for db in keyspace.used():
        if database is not None and db.index != database:
            continue
        for slot in range(len(db.values)):
            for name in db.live(slot) if db.values[slot] else ():
                if pattern == b"*" or matches(name):
                    yield Key(db.index, name, db.values[slot][name], db.deadline(name))


def dead(keyspace: Keyspace) -> int:
    """Keys whose deadline has come and whose memory is not freed yet."""
    held = sum(map(len, keyspace.used()))
    return held - sum(1 for _ in keys(keyspace))


def plain(value: Value) -> Any:
    """The value for JSON: str, list or dict, bytes as they are."""
    if type(value) is bytes:
        return value
    if isinstance(value, Hash):
        return {_text(field): item for field, item in value.pairs().items()}
    if isinstance(value, SortedSet):
        return {_text(member): _number(score) for member, score in value.scored(0, len(value))}
    if isinstance(value, List):
        return list(value)
    if isinstance(value, Set):
        return value.members()
    return {id_text(id_).decode(): words for id_, words in value.entries.between(0, ID_MOST)}


def _text(name: bytes) -> str:
    """As text; what is none as redis-cli quotes it, so that no two names look the same."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return quoted(name)


def _number(score: float) -> float | str:
    """JSON has no infinity."""
    return score if isfinite(score) else format_float(score).decode()


def commands(key: Key) -> Iterator[list[bytes]]:
    """Commands that make the key anew in any Redis (7.0 or later for a stream)."""
    name, value = key.name, key.value
    if type(value) is bytes:
        yield [b"SET", name, value]
    elif isinstance(value, Hash):
        yield from _batches(
            b"HSET", name, [part for pair in value.pairs().items() for part in pair], 2 * BATCH
        )
    elif isinstance(value, List):
        yield from _batches(b"RPUSH", name, list(value), BATCH)
    elif isinstance(value, Set):
        yield from _batches(b"SADD", name, value.members(), BATCH)
    elif isinstance(value, SortedSet):
        scored = value.scored(0, len(value))
        yield from _batches(
            b"ZADD",
            name,
            [part for member, score in scored for part in (format_float(score), member)],
            2 * BATCH,
        )
    else:
        # What a stream knows of its consumers no command can tell it.
        yield [b"RESTORE", name, b"0", payload.dump(value), b"REPLACE"]
    if key.deadline_ms is not None:
        yield [b"PEXPIREAT", name, b"%d" % key.deadline_ms]


def _batches(command: bytes, name: bytes, parts: list[bytes], most: int) -> Iterator[list[bytes]]:
    for at in range(0, len(parts), most):
        yield [command, name, *parts[at : at + most]]
