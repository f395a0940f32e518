"""Looking at keys for the console: reads only, of what this node holds, in small bites."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from ironkv.commands.table import find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Due, Keyspace
from ironkv.resp.replies import Reply, format_float

PAGE: Final = 100
"""Keys of a page, and elements of a value, about."""
TEXT_MOST: Final = 4_096
"""Bytes shown of a string, or of an element."""
NAME_MOST: Final = 64 << 10
"""Longer keys are not shown: they could not be asked for."""
_READS: Final[dict[bytes, list[bytes]]] = {
    b"string": [b"GETRANGE", b"", b"0", b"%d" % (TEXT_MOST - 1)],
    b"list": [b"LRANGE", b"", b"0", b"%d" % (PAGE - 1)],
    b"hash": [b"HSCAN", b"", b"0", b"COUNT", b"%d" % PAGE],
    b"set": [b"SSCAN", b"", b"0", b"COUNT", b"%d" % PAGE],
    b"zset": [b"ZRANGE", b"", b"0", b"%d" % (PAGE - 1), b"WITHSCORES"],
    b"stream": [b"XRANGE", b"", b"-", b"+", b"COUNT", b"%d" % PAGE],
}
_SIZES: Final = {
    b"string": b"STRLEN", b"list": b"LLEN", b"hash": b"HLEN",
    b"set": b"SCARD", b"zset": b"ZCARD", b"stream": b"XLEN",
}  # fmt: skip


def read(keyspace: Keyspace, database: int, *args: bytes) -> Any:
    """The reply to a command that reads; None where a key is due or the command refuses."""
    words = list(args)
    try:
        return find(words).handler(keyspace.database(database), words, keyspace.stamp_ms)
    except (CommandError, Due):
        return None


def scan(keyspace: Keyspace, database: int, cursor: int, pattern: bytes) -> tuple[int, list[dict[str, Any]]]:
    """Some keys that match, with type and deadline, and where to go on; 0: that was all."""
    found = read(keyspace, database, b"SCAN", b"%d" % cursor, b"MATCH", pattern, b"COUNT", b"%d" % PAGE)
    following, names = found if found is not None else (b"0", [])
    keys = [
        {
            "key": name,
            "type": _text(read(keyspace, database, b"TYPE", name)),
            "ttl_ms": _ttl(keyspace, database, name),
        }
        for name in names
        if len(name) <= NAME_MOST
    ]
    return int(following), [each for each in keys if each["type"] != "none"]


def _ttl(keyspace: Keyspace, database: int, key: bytes) -> int | None:
    ttl_ms = read(keyspace, database, b"PTTL", key)
    return ttl_ms if ttl_ms is not None and ttl_ms >= 0 else None


def describe(keyspace: Keyspace, database: int, key: bytes) -> dict[str, Any] | None:
    """A key and the beginning of its value; None when there is no such."""
    kind = bytes(_text(read(keyspace, database, b"TYPE", key)), "ascii")
    if kind not in _READS:
        return None
    name, _, *rest = _READS[kind]
    return {
        "key": key,
        "type": kind.decode(),
        "ttl_ms": _ttl(keyspace, database, key),
        "encoding": _text(read(keyspace, database, b"OBJECT", b"ENCODING", key)),
        "size": read(keyspace, database, _SIZES[kind], key),
        "bytes": read(keyspace, database, b"MEMORY", b"USAGE", key),
        "value": _rows(kind, read(keyspace, database, name, key, *rest)),
    }


def _rows(kind: bytes, reply: Any) -> list[list[bytes]]:
    """A value as rows of cells, at most `PAGE` of them."""
    if reply is None:
        return []
    if kind == b"string":
        return [[_clipped(reply)]]
    if kind in (b"hash", b"set"):
        reply = reply[1]
    if isinstance(reply, dict):
        reply = [each for pair in reply.items() for each in pair]
    if kind == b"stream":
        return [[entry[0], *map(_clipped, entry[1])] for entry in islice(reply, PAGE)]
    if kind == b"zset":
        return [[_clipped(member), format_float(score)] for member, score in islice(reply, PAGE)]
    if kind == b"hash":
        return [
            [_clipped(a), _clipped(b)] for a, b in islice(zip(reply[::2], reply[1::2], strict=True), PAGE)
        ]
    return [[_clipped(each)] for each in islice(reply, PAGE)]


def _clipped(cell: Reply) -> bytes:
    if isinstance(cell, bytes):
        return cell[:TEXT_MOST]
    return str(cell).encode()[:TEXT_MOST]


def _text(reply: Any) -> str:
    """Of a status or a bulk."""
    data = getattr(reply, "text", reply)
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data or "none")
