"""How to compare what IronKV and Redis answer about sorted sets; `compare` takes it up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ironkv.resp.replies import format_float
from tests.commands.wire import ErrorReply, meaning

Ask = Callable[[list[bytes]], bytes]

STORES = (b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE")


def _is_wrong_type(reply: Any) -> bool:
    return isinstance(reply, ErrorReply) and reply.startswith("WRONGTYPE")


def _same_but_for_digits(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return all(map(_same_but_for_digits, ours, theirs))
    if ours == theirs:
        return True
    if not (isinstance(ours, bytes) and isinstance(theirs, bytes)):
        return False
    try:
        value = float(theirs)
    except ValueError:
        return False
    return theirs == b"%.17g" % value and ours == format_float(value)


DIFFERENCES: list[tuple[str, Callable[[list[bytes], Any, Any], bool]]] = [
    (
        "Redis 7.2 writes the shortest digits that read back the same, 7.0 writes 17.",
        lambda args, ours, theirs: args[0].upper().startswith(b"Z") and _same_but_for_digits(ours, theirs),
    ),
    (
        "Options are checked before a write is logged, where Redis looks at the keys first.",
        lambda args, ours, theirs: (
            args[0].upper() in STORES and isinstance(ours, ErrorReply) and _is_wrong_type(theirs)
        ),
    ),
    (
        "ZRANK and ZREVRANK have a third argument from Redis 7.2 on.",
        lambda args, ours, theirs: (
            args[0].upper() in (b"ZRANK", b"ZREVRANK")
            and len(args) > 3
            and isinstance(theirs, ErrorReply)
            and theirs.startswith("ERR wrong number of arguments")
        ),
    ),
    (
        "Cursors that were never given out lead somewhere.",
        lambda args, ours, theirs: (
            args[0].upper() == b"ZSCAN"
            and args[2] != b"0"
            and isinstance(ours, set)
            and isinstance(theirs, set)
        ),
    ),
]

UNSPECIFIED = "unspecified"


def _by_lex(place: int) -> Callable[[Ask, list[bytes]], Any]:
    """Ranges by member of the key at `place`: of a skiplist whose scores differ they depend on chance."""

    def answer(ask: Ask, args: list[bytes]) -> Any:
        if len(args) > place and (b"LEX" in args[0].upper() or b"BYLEX" in map(bytes.upper, args)):
            key = args[place]
            scored = meaning(ask([b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]))
            if meaning(ask([b"OBJECT", b"ENCODING", key])) == b"skiplist":
                nested = isinstance(scored[0], list)
                if len({score for _, score in scored} if nested else set(scored[1::2])) > 1:
                    return UNSPECIFIED
        return ask(args)

    return answer


def _scan(ask: Ask, args: list[bytes]) -> Any:
    found: set[tuple[bytes, float]] = set()
    while True:
        reply = meaning(ask(args))
        if isinstance(reply, ErrorReply):
            return reply
        following, pairs = reply
        found.update(zip(pairs[::2], map(float, pairs[1::2]), strict=True))
        if following == b"0":
            return found
        args = [*args[:2], following, *args[3:]]


LONGEST_CHOICE = 1_000


def _random_members(ask: Ask, args: list[bytes]) -> Any:
    """The shape of the reply, how many there are, that they are members, and different if they must be."""
    if len(args) > 2 and re.fullmatch(rb"-[1-9]\d{3,18}", args[2]):
        args = [*args[:2], b"-%d" % LONGEST_CHOICE, *args[3:]]  # Redis would really choose so many
    raw = ask(args)
    reply = meaning(raw)
    if isinstance(reply, ErrorReply) or reply is None:
        return reply
    there = meaning(ask([b"ZRANGE", args[1], b"0", b"-1"]))
    if isinstance(reply, bytes):
        return reply in there
    nested = bool(reply) and isinstance(reply[0], list)
    members = [pair[0] for pair in reply] if nested else reply[:: 2 if len(args) > 3 else 1]
    positive = args[2][:1] != b"-"
    return raw[:1], nested, len(reply), set(members) <= set(there), positive and len(set(members))


MEANINGS: dict[bytes, Callable[[Ask, list[bytes]], Any]] = {
    b"ZSCAN": _scan,
    b"ZRANDMEMBER": _random_members,
    b"ZRANGESTORE": _by_lex(2),
    **{
        name: _by_lex(1)
        for name in (b"ZRANGE", b"ZRANGEBYLEX", b"ZREVRANGEBYLEX", b"ZLEXCOUNT", b"ZREMRANGEBYLEX")
    },
}
