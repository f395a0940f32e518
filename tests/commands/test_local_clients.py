"""CLIENT: this connection and the others. Error texts are compared with Redis in test_local_connection."""

from __future__ import annotations

import pytest

from tests.commands.fakes import FakeNode, FakeSession
from tests.commands.oracle import Oracle
from tests.commands.wire import meaning

ADDED_SINCE = {"lib-name", "lib-ver"}
"""In Redis 7.2."""


def fields(line: bytes) -> dict[str, str]:
    text = line.decode().removeprefix("txt:").strip()
    return dict(word.partition("=")[::2] for word in text.split(" "))


def test_a_connection_is_listed_as_redis_lists_it(oracle: Oracle) -> None:
    theirs = fields(meaning(oracle.ask([b"CLIENT", b"INFO"])))
    ours = fields(FakeSession().do("CLIENT INFO"))
    assert set(ours) <= set(theirs) | ADDED_SINCE
    common = [name for name in theirs if name in ours]
    assert [name for name in ours if name in theirs] == common, "and in the same order"
    for name in ("name", "db", "sub", "psub", "multi", "user", "redir", "cmd"):
        assert ours[name] == theirs[name], name


def test_a_connection_with_everything() -> None:
    node = FakeNode()
    session = FakeSession(node)
    for line in ("CLIENT SETNAME me", "CLIENT SETINFO lib-name redis-py", "CLIENT SETINFO LIB-VER 6.0"):
        assert session.do(line) == b"OK"
    for line in ("SELECT 3", "READONLY", "CLIENT NO-EVICT on", "CLIENT NO-TOUCH on", "HELLO 3"):
        session.do(line)
    node.now_s += 7.9
    session.last_active += 5
    found = fields(session.do("CLIENT INFO"))
    expected = {
        "id": str(session.id), "addr": session.address, "laddr": "127.0.0.1:6379", "name": "me", "age": "7",
        "idle": "2", "flags": "reT", "db": "3", "qbuf": "36", "cmd": "client|info", "resp": "3",
        "lib-name": "redis-py", "lib-ver": "6.0",
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_list_shows_all_of_a_kind() -> None:
    node = FakeNode()
    one, two = FakeSession(node), FakeSession(node)

    def ids(line: str) -> list[int]:
        return [int(fields(row)["id"]) for row in one.do(line).splitlines()]

    assert ids("CLIENT LIST") == ids("CLIENT LIST TYPE normal") == [one.id, two.id]
    assert ids("CLIENT LIST TYPE replica") == ids("CLIENT LIST TYPE master") == []
    assert ids(f"CLIENT LIST ID {two.id} 99999 {one.id}") == [two.id, one.id]


def test_names() -> None:
    session = FakeSession()
    assert session.do("CLIENT GETNAME") is None
    assert session.do("CLIENT SETNAME me") == b"OK"
    assert session.do("CLIENT GETNAME") == b"me"
    assert session.ask([b"CLIENT", b"SETNAME", b""]) == b"+OK\r\n"
    assert session.do("CLIENT GETNAME") is None
    assert session.do("CLIENT ID") == session.id


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("CLIENT SETINFO foo bar", "ERR Unrecognized option 'foo'"),
        (
            "CLIENT SETINFO lib-name a␣b",
            "ERR lib-name cannot contain spaces, newlines or special characters.",
        ),
        (
            "CLIENT SETINFO LIB-ver a␣b",
            "ERR LIB-ver cannot contain spaces, newlines or special characters.",
        ),
        ("CLIENT SETINFO lib-name", "ERR wrong number of arguments for 'client|setinfo' command"),
        ("CLIENT NO-TOUCH maybe", "ERR syntax error"),
    ],
)
def test_errors_of_7_2(line: str, text: str) -> None:
    assert FakeSession().do(line) == text


def test_setinfo_can_be_taken_back() -> None:
    session = FakeSession()
    session.do("CLIENT SETINFO lib-name x")
    assert session.ask([b"CLIENT", b"SETINFO", b"lib-name", b""]) == b"+OK\r\n"
    assert session.lib_name == b""


def test_reply_modes() -> None:
    session = FakeSession()
    for mode, state in (("SKIP", "skip-next"), ("OFF", "off"), ("SKIP", "off"), ("on", "on")):
        session.do(f"CLIENT REPLY {mode}")
        assert session.replies == state


def test_kill_by_address_may_be_suicide() -> None:
    node = FakeNode()
    me, other = FakeSession(node), FakeSession(node)
    assert me.do(f"CLIENT KILL {other.address}") == b"OK"
    assert other.killed
    assert me.do(f"CLIENT KILL {other.address}") == "ERR No such client"
    assert me.do(f"CLIENT KILL {me.address}") == b"OK"
    assert me.closing
    assert not me.killed, "the reply is sent first"


def test_kill_by_filters() -> None:
    node = FakeNode()
    me = FakeSession(node)
    others = [FakeSession(node) for _ in range(4)]
    assert me.do(f"CLIENT KILL ID {others[0].id} ADDR {others[1].address}") == 0, "all filters must fit"
    assert me.do(f"CLIENT KILL ID {others[0].id}") == 1
    assert me.do(f"CLIENT KILL ID {me.id}") == 0, "oneself is skipped"
    assert me.do("CLIENT KILL TYPE normal LADDR 127.0.0.1:6379 USER default") == 3
    assert all(other.killed for other in others)
    assert not me.closing
    assert me.do("CLIENT KILL TYPE normal SKIPME no") == 1
    assert me.closing


def test_help_names_only_what_there_is() -> None:
    session = FakeSession()
    for container in ("CLIENT", "CONFIG", "COMMAND"):
        first, *lines = session.do(f"{container} HELP")
        assert first.decode() == f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
        for line in lines:
            if not line.startswith((b" ", b"(")):
                word = line.split()[0].decode()
                assert not str(session.do(f"{container} {word}")).startswith("ERR unknown subcommand"), word
