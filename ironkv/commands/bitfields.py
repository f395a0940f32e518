"""BITFIELD: a string as an array of integers of any width up to 64 bits."""

from __future__ import annotations

from typing import Final, NamedTuple

from ironkv.commands.arguments import integer
from ironkv.commands.bitmaps import bit_offset
from ironkv.commands.table import ONE_KEY, Args, Route, command
from ironkv.errors import CommandError, NotInteger, SyntaxFault
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import Reply

BAD_TYPE: Final = (
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
)
WIDEST: Final = {b"i": 64, b"u": 63}
ARGUMENTS: Final = {b"GET": 2, b"SET": 3, b"INCRBY": 3}
OVERFLOWS: Final = (b"WRAP", b"SAT", b"FAIL")


class Field(NamedTuple):
    """An integer's place: `width` bits from bit `offset` on."""

    signed: bool
    width: int
    offset: int

    @property
    def end(self) -> int:
        """The byte behind its last."""
        return (self.offset + self.width + 7) >> 3

    @property
    def least(self) -> int:
        return -(1 << (self.width - 1)) if self.signed else 0

    @property
    def most(self) -> int:
        return self.least + (1 << self.width) - 1

    def wrapped(self, number: int) -> int:
        """The number that has the same lower bits and fits."""
        return (number - self.least) % (1 << self.width) + self.least

    def read(self, data: bytes | bytearray) -> int:
        """What the bits say; behind the end of `data` there are zeros."""
        start = self.offset >> 3
        window = int.from_bytes(bytes(data[start : self.end]).ljust(self.end - start, b"\0"))
        return self.wrapped(window >> (-(self.offset + self.width) & 7))

    def write(self, data: bytearray, number: int) -> None:
        """Put a number that fits into `data`, which is long enough."""
        start, shift = self.offset >> 3, -(self.offset + self.width) & 7
        mask = (1 << self.width) - 1
        window = int.from_bytes(data[start : self.end]) & ~(mask << shift) | (number & mask) << shift
        data[start : self.end] = window.to_bytes(self.end - start)


class Step(NamedTuple):
    """One subcommand."""

    name: bytes
    field: Field
    number: int
    """SET: the value. INCRBY: the increment."""
    overflow: bytes

    def result(self, old: int) -> int | None:
        """What the field is to hold, or None if it must stay as it is."""
        # Redis takes a negative value for an unsigned field for the large number with the same 64 bits.
        wanted = old + self.number if self.name == b"INCRBY" else self.number
        if self.name == b"SET" and not self.field.signed:
            wanted %= 1 << 64
        if self.field.least <= wanted <= self.field.most or self.overflow == b"WRAP":
            return self.field.wrapped(wanted)
        if self.overflow == b"FAIL":
            return None
        return self.field.most if wanted > self.field.most else self.field.least


def parse_bitfield(args: Args) -> list[Step]:
    """BITFIELD key [(GET encoding offset | [OVERFLOW WRAP | SAT | FAIL]
    (SET encoding offset value | INCRBY encoding offset increment)) ...]"""
    steps: list[Step] = []
    overflow = b"WRAP"
    place = 2
    while place < len(args):
        name = args[place].upper()
        if name == b"OVERFLOW" and place + 1 < len(args):
            overflow = args[place + 1].upper()
            if overflow not in OVERFLOWS:
                raise CommandError("ERR Invalid OVERFLOW type specified")
            place += 2
            continue
        needed = ARGUMENTS.get(name)
        if needed is None or place + needed >= len(args):
            raise SyntaxFault
        field = _field(args[place + 1], args[place + 2])
        number = integer(args[place + 3]) if needed == 3 else 0
        steps.append(Step(name, field, number, overflow))
        place += 1 + needed
    return steps


def _field(encoding: bytes, offset: bytes) -> Field:
    """`u8` or `i16` and so on, at `offset` or at `#index`."""
    try:
        width = integer(encoding[1:].partition(b"\0")[0])
    except NotInteger:
        width = 0
    if not 1 <= width <= WIDEST.get(encoding[:1], 0):
        raise CommandError(BAD_TYPE)
    at = bit_offset(offset[1:], width) if offset[:1] == b"#" else bit_offset(offset)
    return Field(encoding[:1] == b"i", width, at)


@command(
    "BITFIELD",
    -2,
    Route.WRITE,
    "write denyoom",
    keys=ONE_KEY,
    check=parse_bitfield,
    group="bitmap",
    since="3.2.0",
    complexity="O(1) for each subcommand specified",
    summary="Performs arbitrary bitfield integer operations on strings.",
)
def bitfield(db: Database, args: Args, now_ms: int) -> Reply:
    """BITFIELD key [(GET encoding offset | [OVERFLOW WRAP | SAT | FAIL]
    (SET encoding offset value | INCRBY encoding offset increment)) ...]"""
    steps = parse_bitfield(args)
    old = db.string(args[1])
    size = max((step.field.end for step in steps if step.name != b"GET"), default=0)
    if not size:
        return [step.field.read(old or b"") for step in steps]
    # The string grows as far as anything might have been written, even if all of it fails.
    has_grown = old is None or len(old) < size
    data = bytearray((old or b"").ljust(size, b"\0"))
    replies: list[int | None] = []
    has_changed = False
    for step in steps:
        before = step.field.read(data)
        if step.name == b"GET":
            replies.append(before)
            continue
        after = step.result(before)
        if after is not None:
            step.field.write(data, after)
            has_changed |= has_grown or after != before
        replies.append(before if step.name == b"SET" and after is not None else after)
    if has_grown or has_changed:
        db.update(args[1], bytes(data))
    if has_changed:
        db.notify(b"setbit", args[1])
    return replies


@command(
    "BITFIELD_RO",
    -2,
    Route.READ,
    "readonly fast",
    keys=ONE_KEY,
    group="bitmap",
    since="6.0.0",
    complexity="O(1) for each subcommand specified",
    summary="Performs arbitrary read-only bitfield integer operations on strings.",
)
def bitfield_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """BITFIELD_RO key [GET encoding offset [GET encoding offset ...]]: what the fields hold."""
    steps = parse_bitfield(args)
    if any(step.name != b"GET" for step in steps):
        raise CommandError("ERR BITFIELD_RO only supports the GET subcommand")
    value = db.string(args[1]) or b""
    return [step.field.read(value) for step in steps]
