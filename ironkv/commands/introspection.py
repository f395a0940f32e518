"""COMMAND: what commands there are, and where their keys stand. All of it is read off the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from ironkv.commands.command_facts import DEPRECATED, INTERNAL, TIPS
from ironkv.commands.help_texts import help_of
from ironkv.commands.key_specs import key_specs, keys_and_uses, statuses
from ironkv.commands.patterns import matcher
from ironkv.commands.session import Session
from ironkv.commands.shapes import arguments
from ironkv.commands.table import TABLE, Args, Command, Route, command, commands
from ironkv.errors import CommandError, SyntaxFault
from ironkv.resp.replies import Members, Reply

FLAGS: Final = (
    "write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
    "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "no_mandatory_keys", "no_async_loading",
    "no_multi", "movablekeys", "allow_busy",
)  # fmt: skip
"""In the order in which COMMAND INFO lists them."""

CATEGORIES: Final = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction",
    "scripting",
)  # fmt: skip
"""Likewise."""

HELP: Final = help_of(
    "COMMAND",
    """
(no subcommand)
    Return details about all Redis commands.
COUNT
    Return the total number of commands in this Redis server.
LIST
    Return a list of all commands in this Redis server.
INFO [<command-name> ...]
    Return details about multiple Redis commands.
    If no command names are given, documentation details for all
    commands are returned.
DOCS [<command-name> ...]
    Return documentation details about multiple Redis commands.
    If no command names are given, documentation details for all
    commands are returned.
GETKEYS <full-command>
    Return the keys from a full Redis command.
GETKEYSANDFLAGS <full-command>
    Return the keys and the access flags from a full Redis command.
""",
)


def named(name: bytes) -> Command | None:
    """The row of a name as INFO and DOCS take it, in any case: `get`, `client|list`."""
    container, _, sub = name.upper().partition(b"|")
    row = TABLE.get(container)
    return row.subcommands.get(sub) if row is not None and sub else row


# -- COMMAND INFO


@command(
    "COMMAND",
    -1,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="2.8.13",
    complexity="O(N) where N is the total number of Redis commands",
    summary="Returns detailed information about all commands.",
    categories="connection",
)
def command_(session: Session, args: Args) -> Reply:
    """COMMAND"""
    return [described(row) for row in commands()]


@command(
    "COMMAND|INFO",
    -2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="2.8.13",
    complexity="O(N) where N is the number of commands to look up",
    summary="Returns information about one, multiple or all commands.",
    categories="connection",
)
def command_info(session: Session, args: Args) -> Reply:
    """COMMAND INFO [command-name [command-name ...]]"""
    rows: Iterable[Command | None] = commands() if len(args) == 2 else map(named, args[2:])
    return [None if row is None else described(row) for row in rows]


def described(row: Command) -> list[Any]:
    """A row as COMMAND INFO gives it."""
    return [
        row.lower_name.encode(),
        row.arity,
        statuses(name for name in FLAGS if name in row.flags),
        *row.keys,
        statuses(f"@{name}" for name in CATEGORIES if name in row.acl_categories),
        Members(tip.encode() for tip in TIPS.get(row.name, "").split()),
        Members(spec.described() for spec in key_specs(row)),
        [described(sub) for sub in _subcommands(row)] or Members(),
    ]


def _subcommands(row: Command) -> list[Command]:
    return sorted(row.subcommands.values(), key=lambda sub: sub.name)


# -- COMMAND DOCS


@command(
    "COMMAND|DOCS",
    -2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="7.0.0",
    complexity="O(N) where N is the number of commands to look up",
    summary="Returns documentary information about one, multiple or all commands.",
    categories="connection",
)
def command_docs(session: Session, args: Args) -> Reply:
    """COMMAND DOCS [command-name [command-name ...]]: names that nobody has are left out."""
    rows = commands() if len(args) == 2 else [row for row in map(named, args[2:]) if row is not None]
    return {row.lower_name.encode(): documented(row) for row in rows}


def documented(row: Command) -> dict[bytes, Any]:
    """A row as COMMAND DOCS gives it."""
    found: dict[bytes, Any] = {
        b"summary": row.summary.encode(),
        b"since": row.since.encode(),
        b"group": row.group.encode(),
    }
    if row.complexity:
        found[b"complexity"] = row.complexity.encode()
    if row.name in DEPRECATED:
        since, instead = DEPRECATED[row.name]
        found |= {
            b"doc_flags": statuses(["deprecated"]),
            b"deprecated_since": since.encode(),
            b"replaced_by": instead.encode(),
        }
    if row.name in INTERNAL:
        found[b"doc_flags"] = statuses(["syscmd"])
    if shape := arguments(row):
        found[b"arguments"] = shape
    if row.subcommands:
        found[b"subcommands"] = {sub.lower_name.encode(): documented(sub) for sub in _subcommands(row)}
    return found


# -- COMMAND COUNT, LIST


@command(
    "COMMAND|COUNT",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns a count of commands.",
    categories="connection",
)
def command_count(session: Session, args: Args) -> Reply:
    """COMMAND COUNT: containers count as one."""
    return len(commands())


@command(
    "COMMAND|LIST",
    -2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="7.0.0",
    complexity="O(N) where N is the total number of Redis commands",
    summary="Returns a list of command names.",
    categories="connection",
)
def command_list(session: Session, args: Args) -> Reply:
    """COMMAND LIST [FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern]"""
    wanted = _filter(args[2:])
    rows = [row for top in commands() for row in (top, *_subcommands(top))]
    return [row.lower_name.encode() for row in rows if wanted(row)]


def _filter(words: Args) -> Callable[[Command], object]:
    if not words:
        return lambda row: True
    if len(words) != 3 or words[0].upper() != b"FILTERBY":
        raise SyntaxFault
    kind, text = words[1].upper(), words[2].lower()
    if kind == b"MODULE":  # there are none
        return lambda row: False
    if kind == b"ACLCAT":
        return lambda row: text.decode("utf-8", "replace") in row.acl_categories
    if kind == b"PATTERN":
        matches = matcher(text)
        return lambda row: matches(row.lower_name.encode())
    raise SyntaxFault


# -- COMMAND GETKEYS


@command(
    "COMMAND|GETKEYS",
    -3,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="2.8.13",
    complexity="O(N) where N is the number of arguments to the command",
    summary="Extracts the key names from an arbitrary command.",
    categories="connection",
)
def command_getkeys(session: Session, args: Args) -> Reply:
    """COMMAND GETKEYS command [arg ...]"""
    return [key for key, _ in _keys_of(args[2:])]


@command(
    "COMMAND|GETKEYSANDFLAGS",
    -3,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="7.0.0",
    complexity="O(N) where N is the number of arguments to the command",
    summary="Extracts the key names and access flags for an arbitrary command.",
    categories="connection",
)
def command_getkeysandflags(session: Session, args: Args) -> Reply:
    """COMMAND GETKEYSANDFLAGS command [arg ...]"""
    return [[key, statuses(uses)] for key, uses in _keys_of(args[2:])]


def _keys_of(request: Args) -> list[tuple[bytes, tuple[str, ...]]]:
    """The keys of a request and what it does to them. Raises CommandError, in Redis's order."""
    row = TABLE.get(request[0].upper())
    if row is not None and row.subcommands and len(request) > 1:
        row = row.subcommands.get(request[1].upper())
    if row is None:
        raise CommandError("ERR Invalid command specified")
    if not row.keys[0] and row.find_keys is None:
        raise CommandError("ERR The command has no key arguments")
    if not row.least <= len(request) <= row.most:
        raise CommandError("ERR Invalid number of arguments specified for command")
    found = keys_and_uses(row, request)
    if not found and "no_mandatory_keys" not in row.flags:
        raise CommandError("ERR Invalid arguments specified for command")
    return found


@command(
    "COMMAND|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
    categories="connection",
)
def command_help(session: Session, args: Args) -> Reply:
    """COMMAND HELP"""
    return HELP
