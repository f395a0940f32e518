"""MODULE: there are none, and none can be loaded."""

from __future__ import annotations

from typing import Final

from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Route, command
from ironkv.resp.replies import Reply

HELP: Final = help_of(
    "MODULE",
    """
LIST
    Return a list of loaded modules.
""",
)


@command(
    "MODULE",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="4.0.0",
    complexity="Depends on subcommand.",
    summary="A container for module commands.",
)
def module(session: Session, args: Args) -> Reply:
    """MODULE subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


@command(
    "MODULE|LIST",
    2,
    Route.LOCAL,
    "admin noscript",
    group="server",
    since="4.0.0",
    complexity="O(N) where N is the number of loaded modules.",
    summary="Returns all loaded modules.",
)
def module_list(session: Session, args: Args) -> Reply:
    """MODULE LIST: none."""
    return []


@command(
    "MODULE|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="5.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def module_help(session: Session, args: Args) -> Reply:
    """MODULE HELP"""
    return HELP
