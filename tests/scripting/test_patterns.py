"""The matcher written in Lua against the one in C: random patterns on texts long enough for it to be used."""

from __future__ import annotations

import random

from lupa import lua51

from ironkv.scripting.interpreter import Interpreter
from tests.scripting.test_sandbox import Echo

ITEMS = [
    "a", "b", ".", "%a", "%d", "%s", "[ab]", "[^a]", "[a-c]", "[%d_]", "%1", "%b()", "%f[%a]", "()", "(", ")",
    "%", "%%", "%.", "x", "-", "[]]", "[^]a]", "[a-]", "[%a-z]", "]", "%W", "$", "^", "[", "%f", "%b", "%bx",
    "(a)",
]  # fmt: skip
REPEATS_MOST = 2
"""More could take the matcher in C too long."""

SCRIPT = r"""
local text, pattern, init, replacement = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local function shown(ok, ...)
    local words = {tostring(ok)}
    for i = 1, select('#', ...) do words[#words + 1] = tostring((select(i, ...))) end
    -- without the place of an error
    return (table.concat(words, '|'):gsub('^false|[^|]-:%d+: ', 'false|'))
end
local function all()
    local found = {}
    for a, b in string.gmatch(text, pattern) do found[#found + 1] = tostring(a) .. ',' .. tostring(b) end
    return table.concat(found, ';')
end
return table.concat({
    shown(pcall(function() return string.find(text, pattern, init) end)),
    shown(pcall(function() return string.match(text, pattern, init) end)),
    shown(pcall(function() return string.gsub(text, pattern, replacement) end)),
    shown(pcall(function() return string.gsub(text, pattern, replacement, 2) end)),
    shown(pcall(function() return string.gsub(text, pattern, function(a, b) return (b or a) .. '!' end) end)),
    shown(pcall(function() return string.gsub(text, pattern, {a = 'X', b = false}) end)),
    shown(pcall(all)),
}, '\n')"""


def test_patterns_match_as_in_c() -> None:
    lua = lua51.LuaRuntime(encoding=None)
    by_c = lua.eval(b"function(ARGV) " + SCRIPT.encode() + b" end")
    ours = Interpreter("7.2.4")
    chance = random.Random(7)
    for _ in range(1_500):
        repeats = [chance.choice("*+-?") for _ in range(chance.randint(1, REPEATS_MOST))]
        words = [chance.choice(ITEMS) + sign for sign in repeats]
        words += [chance.choice(ITEMS) for _ in range(chance.randint(0, 3))]
        chance.shuffle(words)
        pattern = chance.choice(["", "", "^"]) + "".join(words) + chance.choice(["", "", "$"])
        text = "".join(chance.choice("aabbc d1_(). x]%") for _ in range(chance.randint(40, 60)))
        init = chance.choice([1, 1, 2, -2, 20, -20, 0, 500])
        argv = [
            text.encode(),
            pattern.encode(),
            b"%d" % init,
            chance.choice([b"<%0>", b"%1", b"r", b"%%", b""]),
        ]
        expected = by_c(lua.table_from(argv))
        assert ours.run(b"patterns", SCRIPT.encode(), [], argv, Echo()) == expected, (text, pattern, init)
