"""Values across the border. Into Lua go bytes, numbers, booleans and tables made of them, never an object.

Out of Lua come strings and numbers only. What a script returned is written by the sandbox as RESP3 and read
here, since to look into a table that a script made could call what the script put there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

from ironkv.errors import CommandError, ReplyError
from ironkv.resp.replies import (
    BigNumber,
    Decimal,
    Keyed,
    Members,
    Pairs,
    Reply,
    Status,
    Verbatim,
    format_float,
)

EXACT: Final = 2**53
"""Up to here Lua's numbers, which are doubles, hold every integer; lupa refuses those beyond 64 bits."""

VALUE_BYTES: Final = 64
"""What a value takes in Lua besides a string's bytes: its head, its place in a table, the table's growth."""


class ToLua:
    """Makes Lua values of replies, as Redis's scripts see them in RESP2 or RESP3."""

    def __init__(self, make_table: Callable[[Any], Any], make_keyed: Callable[[int, Any, Any], Any]) -> None:
        self._table = make_table
        """Of a list or a dict."""
        self._keyed = make_keyed
        """Of a number of keys, and of values."""

    def value(self, reply: Reply, proto: int) -> Any:
        """The Lua value of a reply. None is nil."""
        kind = type(reply)
        if kind is bytes:
            return reply
        if kind is int:
            return reply if -EXACT <= reply <= EXACT else float(reply)
        if kind is list or kind is tuple:
            return self._array(reply, proto)
        if kind is Status:
            return self._table({b"ok": reply.text})
        if isinstance(reply, ReplyError):
            return self._table({b"err": str(reply).encode("utf-8", "surrogateescape")})
        return self._as_resp2(reply) if proto == 2 else self._as_resp3(reply)

    def _array(self, items: Sequence[Reply], proto: int) -> Any:
        return self._row([item if type(item) is bytes else self.value(item, proto) for item in items])

    def _row(self, values: list[Any]) -> Any:
        if None in values:
            return self._table({place: item for place, item in enumerate(values, 1) if item is not None})
        return self._table(values)

    def _as_resp2(self, reply: Reply) -> Any:
        if isinstance(reply, bool):
            return int(reply)
        if isinstance(reply, Decimal):
            return reply.text
        if isinstance(reply, float):
            return format_float(reply)
        if isinstance(reply, dict | Pairs):
            pairs = reply.items() if isinstance(reply, dict) else reply
            return self._array(list(chain.from_iterable(pairs)), 2)
        if isinstance(reply, list):
            return self._array(reply, 2)
        if isinstance(reply, Verbatim):
            return reply.text
        if isinstance(reply, BigNumber):
            return reply.text
        return False  # null, of a value or of an array

    def _as_resp3(self, reply: Reply) -> Any:
        if isinstance(reply, bool):
            return reply
        if isinstance(reply, float):
            return self._table({b"double": reply})
        if isinstance(reply, dict | Keyed):
            pairs = list(reply.items()) if isinstance(reply, dict) else reply
            keys = self._array([key for key, _ in pairs], 3)
            values = self._array([value for _, value in pairs], 3)
            return self._table({b"map": self._keyed(len(pairs), keys, values)})
        if isinstance(reply, Members):
            members = self._keyed(len(reply), self._array(reply, 3), self._row([True] * len(reply)))
            return self._table({b"set": members})
        if isinstance(reply, list):
            return self._array(reply, 3)
        if isinstance(reply, Verbatim):
            inner = {b"string": reply.text, b"format": reply.kind}
            return self._table({b"verbatim_string": self._table(inner)})
        if isinstance(reply, BigNumber):
            return self._table({b"big_number": reply.text})
        return None


def room_for(reply: Reply) -> int:
    """About how many bytes of Lua's memory a reply will take, rather too many."""
    if type(reply) is bytes:
        return VALUE_BYTES + len(reply)
    if isinstance(reply, dict):
        return room_for(list(chain.from_iterable(reply.items())))
    if isinstance(reply, list | tuple):
        return 2 * VALUE_BYTES + sum(
            VALUE_BYTES + len(item) if type(item) is bytes else room_for(item) for item in reply
        )
    return 4 * VALUE_BYTES


def elements(reply: Reply) -> int:
    """How many values a reply holds: what a command is charged for them."""
    if isinstance(reply, list | tuple | dict):
        return len(reply)
    return 0


def read_written(text: bytes) -> Reply:
    """The reply that a script's sandbox wrote."""
    return _Written(text).next()


class _Written:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0

    def next(self) -> Reply:
        text, at = self._text, self._at
        end = text.index(b"\r\n", at)
        sign, line = text[at : at + 1], text[at + 1 : end]
        self._at = end + 2
        return _READERS[sign](self, line)

    def sized(self, line: bytes) -> bytes:
        """As many bytes as the line says, and the end of the line behind them."""
        begin = self._at
        end = begin + int(line)
        self._at = end + 2
        return self._text[begin:end]

    def items(self, count: int) -> list[Reply]:
        return [self.next() for _ in range(count)]


def _verbatim(source: _Written, line: bytes) -> Verbatim:
    text = source.sized(line)
    return Verbatim(text[4:], text[:3])


def _map(source: _Written, line: bytes) -> dict[Reply, Reply]:
    items = source.items(2 * int(line))
    return dict(zip(items[::2], items[1::2], strict=True))


def error_of(text: bytes) -> CommandError:
    """An error reply of its text."""
    return CommandError(text.decode("utf-8", "surrogateescape"))


_READERS: Final[dict[bytes, Callable[[_Written, bytes], Reply]]] = {
    b"$": lambda source, line: source.sized(line),
    b":": lambda source, line: int(line),
    b"+": lambda source, line: Status(line),
    b"-": lambda source, line: error_of(line),
    b",": lambda source, line: float(line),
    b"(": lambda source, line: BigNumber(line),
    b"#": lambda source, line: line == b"t",
    b"_": lambda source, line: None,
    b"=": _verbatim,
    b"*": lambda source, line: source.items(int(line)),
    b"%": _map,
    b"~": lambda source, line: Members(source.items(int(line))),
}
