"""One Lua state in which scripts are run.

What a script may use of memory is decided in two steps, since how much a state already holds depends on what
ran in it before, and an outcome must not. A run in the warm state has `WARM_BYTES`. One that needs more
is stopped and run again in a fresh state with `FRESH_BYTES`, where the commands that the first run has
carried out already are not called again: their replies are those it got. A fresh state is the same on every
replica, and so is the point at which its memory ends.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, Final, Protocol

from lupa import lua51

from ironkv.errors import CommandError
from ironkv.resp.replies import OK, Reply, format_float
from ironkv.scripting.bytecode import charged
from ironkv.scripting.conversion import ToLua, elements, error_of, read_written, room_for
from ironkv.scripting.numbers import bytes_float, bytes_integer, float_bytes, integer_bytes

log = logging.getLogger(__name__)

STEPS: Final = 100_000_000
"""VM instructions that a script may execute: 0.4 s of plain arithmetic, a few seconds of work on texts and
tables. Part of the replicated semantics, as all these bounds are: see docs/decisions."""
HOOK_STEPS: Final = 1_000
COMMANDS: Final = 300_000
"""Commands that a script may call, weighed (see `Caller`): one to five seconds."""
BYTES_PER_WEIGHT: Final = 65_536
"""Of a command's arguments, which are copied."""
WARM_BYTES: Final = 256 << 20
FRESH_BYTES: Final = 512 << 20
SPARE_BYTES: Final = 1 << 20
"""Kept free for what lupa itself allocates where Lua cannot report that memory is at an end."""
ARGUMENT_BYTES: Final = 64 << 20
SCRIPT_BYTES: Final = 4 << 20
GARBAGE_BYTES: Final = 16 << 20
"""Garbage from which on it is collected, between two scripts."""
FUNCTIONS: Final = 2_000
"""Compiled scripts that a state keeps."""

LUA_FILES: Final = Path(__file__).parent
LIBRARIES: Final = ("patterns", "bit", "struct", "cmsgpack", "cjson")
SHORT: Final = 64
"""Keys and arguments up to this number are handed over one by one, which takes less time than two tables."""
_WRITTEN, _FAILED, _STOPPED = range(3)
_ABORTED: Final = 0.5
_OK: Final = 1.5
_OUT_OF_MEMORY: Final = b"not enough memory"
_LEVELS: Final = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING)


class Caller(Protocol):
    """Who carries out a script's commands."""

    def call(self, args: list[bytes]) -> tuple[Reply, int]:
        """The reply to a command, and what it weighs: 1 for a plain one. Raises CommandError."""

    def chance(self) -> int:
        """A number to begin `math.random` with."""

    def may(self, args: list[bytes]) -> bool | None:
        """Whether a command is allowed; None: there is no such command."""


class OutOfMemory(Exception):
    """The state's memory is at an end."""


class Exhausted(Exception):
    """The script has called more commands than it may."""


class Calls:
    """A run's commands, with their replies for the case that it must be run again."""

    def __init__(self, caller: Caller, known: list[tuple[Reply, int]]) -> None:
        self._caller = caller
        self._known = known
        self._next = 0
        self.weight = 0
        self.problem: BaseException | None = None
        """What ended the run and is not the script's business."""

    def call(self, args: list[bytes]) -> Reply:
        """The reply, an error included."""
        if self._next < len(self._known):
            reply, weight = self._known[self._next]
        else:
            try:
                reply, weight = self._caller.call(args)
            except CommandError as error:
                reply, weight = error.with_traceback(None), 1
            self._known.append((reply, weight))
        self._next += 1
        self.weight += weight + elements(reply) // 4 + sum(map(len, args)) // BYTES_PER_WEIGHT
        return reply

    def chance(self) -> int:
        if self._next == len(self._known):
            self._known.append((self._caller.chance(), 0))
        number = self._known[self._next][0]
        self._next += 1
        assert type(number) is int, "a run that is begun again asks as the first did"
        return number

    def may(self, args: list[bytes]) -> bool | None:
        return self._caller.may(args)


class State:
    """A Lua state with the sandbox in it."""

    def __init__(self, most_bytes: int, version: str) -> None:
        self._lua = lua51.LuaRuntime(
            encoding=None,
            source_encoding="latin-1",
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=False,
            attribute_filter=_no_attribute,
            max_memory=most_bytes,
        )
        self._version = version
        self._most = self._lua.get_max_memory(total=True) - SPARE_BYTES
        self._calls: Calls | None = None
        self._functions: dict[bytes, Any] = {}
        host = self._lua.table_from(self._host())
        libraries = [self._file(name) for name in LIBRARIES]
        functions = self._file("sandbox")(host, STEPS, HOOK_STEPS, self._most >> 10, *libraries)
        self._run, self._run_short, self._load, self._collect, keyed = functions
        self._to_lua = ToLua(self._lua.table_from, keyed).value
        self._settled = self._lua.get_memory_used(total=True)

    def _file(self, name: str) -> Any:
        return self._lua.compile((LUA_FILES / f"{name}.lua").read_bytes(), name=f"={name}".encode())

    # -- running

    def function(self, sha: bytes, source: bytes) -> Any:
        """The compiled script. Raises CommandError, OutOfMemory."""
        function = self._functions.get(sha)
        if function is None:
            function = self._load(source)
            if function == _OUT_OF_MEMORY:
                raise OutOfMemory
            if type(function) is bytes:
                raise error_of(b"ERR Error compiling script (new function): " + function)
            if len(self._functions) >= FUNCTIONS:
                self._functions.clear()
            self._functions[sha] = function
        return function

    def run(self, sha: bytes, source: bytes, keys: list[bytes], argv: list[bytes], calls: Calls) -> Reply:
        """The script's reply; an error reply is returned, too. Raises CommandError when it does not compile,
        OutOfMemory, Exhausted, and whatever a command raised that is no reply."""
        function = self.function(sha, source)
        outer, self._calls = self._calls, calls
        try:
            if len(keys) + len(argv) <= SHORT:
                result = self._run_short(function, sha, len(keys), *keys, *argv)
            else:
                make = self._lua.table_from
                result = self._run(function, sha, make(keys), make(argv))
        except lua51.LuaMemoryError:
            raise OutOfMemory from None
        finally:
            self._calls = outer
        if self._lua.get_memory_used(total=True) > self._settled + GARBAGE_BYTES:
            self._collect_garbage()
        if type(result) is not tuple:
            return result
        value, kind = result
        if kind == _WRITTEN:
            return read_written(value)
        if kind == _FAILED:
            return error_of(value)
        raise calls.problem or (OutOfMemory() if value == _OUT_OF_MEMORY else Exhausted())

    def _collect_garbage(self) -> None:
        limit = self._lua.get_max_memory(total=True)
        self._lua.set_max_memory(0)  # to collect takes some, too
        self._collect()
        self._settled = self._lua.get_memory_used(total=True)
        if self._settled > self._most // 4:
            self._functions.clear()
            self._collect()
            self._settled = self._lua.get_memory_used(total=True)
        self._lua.set_max_memory(limit, total=True)

    # -- what the sandbox asks of Python: strings, numbers and booleans come and nothing else

    def _host(self) -> dict[bytes, Any]:
        return {
            b"call": self._call,
            b"call_many": self._call_many,
            b"number": _number,
            b"sha1": _sha1,
            b"log": _log,
            b"may": self._may,
            b"chance": self._chance,
            b"charged": charged,
            b"float_bytes": float_bytes,
            b"bytes_float": bytes_float,
            b"integer_bytes": integer_bytes,
            b"bytes_integer": bytes_integer,
            b"version": self._version.encode(),
            b"version_number": _version_number(self._version),
        }

    def _call(self, proto: int, *values: bytes | float) -> Any:
        return self._answer(proto, [value if type(value) is bytes else _number(value) for value in values])

    def _call_many(self, proto: int, sizes: bytes, text: bytes) -> Any:
        return self._answer(proto, _cut(sizes, text))

    def _answer(self, proto: int, args: list[bytes]) -> Any:
        """A Lua value, or that the run must end. Raises nothing: an exception would reach the script."""
        calls = self._calls
        assert calls is not None
        try:
            reply = calls.call(args)
            if calls.weight > COMMANDS:
                raise Exhausted
            if reply is OK:
                return _OK
            if type(reply) is not int:
                self._see_room_for(reply)
            return self._to_lua(reply, proto)
        except lua51.LuaMemoryError:
            calls.problem = OutOfMemory()
            return _ABORTED
        except lua51.LuaError:
            return _ABORTED  # a bound was met while a table was made: the sandbox knows
        except BaseException as problem:
            calls.problem = problem
            return _ABORTED

    def _see_room_for(self, reply: Reply) -> None:
        """Raises OutOfMemory. Lua cannot refuse memory inside lupa: the process would be aborted."""
        if self._lua.get_memory_used(total=True) + room_for(reply) > self._most:
            raise OutOfMemory

    def _chance(self) -> int:
        """What `math.random` begins with."""
        calls = self._calls
        return 0 if calls is None else calls.chance()

    def _may(self, sizes: bytes, text: bytes) -> bool | None:
        """Whether a command is allowed; None: there is no such command."""
        return None if self._calls is None else self._calls.may(_cut(sizes, text))


def _cut(sizes: bytes, text: bytes) -> list[bytes]:
    """The arguments, of these sizes, that came in one piece."""
    args, begin = [], 0
    for size in map(int, sizes.split()):
        args.append(text[begin : begin + size])
        begin += size
    return args


def _no_attribute(obj: object, name: object, is_setting: bool) -> object:
    raise AttributeError("not for scripts")


def _number(number: Any) -> bytes:
    """A number as Redis's scripts hand it to commands."""
    return b"%d" % number if type(number) is int else format_float(number)


def _version_number(version: str) -> int:
    major, minor, patch = map(int, version.split("."))
    return major << 16 | minor << 8 | patch


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()


def _log(level: int, text: bytes) -> None:
    log.log(_LEVELS[level], "script: %s", text.decode("utf-8", "backslashreplace"))


class Interpreter:
    """Runs scripts. It holds nothing that outlasts a run but compiled scripts."""

    def __init__(self, version: str) -> None:
        self._version = version
        """Redis's, for scripts to see."""
        self._warm: State | None = None

    def compile(self, sha: bytes, source: bytes) -> None:
        """See that the script is one. Raises CommandError."""
        try:
            self._state().function(sha, source)
        except OutOfMemory:
            State(FRESH_BYTES, self._version).function(sha, source)

    def run(self, sha: bytes, source: bytes, keys: list[bytes], argv: list[bytes], caller: Caller) -> Reply:
        """The script's reply. Raises CommandError, and what `caller` raises besides."""
        known: list[tuple[Reply, int]] = []
        state = self._state()
        try:
            try:
                return state.run(sha, source, keys, argv, Calls(caller, known))
            except OutOfMemory:
                self._warm = None  # much of it is garbage, and what it holds is quickly made again
            return State(FRESH_BYTES, self._version).run(sha, source, keys, argv, Calls(caller, known))
        except OutOfMemory:
            problem = f"used more than {FRESH_BYTES >> 20} MB of memory"
        except Exhausted:
            problem = f"executed more than {STEPS} instructions or {COMMANDS} commands"
        raise CommandError(f"ERR script {problem} script: {sha.decode()}")

    def _state(self) -> State:
        if self._warm is None:
            self._warm = State(WARM_BYTES, self._version)
        return self._warm
