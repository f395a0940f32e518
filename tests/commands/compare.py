"""Comparing what IronKV and Redis answer: what counts as equal, and where they are meant to differ.

Replies are compared byte for byte, unless `MEANINGS` says how to read the answers of a command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ironkv.keyspace.values import type_name
from ironkv.rdb.payload import load
from tests.commands import geo_answers, sorting_answers, stream_answers, zset_answers
from tests.commands.strategies.common import KEYS, Args, Later
from tests.commands.wire import ErrorReply, meaning

Ask = Callable[[list[bytes]], bytes]
Meaning = Callable[[Ask, list[bytes]], Any]


# -- intended differences


class Difference(NamedTuple):
    """Where IronKV answers otherwise than Redis 7, on purpose."""

    why: str
    applies: Callable[[list[bytes], Any, Any], bool]
    """(arguments, our reply, Redis's reply), when the two differ."""


def _cursor_place(args: list[bytes]) -> int:
    return 1 if args[0].upper() == b"SCAN" else 2


def _named(*names: bytes) -> Callable[[list[bytes]], bool]:
    return lambda args: args[0].upper() in names


DIFFERENCES = [
    Difference(
        "Arguments are checked before a write is logged, so a malformed one is reported even where Redis "
        "looks at the key first and answers nil or WRONGTYPE.",
        lambda args, ours, theirs: (
            _named(b"GETEX", b"INCRBYFLOAT")(args)
            and isinstance(ours, ErrorReply)
            and ("value is not a" in ours or "invalid expire" in ours)
            and (theirs is None or (isinstance(theirs, ErrorReply) and theirs.startswith("WRONGTYPE")))
        ),
    ),
    Difference(
        "The texts are those of Redis 7.2; 7.0 writes `Prints this help.`",
        lambda args, ours, theirs: (
            args[-1].upper() == b"HELP"
            and ours[:-1] == theirs[:-1]
            and theirs[-1] == b"    Prints this help."
        ),
    ),
    Difference(
        "SCAN takes any 64-bit cursor and so does Redis; but which keys a cursor that was never given out "
        "leads to is nobody's promise.",
        lambda args, ours, theirs: (
            _named(b"SCAN", b"HSCAN", b"SSCAN")(args)
            and args[_cursor_place(args)] != b"0"
            and isinstance(ours, set)
            and isinstance(theirs, set)
        ),
    ),
    Difference(
        "Redis 7.2 holds small sets that are no integers as listpacks, 7.0 as hash tables.",
        lambda args, ours, theirs: (
            _named(b"OBJECT")(args) and (ours, theirs) == (("set", b"listpack"), ("set", b"hashtable"))
        ),
    ),
    Difference(
        "The lowest of all ranks has no positive counterpart: Redis 7.2 refuses it.",
        lambda args, ours, theirs: (
            _named(b"LPOS")(args)
            and b"-9223372036854775808" in args[3:]
            and isinstance(ours, ErrorReply)
            and ours.startswith("ERR value is out of range")
        ),
    ),
    Difference(
        "RESTORE's checksum and time are looked at before it is logged, so also when Redis finds first that "
        "the key is there.",
        lambda args, ours, theirs: (
            _named(b"RESTORE")(args)
            and isinstance(theirs, ErrorReply)
            and theirs.startswith("BUSYKEY")
            and isinstance(ours, ErrorReply)
        ),
    ),
    *(Difference(*each) for each in zset_answers.DIFFERENCES),
    *(Difference(*each) for each in stream_answers.DIFFERENCES),
    *(Difference(*each) for each in geo_answers.DIFFERENCES),
]
"""Besides these: OBJECT ENCODING and REFCOUNT speak of a string as if it were set anew (after APPEND or
SETRANGE, Redis says `raw`); OBJECT IDLETIME is always 0, as access times are not kept."""


# -- how to read answers that are not the same every time


class Near(NamedTuple):
    """A time that may differ a little: of two clocks, or of one at two moments."""

    number: int
    tolerance: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Near) and abs(self.number - other.number) <= self.tolerance

    def __ne__(self, other: object) -> bool:  # a tuple has its own
        return not self == other

    __hash__ = None  # type: ignore[assignment]


def _unordered(ask: Ask, args: list[bytes]) -> Any:
    reply = meaning(ask(args))
    return sorted(reply) if isinstance(reply, list) else reply


def _time(ask: Ask, args: list[bytes]) -> Any:
    reply = meaning(ask(args))
    tolerance = 3_000 if args[0].upper().startswith(b"P") else 3
    return Near(reply, tolerance) if isinstance(reply, int) and reply > 0 else reply


def _random_key(ask: Ask, args: list[bytes]) -> Any:
    reply = meaning(ask(args))
    return reply in meaning(ask([b"KEYS", b"*"])) if isinstance(reply, bytes) else reply


def _scan(ask: Ask, args: list[bytes]) -> Any:
    """All that the whole iteration gives: keys, members, or fields with their values."""
    found: set[Any] = set()
    place = _cursor_place(args)
    while True:
        reply = meaning(ask(args))
        if isinstance(reply, ErrorReply):
            return reply
        following, names = reply
        found.update(_in_pairs(names) if args[0].upper() == b"HSCAN" else names)
        if following == b"0":
            return found
        args = [*args[:place], following, *args[place + 1 :]]


def _size(ask: Ask, args: list[bytes]) -> Any:
    """Redis frees dead keys when it likes, and when they are touched: touch them all."""
    ask([b"EXISTS", *KEYS])
    return ask(args)


def _object(ask: Ask, args: list[bytes]) -> Any:
    """How a hash or set is held; of a string only that there is something to say: see `test_strings`."""
    reply = meaning(ask(args))
    if reply in (b"intset", b"hashtable", b"listpack"):
        kind = meaning(ask([b"TYPE", args[2]]))
        if kind in (b"hash", b"set"):
            return kind.decode(), reply
    what = args[1].upper() if len(args) == 3 else b""
    found = what in (b"ENCODING", b"REFCOUNT", b"IDLETIME") and isinstance(reply, bytes | int)
    return what if found else reply


def _in_pairs(items: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(items[::2], items[1::2], strict=True))


def _is_ordered(ask: Ask, key: bytes) -> bool:
    """Whether it is held so that its order is Redis's too: all but hash tables, and listpacks in 7.2 only."""
    encoding = meaning(ask([b"OBJECT", b"ENCODING", key]))
    return encoding == b"intset" or (encoding == b"listpack" and meaning(ask([b"TYPE", key])) == b"hash")


def _elements(ask: Ask, args: list[bytes]) -> Any:
    """What is in one hash or set: the kind of reply, and the elements, sorted where no order is meant."""
    raw = ask(args)
    reply = meaning(raw)
    if not isinstance(reply, list | dict):
        return reply
    if isinstance(reply, dict):
        reply = list(reply.items())
    elif args[0].upper() == b"HGETALL":
        reply = _in_pairs(reply)
    return raw[:1], reply if _is_ordered(ask, args[1]) else sorted(reply)


def _combined(ask: Ask, args: list[bytes]) -> Any:
    raw = ask(args)
    reply = meaning(raw)
    return (raw[:1], sorted(reply)) if isinstance(reply, list) else reply


LONGEST_CHOICE = 1_000


def _random_elements(ask: Ask, args: list[bytes]) -> Any:
    """How many random elements there are, all of them members, and different where they must be."""
    if len(args) > 2 and re.fullmatch(rb"-[1-9]\d{3,9}", args[2]):
        args = [*args[:2], b"-%d" % LONGEST_CHOICE, *args[3:]]  # Redis would really choose so many
    raw = ask(args)
    reply = meaning(raw)
    if isinstance(reply, ErrorReply) or reply is None:
        return reply
    is_hash = args[0].upper() == b"HRANDFIELD"
    there = meaning(ask([b"HGETALL" if is_hash else b"SMEMBERS", args[1]]))
    if is_hash and isinstance(there, list):
        there = dict(_in_pairs(there))
    if isinstance(reply, bytes):
        return "one", reply in there
    nested = bool(reply) and isinstance(reply[0], list)
    if len(args) > 3:
        reply = [tuple(pair) for pair in reply] if nested else _in_pairs(reply)
        there = there.items()
    is_repeated = len(set(reply)) < len(reply)
    return raw[:1], nested, len(reply), set(reply) <= set(there), args[2][:1] != b"-" and is_repeated


def _pop(ask: Ask, args: list[bytes]) -> Any:
    """How many members were popped, and that no others are gone. They are put back, since the two sides
    choose differently; or all are removed when so few are left that they may be held anew."""
    before = meaning(ask([b"SMEMBERS", args[1]])) if len(args) > 1 else []
    raw = ask(args)
    reply = meaning(raw)
    if isinstance(reply, ErrorReply) or reply is None:
        return reply
    popped = reply if isinstance(reply, list) else [reply]
    left = meaning(ask([b"SMEMBERS", args[1]]))
    if left and 5 * len(left) <= len(popped):
        ask([b"DEL", args[1]])
    elif left and popped:
        ask([b"SADD", args[1], *popped])
    return raw[:1], len(popped), sorted(popped + left) == sorted(before)


def _string(ask: Ask, args: list[bytes]) -> Any:
    """A string; of a HyperLogLog all but the count, which PFCOUNT writes into it in Redis only."""
    raw = ask(args)
    value = meaning(raw)
    is_hyperloglog = isinstance(value, bytes) and value[:4] == b"HYLL"
    return value[:8] + value[16:] if is_hyperloglog else raw


def _payload(ask: Ask, args: list[bytes]) -> Any:
    """Of what type the value is: the same may be written in many ways, see tests/rdb."""
    reply = meaning(ask(args))
    return type_name(load(reply)) if isinstance(reply, bytes) else reply


MEANINGS: dict[bytes, Meaning] = {
    b"DUMP": _payload,
    b"GET": _string,
    b"KEYS": _unordered,
    b"SCAN": _scan,
    b"RANDOMKEY": _random_key,
    b"TTL": _time,
    b"PTTL": _time,
    b"EXPIRETIME": _time,
    b"PEXPIRETIME": _time,
    b"DBSIZE": _size,
    b"OBJECT": _object,
    b"HGETALL": _elements,
    b"HKEYS": _elements,
    b"HVALS": _elements,
    b"HSCAN": _scan,
    b"HRANDFIELD": _random_elements,
    b"SMEMBERS": _elements,
    b"SSCAN": _scan,
    b"SRANDMEMBER": _random_elements,
    b"SPOP": _pop,
    b"SINTER": _combined,
    b"SUNION": _combined,
    b"SDIFF": _combined,
}
MEANINGS |= zset_answers.MEANINGS | stream_answers.MEANINGS | geo_answers.MEANINGS | sorting_answers.MEANINGS


def answer(ask: Ask, args: list[bytes]) -> Any:
    """What one side answers, in a form that can be compared with ==."""
    read = MEANINGS.get(args[0].upper())
    return ask(args) if read is None else read(ask, args)


def agree(args: list[bytes], ours: Any, theirs: Any) -> bool:
    """Whether two answers are equal, or meant to differ."""
    if ours == theirs:
        return True
    ours, theirs = (meaning(side) if isinstance(side, bytes) else side for side in (ours, theirs))
    return any(difference.applies(args, ours, theirs) for difference in DIFFERENCES)


def written_out(words: Args, place: int) -> list[bytes]:
    """The command as sent, `place` being its place in the sequence."""
    return [word.text(place) if isinstance(word, Later) else word for word in words]
