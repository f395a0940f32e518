"""Changes to compiled Lua 5.1: what a script may do is counted where Lua itself counts nothing, and what is
called in `return redis.call(...)` does not replace its caller.

**Counted.** An instruction is one step, however long it works in C: `..` and `<` on long strings, numbers
that become strings, `...` that stands for thousands of values. So functions of the sandbox are called beside
these, which take what they cost from the script's budget. They come as upvalues, which a script cannot see:
the main function has them all, and every function hands them on to those within it. Their registers are above
all others.

**Callers.** In `return f(...)` Lua makes a tail call. Redis's functions are C functions, which a tail call
treats as any other call; ours are written in Lua, so the script's frame would be gone, and with it the line
for the error message. Calls of functions from an outer level stay as they are: scripts may recurse deeply
through them.
"""

from __future__ import annotations

import struct
from typing import Final

from ironkv.scripting.chunks import Function, put_together, stored, take_apart

_OPCODE: Final = 0x3F
_MOVE, _LOADK, _GETUPVAL, _GETGLOBAL, _GETTABLE, _SELF = 0, 1, 4, 5, 6, 11
_CONCAT, _JMP, _LT, _LE, _CALL, _TAILCALL = 21, 22, 24, 25, 28, 29
_FORLOOP, _FORPREP, _SETLIST, _CLOSURE, _VARARG = 31, 32, 34, 36, 37
_JUMPS: Final = frozenset((_JMP, _FORLOOP, _FORPREP))
_BY_NAME: Final = (_MOVE, _GETGLOBAL, _GETTABLE, _SELF)
_SETS_A: Final = frozenset({0, 1, 2, 4, 5, 6, 10, 11, *range(12, 22), 28, 36})
"""Opcodes that put a value into register A, of those that can load what is called."""
_CONSTANT: Final = 0x100
"""Set in an operand that is no register but a constant."""
_LONG: Final = 1_024
"""Bytes up to which a string is compared in no time."""

REGISTERS_MOST: Final = 250
"""As in Lua."""
_ABOVE: Final = 3
"""Registers that the calls put in need."""

JOINED, COMPARED, PASSED = range(3)
CHARGES: Final = 3
"""Functions that the main function has as its first upvalues: they are told what was joined, is to be
compared, is passed on as `...`."""
JOINED_AT_ONCE: Final = 4
"""Operands of one `..` for which one call of the first function stands."""


def charged(code: bytes) -> bytes | None:
    """The chunk with the calls in it, and with plain calls in place of the tail calls of globals, locals,
    fields and methods. None: a function of it uses too many registers."""
    main = take_apart(code)
    if main is None or not _fits(main):
        return None
    own = main.upvalues
    _rewrite(main, [own + charge for charge in range(CHARGES)])
    main.upvalues += CHARGES
    main.names += [stored(b"")] * CHARGES
    return put_together(main)


def _fits(function: Function) -> bool:
    room = function.registers + _ABOVE <= REGISTERS_MOST and function.upvalues + CHARGES < 256
    return room and all(map(_fits, function.inner))


def _rewrite(function: Function, charges: list[int]) -> None:
    """Put the calls into a function that has the sandbox's functions as these upvalues."""
    given = [inner.upvalues for inner in function.inner]
    for inner in function.inner:
        _rewrite(inner, [inner.upvalues + charge for charge in range(CHARGES)])
        inner.upvalues += CHARGES
        inner.names += [stored(b"")] * CHARGES
    _Rewriting(function, charges, given).run()


class _Rewriting:
    """Of one function's instructions. What is put in belongs to the line of what it stands beside."""

    def __init__(self, function: Function, charges: list[int], given: list[int]) -> None:
        self._function = function
        self._old = function.code
        self._charges = charges
        self._given = given
        """How many upvalues the inner functions had of their own."""
        self._top = function.registers
        self._new: list[int] = []
        self._lines: list[int] = []
        self._begins: list[int] = []
        """Where what stood at a place stands now, with what was put in before it."""
        self._jumps: list[tuple[int, int]] = []
        """Where they stand now, and the places they led to."""

    def run(self) -> None:
        function, old = self._function, self._old
        tails = {
            place
            for place, word in enumerate(old)
            if word & _OPCODE == _TAILCALL and _loaded_by(old, place) in _BY_NAME
        }
        place = 0
        while place < len(old):
            self._begins.append(len(self._new))
            if place == 0 and tails:  # what such a call hands back is moved once more
                self._call(JOINED)
            place = self._one(place, place in tails)
            self._lines += [function.line_of[len(self._begins) - 1]] * (len(self._new) - len(self._lines))
        self._begins.append(len(self._new))
        for at, target in self._jumps:
            self._new[at] = self._new[at] & 0x3FFF | (self._begins[target] - at - 1 + 0x1FFFF) << 14
        function.code, function.line_of = self._new, self._lines
        function.registers += _ABOVE
        begins = self._begins
        function.variables = [(name, begins[a], begins[b]) for name, a, b in function.variables]

    def _one(self, place: int, is_tail: bool) -> int:
        """Write the instruction at `place` anew, with what goes beside it; the next one's place."""
        word = self._old[place]
        code, b, c = word & _OPCODE, word >> 23, word >> 14 & 0x1FF
        if code in _JUMPS:
            self._jumps.append((len(self._new), place + 1 + (word >> 14) - 0x1FFFF))
            self._new.append(word)
        elif code == _CONCAT:
            self._new.append(word)
            for _ in range(0, c - b + 1, JOINED_AT_ONCE):
                self._call(JOINED, (_MOVE, word >> 6 & 0xFF))
        elif code in (_LT, _LE):
            if self._may_be_long(b) and self._may_be_long(c):
                self._call(COMPARED, self._loading(b), self._loading(c))
            self._new.append(word)
        elif code == _VARARG and not b:
            self._pass_on()
            self._new.append(word)
        elif code == _CLOSURE:
            return self._closure(place)
        elif code == _SETLIST and not c:
            return self._as_they_are(place, 2)  # behind it stands a number
        else:
            self._new.append(word & ~_OPCODE | _CALL if is_tail else word)
        return place + 1

    def _as_they_are(self, place: int, count: int) -> int:
        for at in range(place, place + count):
            if at > place:
                self._begins.append(len(self._new))
            self._new.append(self._old[at])
        return place + count

    def _closure(self, place: int) -> int:
        """What follows says where its upvalues come from."""
        inner = self._old[place] >> 14
        place = self._as_they_are(place, 1 + self._given[inner])
        self._new += [_GETUPVAL | upvalue << 23 for upvalue in self._charges]
        return place

    def _may_be_long(self, operand: int) -> bool:
        if not operand & _CONSTANT:
            return True
        constant = self._function.constants[operand & 0xFF]
        return constant[0] == 4 and struct.unpack_from("<Q", constant, 1)[0] > _LONG

    @staticmethod
    def _loading(operand: int) -> tuple[int, int]:
        return (_LOADK, operand & 0xFF) if operand & _CONSTANT else (_MOVE, operand)

    def _call(self, charge: int, *loading: tuple[int, int]) -> None:
        """Call one of the sandbox's functions with these."""
        top = self._top
        self._new.append(_GETUPVAL | top << 6 | self._charges[charge] << 23)
        for above, (code, operand) in enumerate(loading, top + 1):
            self._new.append(code | above << 6 | operand << (23 if code == _MOVE else 14))
        self._new.append(_CALL | top << 6 | 1 << 14 | len(loading) + 1 << 23)

    def _pass_on(self) -> None:
        """Tell what `...` stands for."""
        top = self._top
        self._new += [
            _GETUPVAL | top << 6 | self._charges[PASSED] << 23,
            _VARARG | top + 1 << 6,
            _CALL | top << 6 | 1 << 14,
        ]


def _loaded_by(code: list[int], place: int) -> int | None:
    """The opcode that loaded what is called at `place`: its arguments are in the registers above."""
    register = code[place] >> 6 & 0xFF
    for word in reversed(code[:place]):
        if word & _OPCODE in _SETS_A and word >> 6 & 0xFF == register:
            return word & _OPCODE
    return None
