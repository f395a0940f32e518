"""CONFIG: look at settings and change those that may change."""

from __future__ import annotations

from typing import Any, Final

from ironkv.commands.help_texts import help_of
from ironkv.commands.parameters import (
    ALIASES,
    PARAMETERS,
    Changeable,
    Parameter,
    Password,
    Refused,
    Threshold,
)
from ironkv.commands.patterns import matcher
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError, IronKVError, SyntaxFault
from ironkv.keyspace.users import DEFAULT_NAME
from ironkv.resp.replies import OK, Reply

HELP: Final = help_of(
    "CONFIG",
    """
GET <pattern>
    Return parameters matching the glob-like <pattern> and their values.
SET <directive> <value>
    Set the configuration <directive> to <value>.
RESETSTAT
    Reset statistics reported by the INFO command.
REWRITE
    Rewrite the configuration file.
""",
)


@command(
    "CONFIG",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="2.0.0",
    complexity="Depends on subcommand.",
    summary="A container for server configuration commands.",
)
def config(session: Session, args: Args) -> Reply:
    """CONFIG subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


@command(
    "CONFIG|GET",
    -3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.0.0",
    complexity="O(N) when N is the number of configuration parameters provided",
    summary="Returns the effective values of configuration parameters.",
)
def config_get(session: Session, args: Args) -> Reply:
    """CONFIG GET parameter [parameter ...]: names or patterns."""
    settings = session.node.settings
    found: dict[bytes, bytes] = {}
    for pattern in args[2:]:
        for name, parameter in _named(pattern):
            if isinstance(parameter, Threshold):
                value = parameter.shown_in(session.node.keyspace)
            elif isinstance(parameter, Password):
                value = parameter.shown_to(session.node.accounts)
            else:
                value = parameter.read(settings)
            found[name.encode()] = value.encode("utf-8", "surrogateescape")
    return found


def _named(pattern: bytes) -> list[tuple[str, Parameter]]:
    """The parameters that a pattern means, each under the name to show."""
    if not any(mark in pattern for mark in b"[*?"):
        name = pattern.decode("utf-8", "surrogateescape")
        parameter = _find(name)
        return [] if parameter is None else [(name, parameter)]
    matches = matcher(pattern.lower())
    aliases = {alias: PARAMETERS[name] for alias, name in ALIASES.items()}
    return [item for item in (PARAMETERS | aliases).items() if matches(item[0].encode())]


def _find(name: str) -> Parameter | None:
    return PARAMETERS.get(ALIASES.get(name.lower(), name.lower()))


@command(
    "CONFIG|SET",
    -4,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.0.0",
    complexity="O(N) when N is the number of configuration parameters provided",
    summary="Sets configuration parameters in-flight.",
)
def config_set(session: Session, args: Args) -> Reply:
    """CONFIG SET parameter value [parameter value ...]: all of them or none."""
    if len(args) % 2:
        raise SyntaxFault
    pairs = [(_text(args[place]), _text(args[place + 1])) for place in range(2, len(args), 2)]
    wanted = _looked_up(pairs)
    changes, logged = _changes(session, wanted), _logged(wanted)
    if logged and session.in_exec:
        what = "requirepass" if logged[0] == b"ACL" else "sizes of encodings"
        raise CommandError(f"ERR CONFIG SET failed - {what} cannot be set in a transaction")
    if logged and not changes:
        return _propose(session, wanted, logged)
    try:
        session.node.change_settings(changes)
    except CommandError:
        raise
    except IronKVError as error:  # a bound that only all settings together have
        raise CommandError(f"ERR CONFIG SET failed - {error}") from None
    return _propose(session, wanted, logged) if logged else OK


def _propose(session: Session, wanted: list[tuple[str, Parameter, str]], item: Args) -> Reply:
    """Have an item of the log set what all nodes have in common. Raises NotAvailable."""
    reply = session.propose(item)
    for _, parameter, text in wanted:
        if isinstance(parameter, Password):
            session.node.accounts.told(text)
            if not text and session.node.settings.server.requirepass:
                session.node.change_settings({"server.requirepass": ""})
    return reply


def _looked_up(pairs: list[tuple[str, str]]) -> list[tuple[str, Parameter, str]]:
    """The parameters to set. The first that Redis would complain of is complained of."""
    found: list[tuple[str, Parameter, str]] = []
    complaint: CommandError | None = None
    for name, value in pairs:
        parameter = _find(name)
        if parameter is None:
            raise complaint or CommandError(
                f"ERR Unknown option or number of arguments for CONFIG SET - '{name}'"
            )
        if complaint is None and parameter.immutable:
            complaint = _failed(name, "can't set immutable config")
        if complaint is None and any(parameter is other for _, other, _ in found):
            complaint = _failed(name, "duplicate parameter")
        found.append((name.lower(), parameter, value))
    if complaint is not None:
        raise complaint
    return found


def _changes(session: Session, wanted: list[tuple[str, Parameter, str]]) -> dict[str, Any]:
    settings = session.node.settings
    changes: dict[str, Any] = {}
    for name, parameter, text in wanted:
        try:
            if isinstance(parameter, Changeable):
                changes |= parameter.changes(text, settings)
            elif not isinstance(parameter, Threshold | Password):
                parameter.must_be(text, settings)
        except Refused as refused:
            raise _failed(name, str(refused)) from None
    return changes


def _logged(wanted: list[tuple[str, Parameter, str]]) -> Args:
    """The item of the log that sets those among them that all nodes have in common."""
    sizes = _sizes(wanted)
    for name, parameter, text in wanted:
        if isinstance(parameter, Password):
            if sizes:
                raise _failed(name, "it cannot be set together with sizes of encodings")
            return [b"ACL", b"SETUSER", DEFAULT_NAME, *parameter.rule(text)]
    return sizes


def sets_shared(args: Args) -> bool:
    """Whether a CONFIG SET is about nothing but what all nodes have in common: then the leader can do it."""
    parameters = [_find(_text(name)) for name in args[2::2]]
    return all(isinstance(parameter, Password | Threshold) for parameter in parameters)


def _sizes(wanted: list[tuple[str, Parameter, str]]) -> Args:
    """The item of the log that sets the thresholds among them."""
    words: Args = []
    for name, parameter, text in wanted:
        if isinstance(parameter, Threshold):
            try:
                words += ALIASES.get(name, name).encode(), b"%d" % parameter.parse(text)
            except Refused as refused:
                raise _failed(name, str(refused)) from None
    return [b"IRONKV", b"THRESHOLDS", *words] if words else []


def _failed(name: str, why: str) -> CommandError:
    return CommandError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")


@command(
    "CONFIG|RESETSTAT",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.0.0",
    complexity="O(1)",
    summary="Resets the server's statistics.",
)
def config_resetstat(session: Session, args: Args) -> Reply:
    """CONFIG RESETSTAT"""
    session.node.reset_statistics()
    return OK


@command(
    "CONFIG|REWRITE",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.0",
    complexity="O(1)",
    summary="Persists the effective configuration to file.",
)
def config_rewrite(session: Session, args: Args) -> Reply:
    """CONFIG REWRITE: what CONFIG SET changed, into the file; all else in it stays as it is."""
    if not session.node.config_file:
        raise CommandError("ERR The server is running without a config file")
    session.node.rewrite_settings()
    return OK


@command(
    "CONFIG|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def config_help(session: Session, args: Args) -> Reply:
    """CONFIG HELP"""
    return HELP


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
