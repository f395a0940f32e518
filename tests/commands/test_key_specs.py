"""Key specifications, those of commands that are still to come included, against a real Redis."""

from __future__ import annotations

from typing import Any

import pytest

from ironkv.commands.command_facts import IRREGULAR, KEY_FLAGS, NOTES, TIPS
from ironkv.commands.key_specs import key_specs, keys_and_uses
from ironkv.commands.table import Command, commands
from ironkv.resp.replies import encode
from tests.commands.oracle import Oracle
from tests.commands.wire import ErrorReply, meaning


def bare_row(name: str, keys: tuple[int, int, int]) -> Command:
    """A row of a command that need not be in the table: no more than its keys."""
    row = Command.__new__(Command)
    row.name, row.keys, row.find_keys, row.flags = name, keys, None, frozenset({"readonly"})
    return row


def redis_info(oracle: Oracle, name: str) -> list[Any] | None:
    """What COMMAND INFO says of a command or subcommand; None when Redis 7.0 does not have it."""
    (info,) = meaning(oracle.ask([b"COMMAND", b"INFO", name.encode()], 3))
    assert info is None or isinstance(info, list)
    return info


@pytest.mark.parametrize("name", sorted({*IRREGULAR, *KEY_FLAGS}))
def test_a_specification_is_described_as_redis_does(oracle: Oracle, name: str) -> None:
    info = redis_info(oracle, name)
    if info is None:
        pytest.fail(f"Redis 7.0 has no {name}")
    ours = [meaning(encode(spec.described(), 3)) for spec in key_specs(bare_row(name, tuple(info[3:6])))]
    theirs = info[8]
    for spec in (*ours, *theirs):
        spec.pop(b"notes", None)
        spec[b"flags"] = set(spec[b"flags"])
    assert ours == theirs


@pytest.mark.parametrize("name", sorted(TIPS))
def test_tips_name_commands_that_redis_has(oracle: Oracle, name: str) -> None:
    assert redis_info(oracle, name) is not None or name in ("CLIENT|SETINFO", "CLUSTER|MYSHARDID", "WAITAOF")


def test_notes_are_as_many_as_specifications() -> None:
    for name, notes in NOTES.items():
        assert len(key_specs(bare_row(name, (1, 1, 1)))) == len(notes), name


CALLS = [
    "EVAL x 2 a b c",
    "EVAL x 0 a",
    "EVALSHA_RO x 1 a",
    "XREAD COUNT 2 STREAMS a b 0 0",
    "XREADGROUP GROUP g c STREAMS a b c 0 0 0",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZINTER 2 a b",
    "ZINTERCARD 1 a LIMIT 3",
    "LMPOP 2 a b LEFT",
    "BLMPOP 0 2 a b LEFT",
    "BITOP AND d a b c",
    "PFMERGE d a b",
    "SINTERSTORE d a b",
    "SDIFFSTORE d a",
    "SMOVE a b m",
    "RPOPLPUSH a a",
    "BLPOP a b 0",
    "GEOSEARCHSTORE d a FROMMEMBER m BYRADIUS 1 m",
    "GEORADIUS a 1 2 3 m STORE b",
    "MIGRATE h 1 k 0 1",
    "BITFIELD a SET u8 0 1",
    "BITFIELD a GET u8 0",
    "SET a b",
    "SET a GET",
    "SET a b EX 10 GET",
    "MSET a 1 b 2",
    "DEL a b a",
    "OBJECT ENCODING a",
    "XGROUP CREATE a g 0",
    "PFCOUNT a b",
]


@pytest.mark.parametrize("line", CALLS)
def test_keys_are_found_as_redis_finds_them(oracle: Oracle, line: str) -> None:
    args = line.encode().split()
    theirs = meaning(oracle.ask([b"COMMAND", b"GETKEYSANDFLAGS", *args]))
    assert not isinstance(theirs, ErrorReply), theirs
    container = args[0] in (b"OBJECT", b"XGROUP")
    name = b"|".join(args[: 2 if container else 1]).decode()
    info = redis_info(oracle, name)
    assert info is not None
    found = keys_and_uses(bare_row(name, tuple(info[3:6])), args)
    assert [[key, {use.encode() for use in uses}] for key, uses in found] == [
        [key, set(uses)] for key, uses in theirs
    ]


@pytest.mark.parametrize(
    "line", ["EVAL x 2 a", "EVAL x many a", "EVAL x -1 a", "LMPOP 9 a LEFT", "XREAD a b"]
)
def test_keys_that_are_not_named_rightly_are_none(line: str) -> None:
    args = line.encode().split()
    assert keys_and_uses(bare_row(args[0].decode(), (0, 0, 0)), args) == []


def test_every_command_with_keys_says_what_it_does_to_them() -> None:
    rows = [row for top in commands() for row in (top, *top.subcommands.values())]
    for row in rows:
        if row.name.startswith("IRONKV|"):
            continue  # no command of Redis: what its flags say is all that is to be said
        if row.keys[0] or row.find_keys is not None:
            assert row.name in KEY_FLAGS or row.name in IRREGULAR, f"command_facts does not know {row.name}"
