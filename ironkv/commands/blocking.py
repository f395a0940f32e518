"""BLPOP and its kin. Each row is what the command does where it must not wait: in the log, in a transaction,
in a script. Waiting is the server's (`server.blocking`), which has the same command tried again."""

from __future__ import annotations

from typing import Final

from ironkv.commands import long_double
from ironkv.commands.arguments import INT64_MAX
from ironkv.commands.lists import FROM_TO, list_at, move, parse_lmove, take
from ironkv.commands.numbered_keys import numbered_keys, parse_mpop
from ironkv.commands.stream_reads import parse_read
from ironkv.commands.table import Args, Command, Route, command
from ironkv.commands.zsets import pop, zset_at
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import NULL_ARRAY, Reply

BUT_LAST: Final = (1, -2, 1)
"""Keys of BLPOP key [key ...] timeout."""


def timeout_ms(text: bytes) -> int:
    """How long to wait; 0: for ever. Raises CommandError."""
    try:
        amount = long_double.parse(text)
    except CommandError:
        raise CommandError("ERR timeout is not a float or out of range") from None
    if isinstance(amount, long_double.Infinite):
        raise CommandError("ERR timeout is negative" if text[:1] == b"-" else "ERR timeout is out of range")
    mantissa, exponent = amount
    wait_ms = 1000 * mantissa << exponent if exponent >= 0 else -(-1000 * mantissa >> -exponent)
    if wait_ms > INT64_MAX:
        raise CommandError("ERR timeout is out of range")
    if wait_ms < 0:
        raise CommandError("ERR timeout is negative")
    return wait_ms


def wait_ms(row: Command, args: Args) -> int | None:
    """How long a checked command wants to wait, 0 for ever; None for not at all."""
    if row.name in ("XREAD", "XREADGROUP"):
        return parse_read(args).block_ms
    return timeout_ms(args[1] if row.name in ("BLMPOP", "BZMPOP") else args[-1])


def narrowed(row: Command, args: Args, keys: list[bytes]) -> Args:
    """The same for some of its keys, in this order."""
    if row.name in ("BLMPOP", "BZMPOP"):
        count = len(row.key_args(args))
        return [*args[:2], b"%d" % len(keys), *keys, *args[3 + count :]]
    if row.keys == BUT_LAST:
        return [args[0], *keys, args[-1]]
    return args


def wants_alike(row: Command, args: Args, other_row: Command, other_args: Args) -> bool:
    """Whether two commands do the same with a key for which both wait."""
    if row is not other_row:
        return False
    if row.keys == BUT_LAST:
        return True
    if row.name in ("BLMPOP", "BZMPOP"):  # which side, how many
        wish, other = (each[3 + len(row.key_args(each)) :] for each in (args, other_args))
    else:  # to where, which sides
        wish, other = args[2:-1], other_args[2:-1]
    return [word.upper() for word in wish[1:]] == [word.upper() for word in other[1:]] and (
        wish[0] == other[0] or wish[0].upper() == other[0].upper() in (b"LEFT", b"RIGHT", b"MIN", b"MAX")
    )


# -- lists


def check_pop(args: Args) -> None:
    """BLPOP key [key ...] timeout"""
    timeout_ms(args[-1])


@command(
    "BLPOP",
    -3,
    Route.WRITE,
    "write blocking",
    keys=BUT_LAST,
    check=check_pop,
    group="list",
    since="2.0.0",
    complexity="O(N) where N is the number of provided keys.",
    summary="Removes and returns the first element in a list. Blocks until an element is available "
    "otherwise. Deletes the list if the last element was popped.",
)
def blpop(db: Database, args: Args, now_ms: int) -> Reply:
    """BLPOP key [key ...] timeout"""
    return _pop_element(db, args, left=True)


@command(
    "BRPOP",
    -3,
    Route.WRITE,
    "write blocking",
    keys=BUT_LAST,
    check=check_pop,
    group="list",
    since="2.0.0",
    complexity="O(N) where N is the number of provided keys.",
    summary="Removes and returns the last element in a list. Blocks until an element is available "
    "otherwise. Deletes the list if the last element was popped.",
)
def brpop(db: Database, args: Args, now_ms: int) -> Reply:
    """BRPOP key [key ...] timeout"""
    return _pop_element(db, args, left=False)


def _pop_element(db: Database, args: Args, *, left: bool) -> Reply:
    for key in args[1:-1]:
        items = list_at(db, key)
        if items is not None:
            return [key, *take(db, key, items, 1, left=left)]
    return NULL_ARRAY


def check_blmove(args: Args) -> None:
    """BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout"""
    parse_lmove(args[:5])
    timeout_ms(args[5])


@command(
    "BLMOVE",
    6,
    Route.WRITE,
    "write denyoom blocking",
    keys=FROM_TO,
    check=check_blmove,
    group="list",
    since="6.2.0",
    complexity="O(1)",
    summary="Pops an element from a list, pushes it to another list and returns it. Blocks until an element "
    "is available otherwise. Deletes the list if the last element was moved.",
)
def blmove(db: Database, args: Args, now_ms: int) -> Reply:
    """BLMOVE source destination (LEFT | RIGHT) (LEFT | RIGHT) timeout"""
    return move(db, args[1], args[2], *parse_lmove(args[:5]))


def check_brpoplpush(args: Args) -> None:
    """BRPOPLPUSH source destination timeout"""
    timeout_ms(args[3])


@command(
    "BRPOPLPUSH",
    4,
    Route.WRITE,
    "write denyoom blocking",
    keys=FROM_TO,
    check=check_brpoplpush,
    group="list",
    since="2.2.0",
    complexity="O(1)",
    summary="Pops an element from a list, pushes it to another list and returns it. Block until an element "
    "is available otherwise. Deletes the list if the last element was popped.",
)
def brpoplpush(db: Database, args: Args, now_ms: int) -> Reply:
    """BRPOPLPUSH source destination timeout"""
    return move(db, args[1], args[2], False, True)


def _parse_mpop(args: Args, ends: tuple[bytes, bytes]) -> tuple[list[bytes], bool, int]:
    """timeout numkeys key [key ...] end [COUNT count] -> (keys, whether it is the first end, count)"""
    parsed = parse_mpop(args[1:], ends)
    timeout_ms(args[1])
    return parsed


def parse_blmpop(args: Args) -> tuple[list[bytes], bool, int]:
    """BLMPOP timeout numkeys key [key ...] LEFT | RIGHT [COUNT count] -> (keys, left, count)"""
    return _parse_mpop(args, (b"LEFT", b"RIGHT"))


@command(
    "BLMPOP",
    -5,
    Route.WRITE,
    "write blocking movablekeys",
    check=parse_blmpop,
    find_keys=lambda args: numbered_keys(1)(args[1:]),
    group="list",
    since="7.0.0",
    complexity="O(N+M) where N is the number of provided keys and M is the number of elements returned.",
    summary="Pops the first element from one of multiple lists. Blocks until an element is available "
    "otherwise. Deletes the list if the last element was popped.",
)
def blmpop(db: Database, args: Args, now_ms: int) -> Reply:
    """BLMPOP timeout numkeys key [key ...] (LEFT | RIGHT) [COUNT count]"""
    keys, left, count = parse_blmpop(args)
    for key in keys:
        items = list_at(db, key)
        if items is not None:
            return [key, take(db, key, items, count, left=left)]
    return NULL_ARRAY


# -- sorted sets


@command(
    "BZPOPMIN",
    -3,
    Route.WRITE,
    "write fast blocking",
    keys=BUT_LAST,
    check=check_pop,
    group="sorted-set",
    since="5.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    summary="Removes and returns the member with the lowest score from one or more sorted sets. Blocks "
    "until a member is available otherwise. Deletes the sorted set if the last element was popped.",
)
def bzpopmin(db: Database, args: Args, now_ms: int) -> Reply:
    """BZPOPMIN key [key ...] timeout"""
    return _pop_member(db, args, lowest=True)


@command(
    "BZPOPMAX",
    -3,
    Route.WRITE,
    "write fast blocking",
    keys=BUT_LAST,
    check=check_pop,
    group="sorted-set",
    since="5.0.0",
    complexity="O(log(N)) with N being the number of elements in the sorted set.",
    summary="Removes and returns the member with the highest score from one or more sorted sets. Blocks "
    "until a member available otherwise. Deletes the sorted set if the last element was popped.",
)
def bzpopmax(db: Database, args: Args, now_ms: int) -> Reply:
    """BZPOPMAX key [key ...] timeout"""
    return _pop_member(db, args, lowest=False)


def _pop_member(db: Database, args: Args, *, lowest: bool) -> Reply:
    for key in args[1:-1]:
        zset = zset_at(db, key)
        if zset is not None:
            return [key, *pop(db, key, zset, 1, lowest=lowest)[0]]
    return NULL_ARRAY


def parse_bzmpop(args: Args) -> tuple[list[bytes], bool, int]:
    """BZMPOP timeout numkeys key [key ...] MIN | MAX [COUNT count] -> (keys, lowest, count)"""
    return _parse_mpop(args, (b"MIN", b"MAX"))


@command(
    "BZMPOP",
    -5,
    Route.WRITE,
    "write blocking movablekeys",
    check=parse_bzmpop,
    find_keys=lambda args: numbered_keys(1)(args[1:]),
    group="sorted-set",
    since="7.0.0",
    complexity="O(K) + O(M*log(N)) where K is the number of provided keys, N being the number of elements "
    "in the sorted set, and M being the number of elements popped.",
    summary="Removes and returns a member by score from one or more sorted sets. Blocks until a member is "
    "available otherwise. Deletes the sorted set if the last element was popped.",
)
def bzmpop(db: Database, args: Args, now_ms: int) -> Reply:
    """BZMPOP timeout numkeys key [key ...] (MIN | MAX) [COUNT count]"""
    keys, lowest, count = parse_bzmpop(args)
    for key in keys:
        zset = zset_at(db, key)
        if zset is not None:
            return [key, pop(db, key, zset, count, lowest=lowest)]
    return NULL_ARRAY
