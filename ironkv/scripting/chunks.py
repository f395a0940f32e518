"""Compiled Lua 5.1, taken apart and put together: the format of lundump.c.

Little endian with 4-byte ints, 8-byte sizes, 4-byte instructions and doubles; the header says so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

HEADER: Final = b"\x1bLua\x51\0\1\4\x08\4\x08\0"

_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4
_WIDTHS: Final = {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}


@dataclass(slots=True)
class Function:
    """One function of a chunk; `inner` are those that are written in it. Strings are as they are stored, with
    their sizes."""

    source: bytes
    lines: bytes
    """Where it begins and ends in the source: two ints."""
    upvalues: int
    parameters: bytes
    """How many there are, and how `...` is taken: a byte each."""
    registers: int
    code: list[int]
    constants: list[bytes]
    """With their types."""
    inner: list[Function]
    line_of: list[int]
    """Of each instruction."""
    variables: list[tuple[bytes, int, int]]
    """Name, and the instructions from which on and to which it is alive."""
    names: list[bytes]
    """Of the upvalues."""


def take_apart(chunk: bytes) -> Function | None:
    """The chunk's main function; None when it is of another format."""
    return _Reader(chunk).function() if chunk.startswith(HEADER) else None


def put_together(main: Function) -> bytes:
    """The chunk again."""
    parts = [HEADER]
    _write(main, parts)
    return b"".join(parts)


class _Reader:
    def __init__(self, chunk: bytes) -> None:
        self._chunk = chunk
        self._at = len(HEADER)

    def function(self) -> Function:
        return Function(
            source=self._string(),
            lines=self._bytes(8),
            upvalues=self._byte(),
            parameters=self._bytes(2),
            registers=self._byte(),
            code=self._ints(),
            constants=[self._constant() for _ in range(self._int())],
            inner=[self.function() for _ in range(self._int())],
            line_of=self._ints(),
            variables=[(self._string(), self._int(), self._int()) for _ in range(self._int())],
            names=[self._string() for _ in range(self._int())],
        )

    def _bytes(self, size: int) -> bytes:
        begin = self._at
        self._at = begin + size
        return self._chunk[begin : self._at]

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _int(self) -> int:
        return int.from_bytes(self._bytes(4), "little")

    def _ints(self) -> list[int]:
        count = self._int()
        return list(struct.unpack(f"<{count}I", self._bytes(4 * count)))

    def _string(self) -> bytes:
        size = self._bytes(8)
        return size + self._bytes(int.from_bytes(size, "little"))

    def _constant(self) -> bytes:
        kind = self._bytes(1)
        return kind + (self._string() if kind[0] == _STRING else self._bytes(_WIDTHS[kind[0]]))


def stored(name: bytes) -> bytes:
    """A name as chunks hold it."""
    return struct.pack("<Q", len(name) + 1) + name + b"\0"


def _counted(parts: list[bytes]) -> bytes:
    return struct.pack("<I", len(parts)) + b"".join(parts)


def _ints(numbers: list[int]) -> bytes:
    return struct.pack(f"<I{len(numbers)}I", len(numbers), *numbers)


def _write(function: Function, parts: list[bytes]) -> None:
    parts.append(function.source + function.lines + bytes((function.upvalues,)) + function.parameters)
    parts.append(bytes((function.registers,)) + _ints(function.code) + _counted(function.constants))
    parts.append(struct.pack("<I", len(function.inner)))
    for inner in function.inner:
        _write(inner, parts)
    variables = [name + struct.pack("<2I", begin, end) for name, begin, end in function.variables]
    parts.append(_ints(function.line_of) + _counted(variables) + _counted(function.names))
