"""Who may do what, on nodes with a log: passwords, users, and every way round them."""

from __future__ import annotations

from typing import Any

import pytest

from ironkv import images
from ironkv.server.connection import Connection
from ironkv.server.protection import DENIED
from ironkv.tools.client import encode
from tests.node.virtual import Client, Cluster, Maker, Transport, VirtualNode

NOAUTH = "-NOAUTH Authentication required."
HASH_OF_PW = b"30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4"


@pytest.fixture
def cluster(make_cluster: Maker) -> Cluster:
    return make_cluster().boot()


@pytest.fixture
def leader(cluster: Cluster) -> VirtualNode:
    return cluster.elect()


def login(node: VirtualNode, user: str) -> Client:
    client = node.client()
    assert client.ask(f"AUTH {user} pw") == [b"OK"]
    return client


def make(node: VirtualNode, user: str, rule: str) -> Client:
    """A client of a new user."""
    assert node.client().ask(f"ACL SETUSER {user} on >pw {rule}") == [b"OK"]
    return login(node, user)


def test_a_restricted_user_is_refused_in_its_turn(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "~a* +@all -incr")
    replies = bob.ask(
        "SET a 1", "SET b 1", "GET a", "INCR a", "GET zz", "NOPE", "GET", "SET a2 x", "MGET a a2"
    )
    assert replies == [
        b"OK",
        "-NOPERM No permissions to access a key",
        b"1",
        "-NOPERM User bob has no permissions to run the 'incr' command",
        "-NOPERM No permissions to access a key",
        "-ERR unknown command 'NOPE', with args beginning with: ",
        "-ERR wrong number of arguments for 'get' command",
        b"OK",
        [b"1", b"x"],
    ]
    assert bob.ask("ACL WHOAMI", "GET a") == [b"bob", b"1"]
    assert leader.client().ask("EXISTS b") == [0]


def test_long_pipelines_of_one_kind(leader: VirtualNode) -> None:
    """They take a way of their own when nobody is restricted."""
    bob = make(leader, "bob", "~a* +@all")
    assert bob.ask(*["SET b 1"] * 50) == ["-NOPERM No permissions to access a key"] * 50
    assert bob.ask(*["SET a 1"] * 50) == [b"OK"] * 50
    assert bob.ask(*["GET b"] * 50) == ["-NOPERM No permissions to access a key"] * 50
    assert bob.ask(*["PING"] * 2000) == [b"PONG"] * 2000


def test_transactions(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "~a* +@all")
    assert bob.ask("MULTI", "SET a 1", "SET b 1", "EXEC", "EXISTS a") == [
        b"OK",
        b"QUEUED",
        "-NOPERM No permissions to access a key",
        "-EXECABORT Transaction discarded because of previous errors.",
        0,
    ]
    assert bob.ask("MULTI", "SET a 1", "SET a1 1") == [b"OK", b"QUEUED", b"QUEUED"]
    leader.client().ask("ACL SETUSER bob resetkeys ~a1")
    (replies,) = bob.ask("EXEC")
    assert replies[1] == b"OK"
    assert str(replies[0]).startswith("-NOPERM ACLs rules changed") or "ACLs rules changed" in str(replies[0])
    assert leader.client().ask("EXISTS a", "EXISTS a1") == [0, 1]
    assert bob.ask("WATCH b") == ["-NOPERM No permissions to access a key"]


def ask(client: Client, *words: str) -> list[Any]:
    """The replies once one request, of words that may hold blanks, is added to what was sent."""
    client.raw(encode(words))
    client.node.cluster.settle()
    return client.take()


def script(client: Client, text: str, *keys: str, command: str = "EVAL") -> list[Any]:
    client.take()
    return ask(client, command, text, str(len(keys)), *keys)


def test_scripts(cluster: Cluster, leader: VirtualNode) -> None:
    """Checked where they run, with the same result everywhere."""
    bob = make(leader, "bob", "~a* +@all -incr")
    (reply,) = script(bob, "redis.call('SET','a','1') return redis.call('SET','b','1')")
    assert "NOPERM ACL failure in script: No permissions to access a key" in str(reply)
    (reply,) = script(bob, "return redis.call('INCR','a')")
    assert "User bob has no permissions to run the 'incr' command" in str(reply)
    (reply,) = script(bob, "return redis.call('GET','b')", command="EVAL_RO")
    assert "NOPERM" in str(reply)
    assert script(bob, "return redis.call('GET',KEYS[1])", "a") == [b"1"]
    for call, allowed in {
        "'GET','a'": 1, "'get','b'": None, "'INCR','a'": None, "'SET','a',1": 1, "'GET'": 1,
        "'CONFIG','GET','*'": 1, "'MSET'" + ",'a'" * 40: 1, "'MSET'" + ",'b','a'" * 20: None,
    }.items():  # fmt: skip
        for command in ("EVAL", "EVAL_RO"):
            assert script(bob, f"return redis.acl_check_cmd({call})", command=command) == [allowed], call
    assert script(leader.client(), "return redis.acl_check_cmd('INCR','b')") == [1]
    assert script(bob, "return redis.call('GET','a')", command="EVAL_RO") == [b"1"]
    assert script(bob, "return 1", "b") == ["-NOPERM No permissions to access a key"]
    bob.send("MULTI")
    script(bob, "return redis.call('SET','b','1')")
    assert "NOPERM" in str(bob.ask("EXEC")[0])
    assert "nobody runs scripts for another user" in str(bob.ask("IRONKV AS default EVAL x 0"))
    assert leader.client().ask("EXISTS b", "GET a") == [0, b"1"]
    cluster.advance(100)
    assert len({images.digest_of_keyspace(node.keyspace) for node in cluster.nodes.values()}) == 1
    assert script(leader.client(), "return redis.call('SET','b','1')") == [b"OK"]


def test_channels(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "&news.* ~* +@all")
    no = "-NOPERM No permissions to access a channel"
    assert bob.ask("PUBLISH other x", "PUBLISH news.a x", "SUBSCRIBE news.a other", "PSUBSCRIBE *") == [
        no,
        0,
        no,
        no,
    ]
    assert bob.ask("SUBSCRIBE news.a")[0][0] == b"subscribe"
    leader.client().ask("ACL SETUSER bob resetchannels")
    assert bob.transport.aborted, "who may not listen any more is let go"


def test_a_user_is_deleted(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "~* &* +@all")
    assert leader.client().ask("ACL DELUSER bob nobody") == [1]
    assert bob.transport.aborted
    carl = make(leader, "carl", "~* &* +@all")
    assert carl.ask("ACL DELUSER carl") == [1]
    assert carl.transport.closed


def test_users_are_everywhere_and_stay(cluster: Cluster, leader: VirtualNode) -> None:
    leader.client().ask("ACL SETUSER bob on >pw ~a* +@read", "SET a 1")
    cluster.advance(100)
    for node in cluster.nodes.values():
        assert node.client().ask("ACL USERS") == [[b"bob", b"default"]]
    follower = cluster.followers()[0]
    assert str(follower.client().ask("ACL SETUSER eve on nopass")[0]).startswith("-NOTLEADER")
    cluster.crash(leader.id)
    heir = cluster.elect()
    assert login(heir, "bob").ask("GET a", "SET a 2") == [
        b"1",
        "-NOPERM User bob has no permissions to run the 'set' command",
    ]
    for node in [*cluster.nodes]:
        cluster.crash(node)
    cluster.boot()
    assert login(cluster.elect(), "bob").ask("GET a", "GET b")[1].startswith("-NOPERM")  # type: ignore[attr-defined]


def test_no_clear_password_reaches_the_journal(cluster: Cluster, leader: VirtualNode) -> None:
    leader.client().ask("ACL SETUSER bob on >VerySecret1", "MULTI", "ACL SETUSER eve >VerySecret2", "EXEC")
    leader.client().ask("CONFIG SET requirepass VerySecret3")
    cluster.advance(100)
    for path in cluster.path.rglob("*.mdb"):
        assert b"VerySecret" not in path.read_bytes()


# -- the default user's password


def test_a_password_by_config_set(cluster: Cluster, leader: VirtualNode) -> None:
    admin = leader.client()
    assert admin.ask("CONFIG SET requirepass pw", "CONFIG GET requirepass", "PING") == [
        b"OK", [b"requirepass", b"pw"], b"PONG",
    ]  # fmt: skip
    cluster.advance(100)
    for node in cluster.nodes.values():
        stranger = node.client()
        assert stranger.ask("GET a", "NOPE", "PING", "MULTI", "CONFIG GET *", "AUTH no", "AUTH pw") == [
            NOAUTH, "-ERR unknown command 'NOPE', with args beginning with: ", NOAUTH, NOAUTH, NOAUTH,
            "-WRONGPASS invalid username-password pair or user is disabled.", b"OK",
        ]  # fmt: skip
    assert leader.client().ask("HELLO 3")[0].startswith("-NOAUTH HELLO must be called")  # type: ignore[attr-defined]
    greeting: Any = leader.client().ask("HELLO 3 AUTH default pw", "GET a")
    assert greeting[1] is None
    assert admin.ask("RESET", "PING", "AUTH pw", "CONFIG GET requirepass") == [
        b"RESET", NOAUTH, b"OK", [b"requirepass", b"pw"],
    ]  # fmt: skip
    assert ask(admin, "CONFIG", "SET", "requirepass", "") == [b"OK"]
    assert leader.client().ask("PING") == [b"PONG"]


def test_a_password_in_the_settings(leader: VirtualNode) -> None:
    leader.settings.server.requirepass = "pw"
    assert leader.client().ask("PING", "AUTH pw", "PING") == [NOAUTH, b"OK", b"PONG"]
    client = leader.client()
    assert client.ask("AUTH pw", "ACL SETUSER default -flushall") == [b"OK", b"OK"]
    assert client.ask("FLUSHALL") == ["-NOPERM User default has no permissions to run the 'flushall' command"]
    assert leader.client().ask("PING") == [NOAUTH], "a rule without a password does not open it"
    assert client.ask("ACL SETUSER default resetpass >other") == [b"OK"]
    assert leader.client().ask("AUTH pw", "AUTH other") == [
        "-WRONGPASS invalid username-password pair or user is disabled.", b"OK",
    ]  # fmt: skip


def test_what_a_stranger_may_send(leader: VirtualNode) -> None:
    leader.client().ask("CONFIG SET requirepass pw")
    big = b"*2\r\n$3\r\nGET\r\n$16385\r\n"
    many = b"*11\r\n"
    for data, complaint in ((big, "bulk length"), (many, "multibulk length")):
        client = leader.client()
        client.raw(data)
        assert client.ask("PING") == [f"-ERR Protocol error: unauthenticated {complaint}"]
    client = leader.client()
    client.raw(b"AUTH pw\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n" + b"x" * 20_000 + b"\r\nPING\r\n")
    assert client.ask("STRLEN k") == [b"OK", b"OK", b"PONG", 20_000]


def test_a_user_who_is_switched_off(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "~* +@all")
    leader.client().ask("ACL SETUSER bob off")
    assert bob.ask("PING") == [b"PONG"], "as in Redis, who is in stays in"
    assert "-WRONGPASS" in str(leader.client().ask("AUTH bob pw"))


def test_the_log_of_refusals(leader: VirtualNode) -> None:
    bob = make(leader, "bob", "~a* +get")
    bob.ask("SET a 1", "SET a 2", "GET b", "AUTH bob no")
    entries: Any = leader.client().ask("ACL LOG")[0]
    found = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in entries]
    assert [(e[b"reason"], e[b"object"], e[b"count"], e[b"username"]) for e in found] == [
        (b"auth", b"AUTH", 1, b"bob"), (b"key", b"b", 1, b"bob"), (b"command", b"set", 2, b"bob"),
    ]  # fmt: skip
    assert b"user=bob" in found[0][b"client-info"]
    assert leader.client().ask("ACL LOG RESET", "ACL LOG") == [b"OK", []]


@pytest.mark.parametrize(("host", "served"), [("127.0.0.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
    ("192.0.2.7", False), ("fe80::1%eth0", False), ("2001:db8::1", False)])  # fmt: skip
def test_protected_mode(leader: VirtualNode, host: str, served: bool) -> None:
    client = leader.client()

    def come() -> Transport:
        transport = Transport()
        transport.peer = (host, 5555)
        Connection(leader.dispatch).connection_made(transport)  # type: ignore[arg-type]
        return transport

    assert (come().sent, come().closed) == ((b"", False) if served else (DENIED, True))
    client.ask("CONFIG SET requirepass pw")
    assert not come().closed
    ask(client, "CONFIG", "SET", "requirepass", "")
    client.ask("CONFIG SET protected-mode no")
    assert not come().closed


def test_who_loses_a_right_while_he_waits_is_told_when_he_wakes(leader: VirtualNode) -> None:
    """And who stands behind him is served."""
    bob, eve, reader = (make(leader, name, "~* +@all") for name in ("bob", "eve", "reader"))
    for client, line in ((bob, "BLPOP q 0"), (eve, "BLPOP q 0"), (reader, "XREAD BLOCK 0 STREAMS s $")):
        assert client.ask(line) == []
    admin = leader.client()
    assert admin.ask("ACL SETUSER bob -blpop", "ACL SETUSER reader resetkeys ~q") == [b"OK", b"OK"]
    assert bob.take() == reader.take() == [], "not before"
    admin.ask("SET q x", "DEL q")
    assert bob.take() == [], "a key that is touched is no reason"
    admin.ask("RPUSH q 1", "XADD s 1-1 a b")
    assert bob.take() == ["-NOPERM User bob has no permissions to run the 'blpop' command"]
    assert eve.take() == [[b"q", b"1"]]
    assert reader.take() == ["-NOPERM No permissions to access a key"]
    assert b"blpop" in admin.ask("ACL LOG")[0][1]
    assert bob.ask("PING") == [b"PONG"]


def test_the_one_behind_is_served_from_what_is_there(leader: VirtualNode) -> None:
    """Where a transaction fills the key, so that nobody is tried behind the command itself."""
    bob, other = make(leader, "bob", "~* +@all"), make(leader, "other", "~* +@all")
    assert bob.ask("BLPOP q 0") == other.ask("BLPOP q 0") == []
    admin = leader.client()
    admin.ask("ACL SETUSER bob resetkeys")
    admin.ask("MULTI", "LPUSH q 1", "EXEC")
    assert bob.take() == ["-NOPERM No permissions to access a key"]
    assert other.take() == [[b"q", b"1"]]
