"""Lists: push, pop and move elements. To look at them and change them is in `list_elements`."""

from __future__ import annotations

from typing import Final

from ironkv.commands.numbered_keys import amount, numbered_keys, parse_mpop
from ironkv.commands.removing import remove_empty
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault, WrongType
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.lists import List
from ironkv.resp.replies import NULL_ARRAY, Reply

FROM_TO: Final = (1, 2, 1)
ENDS: Final = (b"LEFT", b"RIGHT")


def list_at(db: Database, key: bytes) -> List | None:
    """The live list at `key`, or None. Raises WrongType, Due."""
    value = db.find(key)
    if value is None or type(value) is List:
        return value
    raise WrongType


# -- pushing


@command(
    "LPUSH",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    summary="Prepends one or more elements to a list. Creates the key if it doesn't exist.",
)
def lpush(db: Database, args: Args, now_ms: int) -> Reply:
    """LPUSH key element [element ...]"""
    items = list_at(db, args[1])
    if items is None:
        items = new_list(db, args[1])
    items.push_left(args[2:])
    if db.keyspace.listener is not None:
        db.notify(b"lpush", args[1])
    else:
        db.keyspace.changes += 1
    return len(items)


@command(
    "RPUSH",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="list",
    since="1.0.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    summary="Appends one or more elements to a list. Creates the key if it doesn't exist.",
)
def rpush(db: Database, args: Args, now_ms: int) -> Reply:
    """RPUSH key element [element ...]"""
    items = list_at(db, args[1])
    if items is None:
        items = new_list(db, args[1])
    items.push_right(args[2:])
    if db.keyspace.listener is not None:
        db.notify(b"rpush", args[1])
    else:
        db.keyspace.changes += 1
    return len(items)


@command(
    "LPUSHX",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="list",
    since="2.2.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    summary="Prepends one or more elements to a list only when the list exists.",
)
def lpushx(db: Database, args: Args, now_ms: int) -> Reply:
    """LPUSHX key element [element ...]"""
    items = list_at(db, args[1])
    if items is None:
        return 0
    items.push_left(args[2:])
    if db.keyspace.listener is not None:
        db.notify(b"lpush", args[1])
    else:
        db.keyspace.changes += 1
    return len(items)


@command(
    "RPUSHX",
    -3,
    Route.WRITE,
    "write denyoom fast",
    keys=ONE_KEY,
    group="list",
    since="2.2.0",
    complexity="O(1) for each element added, so O(N) to add N elements when the command is called with "
    "multiple arguments.",
    summary="Appends an element to a list only when the list exists.",
)
def rpushx(db: Database, args: Args, now_ms: int) -> Reply:
    """RPUSHX key element [element ...]"""
    items = list_at(db, args[1])
    if items is None:
        return 0
    items.push_right(args[2:])
    if db.keyspace.listener is not None:
        db.notify(b"rpush", args[1])
    else:
        db.keyspace.changes += 1
    return len(items)


def new_list(db: Database, key: bytes) -> List:
    items = List()
    db.set(key, items)
    return items


# -- popping


def parse_pop(args: Args) -> int | None:
    """LPOP key [count] -> count"""
    if len(args) > 3:
        name = args[0].decode().lower()
        raise CommandError(f"ERR wrong number of arguments for '{name}' command")
    return amount(args[2]) if len(args) == 3 else None


@command(
    "LPOP",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_pop,
    plain=2,
    group="list",
    since="1.0.0",
    complexity="O(N) where N is the number of elements returned",
    summary="Returns the first elements in a list after removing it. Deletes the list if the last element "
    "was popped.",
)
def lpop(db: Database, args: Args, now_ms: int) -> Reply:
    """LPOP key [count]"""
    return _pop(db, args, left=True)


@command(
    "RPOP",
    -2,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_pop,
    plain=2,
    group="list",
    since="1.0.0",
    complexity="O(N) where N is the number of elements returned",
    summary="Returns and removes the last elements of a list. Deletes the list if the last element was "
    "popped.",
)
def rpop(db: Database, args: Args, now_ms: int) -> Reply:
    """RPOP key [count]"""
    return _pop(db, args, left=False)


def _pop(db: Database, args: Args, *, left: bool) -> Reply:
    count = None if len(args) == 2 else parse_pop(args)
    key = args[1]
    items = list_at(db, key)
    if items is None:
        return None if count is None else NULL_ARRAY
    taken = take(db, key, items, 1 if count is None else count, left=left)
    return taken[0] if count is None else taken


def take(db: Database, key: bytes, items: List, count: int, *, left: bool) -> list[bytes]:
    """Remove up to `count` elements, and the list when none is left."""
    taken = items.take_left(count) if left else items.take_right(count)
    if taken:
        _tell_of_pop(db, key, items, left=left)
    return taken


def _tell_of_pop(db: Database, key: bytes, items: List, *, left: bool) -> None:
    if db.keyspace.listener is not None:
        db.notify(b"lpop" if left else b"rpop", key)
    else:
        db.keyspace.changes += 1
    remove_empty(db, key, items)


def parse_lmpop(args: Args) -> tuple[list[bytes], bool, int]:
    """LMPOP numkeys key [key ...] LEFT | RIGHT [COUNT count] -> (keys, left, count)"""
    return parse_mpop(args, ENDS)


@command(
    "LMPOP",
    -4,
    Route.WRITE,
    "write movablekeys",
    check=parse_lmpop,
    find_keys=numbered_keys(1),
    group="list",
    since="7.0.0",
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    summary="Returns multiple elements from a list after removing them. Deletes the list if the last "
    "element was popped.",
)
def lmpop(db: Database, args: Args, now_ms: int) -> Reply:
    """LMPOP numkeys key [key ...] (LEFT | RIGHT) [COUNT count]"""
    keys, left, count = parse_lmpop(args)
    for key in keys:
        items = list_at(db, key)
        if items is not None:
            return [key, take(db, key, items, count, left=left)]
    return NULL_ARRAY


def parse_lmove(args: Args) -> tuple[bool, bool]:
    """LMOVE source destination LEFT | RIGHT LEFT | RIGHT -> (from the left, to the left)"""
    ends = [word.upper() for word in args[3:]]
    if not all(end in ENDS for end in ends):
        raise SyntaxFault
    return ends[0] == b"LEFT", ends[1] == b"LEFT"


@command(
    "LMOVE",
    5,
    Route.WRITE,
    "write denyoom",
    keys=FROM_TO,
    check=parse_lmove,
    group="list",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns an element after popping it from one list and pushing it to another. Deletes the list "
    "if the last element was moved.",
)
def lmove(db: Database, args: Args, now_ms: int) -> Reply:
    """LMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT)"""
    from_left, to_left = parse_lmove(args)
    return move(db, args[1], args[2], from_left, to_left)


@command(
    "RPOPLPUSH",
    3,
    Route.WRITE,
    "write denyoom",
    keys=FROM_TO,
    group="list",
    since="1.2.0",
    complexity="O(1)",
    summary="Returns the last element of a list after removing and pushing it to another list. Deletes the "
    "list if the last element was popped.",
)
def rpoplpush(db: Database, args: Args, now_ms: int) -> Reply:
    """RPOPLPUSH source destination"""
    return move(db, args[1], args[2], False, True)


def move(db: Database, source: bytes, destination: bytes, from_left: bool, to_left: bool) -> Reply:
    items = list_at(db, source)
    if items is None:
        return None
    target = list_at(db, destination)
    taken = items.take_left(1) if from_left else items.take_right(1)
    if target is None:
        target = new_list(db, destination)
    if to_left:
        target.push_left(taken)
    else:
        target.push_right(taken)
    db.tell(b"lpush" if to_left else b"rpush", destination)
    _tell_of_pop(db, source, items, left=from_left)
    return taken[0]
