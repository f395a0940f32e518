"""COMMAND: every reply is shaped as Redis shapes it, and says the same of the commands both have."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import pytest

from ironkv.commands.shapes import arguments, shape
from ironkv.commands.table import Command, commands
from tests.commands.fakes import FakeSession
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

NEW_IN_7_2 = {
    "BITOP": {"arguments"},
    "CLIENT|SETNAME": {"tips"},
    **{name: {"tips"} for name in ("ACL|SETUSER", "ACL|DELUSER", "ACL|SAVE")},
    "COMMAND|GETKEYS": {"arity", "arguments"},
    "COMMAND|GETKEYSANDFLAGS": {"arity", "arguments"},
    "CONFIG|RESETSTAT": {"tips"},
    "CONFIG|REWRITE": {"tips"},
    "LATENCY|RESET": {"tips"},
    "MSETNX": {"tips"},
    "PSETEX": {"doc_flags", "deprecated_since", "replaced_by"},
    "QUIT": {"doc_flags", "deprecated_since", "replaced_by"},
    "RANDOMKEY": {"tips"},
    "SCAN": {"tips"},
    "SETEX": {"doc_flags", "deprecated_since", "replaced_by"},
    "SETNX": {"doc_flags", "deprecated_since", "replaced_by"},
    **{name: {"flags"} for name in ("BLMOVE", "BLPOP", "BRPOP", "BRPOPLPUSH", "BZPOPMAX", "BZPOPMIN")},
    "WAIT": {"flags", "categories"},
    "ZRANK": {"arity", "arguments"},
    "ZREVRANK": {"arity", "arguments"},
}
"""Row -> what of it Redis 7.2 says otherwise than the 7.0 that it is compared with."""

ARGUMENTS_OTHERWISE = {"CLIENT|KILL": "Redis lists the types; here TYPE takes a word"}


def rows() -> list[Command]:
    return [row for top in commands() for row in (top, *top.subcommands.values())]


def typed(raw: bytes) -> Any:
    """A reply with its types, in an order of its own where the order means nothing."""
    return _typed(io.BytesIO(raw))


def _typed(stream: IO[bytes]) -> Any:
    line = stream.readline()
    kind, rest = line[:1].decode(), line[1:-2]
    if kind == "$":
        return kind, stream.read(int(rest) + 2)[:-2] if rest != b"-1" else None
    if kind not in "*~%":
        return kind, rest
    items = [_typed(stream) for _ in range(int(rest) * (2 if kind == "%" else 1))]
    if kind == "%":
        return kind, dict(zip(items[::2], items[1::2], strict=True))
    return kind, sorted(items, key=repr) if kind == "~" else items


def ask(session: FakeSession, line: str) -> Any:
    return typed(session.ask(line.encode().split()))


def both(oracle: Oracle, line: str, proto: int) -> tuple[Any, Any]:
    session = FakeSession()
    session.proto = proto
    return ask(session, line), typed(oracle.ask(line.encode().split(), proto))


# -- INFO and DOCS


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_info_is_what_redis_says(oracle: Oracle, row: Command, proto: int) -> None:
    ours, theirs = (reply[1][0] for reply in both(oracle, f"COMMAND INFO {row.lower_name}", proto))
    if theirs == ("$", None) or theirs[0] == "_":
        return  # not in 7.0
    assert ours[0] == theirs[0] == "*"
    assert len(ours[1]) == len(theirs[1]) == 10
    names = ("name", "arity", "flags", "first", "last", "step", "categories", "tips", "key specs")
    for what, mine, right in zip(names, ours[1], theirs[1], strict=False):
        if what in NEW_IN_7_2.get(row.name, ()):
            assert mine != right, f"{what}: no difference any more"
            continue
        if proto == 2 and what in ("flags", "categories", "tips"):
            mine, right = (sorted(side[1]) for side in (mine, right))
        assert mine == right, what
    if not row.subcommands:
        assert ours[1][9] == theirs[1][9], "subcommands"


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_docs_are_shaped_as_redis_shapes_them(oracle: Oracle, row: Command) -> None:
    ours, theirs = (reply[1] for reply in both(oracle, f"COMMAND DOCS {row.lower_name}", 3))
    name = ("$", row.lower_name.encode())
    if not theirs:
        return  # not in 7.0
    (_, mine), (_, right) = ours[name], theirs[name]
    new = NEW_IN_7_2.get(row.name, set())
    for field in {"since", "group", "deprecated_since", "replaced_by", "doc_flags"} - new:
        key = ("$", field.encode())
        assert mine.get(key) == right.get(key), field
    assert set(mine) <= set(right) | {("$", field.encode()) for field in new}
    assert {field: value[0] for field, value in mine.items() if field in right} == {
        field: value[0] for field, value in right.items() if field in mine
    }, "types"


def tokens(found: Any) -> Iterator[str]:
    """The tokens of an argument list, as `meaning` gives it in RESP3."""
    for argument in found:
        if b"token" in argument:
            yield argument[b"token"].decode().upper()
        yield from tokens(argument.get(b"arguments", []))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)
def test_arguments_are_those_of_redis(oracle: Oracle, row: Command) -> None:
    docs = meaning(oracle.ask([b"COMMAND", b"DOCS", row.lower_name.encode()], 3))
    if not docs or row.name in ARGUMENTS_OTHERWISE or "arguments" in NEW_IN_7_2.get(row.name, ()):
        return
    theirs = docs[row.lower_name.encode()].get(b"arguments", [])
    ours = arguments(row)
    assert sorted(tokens(ours)) == sorted(tokens(theirs))
    assert [bool(a.get(b"flags")) for a in ours] == [bool(a.get(b"flags")) for a in theirs], (
        "optional, multiple"
    )
    ours_keys = [a.get(b"key_spec_index") for a in ours if a[b"type"] == b"key"]
    theirs_keys = [a.get(b"key_spec_index") for a in theirs if a[b"type"] == b"key"]
    assert ours_keys == theirs_keys


def test_every_row_has_a_shape_that_fits_its_arity() -> None:
    for row in rows():
        least = 1 + row.name.count("|") + sum(not a.get(b"flags") for a in arguments(row))
        assert row.subcommands or least <= row.least, f"{row.name}: {shape(row)}"


def test_a_shape_read() -> None:
    session = FakeSession()
    session.proto = 3
    (found,) = session.do("COMMAND DOCS copy").values()
    assert found[b"arguments"] == [
        {b"name": b"source", b"type": b"key", b"display_text": b"source", b"key_spec_index": 0},
        {b"name": b"destination", b"type": b"key", b"display_text": b"destination", b"key_spec_index": 1},
        {
            b"name": b"destination-db", b"type": b"integer", b"display_text": b"destination-db",
            b"token": b"DB", b"flags": [b"optional"],
        },
        {
            b"name": b"replace", b"type": b"pure-token", b"display_text": b"replace",
            b"token": b"REPLACE", b"flags": [b"optional"],
        },
    ]  # fmt: skip


def test_all_at_once() -> None:
    session = FakeSession()
    count = session.do("COMMAND COUNT")
    assert count == len(commands())
    assert len(session.do("COMMAND")) == len(session.do("COMMAND INFO")) == count
    assert len(session.do("COMMAND LIST")) == len(rows()), "LIST names subcommands too"
    session.proto = 3
    assert len(session.do("COMMAND DOCS")) == count


def test_names_that_nobody_has() -> None:
    session = FakeSession()
    assert [found and found[0] for found in session.do("COMMAND INFO foo GeT client|foo CLIENT|list")] == [
        None, b"get", None, b"client|list",
    ]  # fmt: skip
    assert session.do("COMMAND DOCS foo client|foo") == []


# -- LIST


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("COMMAND LIST FILTERBY PATTERN GET*", {b"get", b"getdel", b"getex", b"getrange", b"getset"}),
        ("COMMAND LIST filterby pattern client|i*", {b"client|id", b"client|info"}),
        ("COMMAND LIST FILTERBY MODULE json", set()),
        ("COMMAND LIST FILTERBY ACLCAT nonsense", set()),
    ],
)
def test_list_filters(line: str, names: set[bytes]) -> None:
    found = FakeSession().do(line)
    assert set(found) >= names
    assert bool(found) == bool(names)


@pytest.mark.parametrize("category", ["admin", "connection", "DANGEROUS", "keyspace"])
def test_list_by_category_is_what_redis_says(oracle: Oracle, category: str) -> None:
    args = [b"COMMAND", b"LIST", b"FILTERBY", b"ACLCAT", category.encode()]
    theirs = set(meaning(oracle.ask(args)))
    known = {row.lower_name.encode() for row in rows() if row.name not in NEW_IN_7_2}
    in_7_0 = {name for name in known if meaning(oracle.ask([b"COMMAND", b"INFO", name]))[0] is not None}
    ours = set(meaning(FakeSession().ask(args)))
    assert ours & in_7_0 == theirs & known


# -- GETKEYS


@pytest.mark.parametrize("sub", ["GETKEYS", "GETKEYSANDFLAGS"])
@pytest.mark.parametrize(
    "request_line",
    [
        "GET a", "get a", "SET a 1", "SET a 1 EX 5 GET", "set get 1 nx", "MSET a 1 b 2", "MSET a 1 b",
        "DEL a b c", "RENAME a b", "COPY a b DB 2", "OBJECT ENCODING a", "object freq a", "OBJECT FOO a",
        "LCS a b", "GETEX a", "PING x", "GET a b", "FOO a", "CLIENT ID", "EXISTS a a", "KEYS *",
    ],
)  # fmt: skip
def test_keys_are_found_as_redis_finds_them(oracle: Oracle, sub: str, request_line: str) -> None:
    for proto in (2, 3):
        ours, theirs = both(oracle, f"COMMAND {sub} {request_line}", proto)
        assert ours == theirs


def test_keys_of_a_request_of_one_word() -> None:
    """Redis 7.0 does not take it, 7.2 does."""
    session = FakeSession()
    assert session.do("COMMAND GETKEYS PING") == "ERR The command has no key arguments"
    assert session.do("COMMAND GETKEYS GET") == "ERR Invalid number of arguments specified for command"
    assert session.do("COMMAND GETKEYS FOO") == "ERR Invalid command specified"


@pytest.mark.parametrize(
    "line",
    [
        "COMMAND FOO", "COMMAND COUNT x", "COMMAND LIST x", "COMMAND LIST FILTERBY",
        "COMMAND LIST FILTERBY x y", "COMMAND LIST FILTERBY PATTERN", "COMMAND LIST FILTERBY PATTERN a b",
        "COMMAND GETKEYS", "COMMAND HELP x", "COMMAND GETKEYSANDFLAGS",
    ],
)  # fmt: skip
def test_wrong_calls(oracle: Oracle, line: str) -> None:
    ours, theirs = both(oracle, line, 2)
    assert ours[0] == "-"
    assert ours == theirs
