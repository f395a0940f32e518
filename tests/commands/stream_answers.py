"""How to compare what IronKV and Redis answer about streams; `compare` takes it up."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from ironkv.commands.stream_ids import parse_id
from ironkv.errors import CommandError
from tests.commands.wire import ErrorReply, meaning

Ask = Callable[[list[bytes]], bytes]

TOLERANCE_MS = 5_000
LONG_MS = 300_000

CHECKED_FIRST = (b"XDEL", b"XACK", b"XCLAIM", b"XGROUP", b"XREADGROUP")
ABSENT = ("WRONGTYPE", "NOGROUP", "ERR The XGROUP subcommand requires", "ERR no such key")


def _is_error(reply: Any, *beginnings: str) -> bool:
    return isinstance(reply, ErrorReply) and reply.startswith(beginnings)


DIFFERENCES: list[tuple[str, Callable[[list[bytes], Any, Any], bool]]] = [
    (
        "Ids and options are checked before a write is logged, where Redis looks at the key first.",
        lambda args, ours, theirs: (
            args[0].upper() in CHECKED_FIRST
            and _is_error(ours, "ERR ")
            and (theirs == 0 or _is_error(theirs, *ABSENT))
        ),
    ),
    (
        "7.2 says of which command the list of streams is odd.",
        lambda args, ours, theirs: (
            _is_error(ours, "ERR Unbalanced '") and _is_error(theirs, "ERR Unbalanced ")
        ),
    ),
    (
        "7.0 reports the wrong one of two faults when the sequence of `ms-*` is exhausted.",
        lambda args, ours, theirs: (
            args[0].upper() == b"XADD"
            and _is_error(ours, "ERR The ID specified in XADD is equal or smaller")
            and _is_error(theirs, "ERR Elements are too large")
        ),
    ),
]


class Near(int):
    """A time of which a few seconds do not matter."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and abs(int(self) - int(other)) <= TOLERANCE_MS

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


def _add(ask: Ask, args: list[bytes]) -> Any:
    """An id of its own making has the same time on both sides."""
    return ask([b"4000000000000-*" if word == b"*" else word for word in args])


def _long(text: bytes) -> bytes:
    """A time that is not as short as the test itself."""
    return b"%d" % (LONG_MS + int(text)) if re.fullmatch(rb"[1-9][0-9]{0,4}", text) else text


def claimed(ask: Ask, args: list[bytes]) -> bytes:
    """The reply to XCLAIM or XAUTOCLAIM, whose COUNT would make Redis take more memory than it has."""
    if len(args) > 4:
        args = [*args[:4], _long(args[4]), *args[5:]]
    if args[0].upper() == b"XAUTOCLAIM":
        args = [b"100000" if re.fullmatch(rb"[1-9]\d{6,9}", word) else word for word in args]
    return ask(args)


def _claim(ask: Ask, args: list[bytes]) -> Any:
    """7.0 makes the consumer only when he gets something."""
    reply = claimed(ask, args)
    if not isinstance(meaning(reply), ErrorReply):
        ask([b"XGROUP", b"CREATECONSUMER", *args[1:4]])
    return reply


def _soon(args: list[bytes]) -> list[bytes]:
    """Waiting for a millisecond at most: nobody else is there who could add something."""
    args = args[:]
    for place, word in enumerate(args[:-1]):
        if word.upper() == b"BLOCK" and re.fullmatch(rb"[0-9]+", args[place + 1]):
            args[place + 1] = b"1"
    return args


def _read(ask: Ask, args: list[bytes]) -> Any:
    return ask(_soon(args))


def _read_group(ask: Ask, args: list[bytes]) -> Any:
    args = _soon(args)
    reply = ask(args)
    if not isinstance(meaning(reply), ErrorReply):
        words = [word.upper() for word in args]
        group, start = words.index(b"GROUP"), words.index(b"STREAMS", words.index(b"GROUP") + 3) + 1
        for key in args[start : start + (len(args) - start) // 2]:
            ask([b"XGROUP", b"CREATECONSUMER", key, *args[group + 1 : group + 3]])
    return reply


def _pending(ask: Ask, args: list[bytes]) -> Any:
    if len(args) > 4 and args[3].upper() == b"IDLE":
        args = [*args[:4], _long(args[4]), *args[5:]]
    raw = ask(args)
    reply = meaning(raw)
    if not isinstance(reply, list) or len(args) == 3:
        return raw
    return [[id_, consumer, Near(idle), deliveries] for id_, consumer, idle, deliveries in reply]


def _set_id(ask: Ask, args: list[bytes]) -> Any:
    """Not if it would set a stream back behind what was deleted: 7.0 lets that pass."""
    info = _mapped(meaning(ask([b"XINFO", b"STREAM", args[1]]))) if len(args) > 2 else None
    if isinstance(info, dict):
        with contextlib.suppress(CommandError):
            if parse_id(args[2]) < parse_id(info[b"max-deleted-entry-id"]):
                return "not asked"
    return ask(args)


TIMES = (b"idle", b"inactive", b"seen-time", b"active-time")
NEW_IN_7_2 = (b"inactive", b"active-time")
CONTAINERS = (b"groups", b"consumers")


def _mapped(reply: Any) -> Any:
    """A description as a dict, in RESP2 too."""
    if isinstance(reply, list) and reply and reply[0] in (b"length", b"name"):
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    if not isinstance(reply, dict):
        return reply
    return {
        name: list(map(_mapped, value)) if name in CONTAINERS and isinstance(value, list) else value
        for name, value in reply.items()
    }


def without_times(reply: Any) -> Any:
    """A description, its times only nearly so, and without those that 7.0 does not know."""
    reply = _mapped(reply)
    if isinstance(reply, list):
        return list(map(without_times, reply))
    if not isinstance(reply, dict):
        return reply
    described = {name: value for name, value in reply.items() if name not in NEW_IN_7_2}
    for name, value in described.items():
        if name in TIMES:
            described[name] = Near(value)
        elif name == b"pending" and isinstance(value, list):
            described[name] = [[*each[:-2], Near(each[-2]), each[-1]] for each in value]
        elif name in CONTAINERS and isinstance(value, list):
            described[name] = list(map(without_times, value))
    return described


def _info(ask: Ask, args: list[bytes]) -> Any:
    raw = ask(args)
    reply = meaning(raw)
    if isinstance(reply, ErrorReply) or (len(args) > 1 and args[1].upper() == b"HELP"):
        return raw
    return raw[:1] if isinstance(reply, list) else "map", without_times(reply)


MEANINGS: dict[bytes, Callable[[Ask, list[bytes]], Any]] = {
    b"XADD": _add,
    b"XCLAIM": _claim,
    b"XAUTOCLAIM": _claim,
    b"XREAD": _read,
    b"XREADGROUP": _read_group,
    b"XPENDING": _pending,
    b"XSETID": _set_id,
    b"XINFO": _info,
}
