"""Strings that are numbers: INCR and its kin. INCRBYFLOAT's arithmetic is in `long_double`."""

from __future__ import annotations

from ironkv.commands import long_double
from ironkv.commands.arguments import INT64_MAX, INT64_MIN, integer
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply


def parse_amount(args: Args) -> int:
    """INCRBY key increment -> increment"""
    return integer(args[2])


def parse_decrement(args: Args) -> int:
    """DECRBY key decrement -> decrement"""
    amount = integer(args[2])
    if amount == INT64_MIN:  # has no positive counterpart
        raise CommandError("ERR decrement would overflow")
    return amount


def parse_float_amount(args: Args) -> long_double.LongDouble:
    """INCRBYFLOAT key increment -> increment"""
    return long_double.parse(args[2])


@command(
    "INCR",
    2,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
)
def incr(db: Database, args: Args, now_ms: int) -> Reply:
    """INCR key"""
    return _add(db, args[1], 1)


@command(
    "DECR",
    2,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.",
)
def decr(db: Database, args: Args, now_ms: int) -> Reply:
    """DECR key"""
    return _add(db, args[1], -1)


@command(
    "INCRBY",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_amount,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Increments the integer value of a key by a number. "
    "Uses 0 as initial value if the key doesn't exist.",
)
def incrby(db: Database, args: Args, now_ms: int) -> Reply:
    """INCRBY key increment"""
    return _add(db, args[1], parse_amount(args))


@command(
    "DECRBY",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_decrement,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Decrements a number from the integer value of a key. "
    "Uses 0 as initial value if the key doesn't exist.",
)
def decrby(db: Database, args: Args, now_ms: int) -> Reply:
    """DECRBY key decrement"""
    return _add(db, args[1], -parse_decrement(args))


def _add(db: Database, key: bytes, amount: int) -> int:
    value = db.string(key)
    total = amount if value is None else integer(value) + amount
    if not INT64_MIN <= total <= INT64_MAX:
        raise CommandError("ERR increment or decrement would overflow")
    db.update(key, b"%d" % total)
    if db.keyspace.listener is not None:
        db.notify(b"incrby", key)
    else:
        db.keyspace.changes += 1
    return total


@command(
    "INCRBYFLOAT",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_float_amount,
    group="string",
    since="2.6.0",
    complexity="O(1)",
    summary="Increment the floating point value of a key by a number. "
    "Uses 0 as initial value if the key doesn't exist.",
)
def incrbyfloat(db: Database, args: Args, now_ms: int) -> Reply:
    """INCRBYFLOAT key increment"""
    key = args[1]
    amount = parse_float_amount(args)
    value = db.string(key)
    number = long_double.ZERO if value is None else long_double.parse(value)
    total = long_double.human(long_double.add(number, amount))
    db.update(key, total)
    db.notify(b"incrbyfloat", key)
    return total
