"""DUMP and RESTORE: a value in Redis's own serialization."""

from __future__ import annotations

from typing import Final, NamedTuple

from ironkv.commands.arguments import INT64_MAX, integer
from ironkv.commands.removing import delete
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.rdb import payload
from ironkv.rdb.corrupt import Corrupt
from ironkv.resp.replies import OK, Reply

FREQUENCY_MOST: Final = 255


@command(
    "DUMP",
    2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="generic",
    since="2.6.0",
    complexity="O(1) to access the key and O(N*M) to serialize it, where N is the number of elements that "
    "the value has and M their average size.",
    summary="Returns a serialized representation of the value stored at a key.",
)
def dump(db: Database, args: Args, now_ms: int) -> Reply:
    """DUMP key: in RDB version 10, which Redis 7.0 and later ones restore."""
    value = db.find(args[1])
    return None if value is None else payload.dump(value)


class RestoreOptions(NamedTuple):
    """What stands behind the payload, and the time."""

    ttl_ms: int
    """0 for none."""
    replace: bool
    is_absolute: bool

    def deadline_ms(self, now_ms: int) -> int | None:
        if not self.ttl_ms:
            return None
        return self.ttl_ms if self.is_absolute else now_ms + self.ttl_ms


def parse_restore(args: Args) -> RestoreOptions:
    """RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n] -> options.

    The payload is not looked at: a key that is there is complained of first, and what is wrong with the
    payload is found alike on every replica.
    """
    replace = is_absolute = has_idle_time = has_frequency = False
    at = 4
    while at < len(args):
        option, has_next = args[at].upper(), at + 1 < len(args)
        if option == b"REPLACE":
            replace = True
        elif option == b"ABSTTL":
            is_absolute = True
        elif option == b"IDLETIME" and has_next and not has_frequency:
            at += 1
            has_idle_time = True
            if integer(args[at]) < 0:
                raise CommandError("ERR Invalid IDLETIME value, must be >= 0")
        elif option == b"FREQ" and has_next and not has_idle_time:
            at += 1
            has_frequency = True
            if not 0 <= integer(args[at]) <= FREQUENCY_MOST:
                raise CommandError("ERR Invalid FREQ value, must be >= 0 and <= 255")
        else:
            raise SyntaxFault
        at += 1
    ttl_ms = integer(args[2])
    if ttl_ms < 0:
        raise _invalid_ttl()
    return RestoreOptions(ttl_ms, replace, is_absolute)


def _invalid_ttl() -> CommandError:
    return CommandError("ERR Invalid TTL value, must be >= 0")


@command(
    "RESTORE",
    -4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_restore,
    group="generic",
    since="2.6.0",
    complexity="O(1) to create the key and O(N*M) to make its value, where N is the number of elements that "
    "the value has and M their average size; O(N*M*log(N)) for sorted sets.",
    summary="Creates a key from the serialized representation of a value.",
    categories="dangerous",
)
def restore(db: Database, args: Args, now_ms: int) -> Reply:
    """RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]

    How idle or how much used a key is is not kept: IDLETIME and FREQ have no effect.
    """
    options, key = parse_restore(args), args[1]
    is_there = db.find(key) is not None
    if is_there and not options.replace:
        raise CommandError("BUSYKEY Target key name already exists.")
    if not payload.is_whole(args[3]):
        raise CommandError("ERR DUMP payload version or checksum are wrong")
    try:
        value = payload.load(args[3])
    except Corrupt:
        raise CommandError("ERR Bad data format") from None
    deadline_ms = options.deadline_ms(now_ms)
    if deadline_ms is not None and deadline_ms > INT64_MAX:
        raise _invalid_ttl()
    if deadline_ms is not None and deadline_ms <= now_ms:
        delete(db, key)
        return OK
    db.set(key, value)
    if is_there:
        db.notify(b"new", key)  # as if it had been removed first; but it keeps its place for SCAN (K4)
    if deadline_ms is not None:
        db.set_deadline(key, deadline_ms)
    db.notify(b"restore", key)
    return OK
