"""HyperLogLogs: how many different elements were added, to about 0.81 %, in Redis's own string format.

    0   HYLL
    4   1 byte: DENSE or SPARSE; then 3 bytes without meaning
    8   64 bits, little-endian: the cardinality that was last computed; the highest bit says it is out of date
    16  the registers, 2^14 of 6 bits

An element's hash chooses a register by its lower 14 bits. The register keeps the longest run of zeros, plus
one, that the other 50 bits of any element began with. Dense, the registers are packed one behind the other,
each from the lowest free bit on. Sparse, they are runs, in as few bytes as were needed:

    00xxxxxx            x + 1 registers that are 0
    01xxxxxx yyyyyyyy   xy + 1 registers that are 0
    1vvvvvxx            x + 1 registers that are v + 1

How runs are cut depends on the order of the elements, and is done as Redis does it: dumps and replicas are
compared by their bytes. The estimate is that of Otmar Ertl, https://arxiv.org/abs/1702.01284.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from math import floor, inf, sqrt
from struct import iter_unpack
from typing import Final

from ironkv.errors import CommandError

MAGIC: Final = b"HYLL"
DENSE: Final = 0
SPARSE: Final = 1
HEADER: Final = 16

_INDEX_BITS: Final = 14
REGISTERS: Final = 1 << _INDEX_BITS
_RUN_MOST: Final = 64 - _INDEX_BITS + 1
"""The highest value of a register."""
DENSE_SIZE: Final = HEADER + REGISTERS * 6 // 8

_STALE: Final = 0x80
_VALUE_MOST: Final = 32
"""The highest value that a run can have."""
_VALUES_MOST: Final = 4
"""Registers in a run that are not 0."""
_ZEROS_MOST: Final = 64
"""Registers that are 0 in a run of one byte."""

_ALPHA: Final = 0.721347520444481703680
_MASK64: Final = 2**64 - 1
_SEED: Final = 0xADC83B19
_MULTIPLIER: Final = 0xC6A4A7935BD1E995

EMPTY: Final = MAGIC + bytes((SPARSE,)) + bytes(11) + b"\x7f\xff"

_runs_of = re.compile(rb"[\x40-\x7f].?|[^\x40-\x7f]", re.DOTALL).findall

_LOW: Final = bytes(byte & 63 for byte in range(256))
_SHIFTED: Final = {
    shift: bytes((byte << shift if shift > 0 else byte >> -shift) & 63 for byte in range(256))
    for shift in (-6, -4, -2, 2, 4)
}
_UP: Final = {shift: bytes(byte << shift & 255 for byte in range(256)) for shift in (2, 4, 6)}
_DOWN: Final = {shift: bytes(byte >> shift for byte in range(256)) for shift in (2, 4)}


class Corrupt(CommandError):
    """A sparse one whose runs do not make up all registers."""

    def __init__(self) -> None:
        super().__init__("INVALIDOBJ Corrupted HLL object detected")


def is_hyperloglog(value: bytes) -> bool:
    """Whether a string looks like one; a sparse one may still turn out to be corrupt."""
    if len(value) < HEADER or value[:4] != MAGIC:
        return False
    return value[4] == SPARSE or (value[4] == DENSE and len(value) == DENSE_SIZE)


# -- hashing


def murmur64(data: bytes) -> int:
    """MurmurHash64A with the seed that Redis uses. https://github.com/aappleby/smhasher"""
    multiplier, mask = _MULTIPLIER, _MASK64
    result = _SEED ^ (len(data) * multiplier & mask)
    whole = len(data) & ~7
    for (word,) in iter_unpack("<Q", data[:whole]):
        word = word * multiplier & mask
        word = (word ^ word >> 47) * multiplier & mask
        result = (result ^ word) * multiplier & mask
    if whole < len(data):
        result = (result ^ int.from_bytes(data[whole:], "little")) * multiplier & mask
    result = (result ^ result >> 47) * multiplier & mask
    return result ^ result >> 47


def register_of(element: bytes) -> tuple[int, int]:
    """The register that an element belongs to, and the value it must have at least."""
    number = murmur64(element)
    rest = number >> _INDEX_BITS | 1 << (64 - _INDEX_BITS)
    return number & (REGISTERS - 1), (rest & -rest).bit_length()


# -- changing


class Dense:
    """The registers of a dense one while they are changed."""

    def __init__(self, packed: bytes) -> None:
        self._packed = bytearray(packed)

    def raise_to(self, index: int, value: int) -> bool:
        """Let a register be at least `value`; whether it was less."""
        packed = self._packed
        place, shift = divmod(6 * index, 8)
        window = int.from_bytes(packed[place : place + 2], "little")
        old = window >> shift & 63
        if value <= old:
            return False
        window += value - old << shift
        packed[place : place + 2] = window.to_bytes(min(2, len(packed) - place), "little")
        return True

    def encoded(self) -> bytes:
        return bytes(self._packed)


class Sparse:
    """The runs of a sparse one while they are changed."""

    def __init__(self, body: bytes) -> None:
        self._runs: list[bytes] = _runs_of(body)
        self._ends = list(accumulate(map(_length, self._runs)))
        """The register behind each run."""
        self._size = len(body)

    def raise_to(self, index: int, value: int, room: int) -> bool | None:
        """Let a register be at least `value`; whether it was less; None if that cannot be said in runs, or
        not in `room` bytes. Raises Corrupt."""
        if value > _VALUE_MOST:
            return None
        place = bisect_right(self._ends, index)
        if place == len(self._runs):
            raise Corrupt
        run = self._runs[place]
        if _is_long(run) and len(run) == 1:
            raise Corrupt
        if _value(run) >= value:
            return False
        first, end = self._ends[place - 1] if place else 0, self._ends[place]
        cut = [_run(_value(run), index - first), _run(value, 1), _run(_value(run), end - index - 1)]
        ends = [index, index + 1, end]
        parts = [(part, until) for part, until in zip(cut, ends, strict=True) if part]
        growth = sum(len(part) for part, _ in parts) - len(run)
        if growth > 0 and self._size + growth > room:
            return None
        self._size += growth
        self._runs[place : place + 1] = [part for part, _ in parts]
        self._ends[place : place + 1] = [until for _, until in parts]
        self._join(max(place - 1, 0))
        return True

    def _join(self, place: int) -> None:
        """Make one of neighbouring runs of the same value. Like Redis, look at five places only."""
        runs = self._runs
        for _ in range(5):
            if place + 1 >= len(runs):
                return
            value, following = _value(runs[place]), runs[place + 1]
            both = _length(runs[place]) + _length(following)
            if value and value == _value(following) and both <= _VALUES_MOST:
                runs[place : place + 2] = [_run(value, both)]
                del self._ends[place]
                self._size -= 1
            else:
                place += 1

    def encoded(self) -> bytes:
        return b"".join(self._runs)


@cache
def _length(run: bytes) -> int:
    """How many registers a run has."""
    first = run[0]
    if _is_long(run):
        return ((first & 0x3F) << 8 | run[-1]) + 1
    return (first & 3 if first >= 0x80 else first) + 1


def _is_long(run: bytes) -> bool:
    """Whether it has two bytes, or should have: the last may be cut off."""
    return 0x40 <= run[0] < 0x80


def _value(run: bytes) -> int:
    return (run[0] >> 2 & 31) + 1 if run[0] >= 0x80 else 0


def _run(value: int, length: int) -> bytes:
    """A run; nothing of no registers."""
    if not length:
        return b""
    if value:
        return bytes((0x80 | value - 1 << 2 | length - 1,))
    if length > _ZEROS_MOST:
        return bytes((0x40 | length - 1 >> 8, length - 1 & 0xFF))
    return bytes((length - 1,))


class HyperLogLog:
    """One that is being changed."""

    def __init__(self, value: bytes, room: int) -> None:
        """`room`: the most bytes that it may have while it is sparse."""
        self._header = value[:HEADER]
        self._room = room - HEADER
        body = value[HEADER:]
        self._registers: Dense | Sparse = Dense(body) if value[4] == DENSE else Sparse(body)

    def raise_to(self, index: int, value: int) -> bool:
        """Let a register be at least `value`; whether it was less. Raises Corrupt."""
        if isinstance(self._registers, Sparse):
            done = self._registers.raise_to(index, value, self._room)
            if done is not None:
                return done
            self.become_dense()
        assert isinstance(self._registers, Dense)
        return self._registers.raise_to(index, value)

    def add(self, element: bytes) -> bool:
        """Whether the element changed anything. Raises Corrupt."""
        return self.raise_to(*register_of(element))

    def become_dense(self) -> None:
        """Raises Corrupt."""
        if isinstance(self._registers, Sparse):
            self._registers = Dense(_packed(_spread(self._registers.encoded())))
            self._header = self._header[:4] + bytes((DENSE,)) + self._header[5:]

    def encoded(self) -> bytes:
        """The string, for which no cardinality is known."""
        stale = bytes((self._header[HEADER - 1] | _STALE,))
        return self._header[: HEADER - 1] + stale + self._registers.encoded()


# -- all registers at once, a byte each


def registers(value: bytes) -> bytes:
    """The registers of one. Raises Corrupt."""
    body = value[HEADER:]
    return _unpacked(body) if value[4] == DENSE else _spread(body)


def runs_described(value: bytes) -> Iterator[bytes]:
    """The runs of a sparse one as PFDEBUG DECODE gives them: `z:12`, `Z:16000`, `v:value,length`."""
    for run in _runs_of(value[HEADER:]):
        length, held = _length(run), _value(run)
        if held:
            yield b"v:%d,%d" % (held, length)
        else:
            yield b"%b:%d" % (b"Z" if _is_long(run) else b"z", length)


def greater(one: bytes, other: bytes) -> bytes:
    """Of each register the higher value."""
    return bytes(map(max, one, other))


def _spread(body: bytes) -> bytes:
    found = b"".join(bytes((_value(run),)) * _length(run) for run in _runs_of(body))
    if len(found) != REGISTERS:
        raise Corrupt
    return found


def _unpacked(packed: bytes) -> bytes:
    """Four registers from every three bytes."""
    low, middle, high = packed[::3], packed[1::3], packed[2::3]
    found = bytearray(REGISTERS)
    found[::4] = low.translate(_LOW)
    found[1::4] = _either(low.translate(_SHIFTED[-6]), middle.translate(_SHIFTED[2]))
    found[2::4] = _either(middle.translate(_SHIFTED[-4]), high.translate(_SHIFTED[4]))
    found[3::4] = high.translate(_SHIFTED[-2])
    return bytes(found)


def _packed(values: bytes) -> bytes:
    first, second, third, fourth = (values[place::4] for place in range(4))
    found = bytearray(REGISTERS * 6 // 8)
    found[::3] = _either(first, second.translate(_UP[6]))
    found[1::3] = _either(second.translate(_DOWN[2]), third.translate(_UP[4]))
    found[2::3] = _either(third.translate(_DOWN[4]), fourth.translate(_UP[2]))
    return bytes(found)


def _either(one: bytes, other: bytes) -> bytes:
    """Bitwise or."""
    return (int.from_bytes(one) | int.from_bytes(other)).to_bytes(len(one))


# -- counting


def cardinality(value: bytes) -> int:
    """How many elements one has seen, about. Raises Corrupt."""
    if not value[HEADER - 1] & _STALE:
        return int.from_bytes(value[8:HEADER], "little")
    return estimate(registers(value))


def estimate(values: bytes) -> int:
    """How many elements make such registers, about. Raises Corrupt."""
    size = float(REGISTERS)
    total = size * _tau((size - values.count(_RUN_MOST)) / size)
    for value in range(_RUN_MOST - 1, 0, -1):
        total = (total + values.count(value)) * 0.5
    total += size * _sigma(values.count(0) / size)
    if not total:  # values that no hash has
        raise Corrupt
    return floor(_ALPHA * size * size / total + 0.5)


def _sigma(x: float) -> float:
    if x == 1.0:
        return inf
    weight, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * weight
        weight += weight
    return total


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    weight, total, before = 1.0, 1.0 - x, -1.0
    while total != before:
        x = sqrt(x)
        before = total
        weight *= 0.5
        total -= (1.0 - x) ** 2 * weight
    return total / 3
