"""Scripts: what they reply against a real Redis, and what EVAL and its kin do around them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ironkv.commands import scripting, write_handlers  # noqa: F401  (fills the table)
from ironkv.commands.table import find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Due
from ironkv.resp.replies import Status, encode
from ironkv.scripting import interpreter
from tests.commands.fakes import FakeSession
from tests.commands.local import Local
from tests.commands.oracle import Oracle

SCRIPTS = Path(__file__).parent / "scripts"
NOW_MS = 1_700_000_000_123


def calls(name: str) -> list[list[bytes]]:
    """The EVALs of a file, see its directory's README."""
    found = []
    for text in (SCRIPTS / f"{name}.txt").read_text().rstrip("\n").split("\n---\n"):
        first, _, rest = text.partition("\n")
        how, body = (first[1:].split(), rest) if first.startswith("@") else (["0"], text)
        found.append([b"EVAL", body.encode(), *(word.encode() for word in how)])
    return found


@pytest.mark.parametrize("name", ["language", "redis_calls", "libraries"])
@pytest.mark.parametrize("proto", [2, 3])
def test_a_script_replies_as_in_redis(oracle: Oracle, name: str, proto: int) -> None:
    local = Local()
    differing = []
    for args in calls(name):
        for ask in (oracle.ask, local.ask):
            ask([b"FLUSHALL"], proto)
        theirs, ours = oracle.ask(args, proto), local.ask(list(args), proto)
        if ours != theirs:
            differing.append(f"{args[1]!r}\n  Redis  {theirs!r}\n  IronKV {ours!r}")
    assert not differing, "\n".join(differing)


@pytest.fixture
def local() -> Local:
    return Local(NOW_MS)


def run(local: Local, script: str, *keys_and_args: str | bytes, keys: int = 0) -> object:
    """The reply to EVAL."""
    words = [word.encode() if isinstance(word, str) else word for word in keys_and_args]
    return local.reply([b"EVAL", script.encode(), b"%d" % keys, *words])


# -- where 7.2 differs from the oracle's 7.0


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0.1", b"0.1"),
        ("1/3", b"0.3333333333333333"),
        ("-0.0", b"0"),
        ("1e300", b"1e+300"),
        ("2^53", b"9007199254740992"),
    ],
)
def test_numbers_are_handed_to_commands_as_in_7_2(local: Local, number: str, text: bytes) -> None:
    assert run(local, f"redis.call('set', 'x', {number}) return redis.call('get', 'x')") == text


def test_one_argument_for_set_repl(local: Local) -> None:
    assert "redis.set_repl() requires one argument." in str(run(local, "redis.set_repl()"))


def test_the_version_is_that_which_hello_gives(local: Local) -> None:
    greeting = FakeSession().reply([b"HELLO"])
    assert isinstance(greeting, dict)
    version = greeting[b"version"]
    major, minor, patch = map(int, version.split(b"."))
    number = major << 16 | minor << 8 | patch
    assert run(local, "return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}") == [version, number]


# -- the cache


def test_evalsha_runs_what_eval_or_script_load_brought(local: Local) -> None:
    sha = hashlib.sha1(b"return 7").hexdigest().encode()
    missing = "NOSCRIPT No matching script. Please use EVAL."
    assert str(local.reply([b"EVALSHA", sha, b"0"])) == missing
    assert run(local, "return 7") == 7
    assert local.reply([b"EVALSHA", sha.upper(), b"0"]) == 7
    assert local.reply([b"SCRIPT", b"EXISTS", sha, sha.upper(), b"x"]) == [1, 1, 0]
    assert local.do("script flush sync") == local.do("SCRIPT FLUSH")
    assert str(local.reply([b"EVALSHA", sha, b"0"])) == missing
    assert local.reply([b"SCRIPT", b"LOAD", b"return 7"]) == sha
    assert local.reply([b"EVALSHA_RO", sha, b"0"]) == 7
    assert local.keyspace.scripts == {sha: b"return 7"}


def test_a_script_that_does_not_compile_is_not_kept(local: Local) -> None:
    for args in ([b"EVAL", b"return +", b"0"], [b"SCRIPT", b"LOAD", b"return +"]):
        assert str(local.reply(args)).startswith("ERR Error compiling script (new function): user_script:1:")
        with pytest.raises(CommandError):
            find(args).check(args)  # type: ignore[misc]  (before it is logged)
    assert local.keyspace.scripts == {}


def test_a_read_does_not_touch_the_cache(local: Local) -> None:
    assert local.reply([b"EVAL_RO", b"return 1", b"0"]) == 1
    assert local.keyspace.scripts == {}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("EVAL x a", "ERR value is not an integer or out of range"),
        ("EVAL x -1", "ERR Number of keys can't be negative"),
        ("EVAL x 2 a", "ERR Number of keys can't be greater than number of args"),
        ("EVALSHA short 0", "NOSCRIPT No matching script. Please use EVAL."),
        ("SCRIPT FLUSH now", "ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        ("SCRIPT NOPE", "ERR unknown subcommand 'NOPE'. Try SCRIPT HELP."),
    ],
)
def test_malformed_calls(oracle: Oracle, local: Local, line: str, error: str) -> None:
    args = line.encode().split()
    assert local.ask(args) == oracle.ask(args) == f"-{error}\r\n".encode()


def test_what_a_connection_answers_about_scripts(oracle: Oracle) -> None:
    session = FakeSession()
    for line in ("SCRIPT KILL", "SCRIPT DEBUG NO", "SCRIPT DEBUG perhaps"):
        args = line.encode().split()
        assert session.ask(args) == oracle.ask(args)
    assert b"not supported" in session.ask([b"SCRIPT", b"DEBUG", b"YES"])
    ours, theirs = session.ask([b"SCRIPT", b"HELP"]), oracle.ask([b"SCRIPT", b"HELP"])
    assert ours == theirs.replace(b"Prints this help", b"Print this help")


# -- promises not to write


def test_a_read_only_script_cannot_write(local: Local) -> None:
    refused = "ERR Write commands are not allowed from read-only scripts. script: "
    script = b"return redis.call('set', 'a', 1)"
    assert str(local.reply([b"EVAL_RO", script, b"0"])).startswith(refused)
    assert str(run(local, "#!lua flags=no-writes\n" + script.decode())).startswith(refused)
    assert str(local.reply([b"EVAL_RO", b"#!lua\nreturn 1", b"0"])) == (
        "ERR Can not execute a script with write flag using *_ro command."
    )
    assert local.do("GET a") is None


def test_a_read_that_meets_a_key_that_is_due_says_so_to_the_node(local: Local) -> None:
    """The node logs the time then and asks again: neither pcall nor xpcall may keep that from it."""
    local.do("SET a 1 PX 10")
    local.keyspace.now_ms = NOW_MS + 10
    for script in (
        b"return redis.call('get', 'a')",
        b"return redis.pcall('get', 'a')",
        b"pcall(redis.call, 'get', 'a') return 1",
        b"xpcall(function() redis.call('get', 'a') end, function() return 1 end) return 1",
        b"return coroutine.wrap(function() pcall(redis.call, 'get', 'a') return 1 end)()",
    ):
        with pytest.raises(Due):
            find([b"EVAL_RO", script, b"0"]).handler(local.db, [b"EVAL_RO", script, b"0"], NOW_MS + 10)
    local.now_ms = NOW_MS + 10
    assert local.reply([b"EVAL_RO", b"return redis.call('get', 'a')", b"0"]) is None


# -- what happens to the keyspace


def test_what_a_script_did_before_it_failed_stays(local: Local) -> None:
    assert "boom" in str(run(local, "redis.call('set', 'a', 1) error('boom')"))
    assert local.do("GET a") == b"1"


def test_time_stands_still(local: Local) -> None:
    script = "local t = redis.call('time') for i = 1, 1e5 do end return {t, redis.call('time')}"
    assert run(local, script) == [[b"1700000000", b"123000"]] * 2


def test_select_is_for_the_script_alone(local: Local) -> None:
    run(local, "redis.call('select', 3) redis.call('set', 'a', 1)")
    assert local.do("GET a") is None
    assert local.keyspace.database(3).find(b"a") == b"1"


def test_a_script_sees_nothing_of_another(local: Local) -> None:
    """Whatever one run changes is as before in the next, or state would hide in the process."""
    for spoiling in (
        "cjson.encode_number_precision(3) cjson.decode_max_depth(2)",
        "math.randomseed(5)",
        "redis.setresp(3)",
        "KEYS[1] = 'x' ARGV.y = 1",
        "getmetatable('').__index.foo = 1",
    ):
        run(local, spoiling)
        seen = "cjson.encode(1/3), #KEYS, #ARGV, redis.call('get', 'none') == false"
        assert run(local, f"return {{{seen}}}") == [b"0.33333333333333", 0, 0, 1]


def test_chance_is_the_entrys() -> None:
    """The same on every replica, another in every entry and for every script in it."""
    script = "return {tostring(math.random()), math.random(1000000000)}"
    found = []
    for _ in range(2):
        local = Local()
        for entry in (1, 2):
            local.keyspace.entry = entry
            found += [tuple(run(local, script)), tuple(run(local, script))]
    assert found[:4] == found[4:]
    assert len(set(found)) == 4
    local = Local()
    seeded = "math.randomseed(7) return tostring(math.random())"
    assert run(local, seeded) == run(local, seeded)


def test_a_run_that_is_begun_again_has_the_same_chance(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "WARM_BYTES", 8 << 20)
    monkeypatch.setattr(scripting, "_interpreter", interpreter.Interpreter("7.2.4"))
    script = (
        "local a = math.random(1000000000) redis.call('set', 'a', a) "
        "local s = string.rep('x', 9000000) redis.call('set', 'b', math.random(1000000000)) return a"
    )
    assert str(run(local, script)).encode() == local.do("GET a")


def test_a_set_is_sorted_for_a_script(local: Local) -> None:
    local.do("SADD s aa b a azz c")
    script = "return redis.call('sort', KEYS[1], 'by', '_')"
    assert run(local, script, "s", keys=1) == [b"a", b"aa", b"azz", b"b", b"c"]


def test_a_script_does_not_wait(local: Local) -> None:
    assert run(local, "return redis.pcall('wait', '1', '0')") == 0
    assert "timeout is negative" in str(run(local, "return redis.pcall('wait', '1', '-1')"))
    assert "not an integer" in str(run(local, "return redis.pcall('wait', 'x', '1')"))


def test_a_script_publishes_on_every_replica_and_learns_nothing_of_it(local: Local) -> None:
    heard: list[tuple[bool, bytes, bytes]] = []
    local.keyspace.messenger = heard.extend
    script = "return {redis.call('publish', 'c', 'm'), redis.call('spublish', 's', 5)}"
    assert run(local, script) == [0, 0]
    assert heard == [(False, b"c", b"m"), (True, b"s", b"5")]
    assert "Write commands are not allowed" in str(local.reply([b"EVAL_RO", script.encode(), b"0"]))


def test_keys_of_a_call() -> None:
    for name in (b"EVAL", b"EVALSHA", b"EVAL_RO", b"EVALSHA_RO"):
        args = [name, b"x", b"2", b"a", b"b", b"c"]
        assert find(args).key_args(args) == [b"a", b"b"]


def test_many_arguments_and_large_ones(local: Local) -> None:
    words = [b"%d" % n for n in range(20_000)]
    assert local.reply([b"EVAL", b"return {#KEYS, #ARGV, KEYS[10000], ARGV[10000]}", b"10000", *words]) == [
        10_000, 10_000, b"9999", b"19999",
    ]  # fmt: skip
    big = b"x" * 5_000_000
    script = "redis.call('set', KEYS[1], ARGV[1]) return #redis.call('get', KEYS[1])"
    assert run(local, script, "a", big, keys=1) == len(big)
    script = "local t = {'rpush', 'l'} for i = 1, 7000 do t[#t + 1] = i end return redis.call(unpack(t))"
    assert run(local, script) == 7000
    assert run(local, "return #redis.call('lrange', 'l', 0, -1)") == 7000


def test_replies_of_commands_in_resp3(local: Local) -> None:
    script = """
        redis.setresp(3)
        redis.call('hset', 'h', 'f', 'v') redis.call('sadd', 's', 'm') redis.call('zadd', 'z', 2.5, 'm')
        return {
            redis.call('hgetall', 'h').map.f, redis.call('smembers', 's').set.m,
            redis.call('zscore', 'z', 'm').double * 2, redis.call('get', 'none') == nil,
            redis.call('mget', 'none', 'none')[1] == nil,
        }"""
    assert encode(run(local, script), 3) == b"*5\r\n$1\r\nv\r\n#t\r\n:5\r\n#t\r\n#t\r\n"


def test_nested_replies_end_somewhere(local: Local) -> None:
    reply = run(local, "local a = {} a[1] = a return a")
    depth = 0
    while isinstance(reply, list):
        (reply,) = reply
        depth += 1
    assert depth == 100
    assert str(reply) == "ERR reached lua stack limit"


def test_a_status_of_a_command_is_a_table(local: Local) -> None:
    assert run(local, "return redis.call('set', 'a', 1)['ok']") == b"OK"
    reply = run(local, "return redis.call('type', 'a')")
    assert isinstance(reply, Status)
    assert reply.text == b"string"
