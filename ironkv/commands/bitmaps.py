"""Bitmaps: strings by their bits. Numbers of several bits are in `bitfields`."""

from __future__ import annotations

from typing import Final

from ironkv.commands.arguments import STRING_MOST, integer
from ironkv.commands.removing import delete
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.keyspace import bits
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

BAD_OFFSET: Final = "ERR bit offset is not an integer or out of range"
BAD_BIT: Final = "ERR bit is not an integer or out of range"


def bit_offset(text: bytes, width: int = 1) -> int:
    """An offset in bits, written in units of `width` bits. Raises CommandError."""
    try:
        offset = integer(text) * width
    except NotInteger:
        raise CommandError(BAD_OFFSET) from None
    if not 0 <= offset < 8 * STRING_MOST:
        raise CommandError(BAD_OFFSET)
    return offset


def parse_setbit(args: Args) -> tuple[int, int]:
    """SETBIT key offset value -> (offset, value)"""
    offset = bit_offset(args[2])
    if args[3] not in (b"0", b"1"):
        raise CommandError(BAD_BIT)
    return offset, int(args[3])


@command(
    "SETBIT",
    4,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_setbit,
    group="bitmap",
    since="2.2.0",
    complexity="O(1)",
    summary="Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
)
def setbit(db: Database, args: Args, now_ms: int) -> Reply:
    """SETBIT key offset value: the bit that was there. What lies between the old end and it is zeros."""
    offset, bit = parse_setbit(args)
    value = db.string(args[1])
    place = offset >> 3
    if value is not None and place < len(value):
        old = bits.bit_at(value, offset)
        if old == bit:
            return old
        parts = memoryview(value)
        byte = value[place] ^ 0x80 >> (offset & 7)
        value = b"".join((parts[:place], bytes((byte,)), parts[place + 1 :]))
    else:
        old = 0
        value = (value or b"").ljust(place, b"\0") + bytes((bit << (~offset & 7),))
    db.update(args[1], value)
    db.notify(b"setbit", args[1])
    return old


@command(
    "GETBIT",
    3,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="bitmap",
    since="2.2.0",
    complexity="O(1)",
    summary="Returns a bit value by offset.",
)
def getbit(db: Database, args: Args, now_ms: int) -> Reply:
    """GETBIT key offset"""
    offset = bit_offset(args[2])
    return bits.bit_at(db.string(args[1]) or b"", offset)


def _in_bits(words: list[bytes]) -> bool:
    """Whether a range is counted in bits; what it says of that is `words`, if anything."""
    unit = words[0].upper() if words else b"BYTE"
    if unit not in (b"BIT", b"BYTE"):
        raise SyntaxFault
    return unit == b"BIT"


def _bits_within(size: int, start: int, end: int, in_bits: bool) -> tuple[int, int]:
    """The first and the last bit of a range, both ends included, in a string of `size` bytes: negative
    ones count from its end. The first is behind the last when there are none."""
    total = 8 * size if in_bits else size
    first = max(0, total + start) if start < 0 else start
    last = min(max(0, total + end) if end < 0 else end, total - 1)
    return (first, last) if in_bits else (8 * first, 8 * last + 7)


@command(
    "BITCOUNT",
    -2,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="bitmap",
    since="2.6.0",
    complexity="O(N)",
    summary="Counts the number of set bits (population counting) in a string.",
)
def bitcount(db: Database, args: Args, now_ms: int) -> Reply:
    """BITCOUNT key [start end [BYTE | BIT]]"""
    value = db.string(args[1])
    if value is None:  # Redis does not look at the rest
        return 0
    if len(args) not in (2, 4, 5):
        raise SyntaxFault
    start, end, in_bits = 0, -1, False
    if len(args) > 2:
        start, end = integer(args[2]), integer(args[3])
        # A range of negative numbers the wrong way round is empty, although both may be cut to 0 below.
        if start < 0 and end < 0 and start > end:
            return 0
        in_bits = _in_bits(args[4:])
    first, last = _bits_within(len(value), start, end, in_bits)
    return bits.count(value, first, last) if first <= last else 0


@command(
    "BITPOS",
    -3,
    Route.READ,
    "readonly",
    keys=ONE_KEY,
    group="bitmap",
    since="2.8.7",
    complexity="O(N)",
    summary="Finds the first set (1) or clear (0) bit in a string.",
)
def bitpos(db: Database, args: Args, now_ms: int) -> Reply:
    """BITPOS key bit [start [end [BYTE | BIT]]]: -1 if there is none.

    Without an end the string goes on with zeros for ever, so that a 0 is always found.
    """
    bit = integer(args[2])
    if bit not in (0, 1):
        raise CommandError("ERR The bit argument must be 1 or 0.")
    value = db.string(args[1])
    if value is None:
        return -1 if bit else 0
    if len(args) > 6:
        raise SyntaxFault
    start = integer(args[3]) if len(args) > 3 else 0
    in_bits = _in_bits(args[5:])
    end = integer(args[4]) if len(args) > 4 else -1
    first, last = _bits_within(len(value), start, end, in_bits)
    if first > last:
        return -1
    found = bits.find(value, bit, first, last)
    if found is None:
        return 8 * len(value) if bit == 0 and len(args) < 5 else -1
    return found


def check_bitop(args: Args) -> None:
    """BITOP (AND | OR | XOR | NOT) destkey key [key ...]"""
    operation = args[1].upper()
    if operation == b"NOT":
        if len(args) != 4:
            raise CommandError("ERR BITOP NOT must be called with a single source key.")
    elif operation not in bits.COMBINING:
        raise SyntaxFault


@command(
    "BITOP",
    -4,
    Route.WRITE,
    "write denyoom",
    keys=(2, -1, 1),
    check=check_bitop,
    group="bitmap",
    since="2.6.0",
    complexity="O(N)",
    summary="Performs bitwise operations on multiple strings, and stores the result.",
)
def bitop(db: Database, args: Args, now_ms: int) -> Reply:
    """BITOP (AND | OR | XOR | NOT) destkey key [key ...]: the length of what is stored."""
    operation, destination = args[1].upper(), args[2]
    values = [db.string(key) or b"" for key in args[3:]]
    result = (
        bits.inverted(values[0]) if operation == b"NOT" else bits.combined(bits.COMBINING[operation], values)
    )
    if result:
        db.set(destination, result)
        db.notify(b"set", destination)
    else:
        delete(db, destination)
    return len(result)
