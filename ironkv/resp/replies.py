"""Replies as plain Python values, and their bytes on the wire in RESP2 and RESP3.

    value            RESP2                  RESP3 (where it differs)
    bytes            bulk string
    int              integer
    None             null bulk              null `_`
    NULL_ARRAY       null array             null `_`
    Status           simple string
    ReplyError       error
    list, tuple      array
    dict             flat array             map `%`
    Members          array                  set `~`
    Pairs            flat array             array of arrays
    Keyed            array of arrays        map `%`
    float            bulk string            double `,`
    Decimal          bulk string            double `,`
    bool             integer 1 / 0          boolean `#`
    Verbatim         bulk string            verbatim string `=`
    BigNumber        bulk string            big number `(`
    Push             array                  push `>`

Specification: https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from ironkv.errors import ReplyError

Reply: TypeAlias = Any
"""One of the types of the table above. (`Any`: the recursive union costs more than it catches.)"""


class Status:
    """A simple string such as `OK`; its bytes are made once."""

    __slots__ = ("text", "wire")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.wire = b"+%b\r\n" % text

    def __repr__(self) -> str:
        return f"Status({self.text!r})"


class Members(list[Any]):
    """Elements without an order: a set in RESP3."""


class Pairs(list[Any]):
    """Pairs in an order: each an array of its own in RESP3."""


class Keyed(list[Any]):
    """(key, value) pairs of which XREAD makes a map only in RESP3; a key may come twice."""


class Push(list[Any]):
    """Out-of-band data: a push in RESP3."""


class Pushes(list[Push]):
    """Several pushes in place of one reply: what SUBSCRIBE confirms. CLIENT REPLY cannot silence them."""


class Decimal(float):
    """A double that is written as `%.17f`, less the zeros at the end: the coordinates of GEOPOS."""

    __slots__ = ()

    @property
    def text(self) -> bytes:
        text = (b"%.17f" % self).rstrip(b"0").rstrip(b".")
        return b"0" if text == b"-0" else text


class Verbatim:
    """Text meant for people (INFO): a verbatim string in RESP3; `kind` is three letters."""

    __slots__ = ("kind", "text")

    def __init__(self, text: bytes, kind: bytes = b"txt") -> None:
        self.text = text
        self.kind = kind


class BigNumber:
    """The digits of an integer of any size. Only scripts make such replies."""

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


class _NullArray:
    __slots__ = ()

    def __repr__(self) -> str:
        return "NULL_ARRAY"


OK: Final = Status(b"OK")
PONG: Final = Status(b"PONG")
NULL_ARRAY: Final = _NullArray()

CRLF: Final = b"\r\n"
SHORT: Final = 1024
LARGE: Final = 16 * 1024
"""A value of which a pipeline is not answered in one go: the client must be able to take them."""
BULK_HEADS: Final = [b"$%d\r\n" % n for n in range(SHORT)]
"""Headers of short bulk strings: a list lookup is half the cost of formatting."""
SMALL_INTS: Final = [b":%d\r\n" % n for n in range(SHORT)]
_BEHIND_ANOTHER: Final = [CRLF + head for head in BULK_HEADS]
MANY: Final = 4
"""Values from which on it pays to see whether they are all of one type."""
_PIECE: Final = 256
"""Strings that are joined at once: a large reply is sent piece by piece."""
_ONLY_BYTES: Final = {bytes}
_ONLY_INTS: Final = {int}
_ARRAY_HEADS: Final = [b"*%d\r\n" % n for n in range(SHORT)]


EXACT_INTEGERS: Final = 2.0**62
"""Whole numbers up to here are written as integers."""


def format_float(value: float) -> bytes:
    """A double as Redis 7.2 prints it (d2string): the shortest text that reads back the same."""
    if value != value:
        return b"nan"
    if value in (float("inf"), float("-inf")):
        return b"inf" if value > 0 else b"-inf"
    if value == 0:
        return b"-0" if str(value)[0] == "-" else b"0"
    if -EXACT_INTEGERS <= value <= EXACT_INTEGERS and value == int(value):
        return b"%d" % int(value)
    sign = b"-" if value < 0 else b""
    return sign + _shortest(abs(value))


def _shortest(value: float) -> bytes:
    """Digits from Python, the point where Redis's fpconv puts it (emit_digits).

    Its Grisu2 misses the shortest digits once in two hundred random doubles; both texts read back the same.
    """
    mantissa, _, power = repr(value).partition("e")
    whole, _, part = mantissa.partition(".")
    padded = (whole + part).rstrip("0")
    digits = padded.lstrip("0")
    exponent = int(power or 0) + len(whole) - len(padded)  # of the last digit
    point = len(digits) + exponent  # digits before the point; negative: zeros behind it
    if exponent >= 0 and abs(point - 1) < len(digits) + 7:
        text = digits + "0" * exponent
    elif exponent < 0 and (exponent > -7 or abs(point - 1) < 4):
        text = f"{digits[:point]}.{digits[point:]}" if point > 0 else f"0.{'0' * -point}{digits}"
    else:
        text = f"{digits[0]}.{digits[1:]}".rstrip(".") + f"e{point - 1:+d}"
    return text.encode()


def _bulk(out: list[bytes], value: bytes, _proto: int) -> None:
    size = len(value)
    out += (BULK_HEADS[size] if size < SHORT else b"$%d\r\n" % size), value, CRLF


def _integer(out: list[bytes], value: int, _proto: int) -> None:
    out.append(SMALL_INTS[value] if 0 <= value < SHORT else b":%d\r\n" % value)


def _wire(out: list[bytes], value: Status, _proto: int) -> None:
    out.append(value.wire)


def _null(out: list[bytes], _value: None, proto: int) -> None:
    out.append(b"$-1\r\n" if proto == 2 else b"_\r\n")


def _null_array(out: list[bytes], _value: object, proto: int) -> None:
    out.append(b"*-1\r\n" if proto == 2 else b"_\r\n")


LONG: Final = 256
"""Bytes of a string from which on a copy of it costs more than another entry in the output."""


def append_alike(out: list[bytes], items: Sequence[Reply]) -> bool:
    """Append many values of one type, short strings or integers; False if they are not that.

    In RESP2 and RESP3 alike, and at a third of the cost of one after the other.
    """
    kinds = {*map(type, items)}
    if kinds == _ONLY_INTS:
        for at in range(0, len(items), _PIECE):
            piece = items[at : at + _PIECE]
            out.append(b":%d\r\n" * len(piece) % (*piece,))
        return True
    if kinds != _ONLY_BYTES:
        return False
    if len(items) > _PIECE and sum(map(len, items)) > LONG * len(items):
        return False  # much of it, and long: it had better not be copied
    try:
        heads = [*map(_BEHIND_ANOTHER.__getitem__, map(len, items))]
    except IndexError:
        return False
    for at in range(0, len(items), _PIECE):
        piece = items[at : at + _PIECE]
        parts = [b""] * (2 * len(piece))
        parts[::2] = heads[at : at + _PIECE]
        parts[1::2] = piece
        parts[0] = parts[0][2:]
        parts.append(CRLF)
        out.append(b"".join(parts))
    return True


def _items(out: list[bytes], items: Sequence[Reply], proto: int) -> None:
    if len(items) >= MANY and append_alike(out, items):
        return
    for item in items:
        append(out, item, proto)


def _array(out: list[bytes], value: Sequence[Reply], proto: int) -> None:
    size = len(value)
    out.append(_ARRAY_HEADS[size] if size < SHORT else b"*%d\r\n" % size)
    _items(out, value, proto)


def _members(out: list[bytes], value: Members, proto: int) -> None:
    out.append((b"*%d\r\n" if proto == 2 else b"~%d\r\n") % len(value))
    _items(out, value, proto)


def _pairs(out: list[bytes], value: Pairs, proto: int) -> None:
    if proto == 2:
        _array(out, list(chain.from_iterable(value)), proto)
    else:
        _array(out, value, proto)


def _keyed(out: list[bytes], value: Keyed, proto: int) -> None:
    if proto == 2:
        _array(out, value, proto)
    else:
        out.append(b"%%%d\r\n" % len(value))
        _items(out, list(chain.from_iterable(value)), proto)


def _push(out: list[bytes], value: Push, proto: int) -> None:
    out.append((b"*%d\r\n" if proto == 2 else b">%d\r\n") % len(value))
    _items(out, value, proto)


def _map(out: list[bytes], value: dict[Reply, Reply], proto: int) -> None:
    out.append(b"*%d\r\n" % (2 * len(value)) if proto == 2 else b"%%%d\r\n" % len(value))
    for key, item in value.items():
        append(out, key, proto)
        append(out, item, proto)


def _float(out: list[bytes], value: float, proto: int) -> None:
    text = format_float(value)
    if proto == 2:
        _bulk(out, text, proto)
    else:
        out.append(b",%b\r\n" % text)


def _decimal(out: list[bytes], value: Decimal, proto: int) -> None:
    if proto == 2:
        _bulk(out, value.text, proto)
    else:
        out.append(b",%b\r\n" % value.text)


def _bool(out: list[bytes], value: bool, proto: int) -> None:
    if proto == 2:
        out.append(SMALL_INTS[value])
    else:
        out.append(b"#t\r\n" if value else b"#f\r\n")


def _verbatim(out: list[bytes], value: Verbatim, proto: int) -> None:
    if proto == 2:
        _bulk(out, value.text, proto)
    else:
        out.append(b"=%d\r\n%b:%b\r\n" % (len(value.text) + 4, value.kind, value.text))


def _big_number(out: list[bytes], value: BigNumber, proto: int) -> None:
    if proto == 2:
        _bulk(out, value.text, proto)
    else:
        out.append(b"(%b\r\n" % value.text)


ENCODERS: Final[dict[type, Callable[[list[bytes], Any, int], None]]] = {
    bytes: _bulk,
    int: _integer,
    type(None): _null,
    Status: _wire,
    list: _array,
    tuple: _array,
    dict: _map,
    Members: _members,
    Pairs: _pairs,
    Keyed: _keyed,
    Push: _push,
    Pushes: _items,
    float: _float,
    Decimal: _decimal,
    bool: _bool,
    Verbatim: _verbatim,
    BigNumber: _big_number,
    _NullArray: _null_array,
}

COLLECTIONS: Final = frozenset((list, dict, Members, Pairs, Keyed))
"""What may be large without being one string."""


def append(out: list[bytes], reply: Reply, proto: int) -> None:
    """Add the pieces of `reply`'s encoding (`proto` 2 or 3) to `out`; the caller joins them once."""
    encoder = ENCODERS.get(type(reply))
    if encoder is not None:
        encoder(out, reply, proto)
    elif isinstance(reply, ReplyError):
        out.append(reply.wire)
    else:
        raise TypeError(f"no RESP encoding for {type(reply).__name__}")


def encode(reply: Reply, proto: int = 2) -> bytes:
    """The bytes of one reply."""
    out: list[bytes] = []
    append(out, reply, proto)
    return b"".join(out)
