"""HyperLogLog: about how many different elements there were.

PFCOUNT is a read here. Redis stores what it computed in the string, where a later PFCOUNT finds it and nobody
else looks: here it is computed anew, unless the string came with a count that is up to date.
"""

from __future__ import annotations

from functools import reduce

from ironkv.commands.table import ALL_KEYS, ONE_KEY, Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace import hyperloglog, thresholds
from ironkv.keyspace.hyperloglog import HyperLogLog
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Reply


def _find(db: Database, key: bytes) -> bytes | None:
    """The HyperLogLog at `key`, or None. Raises CommandError, Due."""
    value = db.string(key)
    if value is None or hyperloglog.is_hyperloglog(value):
        return value
    raise CommandError("WRONGTYPE Key is not a valid HyperLogLog string value.")


@command(
    "PFADD",
    -2,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="hyperloglog",
    since="2.8.9",
    complexity="O(1) to add every element.",
    summary="Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.",
)
def pfadd(db: Database, args: Args, now_ms: int) -> Reply:
    """PFADD key [element [element ...]]: 1 if the count may have changed by it, or the key is new."""
    old = _find(db, args[1])
    log = HyperLogLog(old or hyperloglog.EMPTY, thresholds.in_force.hyperloglog_bytes)
    updated = sum(map(log.add, args[2:])) or old is None
    if not updated:
        return 0
    db.update(args[1], log.encoded())
    db.notify(b"pfadd", args[1])
    return 1


@command(
    "PFCOUNT",
    -2,
    Route.READ,
    "readonly",
    keys=ALL_KEYS,
    group="hyperloglog",
    since="2.8.9",
    complexity="O(1) with a very small average constant time when called with a single key. O(N) with N "
    "being the number of keys, and much bigger constant times, when called with multiple keys.",
    summary="Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).",
)
def pfcount(db: Database, args: Args, now_ms: int) -> Reply:
    """PFCOUNT key [key ...]: of several keys, what all of them together saw."""
    if len(args) == 2:
        value = _find(db, args[1])
        return 0 if value is None else hyperloglog.cardinality(value)
    return hyperloglog.estimate(_highest(_values(db, args)))


def _values(db: Database, args: Args) -> list[bytes]:
    """Those of the keys that are there."""
    return [value for key in args[1:] if (value := _find(db, key)) is not None]


def _highest(values: list[bytes]) -> bytes:
    """The registers of all of them together."""
    nothing = bytes(hyperloglog.REGISTERS)
    return reduce(hyperloglog.greater, map(hyperloglog.registers, values), nothing)


@command(
    "PFMERGE",
    -2,
    Route.WRITE,
    "write denyoom",
    keys=ALL_KEYS,
    group="hyperloglog",
    since="2.8.9",
    complexity="O(N) to merge N HyperLogLogs, but with high constant times.",
    summary="Merges one or more HyperLogLog values into a single key.",
)
def pfmerge(db: Database, args: Args, now_ms: int) -> Reply:
    """PFMERGE destkey [sourcekey [sourcekey ...]]: what the destination saw counts, too."""
    values = _values(db, args)
    highest = _highest(values)
    log = HyperLogLog(_find(db, args[1]) or hyperloglog.EMPTY, thresholds.in_force.hyperloglog_bytes)
    if any(value[4] == hyperloglog.DENSE for value in values):
        log.become_dense()
    for index, value in enumerate(highest):
        if value:
            log.raise_to(index, value)
    db.update(args[1], log.encoded())
    db.notify(b"pfadd", args[1])
    return OK
