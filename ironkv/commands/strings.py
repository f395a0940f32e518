"""Strings: set, get, and work on parts. The counters are in `counters`, LCS in `lcs`.

GET and plain SET are most of the traffic of most stores. In these two the slot and the deadline are
looked at in place instead of through Database.find and .set, which halves their cost.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from ironkv.commands.arguments import (
    EXPIRY_UNITS,
    Expiry,
    check_string_size,
    integer,
    next_word,
    positive_expiry,
)
from ironkv.commands.table import ALL_KEYS, ONE_KEY, Args, Route, command, in_vain, run_of
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.slots import slot_of
from ironkv.resp.replies import BULK_HEADS, CRLF, LARGE, OK, SHORT, Reply

EVERY_OTHER: Final = (1, -1, 2)
"""Keys of MSET: key value [key value ...]."""


class SetOptions(NamedTuple):
    """What SET was asked to do besides setting."""

    only: bytes = b""
    """`NX`: only if the key is not there; `XX`: only if it is."""
    get: bool = False
    keep_ttl: bool = False
    expiry: Expiry | None = None


PLAIN: Final = SetOptions()

USUAL_EXPIRIES: Final = {b"EX": b"EX", b"ex": b"EX", b"PX": b"PX", b"px": b"PX"}
"""What caches write behind nearly every SET: worth a short cut."""


def parse_set(args: Args) -> SetOptions:
    """SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]"""
    if len(args) == 3:
        return PLAIN
    if len(args) == 5 and args[3] in USUAL_EXPIRIES:
        return SetOptions(expiry=positive_expiry(USUAL_EXPIRIES[args[3]], args[4], "set"))
    only = unit = amount = b""
    get = keep_ttl = False
    words = iter(args[3:])
    for word in words:
        option = word.upper()
        if option == b"GET":
            get = True
        elif option in (b"NX", b"XX") and only in (b"", option):
            only = option
        elif option == b"KEEPTTL" and not unit:
            keep_ttl = True
        elif option in EXPIRY_UNITS and unit in (b"", option) and not keep_ttl:
            unit, amount = option, next_word(words)
        else:
            raise SyntaxFault
    # Redis reads the amount only once all options are known to make sense.
    expiry = positive_expiry(unit, amount, "set") if unit else None
    return SetOptions(only, get, keep_ttl, expiry)


def parse_getex(args: Args) -> tuple[bool, Expiry | None]:
    """GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST] -> (persist, expiry)"""
    persist = False
    unit = amount = b""
    words = iter(args[2:])
    for word in words:
        option = word.upper()
        if option == b"PERSIST" and not unit:
            persist = True
        elif option in EXPIRY_UNITS and unit in (b"", option) and not persist:
            unit, amount = option, next_word(words)
        else:
            raise SyntaxFault
    return persist, positive_expiry(unit, amount, "getex") if unit else None


def parse_setex(args: Args) -> Expiry:
    """SETEX key seconds value"""
    return positive_expiry(b"EX", args[2], "setex")


def parse_psetex(args: Args) -> Expiry:
    """PSETEX key milliseconds value"""
    return positive_expiry(b"PX", args[2], "psetex")


def parse_setrange(args: Args) -> int:
    """SETRANGE key offset value -> offset"""
    offset = integer(args[2])
    if offset < 0:
        raise CommandError("ERR offset is out of range")
    return offset


def check_pairs(args: Args) -> None:
    """MSET key value [key value ...]"""
    if len(args) % 2 == 0:
        raise CommandError(f"ERR wrong number of arguments for '{args[0].decode().lower()}' command")


@command(
    "GET",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the string value of a key.",
)
def get(db: Database, args: Args, now_ms: int) -> Reply:
    """GET key"""
    key = args[1]
    slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
    deadlines = db.deadlines[slot]
    if deadlines and key in deadlines:
        return db.string(key)
    value = db.values[slot].get(key)
    if value is None or type(value) is bytes:
        return value
    raise WrongType


@command(
    "SET",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_set,
    plain=3,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.",
)
def set_(db: Database, args: Args, now_ms: int) -> Reply:
    """SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]"""
    if len(args) > 3:
        return _set_with_options(db, args, now_ms)
    _, key, value = args
    slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
    if not db.quiet[slot]:
        db.touch(slot)
    deadlines = db.deadlines[slot]
    if (deadlines and key in deadlines) or db.keyspace.listener is not None:
        db.set(key, value)
        db.notify(b"set", key)
        return OK
    db.values[slot][key] = value
    db.keyspace.changes += 1
    return OK


@in_vain("SET", None)
def trying_locks(db: Database, requests: Sequence[Args]) -> int:
    """How many of these only try for locks (NX, without GET) that somebody holds."""
    for count, args in enumerate(requests):
        if len(args) == 3:
            return count
        options = parse_set(args)
        if options.only != b"NX" or options.get or db.find(args[1]) is None:
            return count
    return len(requests)


def _set_with_options(db: Database, args: Args, now_ms: int) -> Reply:
    only, get, keep_ttl, expiry = parse_set(args)
    deadline_ms = expiry.at(now_ms) if expiry else None
    key = args[1]
    # With GET the old value is the reply, whether or not anything was set.
    old = db.string(key) if get else None
    if only and (only == b"NX") is (db.find(key) is not None):
        return old
    if keep_ttl:
        db.update(key, args[2])
    else:
        db.set(key, args[2])
    db.notify(b"set", key)
    if deadline_ms is not None:
        _let_die(db, key, deadline_ms)
    return old if get else OK


def _let_die(db: Database, key: bytes, deadline_ms: int) -> None:
    db.set_deadline(key, deadline_ms)
    db.tell(b"expire", key)


@command(
    "GETSET",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the previous string value of a key after setting it to a new value.",
)
def getset(db: Database, args: Args, now_ms: int) -> Reply:
    """GETSET key value"""
    old = db.string(args[1])
    db.set(args[1], args[2])
    db.notify(b"set", args[1])
    return old


@command(
    "GETDEL",
    2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    group="string",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns the string value of a key after deleting the key.",
)
def getdel(db: Database, args: Args, now_ms: int) -> Reply:
    """GETDEL key"""
    value = db.string(args[1])
    if value is not None:
        db.remove(args[1])
        db.notify(b"del", args[1])
    return value


@command(
    "GETEX",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_getex,
    group="string",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns the string value of a key after setting its expiration time.",
)
def getex(db: Database, args: Args, now_ms: int) -> Reply:
    """GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]: read a string and move its deadline."""
    persist, expiry = parse_getex(args)
    key = args[1]
    value = db.string(key)
    if value is not None:
        if expiry is not None:
            deadline_ms = expiry.at(now_ms)
            db.set_deadline(key, deadline_ms)
            db.notify(b"expire" if deadline_ms > now_ms else b"del", key)
        elif persist and db.clear_deadline(key):
            db.notify(b"persist", key)
    return value


@command(
    "MGET",
    -2,
    Route.READ,
    "readonly fast",
    keys=ALL_KEYS,
    group="string",
    since="1.0.0",
    complexity="O(N) where N is the number of keys to retrieve.",
    summary="Atomically returns the string values of one or more keys.",
)
def mget(db: Database, args: Args, now_ms: int) -> Reply:
    """MGET key [key ...]: a key of another type counts as not there."""
    find = db.find
    return [value if type(value := find(key)) is bytes else None for key in args[1:]]


@command(
    "MSET",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=EVERY_OTHER,
    check=check_pairs,
    group="string",
    since="1.0.1",
    complexity="O(N) where N is the number of keys to set.",
    summary="Atomically creates or modifies the string values of one or more keys.",
)
def mset(db: Database, args: Args, now_ms: int) -> Reply:
    """MSET key value [key value ...]"""
    check_pairs(args)
    if db.keyspace.listener is None:
        set_pairs(db, args[1:])
    else:
        for key, value in zip(args[1::2], args[2::2], strict=True):
            db.set(key, value)
            db.notify(b"set", key)
    return OK


def set_pairs(db: Database, pairs: Args) -> None:
    """Set key, value, key, value, …: for nobody who listens."""
    all_values, all_deadlines, quiet = db.values, db.deadlines, db.quiet
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
        if quiet[slot] and not all_deadlines[slot]:
            all_values[slot][key] = value
        else:
            db.set(key, value)
    db.keyspace.changes += len(pairs) // 2


@command(
    "MSETNX",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=EVERY_OTHER,
    check=check_pairs,
    group="string",
    since="1.0.1",
    complexity="O(N) where N is the number of keys to set.",
    summary="Atomically modifies the string values of one or more keys only when all keys don't exist.",
)
def msetnx(db: Database, args: Args, now_ms: int) -> Reply:
    """MSETNX key value [key value ...]: all or none."""
    check_pairs(args)
    if any(db.find(key) is not None for key in args[1::2]):
        return 0
    mset(db, args, now_ms)
    return 1


@command(
    "SETNX",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(1)",
    summary="Set the string value of a key only when the key doesn't exist.",
)
def setnx(db: Database, args: Args, now_ms: int) -> Reply:
    """SETNX key value"""
    if db.find(args[1]) is not None:
        return 0
    db.set(args[1], args[2])
    db.notify(b"set", args[1])
    return 1


@in_vain("SETNX", 0)
def finding_keys_taken(db: Database, requests: Sequence[Args]) -> int:
    """How many of these are for keys that are there."""
    taken = takewhile(lambda args: db.find(args[1]) is not None, requests)
    return sum(1 for _ in taken)


@command(
    "SETEX",
    4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_setex,
    group="string",
    since="2.0.0",
    complexity="O(1)",
    summary="Sets the string value and expiration time of a key. Creates the key if it doesn't exist.",
)
def setex(db: Database, args: Args, now_ms: int) -> Reply:
    """SETEX key seconds value"""
    deadline_ms = parse_setex(args).at(now_ms)
    db.set(args[1], args[3])
    db.notify(b"set", args[1])
    _let_die(db, args[1], deadline_ms)
    return OK


@command(
    "PSETEX",
    4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_psetex,
    group="string",
    since="2.6.0",
    complexity="O(1)",
    summary="Sets both string value and expiration time in milliseconds of a key. "
    "The key is created if it doesn't exist.",
)
def psetex(db: Database, args: Args, now_ms: int) -> Reply:
    """PSETEX key milliseconds value"""
    deadline_ms = parse_psetex(args).at(now_ms)
    db.set(args[1], args[3])
    db.notify(b"set", args[1])
    _let_die(db, args[1], deadline_ms)
    return OK


@command(
    "APPEND",
    3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="string",
    since="2.0.0",
    complexity="O(N) where N is the length of the string that results.",
    summary="Appends a string to the value of a key. Creates the key if it doesn't exist.",
)
def append(db: Database, args: Args, now_ms: int) -> Reply:
    """APPEND key value: the new length."""
    key, tail = args[1], args[2]
    value = db.string(key)
    if value is not None:
        check_string_size(len(value) + len(tail))
        tail = value + tail
    db.update(key, tail)
    db.notify(b"append", key)
    return len(tail)


@command(
    "STRLEN",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="string",
    since="2.2.0",
    complexity="O(1)",
    summary="Returns the length of a string value.",
)
def strlen(db: Database, args: Args, now_ms: int) -> Reply:
    """STRLEN key"""
    return len(db.string(args[1]) or b"")


@command(
    "SUBSTR",
    4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="string",
    since="1.0.0",
    complexity="O(N) where N is the length of the returned string.",
    summary="Returns a substring from a string value.",
)
@command(
    "GETRANGE",
    4,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="string",
    since="2.4.0",
    complexity="O(N) where N is the length of the returned string.",
    summary="Returns a substring of the string stored at a key.",
)
def getrange(db: Database, args: Args, now_ms: int) -> Reply:
    """GETRANGE key start end: both ends included, negative ones count from the string's end."""
    start, end = integer(args[2]), integer(args[3])
    value = db.string(args[1]) or b""
    size = len(value)
    # A range of negative numbers the wrong way round is empty, although both may be cut to 0 below.
    if start < 0 and end < 0 and start > end:
        return b""
    first = max(0, size + start) if start < 0 else start
    last = max(0, size + end) if end < 0 else end
    return value[first : last + 1]


@command(
    "SETRANGE",
    4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_setrange,
    group="string",
    since="2.2.0",
    complexity="O(N) where N is the length of the string that results.",
    summary="Overwrites a part of a string value with another by an offset. "
    "Creates the key if it doesn't exist.",
)
def setrange(db: Database, args: Args, now_ms: int) -> Reply:
    """SETRANGE key offset value: the new length. What lies between the old end and `offset` is zeros."""
    offset = parse_setrange(args)
    key, patch = args[1], args[3]
    value = db.string(key) or b""
    if not patch:
        return len(value)
    check_string_size(offset + len(patch))
    value = b"".join((value[:offset].ljust(offset, b"\0"), patch, value[offset + len(patch) :]))
    db.update(key, value)
    db.notify(b"setrange", key)
    return len(value)


@run_of("GET")
def get_run(db: Database, requests: Sequence[Args], out: list[bytes], proto: int) -> bool:
    """Answer a pipeline of GETs: the same lookups as `get`, without a call for each."""
    name = requests[0][0]
    values, deadlines, heads = db.values, db.deadlines, BULK_HEADS
    null = b"$-1\r\n" if proto == 2 else b"_\r\n"
    pieces: list[bytes] = []
    for args in requests:
        if len(args) != 2 or args[0] != name:
            return False
        key = args[1]
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & 0x3FFF
        value = values[slot].get(key)
        if value is None:
            pieces.append(null)
            continue
        mortal = deadlines[slot]
        if type(value) is not bytes or (mortal and key in mortal):
            return False
        size = len(value)
        if size > LARGE:
            return False
        pieces += (heads[size] if size < SHORT else b"$%d\r\n" % size), value, CRLF
    out += pieces
    return True
