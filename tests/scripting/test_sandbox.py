"""Ways out of the sandbox, and ways to make one replica differ from another: none may lead anywhere."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ironkv.errors import CommandError
from ironkv.resp.replies import Reply
from ironkv.scripting.interpreter import Interpreter


class Echo:
    """Commands that answer with their arguments, and count themselves."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, args: list[bytes]) -> tuple[Reply, int]:
        self.calls += 1
        if args[0] == b"fail":
            raise CommandError("ERR failed")
        if args[0] == b"crash":
            raise ZeroDivisionError
        if args[0] == b"map":
            return {b"%d" % n: n for n in range(5_000)}, 1
        if args[0] == b"count":
            return self.calls, 1
        return list(args), 1

    def chance(self) -> int:
        return 4

    def may(self, args: list[bytes]) -> bool | None:
        return True if args[0] == b"get" else None


interpreter = Interpreter("7.2.4")


def run(script: str, *argv: bytes, calls: Echo | None = None) -> Reply:
    source = script.encode()
    sha = hashlib.sha1(source).hexdigest().encode()
    return interpreter.run(sha, source, [], list(argv), calls or Echo())


REACHABLE = """
    local seen, found = {}, {}
    local function look(value, path)
        local kind = type(value)
        if kind == 'userdata' and value ~= cjson.null then found[#found + 1] = path .. ' is userdata' end
        if kind == 'thread' then found[#found + 1] = path .. ' is a thread' end
        if kind ~= 'table' or seen[tostring(value)] then return end
        seen[tostring(value)] = true
        for key, item in pairs(value) do
            look(key, path .. '.key')
            look(item, path .. '.' .. tostring(key))
        end
        local meta = getmetatable(value)
        if meta then look(meta, path .. ':meta') end
    end
    look(_G, '_G') look(getmetatable(''), 'string')
    for _, name in ipairs({'redis', 'string', 'cjson'}) do look(_G[name], name) end
    return found"""


def test_nothing_that_a_script_can_reach_is_an_object_of_python() -> None:
    assert run(REACHABLE) == []


@pytest.mark.parametrize(
    "name",
    [
        "os",
        "io",
        "package",
        "require",
        "module",
        "debug",
        "dofile",
        "loadfile",
        "print",
        "newproxy",
        "setfenv",
        "getfenv",
        "python",
    ],
)
def test_what_reaches_outside_is_not_there(name: str) -> None:
    reply = run(f"return {name}")
    assert isinstance(reply, CommandError)
    assert f"nonexistent global variable '{name}'" in str(reply)
    assert run(f"return tostring(rawget(_G, '{name}'))") == b"nil"


def test_functions_of_python_do_not_show_in_errors() -> None:
    """lupa's known holes begin with an object: of a function, of an exception (CVE-2024-34084)."""
    for script in (
        "local ok, e = pcall(redis.call, 'crash') return type(e)",
        "local ok, e = pcall(redis.call, {}) return type(e)",
        "local ok, e = pcall(redis.call, string.rep('x', 100), function() end) return type(e)",
        "local ok, e = pcall(redis.sha1hex, {}) return type(e)",
        "local ok, e = xpcall(function() redis.call('fail') end, type) return type(e)",
        "local ok, e = pcall(redis.log, 3, setmetatable({}, {__tostring = error})) return type(e)",
        "local ok, e = pcall(struct.pack, 'i8', 0/0) return type(e)",
        "local ok, e = pcall(struct.unpack, 'd', '') return type(e)",
        "local ok, e = pcall(cmsgpack.unpack, '\\203') return type(e)",
        "local ok, e = pcall(redis.call('x').__class__) return type(e)",
        "return type(redis.call)",
    ):
        try:
            assert run(script) in (b"string", b"function", b"nil")
        except ZeroDivisionError:
            assert "crash" in script


@pytest.mark.parametrize(
    "script",
    [
        "return redis.call.__globals__",
        "return redis.call['__class__']",
        "return getmetatable(redis.call)['__index']",
        "return redis.sha1hex.__self__",
        "return ('').__class__.x",
        "return cjson.null.__class__",
    ],
)
def test_attributes_of_python_are_not_there(script: str) -> None:
    assert isinstance(run(script), CommandError)


def test_what_guards_the_globals_can_be_looked_at() -> None:
    assert run("return type(getmetatable(_G).__index)") == b"function"
    assert run("return tostring(getmetatable(redis))") == b"nil"
    assert "nonexistent global variable 'x'" in str(run("return getmetatable(_G).__index({}, 'x')"))


def test_byte_code_is_not_loaded() -> None:
    assert run("return tostring(string.dump)") == b"nil"
    assert b"unexpected symbol" in run("local f, e = loadstring('\\27Lua\\81') return e")
    pieces = "local n = 0 local function piece() n = n + 1 return ({'\\27', 'Lua'})[n] end "
    assert b"unexpected symbol" in run(pieces + "local f, e = load(piece) return e")
    with pytest.raises(CommandError, match="unexpected symbol near 'char"):
        run("\x1bLua")


@pytest.mark.parametrize(
    "spoil",
    [
        "string.len = nil",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "rawset(string, 'x', 1)",
        "table.insert(_G, 1)",
        "table.sort(redis)",
        "setmetatable(string, {})",
        "setmetatable(_G, nil)",
        "getmetatable(_G).__index = {}",
        "rawset(getmetatable(_G), '__index', nil)",
        "getmetatable('').__index = {}",
        "getmetatable('').__index.x = 1",
        "getmetatable('').x = 1",
        "for k in pairs(string) do string[k] = nil end",
        "local g = loadstring('return _G')() g.x = 1",
        "coroutine.wrap(function() _G.x = 1 end)()",
        "cjson.null.x = 1",
        "cjson.new = nil",
    ],
)
def test_nothing_is_left_behind_for_the_next_script(spoil: str) -> None:
    assert isinstance(run(spoil), CommandError)
    seen = "rawget(_G, 'x') == nil, ('abc'):len(), rawget(string, 'x') == nil, #redis, ('a').x == nil"
    assert run(f"return {{{seen}}}") == [1, 3, 1, 0, 1]


# -- bounds


OVER = r"^ERR script (executed more than|used more than 512 MB)"

ENDLESS = [
    "while true do end",
    "pcall(function() while true do end end) return 1",
    "while true do pcall(error) end",
    "repeat local ok = pcall(function() while true do end end) until false",
    "xpcall(function() while true do end end, function() while true do end end) return 1",
    "local co = coroutine.wrap(function() while true do end end) pcall(co) return 1",
    "while true do coroutine.wrap(function() end)() end",
    "while true do pcall(redis.call, 'fail') end",
    "table.sort({1, 2, 3, 4, 5}, function() while true do end end)",
    "return (('x'):gsub('x', function() while true do end end))",
    "redis.setresp(3) for i = 1, 1e9 do redis.call('map') end",
    "redis.setresp(3) coroutine.wrap(function() while true do redis.call('map') end end)()",
    "return setmetatable({}, {__index = function() while true do end end}).x",
    "return string.find(string.rep('a', 30), string.rep('a?', 30) .. string.rep('a', 30))",
    "return string.match(string.rep('a', 40), string.rep('a*', 20) .. 'b')",
    "local s = string.rep('x', 1e6) for i = 1, 1e9 do s:upper() end",
    "local a = {} for i = 1, 60 do a = {a, a} end return a",
]


@pytest.mark.parametrize("script", ENDLESS)
def test_a_script_ends(script: str) -> None:
    with pytest.raises(CommandError, match=OVER):
        run(script)
    assert run("return 1") == 1


HUGE = [
    "local s = 'x' while true do s = s .. s end",
    "local t = {} while true do t[#t + 1] = {} end",
    "local t = {} while true do t[#t + 1] = redis.call('get', string.rep('x', 1e6) .. #t) end",
    "pcall(function() local s = 'x' while true do s = s .. s end end) return 1",
    "return string.rep('x', 1e9)",
    # Strings that Python makes, until memory is at an end: lupa would abort the process.
    "local t = {} for i = 1, 1e9 do t[i] = redis.sha1hex(i) end",
    "local t = {} for i = 1, 1e9 do t[i] = struct.pack('d', i) end",
    "local t = {} for i = 1, 1e9 do t[i] = cmsgpack.pack(i + 0.1) end",
    "local x, t = ('x'):rep(2^20), {} for i = 1, 252 do t[i] = x .. i end while t do redis.call('g', 1) end",
    "local s = string.rep('x', 1e7) local t = {} for i = 1, 1e9 do t[i] = s end return table.concat(t)",
]


@pytest.mark.parametrize("script", HUGE)
def test_a_script_that_needs_too_much_memory_ends(script: str) -> None:
    with pytest.raises(CommandError, match=OVER):
        run(script)
    assert run("return 1") == 1


def test_memory_ends_at_the_same_point_whatever_ran_before() -> None:
    """Decided in a fresh state; the commands that were carried out by then are not carried out again."""
    script = "local x, t = ('x'):rep(1e6), {} while true do t[#t + 1] = x .. redis.call('count') end"
    counts = []
    for before in ("return 1", "local t = {} for i = 1, 3e5 do t[i] = 'text' .. i end return #t"):
        run(before)
        calls = Echo()
        with pytest.raises(CommandError, match="512 MB"):
            run(script, calls=calls)
        counts.append(calls.calls)
    assert counts[0] == counts[1] > 100


def test_a_script_may_need_more_than_the_warm_state_has() -> None:
    calls = Echo()
    script = "local x, t = ('x'):rep(1e6), {} for i = 1, 350 do t[i] = x .. redis.call('count') end return #t"
    assert run(script, calls=calls) == 350
    assert calls.calls == 350


# -- nothing depends on addresses or on the process


def test_addresses_do_not_show() -> None:
    script = (
        "return {tostring({}), tostring(function() end), tostring(print ~= nil and 1 or {}), tostring(redis)}"
    )
    script = script.replace("print ~= nil and 1 or ", "")
    assert run(script) == run(script)


def test_a_table_with_keys_that_have_no_order_is_not_walked() -> None:
    for walk in ("for k in pairs(t) do end", "next(t)", "table.foreach(t, error)", "cmsgpack.pack(t)"):
        reply = run(f"local t = {{a = 1}} t[{{}}] = 1 {walk}")
        assert "have no order that all replicas share" in str(reply)
    assert run("local seen, t = {}, {} seen[t] = true return seen[t]") == 1


SCRIPT_LOG = """
import hashlib, sys
from ironkv.machine import Machine
from ironkv.commands.table import find

scripts = [
    b"for i = 1, 20 do redis.call('sadd', 's', math.random(1000)) end return redis.call('spop', 's', 3)",
    b"redis.call('hset', 'h', 'r', redis.call('srandmember', 's'), 'k', tostring(redis.call('randomkey')))",
    b"local t = {} for k, v in pairs({q=1, w=2, e=3, r=4, t=5}) do redis.call('rpush', 'l', k .. v) end",
    b"redis.call('set', 'json', cjson.encode({z=1, y={1, 2}, x='s', w=tostring({})}))",
    b"redis.call('set', 'time', redis.call('time')[2], 'PX', 5000)",
    b"redis.call('zadd', 'z', math.random(), 'm') while true do redis.call('incr', 'n') end",
    b"local x, t = ('x'):rep(1e6), {} while true do t[#t + 1] = x .. redis.call('incr', 'm') end",
    b"redis.call('hset', 'h', 'f', redis.call('hrandfield', 'h'))",
    b"redis.call('set', 'pack', cmsgpack.pack({a=1, b={c=2}, 1, 2.5}))",
]
if sys.argv[1] == "warm":
    other = Machine()
    before = b"local t = {} for i = 1, 9e4 do t[i] = 'text' .. i end return #t"
    other.run(1, 5, [[b"EVAL", before, b"0"]], None)
machine = Machine()
for index, script in enumerate(scripts + scripts[:4], 1):
    machine.run(index, 1_700_000_000_000 + index, [[b"EVAL", script, b"0"]], None)
database = machine.keyspace.database(0)
contents = [
    (slot, key, value if isinstance(value, bytes) else list(value.pieces(10**9)), database.deadline(key))
    for slot, values in enumerate(database.values) for key, value in values.items()
]
print(hashlib.sha1(repr((contents, list(machine.keyspace.scripts))).encode()).hexdigest(), len(contents))
"""


def test_two_processes_come_to_the_same_keyspace() -> None:
    def process(seed: str, before: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT_LOG, before],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    first, second = process("1", "cold"), process("2", "warm")
    assert first == second
    assert int(first.split()[1]) == 9
