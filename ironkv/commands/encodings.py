"""IRONKV THRESHOLDS: CONFIG SET of the sizes from which on a value is held otherwise, as it is logged.

Replicas must hold a value alike, so these parameters are the cluster's and not a node's: see docs/decisions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple

from ironkv.commands import backup  # noqa: F401  (IRONKV's own row comes first)
from ironkv.commands.arguments import INT64_MAX, integer
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, NotInteger
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Reply

INT_MAX: Final = 2**31 - 1


class Size(NamedTuple):
    """One of the parameters."""

    field: str
    """Of `Thresholds`."""
    in_bytes: bool = False
    """It may be given with a unit."""
    low: int = 0
    high: int = INT64_MAX


SIZES: Final = {
    "hash-max-listpack-entries": Size("hash_entries"),
    "hash-max-listpack-value": Size("hash_value", in_bytes=True),
    "hll-sparse-max-bytes": Size("hyperloglog_bytes", in_bytes=True),
    "list-compress-depth": Size("list_depth", high=INT_MAX),
    "list-max-listpack-size": Size("list_size", low=-INT_MAX - 1, high=INT_MAX),
    "set-max-intset-entries": Size("set_integers"),
    "set-max-listpack-entries": Size("set_entries"),
    "set-max-listpack-value": Size("set_value", in_bytes=True),
    "stream-node-max-bytes": Size("stream_bytes", in_bytes=True),
    "stream-node-max-entries": Size("stream_entries"),
    "zset-max-listpack-entries": Size("zset_entries"),
    "zset-max-listpack-value": Size("zset_value", in_bytes=True),
}
"""By Redis's names, with Redis's bounds."""


def parse_thresholds(args: Args) -> dict[str, int]:
    """IRONKV THRESHOLDS parameter value [parameter value ...] -> new values by field of `Thresholds`"""
    if len(args) % 2:
        raise CommandError("ERR wrong number of arguments for 'ironkv|thresholds' command")
    found: dict[str, int] = {}
    for name, text in zip(args[2::2], args[3::2], strict=True):
        size = SIZES.get(name.decode("utf-8", "surrogateescape"))
        if size is None:
            raise CommandError("ERR Unknown threshold")
        try:
            value = integer(text)
        except NotInteger:
            raise CommandError("ERR a threshold is not an integer") from None
        if not size.low <= value <= size.high:
            raise CommandError("ERR a threshold is out of range")
        found[size.field] = value
    return found


@command(
    "IRONKV|THRESHOLDS",
    -4,
    Route.WRITE,
    "write admin noscript no_multi",
    check=parse_thresholds,
    group="server",
    since="0.2.0",
    complexity="O(N) where N is the number of parameters",
    summary="Sets the sizes from which on values are held otherwise, on all nodes.",
)
def set_thresholds(db: Database, args: Args, now_ms: int) -> Reply:
    """IRONKV THRESHOLDS parameter value [parameter value ...]: what CONFIG SET of these has logged."""
    chosen: dict[str, Any] = parse_thresholds(args)
    thresholds.in_force = db.keyspace.thresholds = replace(db.keyspace.thresholds, **chosen)
    return OK
