"""Every row of the table against what a real Redis says of the command."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import ironkv.commands
from ironkv.commands import overview
from ironkv.commands.table import Command, commands, find
from ironkv.errors import CommandError
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

for _module in pkgutil.iter_modules(ironkv.commands.__path__):
    importlib.import_module(f"ironkv.commands.{_module.name}")

OURS_ALONE = frozenset({"IRONKV", "RAFT", "SENTINEL"})
"""Commands, with their subcommands, that Redis does not have, or only as a Sentinel."""

AS_IN_7_2: dict[str, dict[str, Any]] = {
    "COMMAND|GETKEYS": {"arity": -3},
    "COMMAND|GETKEYSANDFLAGS": {"arity": -3},
    "ZRANK": {"arity": -3},
    "ZREVRANK": {"arity": -3},
    "BLMOVE": {"flags": {"write", "denyoom", "blocking"}},
    "BLPOP": {"flags": {"write", "blocking"}},
    "BRPOP": {"flags": {"write", "blocking"}},
    "BRPOPLPUSH": {"flags": {"write", "denyoom", "blocking"}},
    "BZPOPMAX": {"flags": {"write", "fast", "blocking"}},
    "BZPOPMIN": {"flags": {"write", "fast", "blocking"}},
    "WAIT": {"flags": {"blocking"}, "categories": {"blocking", "connection", "slow"}},
}
"""Row -> what of it (`arity`, `flags`, `keys`, `categories`) Redis 7.2 says otherwise than 7.0 does."""

DIFFERENCES: dict[str, dict[str, str]] = {}
"""Row -> what of it is meant to differ from Redis -> why."""


def _rows() -> list[Command]:
    return [row for top in commands() for row in (top, *top.subcommands.values())]


def _described(row: Command) -> dict[str, Any]:
    return {
        "arity": row.arity,
        "flags": row.flags,
        "keys": row.keys,
        "categories": row.acl_categories,
    }


def _redis_on(oracle: Oracle, row: Command) -> dict[str, Any] | None:
    """What COMMAND INFO says; None if Redis 7.0 does not know the command."""
    container, _, subcommand = row.lower_name.encode().partition(b"|")
    (info,) = meaning(oracle.ask([b"COMMAND", b"INFO", container]))
    if info is not None and subcommand:
        info = next((sub for sub in info[9] if sub[0] == container + b"|" + subcommand), None)
    if info is None:
        return None
    return {
        "arity": info[1],
        "flags": {flag.decode() for flag in info[2]},
        "keys": tuple(info[3:6]),
        "categories": {category.decode()[1:] for category in info[6]},
    }


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row.name)
def test_a_row_says_what_redis_says(oracle: Oracle, row: Command) -> None:
    theirs = _redis_on(oracle, row)
    if theirs is None:
        assert row.name.partition("|")[0] in OURS_ALONE or row.since > "7.0"
        return
    ours, excused = _described(row), DIFFERENCES.get(row.name, {})
    for what, expected in (theirs | AS_IN_7_2.get(row.name, {})).items():
        if what in excused:
            assert ours[what] != expected, f"{row.name} {what} is no difference any more: {excused[what]}"
        else:
            assert ours[what] == expected, f"{row.name}: {what}"


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row.name)
def test_a_row_is_complete(row: Command) -> None:
    assert row.summary.endswith((".", ")"))
    assert row.complexity or row.name in ("LOLWUT", "MONITOR"), "Redis gives none of those"
    assert row.since[0].isdigit()
    assert row.group == row.group.lower()
    assert row.handler.__doc__, "a handler's docstring gives the command's shape"


WRONG_CALLS = [
    b"",
    b"FOO",
    b"foo bar",
    b"foo " + b"x" * 200,
    b"foo a b c d e f g h i j k " + b"y" * 90 + b" z z z z",
    b"x" * 200 + b" a",
    b"foo ' \" \\",
    b"f\xff\xfeo \xff",
    b"f\0o a\0b \0 c",
    b"foo " + "äöü".encode() * 30,
    b"EXPIRE a 1 b\0c",
    b"GET",
    b"get a b",
    b"Set a",
    b"MSET a",
    b"MSET a 1 b",
    b"msetnx a 1 b",
    b"OBJECT",
    b"object foo",
    b"OBJECT ENCODING",
    b"object encoding a b",
    b"OBJECT " + b"z" * 200,
    b"DEL",
    b"RANDOMKEY a",
    b"DBSIZE a",
    b"FLUSHALL a b",
    b"SCAN",
    b"LCS a",
    b"SWAPDB 1",
]


@pytest.mark.parametrize("line", WRONG_CALLS, ids=repr)
def test_a_wrong_call_is_refused_in_redis_words(oracle: Oracle, line: bytes) -> None:
    args = line.split(b" ")
    expected = oracle.ask(args)
    assert expected.startswith(b"-ERR ")
    assert Local().ask(args) == expected


def test_line_breaks_do_not_end_an_error_early(oracle: Oracle) -> None:
    args = [b"foo\r\n+OK", b"a\r\nb"]
    assert Local().ask(args) == oracle.ask(args)


def test_names_are_found_in_any_case() -> None:
    assert find([b"get", b"a"]) is find([b"GET", b"a"]) is find([b"gEt", b"a"])


def test_key_args() -> None:
    assert find([b"GET", b"a"]).key_args([b"GET", b"a"]) == [b"a"]
    mset = [b"MSET", b"a", b"1", b"b", b"2"]
    assert find(mset).key_args(mset) == [b"a", b"b"]
    encoding = [b"OBJECT", b"ENCODING", b"a"]
    assert find(encoding).key_args(encoding) == [b"a"]
    assert list(find([b"DBSIZE"]).key_args([b"DBSIZE"])) == []
    with pytest.raises(CommandError, match="unknown command 'nope', with args beginning with: 'a' "):
        find([b"nope", b"a"])


def test_the_overview_is_current() -> None:
    document = Path(__file__).parents[2] / "docs" / "commands.md"
    assert document.read_text() == overview.text(), "run tools/commands"


def test_every_command_of_redis_is_in_the_overview(oracle: Oracle) -> None:
    lines = overview.text().splitlines()
    listed = {line.split(" | ")[0].removeprefix("| ").partition(" `")[0] for line in lines}
    containers = {row.name for row in commands() if row.subcommands}
    theirs = {name.decode().upper().replace("|", " ") for name in meaning(oracle.ask([b"COMMAND", b"LIST"]))}
    new_in_7_2 = {"CLIENT NO-TOUCH", "CLIENT SETINFO", "CLUSTER MYSHARDID", "WAITAOF"}
    assert (theirs | new_in_7_2) - containers <= listed
