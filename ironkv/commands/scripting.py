"""EVAL and its kin: scripts in Lua. What one may call is in `script_calls`, how it is run in `scripting`.

Scripts run where writes do, at apply on every replica; those that promise not to write are reads. The cache
of scripts is part of the state: EVALSHA finds a script on every replica or on none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ironkv.commands import script_calls
from ironkv.commands.arguments import integer
from ironkv.commands.connection import REDIS_VERSION
from ironkv.commands.help_texts import help_of
from ironkv.commands.script_calls import ScriptCalls
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.resp.replies import OK, Reply, Status
from ironkv.scripting.conversion import VALUE_BYTES
from ironkv.scripting.interpreter import ARGUMENT_BYTES, SCRIPT_BYTES, Interpreter

SHA_SIZE: Final = 40
FLAGS: Final = frozenset({"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"})
KNOWN_SCRIPTS: Final = 512
"""Scripts whose digest and flags are remembered: to compute a digest takes longer than a short script."""

_interpreter: Final = Interpreter(REDIS_VERSION)
"""One for the process: it holds nothing but compiled scripts and what can be made anew."""


class Script(NamedTuple):
    """A script as its text says it is to be run."""

    sha: bytes
    """Of the whole text, in hexadecimal."""
    source: bytes
    """Without a first line `#!lua …`, whose line break stays: lines keep their numbers."""
    flags: frozenset[str] | None
    """None without such a line: then it may do what any script of old could."""


# -- the text of a script


@lru_cache(KNOWN_SCRIPTS)
def script_of(text: bytes) -> Script:
    """The script that `text` is. Raises CommandError."""
    if len(text) > SCRIPT_BYTES:
        raise CommandError(f"ERR script has more than {SCRIPT_BYTES} bytes")
    sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
    if not text.startswith(b"#!"):
        return Script(sha, text, None)
    line, end, rest = text.partition(b"\n")
    if not end:
        raise CommandError("ERR Invalid script shebang")
    return Script(sha, b"\n" + rest, _flags_of(line.decode("utf-8", "surrogateescape").split()))


def _flags_of(words: list[str]) -> frozenset[str]:
    if words[0] != "#!lua":
        raise CommandError(f"ERR Unexpected engine in script shebang: {words[0]}")
    flags: set[str] = set()
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name != "flags" or word == name:
            raise CommandError(f"ERR Unknown lua shebang option: {word}")
        for flag in value.split(",") if value else ():
            if flag not in FLAGS:
                raise CommandError(f"ERR Unexpected flag in script shebang: {flag}")
            flags.add(flag)
    return frozenset(flags)


def _compiled(text: bytes) -> Script:
    """The script, which compiles. Raises CommandError."""
    script = script_of(text)
    _interpreter.compile(script.sha, script.source)
    return script


# -- running it


_MUST_NOT_RUN: Final = (
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
)


def parse_numkeys(args: Args) -> int:
    """EVAL script numkeys [key ...] [arg ...] -> how many keys there are. Raises CommandError."""
    count = integer(args[2])
    if count > len(args) - 3:
        raise CommandError("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError("ERR Number of keys can't be negative")
    if sum(map(len, args)) + len(args) * VALUE_BYTES > ARGUMENT_BYTES:
        raise CommandError(f"ERR arguments of a script take more than {ARGUMENT_BYTES} bytes")
    return count


def check_eval(args: Args) -> None:
    """EVAL script numkeys [key ...] [arg ...]. Raises CommandError."""
    parse_numkeys(args)
    _compiled(args[1])


def keys_of_script(args: Args) -> Sequence[bytes]:
    """The keys that a script's caller declares. Raises CommandError."""
    return args[3 : 3 + parse_numkeys(args)]


def _run(db: Database, script: Script, args: Args, now_ms: int, read_only: bool) -> Reply:
    flags = script.flags
    if flags is not None and "no-writes" in flags:
        read_only = True
    elif flags is not None and read_only:
        raise CommandError("ERR Can not execute a script with write flag using *_ro command.")
    may_add = not script_calls.tight or (flags is not None and "allow-oom" in flags)
    if not may_add and flags is not None and not read_only:
        raise CommandError(_MUST_NOT_RUN)
    count = parse_numkeys(args)
    calls = ScriptCalls(db, now_ms, read_only=read_only, may_add=may_add)
    keys, argv = args[3 : 3 + count], args[3 + count :]
    return _interpreter.run(script.sha, script.source, keys, argv, calls)


def _run_as_write(db: Database, script: Script, args: Args, now_ms: int) -> Reply:
    db.keyspace.scripted = True
    try:
        return _run(db, script, args, now_ms, False)
    finally:
        db.keyspace.scripted = False


def _cached(db: Database, sha: bytes) -> Script:
    text = db.keyspace.scripts.get(sha.lower()) if len(sha) == SHA_SIZE else None
    if text is None:
        raise CommandError("NOSCRIPT No matching script. Please use EVAL.")
    return script_of(text)


@command(
    "EVAL",
    -3,
    Route.WRITE,
    "noscript stale skip_monitor no_mandatory_keys movablekeys",
    check=check_eval,
    find_keys=keys_of_script,
    group="scripting",
    since="2.6.0",
    complexity="Depends on the script that is executed.",
    summary="Executes a server-side Lua script.",
)
def eval_(db: Database, args: Args, now_ms: int) -> Reply:
    """EVAL script numkeys [key ...] [arg ...]"""
    parse_numkeys(args)
    script = _compiled(args[1])
    db.keyspace.scripts.setdefault(script.sha, args[1])
    return _run_as_write(db, script, args, now_ms)


@command(
    "EVALSHA",
    -3,
    Route.WRITE,
    "noscript stale skip_monitor no_mandatory_keys movablekeys",
    check=parse_numkeys,
    find_keys=keys_of_script,
    group="scripting",
    since="2.6.0",
    complexity="Depends on the script that is executed.",
    summary="Executes a server-side Lua script by SHA1 digest.",
)
def evalsha(db: Database, args: Args, now_ms: int) -> Reply:
    """EVALSHA sha1 numkeys [key ...] [arg ...]"""
    return _run_as_write(db, _cached(db, args[1]), args, now_ms)


@command(
    "EVAL_RO",
    -3,
    Route.READ,
    "readonly noscript stale skip_monitor no_mandatory_keys movablekeys",
    find_keys=keys_of_script,
    group="scripting",
    since="7.0.0",
    complexity="Depends on the script that is executed.",
    summary="Executes a read-only server-side Lua script.",
)
def eval_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """EVAL_RO script numkeys [key ...] [arg ...]: a read, so the script does not get into the cache."""
    parse_numkeys(args)
    return _run(db, _compiled(args[1]), args, now_ms, True)


@command(
    "EVALSHA_RO",
    -3,
    Route.READ,
    "readonly noscript stale skip_monitor no_mandatory_keys movablekeys",
    find_keys=keys_of_script,
    group="scripting",
    since="7.0.0",
    complexity="Depends on the script that is executed.",
    summary="Executes a read-only server-side Lua script by SHA1 digest.",
)
def evalsha_ro(db: Database, args: Args, now_ms: int) -> Reply:
    """EVALSHA_RO sha1 numkeys [key ...] [arg ...]"""
    parse_numkeys(args)
    return _run(db, _cached(db, args[1]), args, now_ms, True)


# -- the cache of scripts


@command(
    "SCRIPT",
    -2,
    Route.LOCAL,
    "",
    group="scripting",
    since="2.6.0",
    complexity="Depends on subcommand.",
    summary="A container for Lua scripts management commands.",
)
def script_(session: Session, args: Args) -> Reply:
    """SCRIPT subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


def check_load(args: Args) -> None:
    """SCRIPT LOAD script. Raises CommandError."""
    _compiled(args[2])


@command(
    "SCRIPT|LOAD",
    3,
    Route.WRITE,
    "noscript stale",
    check=check_load,
    group="scripting",
    since="2.6.0",
    complexity="O(N) with N being the length in bytes of the script body.",
    summary="Loads a server-side Lua script to the script cache.",
)
def script_load(db: Database, args: Args, now_ms: int) -> Reply:
    """SCRIPT LOAD script"""
    script = _compiled(args[2])
    db.keyspace.scripts.setdefault(script.sha, args[2])
    return script.sha


@command(
    "SCRIPT|EXISTS",
    -3,
    Route.READ,
    "noscript",
    group="scripting",
    since="2.6.0",
    complexity="O(N) with N being the number of scripts to check (so checking a single script is an O(1) "
    "operation).",
    summary="Determines whether server-side Lua scripts exist in the script cache.",
)
def script_exists(db: Database, args: Args, now_ms: int) -> Reply:
    """SCRIPT EXISTS sha1 [sha1 ...]"""
    return [1 if sha.lower() in db.keyspace.scripts else 0 for sha in args[2:]]


def check_script_flush(args: Args) -> None:
    """SCRIPT FLUSH [ASYNC | SYNC]. Raises CommandError."""
    if len(args) > 3 or (len(args) == 3 and args[2].upper() not in (b"ASYNC", b"SYNC")):
        raise CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option")


@command(
    "SCRIPT|FLUSH",
    -2,
    Route.WRITE,
    "noscript",
    check=check_script_flush,
    group="scripting",
    since="2.6.0",
    complexity="O(N) with N being the number of scripts in cache",
    summary="Removes all server-side Lua scripts from the script cache.",
)
def script_flush(db: Database, args: Args, now_ms: int) -> Reply:
    """SCRIPT FLUSH [ASYNC | SYNC]: both are the same here."""
    db.keyspace.scripts.clear()
    return OK


@command(
    "SCRIPT|KILL",
    2,
    Route.LOCAL,
    "noscript allow_busy",
    group="scripting",
    since="2.6.0",
    complexity="O(1)",
    summary="Terminates a server-side Lua script during execution.",
)
def script_kill(session: Session, args: Args) -> Reply:
    """SCRIPT KILL: a script ends before anything else is answered, by itself or by its bounds."""
    raise CommandError("NOTBUSY No scripts in execution right now.")


@command(
    "SCRIPT|DEBUG",
    3,
    Route.LOCAL,
    "noscript",
    group="scripting",
    since="3.2.0",
    complexity="O(1)",
    summary="Sets the debug mode of server-side Lua scripts.",
)
def script_debug(session: Session, args: Args) -> Reply:
    """SCRIPT DEBUG (YES | SYNC | NO): there is no debugger, a script would stand still on every replica."""
    mode = args[2].upper()
    if mode == b"NO":
        return OK
    if mode in (b"YES", b"SYNC"):
        raise CommandError("ERR SCRIPT DEBUG is not supported: scripts run on all replicas at once")
    raise CommandError("ERR Use SCRIPT DEBUG YES/SYNC/NO")


_HELP: Final = help_of(
    "SCRIPT",
    """
DEBUG (YES|SYNC|NO)
    Set the debug mode for subsequent scripts executed.
EXISTS <sha1> [<sha1> ...]
    Return information about the existence of the scripts in the script cache.
FLUSH [ASYNC|SYNC]
    Flush the Lua scripts cache. Very dangerous on replicas.
    When called without the optional mode argument, the behavior is determined by the
    lazyfree-lazy-user-flush configuration directive. Valid modes are:
    * ASYNC: Asynchronously flush the scripts cache.
    * SYNC: Synchronously flush the scripts cache.
KILL
    Kill the currently executing Lua script.
LOAD <script>
    Load a script into the scripts cache without executing it.
""",
)


@command(
    "SCRIPT|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="scripting",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def script_help(session: Session, args: Args) -> list[Status]:
    """SCRIPT HELP"""
    return _HELP
