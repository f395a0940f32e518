"""Comparing what IronKV and Redis answer: what counts as equal, and where they are meant to differ.

Replies are compared byte for byte, unless `MEANINGS` says how to read the answers of a command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
            _named(b"SCAN")(args) and args[1] != b"0" and isinstance(ours, set) and isinstance(theirs, set)
        ),
    ),
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
    """All keys that the whole iteration gives."""
    found: set[bytes] = set()
    while True:
        reply = meaning(ask(args))
        if isinstance(reply, ErrorReply):
            return reply
        following, keys = reply
        found.update(keys)
        if following == b"0":
            return found
        args = [args[0], following, *args[2:]]


def _size(ask: Ask, args: list[bytes]) -> Any:
    """Redis frees dead keys when it likes, and when they are touched: touch them all."""
    ask([b"EXISTS", *KEYS])
    return ask(args)


def _object(ask: Ask, args: list[bytes]) -> Any:
    """Of how a value is held, only that there is something to say: see `test_strings` for the details."""
    reply = meaning(ask(args))
    what = args[1].upper() if len(args) == 3 else b""
    found = what in (b"ENCODING", b"REFCOUNT", b"IDLETIME") and isinstance(reply, bytes | int)
    return what if found else reply


MEANINGS: dict[bytes, Meaning] = {
    b"KEYS": _unordered,
    b"SCAN": _scan,
    b"RANDOMKEY": _random_key,
    b"TTL": _time,
    b"PTTL": _time,
    b"EXPIRETIME": _time,
    b"PEXPIRETIME": _time,
    b"DBSIZE": _size,
    b"OBJECT": _object,
}


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
