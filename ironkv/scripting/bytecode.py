"""A change to compiled Lua 5.1: what is called in `return redis.call(...)` must not replace its caller.

There Lua makes a tail call. Redis's functions are C functions, which a tail call treats as any other call;
ours are written in Lua, so the script's frame would be gone, and with it the line for the error message.
Calls of functions from an outer level stay as they are: scripts may recurse deeply through them.

The format is that of lundump.c, little endian with 4-byte ints, 8-byte sizes, 4-byte instructions and
doubles; the header says so, and anything else is left alone.
"""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = b"\x1bLua\x51\0\1\4\x08\4\x08\0"

_OPCODE: Final = 0x3F
_MOVE, _GETGLOBAL, _GETTABLE, _SELF, _CALL, _TAILCALL = 0, 5, 6, 11, 28, 29
_BY_NAME: Final = (_MOVE, _GETGLOBAL, _GETTABLE, _SELF)
_SETS_A: Final = frozenset({0, 1, 2, 4, 5, 6, 10, 11, *range(12, 22), 28, 36})
"""Opcodes that put a value into register A, of those that can load what is called."""
_NIL, _BOOLEAN, _NUMBER, _STRING = 0, 1, 3, 4


def keep_callers(code: bytes) -> bytes:
    """The chunk with plain calls in place of the tail calls of globals, locals, fields and methods."""
    if not code.startswith(HEADER):
        return code
    changed = bytearray(code)
    _function(changed, len(HEADER))
    return bytes(changed)


def _function(code: bytearray, at: int) -> int:
    """Change one function and those within it; where it ends."""
    at = _after_string(code, at) + 4 + 4 + 4
    at = _instructions(code, at)
    at = _after_constants(code, at)
    functions, at = _int(code, at)
    for _ in range(functions):
        at = _function(code, at)
    lines, at = _int(code, at)
    at += 4 * lines
    variables, at = _int(code, at)
    for _ in range(variables):
        at = _after_string(code, at) + 8
    upvalues, at = _int(code, at)
    for _ in range(upvalues):
        at = _after_string(code, at)
    return at


def _instructions(code: bytearray, at: int) -> int:
    count, at = _int(code, at)
    words = struct.unpack_from(f"<{count}I", code, at)
    for place, word in enumerate(words):
        if word & _OPCODE == _TAILCALL and _loaded_by(words, place) in _BY_NAME:
            struct.pack_into("<I", code, at + 4 * place, word & ~_OPCODE | _CALL)
    return at + 4 * count


def _loaded_by(words: tuple[int, ...], place: int) -> int | None:
    """The opcode that loaded what is called at `place`: its arguments are in the registers above."""
    register = words[place] >> 6 & 0xFF
    for word in reversed(words[:place]):
        if word & _OPCODE in _SETS_A and word >> 6 & 0xFF == register:
            return word & _OPCODE
    return None


def _after_constants(code: bytearray, at: int) -> int:
    count, at = _int(code, at)
    for _ in range(count):
        kind = code[at]
        at += 1
        if kind == _STRING:
            at = _after_string(code, at)
        else:
            at += {_NIL: 0, _BOOLEAN: 1, _NUMBER: 8}[kind]
    return at


def _after_string(code: bytearray, at: int) -> int:
    (size,) = struct.unpack_from("<Q", code, at)
    return int(at + 8 + size)


def _int(code: bytearray, at: int) -> tuple[int, int]:
    return struct.unpack_from("<I", code, at)[0], at + 4
