"""Greeting, protocol, database, farewell: compared with a real Redis where it can be."""

from __future__ import annotations

import pytest

from ironkv.commands.connection import REDIS_VERSION
from tests.commands.fakes import FakeSession
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

SAME = [
    "PING", "PING hello", "ping a b", "PING ", "ECHO hello", "ECHO", "ECHO a b",
    "AUTH secret", "AUTH default secret", "AUTH bob secret", "AUTH a b c", "AUTH",
    "SELECT 0", "SELECT 15", "SELECT 16", "SELECT -1", "SELECT x", "SELECT 1.5", "SELECT 99999999999",
    "SELECT 1 2", "SELECT", "HELLO x", "HELLO 1", "HELLO 4", "HELLO -1", "HELLO 2 FOO",
    "HELLO 2 AUTH default", "HELLO 2 AUTH bob secret", "HELLO 2 SETNAME a␣b", "HELLO 2 SETNAME",
    "HELLO 99999999999999999999", "RESET x", "RESET", "READONLY x",
    "READWRITE x", "TIME x", "ROLE x", "CLIENT", "CLIENT FOO",
    "CLIENT MAINT_NOTIFICATIONS ON", "CLIENT ID x", "CLIENT GETNAME",
    "CLIENT SETNAME", "CLIENT SETNAME me", "CLIENT SETNAME a␣b", "CLIENT SETNAME \x7f", "CLIENT SETNAME é",
    "CLIENT REPLY x", "CLIENT REPLY", "CLIENT NO-EVICT on", "CLIENT NO-EVICT OFF", "CLIENT NO-EVICT x",
    "CLIENT LIST FOO", "CLIENT LIST TYPE", "CLIENT LIST TYPE x", "CLIENT LIST TYPE master",
    "CLIENT LIST TYPE PUBSUB", "CLIENT LIST ID", "CLIENT LIST ID x", "CLIENT LIST ID 9999999",
    "CLIENT LIST TYPE normal x", "CLIENT KILL", "CLIENT KILL 1.2.3.4:5", "CLIENT KILL ID",
    "CLIENT KILL ID x", "CLIENT KILL ID 0", "CLIENT KILL ID -1", "CLIENT KILL ID 9999999",
    "CLIENT KILL TYPE x", "CLIENT KILL TYPE master", "CLIENT KILL TYPE pubsub", "CLIENT KILL USER bob",
    "CLIENT KILL ADDR 1.2.3.4:5", "CLIENT KILL LADDR 1.2.3.4:5", "CLIENT KILL SKIPME",
    "CLIENT KILL SKIPME x", "CLIENT KILL SKIPME yes ID 9999999", "CLIENT KILL FOO bar",
    "CLIENT KILL ID 1 FOO", "CLIENT GETREDIR", "CLIENT TRACKINGINFO", "CLIENT TRACKINGINFO x",
]  # fmt: skip


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("line", SAME)
def test_the_same_reply_as_from_redis(oracle: Oracle, line: str, proto: int) -> None:
    args = [word.replace("␣", " ").encode() for word in line.split(" ")]
    session = FakeSession()
    session.proto = proto
    if line == "RESET" and proto == 3:
        return  # it would turn the oracle's connection to RESP2
    theirs = oracle.ask(args, proto)
    assert session.ask(args) == theirs
    oracle.ask([b"SELECT", b"0"], proto)
    oracle.ask([b"CLIENT", b"SETNAME", b""], proto)


@pytest.mark.parametrize("wanted", [2, 3])
@pytest.mark.parametrize("before", [2, 3])
def test_hello_is_shaped_as_redis_shapes_it(oracle: Oracle, before: int, wanted: int) -> None:
    session = FakeSession()
    session.proto = before
    args = [b"HELLO", b"%d" % wanted, b"AUTH", b"default", b"x", b"SETNAME", b"me"]
    ours = meaning(session.ask(args))
    theirs = meaning(oracle.ask(args, before))
    oracle.ask([b"HELLO", b"%d" % before], before)
    oracle.ask([b"CLIENT", b"SETNAME", b""], before)
    if wanted == 2:
        ours, theirs = (dict(zip(flat[::2], flat[1::2], strict=True)) for flat in (ours, theirs))
    expected = {**theirs, b"version": REDIS_VERSION.encode(), b"id": session.id}
    assert list(ours) == list(theirs)
    assert ours == expected
    assert (session.proto, session.name) == (wanted, b"me")


def test_hello_without_arguments_tells_and_changes_nothing() -> None:
    session = FakeSession()
    session.proto = 3
    session.name = b"me"
    assert session.do("HELLO")[b"proto"] == 3
    assert (session.proto, session.name) == (3, b"me")


def test_hello_refused_changes_nothing() -> None:
    session = FakeSession()
    for line in ("HELLO 3 SETNAME me AUTH bob x", "HELLO 3 SETNAME me FOO", "HELLO 9 SETNAME me"):
        session.do(line)
        assert (session.proto, session.name) == (2, b"")


def test_hello_on_a_follower() -> None:
    session = FakeSession()
    session.node.follow("node2")
    session.proto = 3
    assert session.do("HELLO")[b"role"] == b"replica"


def test_readonly_and_readwrite() -> None:
    session = FakeSession()
    assert session.do("READONLY") == b"OK"
    assert session.readonly
    assert session.do("READWRITE") == b"OK"
    assert not session.readonly


def test_reset_begins_anew() -> None:
    session = FakeSession()
    for line in ("HELLO 3 SETNAME me", "SELECT 3", "READONLY"):
        session.do(line)
    assert session.do("RESET") == b"RESET"
    assert (session.proto, session.name, session.db_index, session.readonly) == (2, b"", 0, False)


def test_quit_is_answered_before_the_connection_closes() -> None:
    session = FakeSession()
    assert session.do("QUIT now") == b"OK"
    assert session.closing
    assert not session.killed


def test_time() -> None:
    assert FakeSession().do("TIME") == [b"1700000000", b"123456"]
