"""Hashes: fields and their values."""

from __future__ import annotations

from itertools import chain

from ironkv.commands import long_double
from ironkv.commands.arguments import (
    INT64_MAX,
    INT64_MIN,
    check_random_count,
    cursor,
    integer,
    random_count,
)
from ironkv.commands.removing import remove_empty
from ironkv.commands.scanning import parse_scan
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault, WrongType
from ironkv.keyspace.hashes import Hash
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Pairs, Reply


def _find(db: Database, key: bytes) -> Hash | None:
    value = db.find(key)
    if value is None or type(value) is Hash:
        return value
    raise WrongType


def find_or_make_hash(db: Database, key: bytes) -> Hash:
    """For a command that goes on to set a field, whatever happens."""
    hash_ = _find(db, key)
    if hash_ is None:
        hash_ = Hash()
        db.set(key, hash_)
    return hash_


# -- writing


def check_pairs(args: Args) -> None:
    """HSET key field value [field value ...]"""
    if len(args) % 2:
        raise CommandError(f"ERR wrong number of arguments for '{args[0].decode().lower()}' command")


@command(
    "HSET",
    -4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=check_pairs,
    plain=4,
    group="hash",
    since="2.0.0",
    complexity="O(1) for each field/value pair added, so O(N) to add N field/value pairs when the command "
    "is called with multiple field/value pairs.",
    summary="Creates or modifies the value of a field in a hash.",
)
def hset(db: Database, args: Args, now_ms: int) -> Reply:
    """HSET key field value [field value ...]: how many fields are new."""
    hash_ = find_or_make_hash(db, args[1])
    if len(args) == 4:
        added = 1 if hash_.set(args[2], args[3]) else 0
    else:
        hash_.expect(args[2:])
        added = sum(map(hash_.set, args[2::2], args[3::2]))
    if db.keyspace.listener is not None:
        db.notify(b"hset", args[1])
    else:
        db.keyspace.changes += 1
    return added


@command(
    "HMSET",
    -4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=check_pairs,
    plain=4,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the number of fields being set.",
    summary="Sets the values of multiple fields.",
)
def hmset(db: Database, args: Args, now_ms: int) -> Reply:
    """HMSET key field value [field value ...]"""
    hset(db, args, now_ms)
    return OK


@command(
    "HSETNX",
    4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(1)",
    summary="Sets the value of a field in a hash only when the field doesn't exist.",
)
def hsetnx(db: Database, args: Args, now_ms: int) -> Reply:
    """HSETNX key field value"""
    hash_ = find_or_make_hash(db, args[1])
    if args[2] in hash_:
        return 0
    hash_.set(args[2], args[3])
    db.notify(b"hset", args[1])
    return 1


@command(
    "HDEL",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the number of fields to be removed.",
    summary="Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
)
def hdel(db: Database, args: Args, now_ms: int) -> Reply:
    """HDEL key field [field ...]: how many were there."""
    hash_ = _find(db, args[1])
    if hash_ is None:
        return 0
    removed = sum(map(hash_.remove, args[2:]))
    if removed:
        db.notify(b"hdel", args[1])
        remove_empty(db, args[1], hash_)
    return removed


def parse_amount(args: Args) -> int:
    """HINCRBY key field increment -> increment"""
    return integer(args[3])


@command(
    "HINCRBY",
    4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_amount,
    group="hash",
    since="2.0.0",
    complexity="O(1)",
    summary="Increments the integer value of a field in a hash by a number. "
    "Uses 0 as initial value if the field doesn't exist.",
)
def hincrby(db: Database, args: Args, now_ms: int) -> Reply:
    """HINCRBY key field increment"""
    total = parse_amount(args)
    hash_ = find_or_make_hash(db, args[1])
    value = hash_.get(args[2])
    if value is not None:
        try:
            total += integer(value)
        except NotInteger:
            raise CommandError("ERR hash value is not an integer") from None
        if not INT64_MIN <= total <= INT64_MAX:
            raise CommandError("ERR increment or decrement would overflow")
    hash_.set(args[2], b"%d" % total)
    db.notify(b"hincrby", args[1])
    return total


def parse_float_amount(args: Args) -> tuple[int, int]:
    """HINCRBYFLOAT key field increment -> increment"""
    amount = long_double.parse(args[3])
    if isinstance(amount, long_double.Infinite):
        raise CommandError("ERR value is NaN or Infinity")
    return amount


@command(
    "HINCRBYFLOAT",
    4,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    check=parse_float_amount,
    group="hash",
    since="2.6.0",
    complexity="O(1)",
    summary="Increments the floating point value of a field by a number. "
    "Uses 0 as initial value if the field doesn't exist.",
)
def hincrbyfloat(db: Database, args: Args, now_ms: int) -> Reply:
    """HINCRBYFLOAT key field increment"""
    amount = parse_float_amount(args)
    hash_ = find_or_make_hash(db, args[1])
    value = hash_.get(args[2])
    total = long_double.human(long_double.add(_number(value), amount))
    hash_.set(args[2], total)
    db.notify(b"hincrbyfloat", args[1])
    return total


def _number(value: bytes | None) -> long_double.LongDouble:
    if value is None:
        return long_double.ZERO
    try:
        return long_double.parse(value)
    except CommandError:
        raise CommandError("ERR hash value is not a float") from None


# -- reading


@command(
    "HGET",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(1)",
    summary="Returns the value of a field in a hash.",
)
def hget(db: Database, args: Args, now_ms: int) -> Reply:
    """HGET key field"""
    hash_ = _find(db, args[1])
    return None if hash_ is None else hash_.get(args[2])


@command(
    "HMGET",
    -3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the number of fields being requested.",
    summary="Returns the values of all fields in a hash.",
)
def hmget(db: Database, args: Args, now_ms: int) -> Reply:
    """HMGET key field [field ...]"""
    hash_ = _find(db, args[1])
    return [None] * (len(args) - 2) if hash_ is None else list(map(hash_.get, args[2:]))


@command(
    "HGETALL",
    2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    summary="Returns all fields and values in a hash.",
)
def hgetall(db: Database, args: Args, now_ms: int) -> Reply:
    """HGETALL key"""
    hash_ = _find(db, args[1])
    return {} if hash_ is None else hash_.pairs()


@command(
    "HKEYS",
    2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    summary="Returns all fields in a hash.",
)
def hkeys(db: Database, args: Args, now_ms: int) -> Reply:
    """HKEYS key"""
    hash_ = _find(db, args[1])
    return [] if hash_ is None else hash_.fields()


@command(
    "HVALS",
    2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(N) where N is the size of the hash.",
    summary="Returns all values in a hash.",
)
def hvals(db: Database, args: Args, now_ms: int) -> Reply:
    """HVALS key"""
    hash_ = _find(db, args[1])
    return [] if hash_ is None else hash_.values()


@command(
    "HEXISTS",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(1)",
    summary="Determines whether a field exists in a hash.",
)
def hexists(db: Database, args: Args, now_ms: int) -> Reply:
    """HEXISTS key field"""
    hash_ = _find(db, args[1])
    return 1 if hash_ is not None and args[2] in hash_ else 0


@command(
    "HLEN",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="hash",
    since="2.0.0",
    complexity="O(1)",
    summary="Returns the number of fields in a hash.",
)
def hlen(db: Database, args: Args, now_ms: int) -> Reply:
    """HLEN key"""
    hash_ = _find(db, args[1])
    return 0 if hash_ is None else len(hash_)


@command(
    "HSTRLEN",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="hash",
    since="3.2.0",
    complexity="O(1)",
    summary="Returns the length of the value of a field.",
)
def hstrlen(db: Database, args: Args, now_ms: int) -> Reply:
    """HSTRLEN key field"""
    hash_ = _find(db, args[1])
    return 0 if hash_ is None else len(hash_.get(args[2]) or b"")


@command(
    "HRANDFIELD",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="hash",
    since="6.2.0",
    complexity="O(N) where N is the number of fields returned",
    summary="Returns one or more random fields from a hash.",
)
def hrandfield(db: Database, args: Args, now_ms: int) -> Reply:
    """HRANDFIELD key [count [WITHVALUES]]: of a negative count, some perhaps more than once."""
    if len(args) == 2:
        hash_ = _find(db, args[1])
        return None if hash_ is None else next(hash_.random_pairs(1, db.keyspace.choice))[0]
    count = random_count(args[2])
    if len(args) > 4 or (len(args) == 4 and args[3].upper() != b"WITHVALUES"):
        raise SyntaxFault
    if len(args) == 4 and abs(count) > INT64_MAX // 2:
        raise CommandError("ERR value is out of range")
    hash_ = _find(db, args[1])
    if hash_ is None:
        return []
    check_random_count(count)
    choice = db.keyspace.choice
    pairs = hash_.distinct_pairs(count, choice) if count >= 0 else hash_.random_pairs(-count, choice)
    return Pairs(pairs) if len(args) == 4 else [field for field, _ in pairs]


@command(
    "HSCAN",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="hash",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    summary="Iterates over fields and values of a hash.",
)
def hscan(db: Database, args: Args, now_ms: int) -> Reply:
    """HSCAN key cursor [MATCH pattern] [COUNT count]"""
    start = cursor(args[2])
    hash_ = _find(db, args[1])
    if hash_ is None:
        return [b"0", []]
    options = parse_scan(args[3:])
    following, pairs = hash_.scan(start, options.most)
    if options.matches is not None:
        pairs = [pair for pair in pairs if options.matches(pair[0])]
    return [b"%d" % following, list(chain.from_iterable(pairs))]
