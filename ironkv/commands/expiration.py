"""When keys die: EXPIRE, TTL, PERSIST and their kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ironkv.commands.arguments import (
    INT64_MAX,
    INT64_MIN,
    Expiry,
    integer,
    invalid_expire_time,
)
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

CONDITIONS: Final = frozenset((b"NX", b"XX", b"GT", b"LT"))

NO_KEY: Final = -2
NO_DEADLINE: Final = -1


def _parse_expire(args: Args, command_name: str, unit_ms: int, relative: bool) -> tuple[Expiry, set[bytes]]:
    """EXPIRE key amount [NX | XX | GT | LT] -> (expiry, conditions)"""
    conditions: set[bytes] = set()
    for word in args[3:]:
        condition = word.upper()
        if condition not in CONDITIONS:
            shown = word.partition(b"\0")[0].decode("utf-8", "surrogateescape")  # C's %s
            raise CommandError(f"ERR Unsupported option {shown}")
        conditions.add(condition)
    if b"NX" in conditions and len(conditions) > 1:
        raise CommandError("ERR NX and XX, GT or LT options at the same time are not compatible")
    if b"GT" in conditions and b"LT" in conditions:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    amount_ms = integer(args[2]) * unit_ms
    if not INT64_MIN <= amount_ms <= INT64_MAX:
        raise invalid_expire_time(command_name)
    return Expiry(amount_ms, relative, command_name), conditions


def parse_expire(args: Args) -> tuple[Expiry, set[bytes]]:
    """EXPIRE key seconds [NX | XX | GT | LT]"""
    return _parse_expire(args, "expire", 1000, relative=True)


def parse_pexpire(args: Args) -> tuple[Expiry, set[bytes]]:
    """PEXPIRE key milliseconds [NX | XX | GT | LT]"""
    return _parse_expire(args, "pexpire", 1, relative=True)


def parse_expireat(args: Args) -> tuple[Expiry, set[bytes]]:
    """EXPIREAT key unix-time-seconds [NX | XX | GT | LT]"""
    return _parse_expire(args, "expireat", 1000, relative=False)


def parse_pexpireat(args: Args) -> tuple[Expiry, set[bytes]]:
    """PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]"""
    return _parse_expire(args, "pexpireat", 1, relative=False)


def _expire(db: Database, key: bytes, expiry: Expiry, conditions: set[bytes], now_ms: int) -> int:
    deadline_ms = expiry.at(now_ms)
    if db.find(key) is None or (conditions and not _holds(conditions, db.deadline(key), deadline_ms)):
        return 0
    db.set_deadline(key, deadline_ms)
    db.notify(b"expire" if deadline_ms > now_ms else b"del", key)
    return 1


def _holds(conditions: set[bytes], current_ms: int | None, deadline_ms: int) -> bool:
    """Whether a deadline may be changed. A key without one counts as living for ever."""
    if current_ms is None:
        return b"XX" not in conditions and b"GT" not in conditions
    return not (
        b"NX" in conditions
        or (b"GT" in conditions and deadline_ms <= current_ms)
        or (b"LT" in conditions and deadline_ms >= current_ms)
    )


@command(
    "EXPIRE",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_expire,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Sets the expiration time of a key in seconds.",
)
def expire(db: Database, args: Args, now_ms: int) -> Reply:
    """EXPIRE key seconds [NX | XX | GT | LT]"""
    return _expire(db, args[1], *parse_expire(args), now_ms)


@command(
    "PEXPIRE",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_pexpire,
    group="generic",
    since="2.6.0",
    complexity="O(1)",
    summary="Sets the expiration time of a key in milliseconds.",
)
def pexpire(db: Database, args: Args, now_ms: int) -> Reply:
    """PEXPIRE key milliseconds [NX | XX | GT | LT]"""
    return _expire(db, args[1], *parse_pexpire(args), now_ms)


@command(
    "EXPIREAT",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_expireat,
    group="generic",
    since="1.2.0",
    complexity="O(1)",
    summary="Sets the expiration time of a key to a Unix timestamp.",
)
def expireat(db: Database, args: Args, now_ms: int) -> Reply:
    """EXPIREAT key unix-time-seconds [NX | XX | GT | LT]"""
    return _expire(db, args[1], *parse_expireat(args), now_ms)


@command(
    "PEXPIREAT",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_pexpireat,
    group="generic",
    since="2.6.0",
    complexity="O(1)",
    summary="Sets the expiration time of a key to a Unix milliseconds timestamp.",
)
def pexpireat(db: Database, args: Args, now_ms: int) -> Reply:
    """PEXPIREAT key unix-time-milliseconds [NX | XX | GT | LT]"""
    return _expire(db, args[1], *parse_pexpireat(args), now_ms)


@command(
    "PERSIST",
    2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    group="generic",
    since="2.2.0",
    complexity="O(1)",
    summary="Removes the expiration time of a key.",
)
def persist(db: Database, args: Args, now_ms: int) -> Reply:
    """PERSIST key"""
    if not db.clear_deadline(args[1]):
        return 0
    db.notify(b"persist", args[1])
    return 1


def _about_deadline(db: Database, key: bytes, tell: Callable[[int], int]) -> int:
    """What `tell` makes of the key's deadline, or the number that says why there is none."""
    if db.find(key) is None:
        return NO_KEY
    deadline_ms = db.deadline(key)
    return NO_DEADLINE if deadline_ms is None else tell(deadline_ms)


def _seconds(milliseconds: int) -> int:
    """Rounded half up: a key with 500 ms to live has a TTL of 1."""
    return (milliseconds + 500) // 1000


@command(
    "TTL",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the expiration time in seconds of a key.",
)
def ttl(db: Database, args: Args, now_ms: int) -> Reply:
    """TTL key"""
    return _about_deadline(db, args[1], lambda deadline_ms: _seconds(max(0, deadline_ms - now_ms)))


@command(
    "PTTL",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="generic",
    since="2.6.0",
    complexity="O(1)",
    summary="Returns the expiration time in milliseconds of a key.",
)
def pttl(db: Database, args: Args, now_ms: int) -> Reply:
    """PTTL key"""
    return _about_deadline(db, args[1], lambda deadline_ms: max(0, deadline_ms - now_ms))


@command(
    "EXPIRETIME",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="generic",
    since="7.0.0",
    complexity="O(1)",
    summary="Returns the expiration time of a key as a Unix timestamp.",
)
def expiretime(db: Database, args: Args, now_ms: int) -> Reply:
    """EXPIRETIME key"""
    return _about_deadline(db, args[1], _seconds)


@command(
    "PEXPIRETIME",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="generic",
    since="7.0.0",
    complexity="O(1)",
    summary="Returns the expiration time of a key as a Unix milliseconds timestamp.",
)
def pexpiretime(db: Database, args: Args, now_ms: int) -> Reply:
    """PEXPIRETIME key"""
    return _about_deadline(db, args[1], lambda deadline_ms: deadline_ms)
