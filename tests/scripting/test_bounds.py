"""No script takes long without being stopped, whatever it does: what works in C is counted by its size.

The scripts have a fiftieth of their usual budget, so that each ends within moments. Without their charges
many of these took minutes, and some hours.
"""

from __future__ import annotations

import hashlib
import time

import pytest
from lupa import lua51

from ironkv.errors import CommandError
from ironkv.resp.replies import Reply
from ironkv.scripting import interpreter as module
from ironkv.scripting.interpreter import Interpreter
from tests.scripting.test_sandbox import Echo

A_FIFTIETH = module.STEPS // 50
LONG_S = 2.0
"""Of processor time, generously; they take a tenth of it."""

MANY = "local t = {} for i = 1, 7000 do t[i] = i end local function g() end "
TEXTS = "local a, b = ('a'):rep(1e5) .. 'a', ('a'):rep(1e5) .. 'b' "

LONG = {
    "join long texts": "local x = ('a'):rep(1e5) while true do local s = x .. 'b' end",
    "join numbers": "local i = 0 while true do i = i + 1 local s = i .. '' end",
    "join many numbers": "local i = 0.1 while true do local s = " + " .. ".join(["i"] * 60) + " end",
    "join behind loadstring": "loadstring([[local x = ('a'):rep(1e5) while true do x = 'b' .. x end]])()",
    "compare long texts": TEXTS + "while true do local c = a < b end",
    "compare long texts to branch": TEXTS + "while true do if not (b <= a) then end end",
    "more and more arguments": "local function f(...) return f(1, ...) end f()",
    "arguments handed on": MANY + "local function f(...) return f(...) end f(unpack(t))",
    "arguments looked at": MANY + "local function f(...) while true do select('#', ...) end end f(unpack(t))",
    "unpack": MANY + "while true do g(unpack(t)) end",
    "string.byte": "local s = ('a'):rep(7000) local function g() end while true do g(s:byte(1, -1)) end",
    "values returned and returned": MANY
    + "local f = {} f.h = function(k) if k == 0 then return unpack(t) end return f.h(k - 1) end "
    + "while true do g(f.h(100)) end",
    "values through pcall": MANY
    + "local function h(k) if k == 0 then return unpack(t) end return pcall(h, k - 1) end "
    + "while true do h(90) end",
    "values through coroutines": MANY
    + "local co = coroutine.wrap(function(...) while true do coroutine.yield(...) end end) "
    + "while true do co(unpack(t)) end",
    "tonumber": "local s = ('1'):rep(1e5) while true do local n = tonumber(s) end",
    "tostring": "local i = 0.1 while true do i = i + 1 local s = tostring(i) end",
    "format": "while true do local s = string.format('%99.99f', 1e308) end",
    "concat numbers": "local t = {} for i = 1, 1e3 do t[i] = i / 7 end while true do table.concat(t) end",
    "sort": "local t = {} for i = 1, 20 do t[i] = ('a'):rep(1e5) .. i end while true do table.sort(t) end",
    "maxn": "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.maxn(t) end",
    "foreachi": "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.foreachi(t, type) end",
    "log": "while true do redis.log(redis.LOG_DEBUG, 'x') end",
    "rep": "while true do local s = ('a'):rep(5e4) end",
    "find": "local s, p = ('a'):rep(1e4), ('a'):rep(5e3) .. 'b' while true do s:find(p, 1, true) end",
    "backtrack": "local s = ('a'):rep(3e4) while true do s:find('a-a-a-a-b') end",
    "compile": "local s = ('x = 1 '):rep(1000) while true do loadstring('local x ' .. s) end",
    "cjson": "local t = {} for i = 1, 1e3 do t[i] = i / 7 end while true do cjson.encode(t) end",
    "cmsgpack": "local t = {} for i = 1, 1e3 do t[i] = 'x' end "
    "while true do cmsgpack.unpack(cmsgpack.pack(t)) end",
}


def run(interpreter: Interpreter, script: str) -> Reply:
    source = script.encode()
    return interpreter.run(hashlib.sha1(source).hexdigest().encode(), source, [], [], Echo())


@pytest.fixture(scope="module")
def hurried() -> Interpreter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "STEPS", A_FIFTIETH)
        interpreter = Interpreter("7.2.4")
        assert run(interpreter, "return 1") == 1
    return interpreter


@pytest.mark.parametrize("name", LONG)
def test_a_script_that_takes_long_is_stopped(hurried: Interpreter, name: str) -> None:
    began = time.process_time()
    with pytest.raises(CommandError, match="script executed more than"):
        run(hurried, LONG[name])
    assert time.process_time() - began < LONG_S


PLAIN = """
local out = {}
local function add(...) for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end end
local makers = {}
for i = 1, 5 do
  local x = i * 10
  makers[i] = function(...) x = x + 1 local y = x return function(s, ...) return s .. x .. y .. i, ... end end
  if i == 3 then break end
end
for _, make in ipairs(makers) do add(make()("s", 1, nil, "z")) end
local n = 0
while n < 10 do n = n + 1 if n >= 4 and n <= 6 then add(n .. '') elseif n > 8 then break end end
repeat local z = n n = n - 1 until z <= 2
local a, b, c = 'x', 'y', 3
add(a < b, a <= b, a > b, a >= b, c < 4, 4 <= c, not (a < b), a < b and c or n, (a > b) == false)
local function count(k) if k > 0 then return count(k - 1) end return 'end' end
add(count(100000))
local object = {v = 1} function object:m(...) self.v = self.v + select('#', ...) return self.v end
add(object:m(1, 2, 3), object:m())
add(pcall(function(...) error(..., 0) end, 'e', 2))
local t = {1, 2, 3, (function(...) return ... end)(4, 5, 6)}
add(#t, table.concat(t, ','), unpack(t, 2, 4))
local meta = setmetatable({}, {
  __concat = function(p, q) return 'joined' end,
  __lt = function(p, q) return true end,
  __le = function(p, q) return false end,
})
add(meta .. 1, 'x' .. meta, meta < meta, meta <= meta, 'a' .. 'b' .. meta)
local co = coroutine.wrap(function(...)
  local got = {...} while true do got = {coroutine.yield(unpack(got))} end
end)
add(co(1, 2)) add(co('q'))
add(loadstring('local p, q = ... return q .. p, p < q')('m', 'n'))
add(loadstring('local t = {' .. ('7, '):rep(30000) .. '} return #t, t[29999]')())
for k, v in pairs({only = 'one'}) do add(k .. '=' .. v) end
return table.concat(out, ' ')
"""


def test_what_is_put_into_scripts_does_not_change_what_they_do() -> None:
    """The same in a Lua without a sandbox."""
    expected = lua51.LuaRuntime(encoding=None).execute(PLAIN.encode())
    assert run(Interpreter("7.2.4"), PLAIN) == expected


def test_a_function_without_room_for_the_calls_is_refused() -> None:
    script = "local " + ", ".join(f"a{i}" for i in range(199)) + " local t = {" + "f(), " * 48 + "} return 1"
    with pytest.raises(CommandError, match="too many registers"):
        run(Interpreter("7.2.4"), script)
    assert run(Interpreter("7.2.4"), "return (select(2, loadstring([[" + script + "]])))") is not None
