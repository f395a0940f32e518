"""Sets: members, in and out. What is made of several sets is in `set_algebra`."""

from __future__ import annotations

from collections.abc import Sequence

from ironkv.commands.arguments import (
    INT64_MAX,
    check_random_count,
    cursor,
    integer_between,
    random_count,
)
from ironkv.commands.removing import remove_empty
from ironkv.commands.scanning import parse_scan
from ironkv.commands.table import ONE_KEY, Args, Route, command, in_vain
from ironkv.errors import SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.sets import Set
from ironkv.resp.replies import Members, Reply


def find_set(db: Database, key: bytes) -> Set | None:
    """The live set at `key`, or None. Raises WrongType, Due."""
    value = db.find(key)
    if value is None or type(value) is Set:
        return value
    raise WrongType


@command(
    "SADD",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    summary="Adds one or more members to a set. Creates the key if it doesn't exist.",
)
def sadd(db: Database, args: Args, now_ms: int) -> Reply:
    """SADD key member [member ...]: how many are new."""
    set_ = find_set(db, args[1])
    if set_ is None:
        set_ = Set.expecting(args[2], len(args) - 2)
        db.set(args[1], set_)
    if len(args) == 3:
        added = 1 if set_.add(args[2]) else 0
    else:
        set_.expect(len(args) - 2)
        added = sum(map(set_.add, args[2:]))
    if added:
        if db.keyspace.listener is not None:
            db.notify(b"sadd", args[1])
        else:
            db.keyspace.changes += 1
    return added


@in_vain("SADD", 0)
def adding_members(db: Database, requests: Sequence[Args]) -> int:
    """How many of these would only add what is there already."""
    key, set_ = requests[0][1], find_set(db, requests[0][1])
    for count, args in enumerate(requests):
        if args[1] != key:
            key, set_ = args[1], find_set(db, args[1])
        if set_ is None:
            return count
        if args[2] not in set_ or (len(args) > 3 and not all(map(set_.__contains__, args[3:]))):
            return count
    return len(requests)


@command(
    "SREM",
    -3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="O(N) where N is the number of members to be removed.",
    summary="Removes one or more members from a set. Deletes the set if the last member was removed.",
)
def srem(db: Database, args: Args, now_ms: int) -> Reply:
    """SREM key member [member ...]: how many were there."""
    set_ = find_set(db, args[1])
    if set_ is None:
        return 0
    removed = sum(map(set_.remove, args[2:]))
    if removed:
        db.notify(b"srem", args[1])
        remove_empty(db, args[1], set_)
    return removed


@command(
    "SMOVE",
    4,
    Route.WRITE,
    "write fast",
    keys=(1, 2, 1),
    group="set",
    since="1.0.0",
    complexity="O(1)",
    summary="Moves a member from one set to another.",
)
def smove(db: Database, args: Args, now_ms: int) -> Reply:
    """SMOVE source destination member"""
    _, source, destination, member = args
    if db.find(source) is None:
        return 0
    giver, taker = find_set(db, source), find_set(db, destination)
    assert giver is not None
    if giver is taker:
        return 1 if member in giver else 0
    if not giver.remove(member):
        return 0
    db.notify(b"srem", source)
    remove_empty(db, source, giver)
    if taker is None:
        taker = Set.expecting(member, 1)
        db.set(destination, taker)
    if taker.add(member):
        db.tell(b"sadd", destination)
    return 1


def parse_spop(args: Args) -> int | None:
    """SPOP key [count] -> count"""
    if len(args) > 3:
        raise SyntaxFault
    if len(args) == 2:
        return None
    return integer_between(args[2], 0, INT64_MAX, "ERR value is out of range, must be positive")


@command(
    "SPOP",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_spop,
    plain=2,
    group="set",
    since="1.0.0",
    complexity="Without the count argument O(1), otherwise O(N) where N is the value of the passed count.",
    summary="Returns one or more random members from a set after removing them. "
    "Deletes the set if the last member was popped.",
)
def spop(db: Database, args: Args, now_ms: int) -> Reply:
    """SPOP key [count]"""
    count = parse_spop(args)
    set_ = find_set(db, args[1])
    if set_ is None:
        return None if count is None else Members()
    wanted = 1 if count is None else count
    if wanted >= len(set_):
        popped = set_.members()
        db.remove(args[1])
        db.notify(b"spop", args[1])
        db.tell(b"del", args[1])
    else:
        popped = set_.pop(wanted, db.keyspace.chance)
        if popped:
            db.notify(b"spop", args[1])
    return popped[0] if count is None else Members(popped)


@command(
    "SMEMBERS",
    2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="O(N) where N is the set cardinality.",
    summary="Returns all members of a set.",
)
def smembers(db: Database, args: Args, now_ms: int) -> Reply:
    """SMEMBERS key"""
    set_ = find_set(db, args[1])
    return Members() if set_ is None else Members(set_.members())


@command(
    "SISMEMBER",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="O(1)",
    summary="Determines whether a member belongs to a set.",
)
def sismember(db: Database, args: Args, now_ms: int) -> Reply:
    """SISMEMBER key member"""
    set_ = find_set(db, args[1])
    return 1 if set_ is not None and args[2] in set_ else 0


@command(
    "SMISMEMBER",
    -3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="set",
    since="6.2.0",
    complexity="O(N) where N is the number of elements being checked for membership",
    summary="Determines whether multiple members belong to a set.",
)
def smismember(db: Database, args: Args, now_ms: int) -> Reply:
    """SMISMEMBER key member [member ...]"""
    set_ = find_set(db, args[1])
    return [1 if set_ is not None and member in set_ else 0 for member in args[2:]]


@command(
    "SCARD",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the number of members in a set.",
)
def scard(db: Database, args: Args, now_ms: int) -> Reply:
    """SCARD key"""
    set_ = find_set(db, args[1])
    return 0 if set_ is None else len(set_)


@command(
    "SRANDMEMBER",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="set",
    since="1.0.0",
    complexity="Without the count argument O(1), otherwise O(N) where N is the absolute value of the "
    "passed count.",
    summary="Get one or multiple random members from a set.",
)
def srandmember(db: Database, args: Args, now_ms: int) -> Reply:
    """SRANDMEMBER key [count]: of a negative count, some perhaps more than once."""
    if len(args) > 3:
        raise SyntaxFault
    if len(args) == 2:
        set_ = find_set(db, args[1])
        return None if set_ is None else next(set_.random_members(1, db.keyspace.choice))
    count = random_count(args[2])
    set_ = find_set(db, args[1])
    if set_ is None:
        return []
    check_random_count(count)
    choice = db.keyspace.choice
    return list(set_.distinct_members(count, choice) if count >= 0 else set_.random_members(-count, choice))


@command(
    "SSCAN",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="set",
    since="2.8.0",
    complexity="O(1) for every call. O(N) for a complete iteration, including enough command calls for the "
    "cursor to return back to 0. N is the number of elements inside the collection.",
    summary="Iterates over members of a set.",
)
def sscan(db: Database, args: Args, now_ms: int) -> Reply:
    """SSCAN key cursor [MATCH pattern] [COUNT count]"""
    start = cursor(args[2])
    set_ = find_set(db, args[1])
    if set_ is None:
        return [b"0", []]
    options = parse_scan(args[3:])
    following, found = set_.scan(start, options.most)
    if options.matches is not None:
        found = list(filter(options.matches, found))
    return [b"%d" % following, found]
