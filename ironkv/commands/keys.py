"""Keys of any type: remove, rename, copy, move, look at; and whole databases.

Times to die are in `expiration`, KEYS and SCAN in `scanning`, OBJECT in `objects`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ironkv.commands.arguments import database_index, int32
from ironkv.commands.removing import delete
from ironkv.commands.table import ALL_KEYS, ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, SyntaxFault
from ironkv.keyspace.keyspace import DATABASES, Database
from ironkv.keyspace.values import copied, type_name
from ironkv.resp.replies import OK, Reply, Status

TWO_KEYS: Final = (1, 2, 1)

_TYPE_REPLIES: Final = {
    name: Status(name) for name in (b"none", b"string", b"list", b"set", b"zset", b"hash", b"stream")
}


# -- there or not


@command(
    "DEL",
    -2,
    Route.WRITE,
    "write",
    keys=ALL_KEYS,
    group="generic",
    since="1.0.0",
    complexity="O(N) where N is the number of keys that will be removed. When a key to remove holds a value "
    "other than a string, the individual complexity for this key is O(M) where M is the number of elements.",
    summary="Deletes one or more keys.",
)
def del_(db: Database, args: Args, now_ms: int) -> Reply:
    """DEL key [key ...]: how many were there."""
    if len(args) == 2:
        return 1 if delete(db, args[1]) else 0
    return sum(delete(db, key) for key in args[1:])


@command(
    "UNLINK",
    -2,
    Route.WRITE,
    "write fast",
    keys=ALL_KEYS,
    group="generic",
    since="4.0.0",
    complexity="O(1) for each key removed, O(M) where M is the number of elements for one that is no string.",
    summary="Asynchronously deletes one or more keys.",
)
def unlink(db: Database, args: Args, now_ms: int) -> Reply:
    """UNLINK key [key ...]: DEL under another name, memory is not freed in another thread here."""
    return del_(db, args, now_ms)


@command(
    "EXISTS",
    -2,
    Route.READ,
    "readonly fast",
    keys=ALL_KEYS,
    group="generic",
    since="1.0.0",
    complexity="O(N) where N is the number of keys to check.",
    summary="Determines whether one or more keys exist.",
)
def exists(db: Database, args: Args, now_ms: int) -> Reply:
    """EXISTS key [key ...]: a key named twice counts twice."""
    find = db.find
    if len(args) == 2:
        return 0 if find(args[1]) is None else 1
    return len(args) - 1 - [find(key) for key in args[1:]].count(None)


@command(
    "TOUCH",
    -2,
    Route.READ,
    "readonly fast",
    keys=ALL_KEYS,
    group="generic",
    since="3.2.1",
    complexity="O(N) where N is the number of keys that will be touched.",
    summary="Returns the number of existing keys out of those specified after updating the time they "
    "were last accessed.",
)
def touch(db: Database, args: Args, now_ms: int) -> Reply:
    """TOUCH key [key ...]: EXISTS, as access times are not kept."""
    return exists(db, args, now_ms)


@command(
    "TYPE",
    2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Determines the type of value stored at a key.",
)
def type_(db: Database, args: Args, now_ms: int) -> Reply:
    """TYPE key"""
    value = db.find(args[1])
    return _TYPE_REPLIES[b"none" if value is None else type_name(value)]


@command(
    "RANDOMKEY",
    1,
    Route.READ,
    "readonly",
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns a random key name from the database.",
)
def randomkey(db: Database, args: Args, now_ms: int) -> Reply:
    """RANDOMKEY"""
    return db.random_key(db.keyspace.choice)


# -- to another name or database


@command(
    "RENAME",
    3,
    Route.WRITE,
    "write",
    keys=TWO_KEYS,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Renames a key and overwrites the destination.",
)
def rename(db: Database, args: Args, now_ms: int) -> Reply:
    """RENAME key newkey"""
    if db.find(args[1]) is None:
        raise CommandError("ERR no such key")
    if args[1] != args[2]:
        _carry(db, args[1], db, args[2])
        db.remove(args[1])
        db.tell(b"rename_from", args[1])
        db.notify(b"rename_to", args[2])
    return OK


@command(
    "RENAMENX",
    3,
    Route.WRITE,
    "write fast",
    keys=TWO_KEYS,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Renames a key only when the target key name doesn't exist.",
)
def renamenx(db: Database, args: Args, now_ms: int) -> Reply:
    """RENAMENX key newkey"""
    if db.find(args[1]) is None:
        raise CommandError("ERR no such key")
    if db.find(args[2]) is not None:
        return 0
    rename(db, args, now_ms)
    return 1


class CopyOptions(NamedTuple):
    """How COPY copies."""

    database: int | None
    """Where to copy to; None: the same database."""
    replace: bool


def parse_copy(args: Args) -> CopyOptions:
    """COPY source destination [DB destination-db] [REPLACE]"""
    index, replace = None, False
    words = iter(args[3:])
    for word in words:
        option = word.upper()
        if option == b"REPLACE":
            replace = True
        elif option == b"DB" and (number := next(words, None)) is not None:
            index = database_index(number)
        else:
            raise SyntaxFault
    return CopyOptions(index, replace)


@command(
    "COPY",
    -3,
    Route.WRITE,
    "write denyoom",
    keys=TWO_KEYS,
    check=parse_copy,
    group="generic",
    since="6.2.0",
    complexity="O(N) worst case for collections, where N is the number of nested items. "
    "O(1) for string values.",
    summary="Copies the value of a key to a new key.",
)
def copy(db: Database, args: Args, now_ms: int) -> Reply:
    """COPY source destination [DB destination-db] [REPLACE]"""
    options = parse_copy(args)
    target = db if options.database is None else db.keyspace.database(options.database)
    source, destination = args[1], args[2]
    if target is db and source == destination:
        raise _same_object()
    if db.find(source) is None or (not options.replace and target.find(destination) is not None):
        return 0
    _carry(db, source, target, destination, twice=True)
    target.notify(b"copy_to", destination)
    return 1


def parse_move(args: Args) -> int:
    """MOVE key db -> db"""
    return database_index(args[2])


@command(
    "MOVE",
    3,
    Route.WRITE,
    "write fast",
    keys=ONE_KEY,
    check=parse_move,
    group="generic",
    since="1.0.0",
    complexity="O(1)",
    summary="Moves a key to another database.",
)
def move(db: Database, args: Args, now_ms: int) -> Reply:
    """MOVE key db"""
    target = db.keyspace.database(parse_move(args))
    if target is db:
        raise _same_object()
    key = args[1]
    if db.find(key) is None or target.find(key) is not None:
        return 0
    _carry(db, key, target, key)
    db.remove(key)
    db.tell(b"move_from", key)
    target.notify(b"move_to", key)
    return 1


def _carry(source: Database, key: bytes, target: Database, new_key: bytes, *, twice: bool = False) -> None:
    """Put the live value at `key` and its deadline elsewhere too; `twice`: it stays where it is."""
    value, deadline_ms = source.find(key), source.deadline(key)
    # Set, not removed and set: a key that is there all along must keep its place for SCAN (K4).
    target.set(new_key, copied(value) if twice else value)
    if deadline_ms is not None:
        target.set_deadline(new_key, deadline_ms)


def _same_object() -> CommandError:
    return CommandError("ERR source and destination objects are the same")


# -- whole databases


@command(
    "DBSIZE",
    1,
    Route.READ,
    "readonly fast",
    group="server",
    since="1.0.0",
    complexity="O(1)",
    summary="Returns the number of keys in the database.",
    categories="keyspace",
)
def dbsize(db: Database, args: Args, now_ms: int) -> Reply:
    """DBSIZE: dead keys count until they are purged."""
    return len(db)


def check_flush(args: Args) -> None:
    """FLUSHALL [ASYNC | SYNC]"""
    if len(args) > 2 or (len(args) == 2 and args[1].upper() not in (b"ASYNC", b"SYNC")):
        raise SyntaxFault


@command(
    "FLUSHALL",
    -1,
    Route.WRITE,
    "write",
    check=check_flush,
    group="server",
    since="1.0.0",
    complexity="O(N) where N is the total number of keys in all databases",
    summary="Removes all keys from all databases.",
    categories="keyspace dangerous",
)
def flushall(db: Database, args: Args, now_ms: int) -> Reply:
    """FLUSHALL [ASYNC | SYNC]: both are the same here."""
    check_flush(args)
    db.keyspace.clear()
    return OK


@command(
    "FLUSHDB",
    -1,
    Route.WRITE,
    "write",
    check=check_flush,
    group="server",
    since="1.0.0",
    complexity="O(N) where N is the number of keys in the selected database",
    summary="Remove all keys from the current database.",
    categories="keyspace dangerous",
)
def flushdb(db: Database, args: Args, now_ms: int) -> Reply:
    """FLUSHDB [ASYNC | SYNC]: both are the same here."""
    check_flush(args)
    db.clear()
    return OK


def parse_swapdb(args: Args) -> tuple[int, int]:
    """SWAPDB index1 index2"""
    one = int32(args[1], "ERR invalid first DB index")
    other = int32(args[2], "ERR invalid second DB index")
    if not (0 <= one < DATABASES and 0 <= other < DATABASES):
        raise CommandError("ERR DB index is out of range")
    return one, other


@command(
    "SWAPDB",
    3,
    Route.WRITE,
    "write fast",
    check=parse_swapdb,
    group="server",
    since="4.0.0",
    complexity="O(N) where N is the count of clients watching or blocking on keys from both databases.",
    summary="Swaps two Redis databases.",
    categories="keyspace dangerous",
)
def swapdb(db: Database, args: Args, now_ms: int) -> Reply:
    """SWAPDB index1 index2"""
    db.keyspace.swap(*parse_swapdb(args))
    return OK
