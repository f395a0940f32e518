"""Rules of users, beside a real Redis: which are refused, and what they allow."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from ironkv.commands.acl_rules import CATEGORIES
from ironkv.commands.permissions import permissions_of
from ironkv.commands.table import TABLE, commands, find
from ironkv.errors import CommandError
from ironkv.images import extras, load_extras
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.users import DEFAULT_USER, User
from tests.commands.fakes import FakeNode, FakeSession
from tests.commands.local import Local
from tests.commands.oracle import Oracle, running_oracle
from tests.commands.wire import meaning


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with running_oracle() as running:
        yield running


class Users:
    """ACL on a node in memory: writes on its keyspace, the rest through a session."""

    def __init__(self) -> None:
        self.local = Local(now_ms=1)
        self.node = FakeNode()
        self.local.keyspace = self.node.keyspace
        self.session = FakeSession(self.node)

    def ask(self, args: list[bytes]) -> bytes:
        if args[1].upper() in (b"SETUSER", b"DELUSER"):
            return self.local.ask(args)
        return self.session.ask(args)

    def do(self, line: str) -> object:
        return meaning(self.ask(line.encode().split(b" ")))


RULES = """
on off nopass resetpass reset resetkeys resetchannels allkeys allchannels allcommands nocommands
clearselectors >secret #2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b #2bb8 !zz <secret
<none ~* ~a* ~b? %R~r* %W~w* %RW~x %wr~x %X~a %R~* %~a & &* &news.* &a +get +set +GET -get +@read -@read
+@all -@all +@Hash -@string +@nope +nope -nope +config|get -config|get +config -config +config|nope
+config|get|x +select|0 -select|0 +select| +@ + - ~ foo > sanitize-payload skip-sanitize-payload (+get (~a*
+get) (+@read %R~x*) (foo) (on) (~* ~b) ) ()
""".split()  # noqa: SIM905

REQUESTS = [
    "get a1", "get b1", "get r1", "get w1", "get x", "set a1 v", "set w1 v", "set r1 v", "set w1 v get",
    "mget a1 b1", "mset a1 1 b2 1", "exists r1", "exists zz", "del a1", "hget a1 f", "hset a1 f v",
    "rename a1 b1", "copy r1 w1", "config get x", "config set x y", "select 0", "select 1", "ping",
    "publish news.a m", "publish other m", "subscribe a news.x", "psubscribe news.*", "psubscribe *",
    "sort a1", "eval x 1 a1", "xread streams a1 0", "zunionstore a1 1 b1", "lmpop 1 a1 left",
    "bitfield a1 get u8 0", "getex r1 px 5", "type a1", "dbsize", "flushall", "acl whoami", "watch a1",
    "spublish a m", "blpop a1 0", "touch b1", "strlen r1", "georadius a1 1 1 1 m store b1",
]  # fmt: skip


def _without(reply: bytes, name: bytes) -> bytes:
    """7.2 names the user where 7.0 says `This user`."""
    return reply.replace(b"User %b has" % name, b"This user has")


def _length_free(reply: bytes) -> bytes:
    return reply.partition(b"\r\n")[2] if reply.startswith(b"$") else reply


def test_rules_mean_what_they_mean_to_redis(oracle: Oracle) -> None:
    for seed in range(60):
        chance = random.Random(seed)
        ours, name = Users(), b"u%d" % seed
        for _ in range(6):
            words = [word.encode() for word in chance.choices(RULES, k=chance.randint(1, 4))]
            args = [b"ACL", b"SETUSER", name, *words]
            expected, got = oracle.ask(list(args)), ours.ask(list(args))
            if expected.startswith(b"-") and b"modifier '<" in expected:
                assert got.partition(b": ")[2] == expected.partition(b": ")[2]
            elif b"%~a" not in words:
                assert got == expected, (seed, words)
        oracle.ask([b"ACL", b"SETUSER", name, b"on"])
        ours.ask([b"ACL", b"SETUSER", name, b"on"])
        for request in REQUESTS:
            args = [b"ACL", b"DRYRUN", name, *request.encode().split()]
            expected, got = oracle.ask(list(args)), ours.ask(list(args))
            assert _length_free(_without(got, name)) == _length_free(expected), (
                seed, request, ours.do("ACL LIST"),
            )  # fmt: skip


def test_categories_hold_what_they_hold_in_redis(oracle: Oracle) -> None:
    users = Users()
    assert users.do("ACL CAT") == meaning(oracle.ask([b"ACL", b"CAT"]))
    have = {row.lower_name.encode() for top in commands() for row in (top, *top.subcommands.values())}
    elsewhere = (b"ironkv", b"raft", b"sentinel")  # the last is no command of a Redis that is no Sentinel
    newer = {b"wait", b"cluster|myshardid", b"client|no-touch", b"client|setinfo", b"waitaof"}
    for category in CATEGORIES:
        theirs = {*meaning(oracle.ask([b"ACL", b"CAT", category.encode()]))} & have - newer
        ours = {name for name in users.do(f"ACL CAT {category}") if not name.startswith(elsewhere)}  # type: ignore[attr-defined]
        known = {
            name for name in ours if not oracle.ask([b"COMMAND", b"INFO", name]).startswith(b"*1\r\n*-1")
        }
        assert known - newer == theirs, category


LINES = [
    "ACL GETUSER none", "ACL CAT nope", "ACL CAT a b", "ACL DELUSER none", "ACL DELUSER default",
    "ACL SAVE", "ACL LOAD", "ACL GENPASS 0", "ACL GENPASS 4097", "ACL GENPASS x", "ACL LOG",
    "ACL LOG RESET", "ACL LOG x", "ACL LOG a b", "ACL DRYRUN none get a", "ACL DRYRUN default nope",
    "ACL DRYRUN default get", "ACL WHOAMI", "ACL NOPE", "ACL", "ACL DRYRUN default get a",
    "ACL SETUSER x (+get ~a", "ACL USERS", "ACL SETUSER a\tb on",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_replies_are_redis_s(oracle: Oracle, line: str) -> None:
    for name in meaning(oracle.ask([b"ACL", b"USERS"])):
        if name != b"default":
            oracle.ask([b"ACL", b"DELUSER", name])
    args = line.encode().split(b" ")
    ours = Users().ask(args) if len(args) > 1 else FakeSession().ask(args)
    assert ours == oracle.ask(args)


def test_a_rule_is_shown_as_it_was_said() -> None:
    """As 7.2 does: 7.0 shows another rule of the same effect."""
    users = Users()
    users.do("ACL SETUSER bob on >x ~a* %R~b* &c +get +@hash -hget +config|get +select|0 (~z +set)")
    assert users.do("ACL LIST") == [
        b"user bob on sanitize-payload #2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 "
        b"~a* %R~b* resetchannels &c -@all +get +@hash -hget +config|get +select|0 "
        b"(~z resetchannels -@all +set)",
        b"user default on nopass sanitize-payload ~* &* +@all",
    ]
    users.do("ACL SETUSER bob -config -get +@all -@write")
    assert b" ~a* %R~b* resetchannels &c +@all -@write (" in users.do("ACL LIST")[0]  # type: ignore[index]
    assert len(str(users.do("ACL GENPASS"))) == 64 + 3
    assert len(str(users.do("ACL GENPASS 5"))) == 2 + 3


def test_no_password_is_logged() -> None:
    args = [b"ACL", b"SETUSER", b"bob", b">s3cret", b"<old-one", b"on"]
    row = find(args)
    assert row.check is not None
    row.check(args)
    assert not any(b"s3cret" in word or b"old-one" in word for word in args)
    again = list(args)
    row.check(again)
    assert again == args


def test_an_image_keeps_users() -> None:
    users = Users()
    empty = extras(Keyspace())
    assert extras(users.local.keyspace) == empty, "what older versions wrote stays the same"
    users.do("ACL SETUSER b on >x ~a* %R~b* &c +@all -get (~z +set %W~q)")
    users.do("ACL SETUSER a nopass")
    image, other = extras(users.local.keyspace), Keyspace()
    load_extras(other, image)
    assert other.users == users.local.keyspace.users
    assert extras(other) == image
    load_extras(other, empty)
    assert other.users == {}
    assert User.from_plain(DEFAULT_USER.plain()) == DEFAULT_USER


def test_a_glance_allows_nothing_that_a_look_would_refuse() -> None:
    """Users and requests at random; and it does see what is plain."""
    chance, plain = random.Random(7), 0
    rules = [
        "+@all", "-@all", "+@read", "+@write", "-set", "+get", "-@string", "+set", "~*", "~a*", "%R~b*",
        "%W~b*", "%R~c", "resetkeys", "~b?*", "~", "~\\\\a*", "(+@all ~d*)", "(+get %R~e*)", "+config|get",
        "-debug", "allchannels", "+sort",
    ]  # fmt: skip
    names = (
        b"GET get Get SET APPEND LPUSH SORT DEL MGET PING EVAL CONFIG GETDEL XADD HGET BLPOP PUBLISH AUTH "
        b"NOPE GEORADIUS OBJECT EXISTS"
    ).split()
    arguments = [b"a1", b"\\a", b"b", b"bb", b"c", b"d", b"e", b"GET", b""]
    for _ in range(300):
        users = Users()
        words = " ".join(chance.choices(rules, k=chance.randint(1, 6)))
        users.do(f"ACL SETUSER u on nopass {words}")
        user = users.local.keyspace.users.get(b"u")
        if user is None:  # a pattern behind `~*` is refused
            continue
        permissions = permissions_of(user)
        for _ in range(60):
            args = [
                chance.choice(names),
                *chance.choices(arguments, k=chance.randint(0, 4)),
            ]
            try:
                row = find(list(args))
            except CommandError:
                assert not permissions.plainly([args]) or TABLE.get(args[0].upper()) is not None
                continue
            if permissions.plainly([args]):
                plain += 1
                assert permissions.refusal(row, args) is None, (words, args)
                assert not row.subcommands
    assert plain > 100
