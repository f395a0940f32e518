-- The world of a script: what it finds as globals, and how it is run.
--
-- Whatever a script gets hold of is made here, of plain Lua values; Python functions stay in upvalues.
-- Three things must be the same on every replica, whatever ran before and wherever it runs:
--   * how much a script may do: `budget`, counted in VM instructions and by the functions that work in C
--   * what it sees: no addresses, no clock, no order of keys that depends on an address
--   * what it leaves behind: nothing; shared tables are read-only
-- No garbage is collected while a script runs, see docs/decisions on scripts.

local host, allowance, step, most_kb = ...
local files = { select(5, ...) }

local assert, error, getmetatable, ipairs, loadstring, next, pcall, rawequal, rawget, rawset, select,
  setfenv, setmetatable, tonumber, tostring, type, unpack, xpcall =
  assert, error, getmetatable, ipairs, loadstring, next, pcall, rawequal, rawget, rawset, select,
  setfenv, setmetatable, tonumber, tostring, type, unpack, xpcall
local string, table, math, coroutine = string, table, math, coroutine
local byte, find, floor, format, gsub, sub = string.byte, string.find, math.floor, string.format, string.gsub, string.sub
local sethook, getinfo, setupvalue, collect = debug.sethook, debug.getinfo, debug.setupvalue, collectgarbage
local OURS = { [getinfo(1, "S").source] = true } -- chunks whose lines are no script's business
local OUT_OF_MEMORY = "not enough memory"
local STOP = "script stopped"

-- -- what one run has of its own

local CROSSING = 200
local budget = 0
local stopped -- why the run must end; nothing in the script can catch that
local resp = 2 -- as redis.setresp has it
local names, named = {}, 0 -- numbers in place of addresses, for tostring
local walks = {} -- table -> the keys of its last walk by `next`

local function stop(why)
  stopped = stopped or why
  error(STOP, 0)
end

local function spend(amount)
  budget = budget - amount
  if budget < 0 then stop("budget") end
end

local function tick()
  budget = budget - step
  if budget < 0 then stop("budget") end
end

-- What Lua's own instructions cost beside their step: see bytecode.py, which has compiled scripts call these.
-- A number takes as long to be written, or a long text to be read as one, as some hundred instructions.

local NUMBER, RETURNED = 64, 256
local BLOCK, BYTE = 1 / 32, 1 -- what is copied as a whole, and what byte by byte

local function joined(result) -- nil: what is returned here was returned to here, and there may be much of it
  local cost = result == nil and RETURNED or NUMBER
  if type(result) == "string" and #result > 1024 then cost = cost + floor(#result * BLOCK) end
  spend(cost)
end

local function compared(a, b)
  if type(a) == "string" and type(b) == "string" and #a > 1024 and #b > 1024 then
    spend(floor((#a < #b and #a or #b) * BLOCK))
  end
end

local MANY = 32 -- values from which on it counts how many are handed on

local function passed(...)
  local count = select("#", ...)
  if count > MANY then spend(count) end
end

local charges = { joined, compared, passed } -- in the order that bytecode.py has

-- Before Python is called. It must have room for an answer of a few bytes: it cannot report that there is none,
-- see interpreter.py. The call itself takes as long as some hundred instructions.
local function room()
  spend(CROSSING)
  if collect("count") > most_kb then stop(OUT_OF_MEMORY) end
end

local function asking(f)
  return function(...)
    room()
    return f(...)
  end
end

-- -- refusing

-- As luaL_argerror for one of the arguments `...`, in the name of the library's function that was called
-- `level` levels above this.
local function bad(level, place, name, expected, ...)
  local found = ""
  if expected ~= "value" then
    found = ", got " .. (place > select("#", ...) and "no value" or type((select(place, ...))))
  end
  error(format("bad argument #%d to '%s' (%s expected%s)", place, name, expected, found), level + 2)
end

-- Raise what a function of C complained of, with the script's line and not ours.
local function blame(name, message, level)
  if stopped then error(STOP, 0) end
  if message == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  if find(message, "^attempt to") or find(message, "^table index") then error(message, 0) end
  error((gsub(message, "'%?'", "'" .. name .. "'", 1)), level + 1)
end

-- Values that a function of C hands back, paid for by their number.
local function paid_values(name, ok, ...)
  if not ok then blame(name, (...), 3) end
  passed(...)
  return ...
end

-- Call what refused its arguments again, for its complaint.
local function complain(name, f, ...)
  local ok, message = pcall(f, ...)
  assert(not ok)
  blame(name, message, 3)
end

-- -- tables that nobody may change

local READONLY = "Attempt to modify a readonly table"
local behind = {} -- what a script holds -> the table itself

local function protected(real)
  local shown = {}
  behind[shown] = real
  return setmetatable(shown, {
    __index = real,
    __newindex = function() error(READONLY, 2) end,
  })
end

local globals = {}
local G = protected(globals)
setmetatable(globals, {
  __index = function(_, name)
    local kind = type(name)
    if kind ~= "string" and kind ~= "number" then
      error("Second argument to luaProtectedTableError must be a string or number", 2)
    end
    error("Script attempted to access nonexistent global variable '" .. name .. "'", 2)
  end,
})

local strings_meta -- what getmetatable shows of a string's
local globals_meta = protected(getmetatable(globals)) -- and of _G's

function globals.getmetatable(...)
  if select("#", ...) == 0 then bad(1, 1, "getmetatable", "value") end
  local value = ...
  if type(value) == "string" then return strings_meta end
  if rawequal(value, G) then return globals_meta end
  if behind[value] then return nil end
  return getmetatable(value)
end

function globals.setmetatable(...)
  local t, meta = ...
  if behind[t] then error(READONLY, 0) end
  if type(t) ~= "table" or (meta ~= nil and type(meta) ~= "table") or select("#", ...) < 2
    or getmetatable(t) ~= nil then
    local ok = pcall(setmetatable, ...)
    if not ok then complain("setmetatable", setmetatable, ...) end
    return t
  end
  return setmetatable(t, meta)
end

function globals.rawset(...)
  if behind[...] then error(READONLY, 0) end
  local ok, result = pcall(rawset, ...)
  if not ok then complain("rawset", rawset, ...) end
  return result
end

function globals.rawget(...)
  local t, key = ...
  if type(t) ~= "table" or select("#", ...) < 2 then complain("rawget", rawget, ...) end
  return rawget(behind[t] or t, key)
end

-- -- the order of keys
--
-- Where a table, a function or a coroutine stands among a table's keys depends on its address, and so may
-- the places of all the others. Such a table cannot be walked. Every walk begins with a look at all keys.

local function keys_of(t)
  local keys, n = {}, 0
  for key in next, t do
    local kind = type(key)
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      error("keys that are neither strings, numbers nor booleans have no order that all replicas share", 0)
    end
    n = n + 1
    keys[n] = key
  end
  return keys
end

local function pairs_of(t)
  local real = behind[t] or t
  local keys, place = keys_of(real), 0
  return function()
    while true do
      place = place + 1
      local key = keys[place]
      if key == nil then return nil end
      local value = rawget(real, key)
      if value ~= nil then return key, value end
    end
  end, t, nil
end

function globals.pairs(...)
  local t = ...
  if type(t) ~= "table" then bad(1, 1, "pairs", "table", ...) end
  return pairs_of(t)
end

function globals.next(...)
  local t, key = ...
  if type(t) ~= "table" then bad(1, 1, "next", "table", ...) end
  local real = behind[t] or t
  local walk = walks[t]
  if key == nil then
    if next(real) == nil then return nil end
    walk = { keys = keys_of(real), place = 0 }
    walks[t] = walk
  elseif not walk or not rawequal(walk.keys[walk.place], key) then
    walk = { keys = keys_of(real), place = 0 }
    repeat
      walk.place = walk.place + 1
      if walk.keys[walk.place] == nil then error("invalid key to 'next'", 0) end
    until rawequal(walk.keys[walk.place], key)
    walks[t] = walk
  end
  while true do
    walk.place = walk.place + 1
    local found = walk.keys[walk.place]
    if found == nil then return nil end
    local value = rawget(real, found)
    if value ~= nil then return found, value end
  end
end

-- -- texts without addresses

local null = newproxy(false) -- cjson.null

local function text_of(value)
  local kind = type(value)
  if kind == "string" then return value end
  if kind == "number" or kind == "nil" or kind == "boolean" then return tostring(value) end
  if rawequal(value, null) then return "userdata: (nil)" end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring ~= nil then return tostring(value) end
  if not names[value] then
    named = named + 1
    names[value] = named
  end
  return format("%s: 0x%012x", kind, names[value] * 64)
end

function globals.tostring(...)
  if select("#", ...) == 0 then bad(1, 1, "tostring", "value") end
  if type((...)) == "number" then spend(NUMBER) end
  return text_of((...))
end

function globals.tonumber(...)
  local given, value = select("#", ...), ...
  if given == 1 then
    if type(value) == "string" and #value > NUMBER then spend(#value) end
    return tonumber(value)
  end
  if given == 0 then bad(1, 1, "tonumber", "value") end
  if type(value) == "string" then spend(#value) end
  local ok, result = pcall(tonumber, ...)
  if not ok then complain("tonumber", tonumber, ...) end
  return result
end

function globals.unpack(...)
  return paid_values("unpack", pcall(unpack, ...))
end

-- -- errors: those that a script may catch, and those that it may not

local function outcome(ok, problem, ...)
  if ok then
    passed(...)
    return true, problem, ...
  end
  if stopped then error(STOP, 0) end
  if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  if type(problem) == "table" then
    local text = problem.err
    if type(text) == "string" or type(text) == "number" then return false, text end
    return false, problem, text
  end
  return false, problem
end

function globals.pcall(...)
  if select("#", ...) == 0 then bad(1, 1, "pcall", "value") end
  return outcome(pcall(...))
end

local function plain_outcome(ok, problem, ...)
  if not ok then
    if stopped then error(STOP, 0) end
    if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  end
  passed(...)
  return ok, problem, ...
end

function globals.xpcall(...)
  if select("#", ...) < 2 then bad(1, 2, "xpcall", "value") end
  local f, handler = ...
  return plain_outcome(xpcall(f, function(problem)
    if stopped then return problem end -- hooks are off now: the script's handler could go on for ever
    return handler(problem)
  end))
end

local threads = {} -- a coroutine's name for scripts is the coroutine itself; each has its own hook

local function new_thread(name, f)
  if type(f) ~= "function" or getinfo(f, "S").what == "C" then
    error("bad argument #1 to '" .. name .. "' (Lua function expected)", 3)
  end
  spend(step)
  local thread = coroutine.create(f)
  sethook(thread, tick, "", step)
  return thread
end

function threads.create(f)
  local thread = new_thread("create", f)
  return thread
end

threads.status, threads.running, threads.yield = coroutine.status, coroutine.running, coroutine.yield

function threads.resume(...)
  if type((...)) ~= "thread" then complain("resume", coroutine.resume, ...) end
  return plain_outcome(coroutine.resume(...))
end

local function unwrapped(ok, problem, ...)
  if ok then
    passed(...)
    return problem, ...
  end
  if stopped then error(STOP, 0) end
  if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  error(problem, type(problem) == "string" and 3 or 0)
end

function threads.wrap(f)
  local thread = new_thread("wrap", f)
  return function(...) return unwrapped(coroutine.resume(thread, ...)) end
end

-- -- source code given as text; never as byte code, which could do anything

-- A compiled script with its calls of `charges` in it; nil and why not.
local function charged(f)
  local code = host.charged(string.dump(f))
  if not code then return nil, "function or expression uses too many registers" end
  f = loadstring(code)
  for i = 1, #charges do setupvalue(f, i, charges[i]) end
  return setfenv(f, G)
end

local COMPILING = 64 -- what a byte of source costs at most to be compiled and changed
local GROWTH = 64 -- bytes that it may take meanwhile

local function compiled(text, name)
  if byte(text) == 27 then
    local _, problem = loadstring("\1" .. sub(text, 2), name)
    return nil, (gsub(gsub(problem, "\1", "\27"), "char%(1%)", "char(27)"))
  end
  spend(#text * COMPILING)
  room()
  if collect("count") + #text * GROWTH / 1024 > most_kb then stop(OUT_OF_MEMORY) end
  local f, problem = loadstring(text, name)
  if f then
    f, problem = charged(f)
    if f then return f end
    return nil, text_of(name or text) .. ": " .. problem
  end
  if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  return nil, problem
end

function globals.loadstring(...)
  local text, name = ...
  if type(text) == "number" then text = tostring(text) end
  if type(text) ~= "string" or (name ~= nil and type(name) ~= "string") then
    complain("loadstring", loadstring, ...)
  end
  return compiled(text, name)
end

function globals.load(...)
  local f, name = ...
  if type(f) ~= "function" then bad(1, 1, "load", "function", ...) end
  local pieces = {}
  while true do
    local piece = f()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" and type(piece) ~= "number" then
      return nil, "reader function must return a string"
    end
    pieces[#pieces + 1] = piece
  end
  return compiled(table.concat(pieces), name or "=(load)")
end

-- -- functions of C that may work long for one instruction

local lib = {}
for name, f in next, string do lib[name] = f end
lib.dump = nil
strings_meta = protected({ __index = protected(lib) })

-- What a function of C made, paid for by its size: a text that is there already takes time, but no memory.
local function paid(name, per_byte, ok, result)
  if not ok then blame(name, result, 3) end
  if name == "format" then spend(NUMBER + #result) end
  if #result > 1024 then spend(floor(#result * per_byte)) end
  return result
end

for name, per_byte in next, { format = BLOCK, lower = BYTE, reverse = BYTE, sub = BLOCK, upper = BYTE } do
  local f = string[name]
  lib[name] = function(...) return paid(name, per_byte, pcall(f, ...)) end
end

function lib.byte(...)
  return paid_values("byte", pcall(byte, ...))
end

function lib.rep(...)
  local text, times = ...
  if type(text) ~= "string" or type(times) ~= "number" then
    if not pcall(string.rep, ...) then complain("rep", string.rep, ...) end
    text, times = text .. "", tonumber(times)
  end
  if text == "" or times < 1 then return "" end
  spend(floor(times + #text * times * BLOCK))
  return string.rep(text, times)
end

local tables = {}
for name, f in next, table do tables[name] = f end

function tables.insert(t, ...)
  if behind[t] then error(READONLY, 0) end
  if type(t) ~= "table" then complain("insert", table.insert, t, ...) end
  local given = select("#", ...)
  if given == 1 then
    rawset(t, #t + 1, (...))
    return
  end
  local place = ...
  if given ~= 2 or type(place) ~= "number" then
    if pcall(table.insert, t, ...) then return end
    complain("insert", table.insert, t, ...)
  end
  local behind_it = #t - place
  if behind_it > 0 then spend(behind_it) end
  table.insert(t, ...)
end

function tables.remove(...)
  local t, place = ...
  if behind[t] then return nil end
  if type(t) ~= "table" or (place ~= nil and type(place) ~= "number") then
    local ok, result = pcall(table.remove, ...)
    if ok then return result end
    complain("remove", table.remove, ...)
  end
  if place then
    local behind_it = #t - place
    if behind_it > 0 then spend(behind_it) end
  end
  return table.remove(...)
end

-- How many bytes the long texts of a list have.
local function long_ones(t)
  local bytes = 0
  for i = 1, #t do
    local value = rawget(t, i)
    if type(value) == "string" and #value > 1024 then bytes = bytes + #value end
  end
  return bytes
end

function tables.sort(...)
  local t = ...
  if behind[t] then error(READONLY, 0) end
  if type(t) == "table" then spend(floor(#t * 16 + long_ones(t) * BLOCK * 16)) end
  local ok, problem = pcall(table.sort, ...)
  if ok then return end
  if stopped then error(STOP, 0) end
  if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
  if type(problem) == "string" then
    if find(problem, "^invalid order function") then error(problem, 2) end
    local named, times = gsub(problem, "^(bad argument #%d to )'%?'", "%1'sort'")
    if times > 0 then error(named, 2) end
  end
  error(problem, 0)
end

function tables.concat(...)
  local t = ...
  if type(t) == "table" then spend(#t * NUMBER) end
  return paid("concat", BLOCK, pcall(table.concat, ...))
end

function tables.foreach(...)
  local t, f = ...
  if type(t) ~= "table" then bad(1, 1, "foreach", "table", ...) end
  if type(f) ~= "function" then bad(1, 2, "foreach", "function", ...) end
  for key, value in pairs_of(t) do
    local result = f(key, value)
    if result ~= nil then return result end
  end
end

function tables.foreachi(...)
  local t, f = ...
  if type(t) ~= "table" then bad(1, 1, "foreachi", "table", ...) end
  if type(f) ~= "function" then bad(1, 2, "foreachi", "function", ...) end
  for i = 1, #t do
    local result = f(i, rawget(t, i))
    if result ~= nil then return result end
  end
end

function tables.maxn(...)
  local t = ...
  if type(t) ~= "table" then bad(1, 1, "maxn", "table", ...) end
  local most = 0
  for key in next, t do
    if type(key) == "number" and key > most then most = key end
  end
  return most
end

-- -- chance: drand48 as Redis has it, begun in every run with a number that is the same on every replica

local numbers = {}
for name, f in next, math do numbers[name] = f end
local high, low -- the state's 48 bits, by 24; nil until a run asks for chance

local function seed(number)
  local state = (number % 4294967296) * 65536 + 0x330E
  high, low = floor(state / 16777216), state % 16777216
end

local function fraction()
  if not high then
    room()
    seed(host.chance())
  end
  local product = low * 0xECE66D + 0xB -- 0x5DEECE66D is the factor; all of this stays below 2^53
  high = (high * 0xECE66D + low * 0x5DE + floor(product / 16777216)) % 16777216
  low = product % 16777216
  local bits = high * 128 + floor(low / 131072)
  return (bits % 2147483647) / 2147483647
end

local function integer(place, name, ...)
  local value = select(place, ...)
  local number = tonumber(value)
  if (type(value) ~= "number" and type(value) ~= "string") or not number then
    bad(2, place, name, "number", ...)
  end
  return number < 0 and -floor(-number) or floor(number)
end

function numbers.random(...)
  local share, given = fraction(), select("#", ...)
  if given == 0 then return share end
  if given > 2 then error("wrong number of arguments", 2) end
  local least, most = 1, integer(1, "random", ...)
  if given == 2 then
    least, most = most, integer(2, "random", ...)
  end
  if least > most then error(format("bad argument #%d to 'random' (interval is empty)", given), 2) end
  return floor(share * (most - least + 1)) + least
end

function numbers.randomseed(...)
  seed(integer(1, "randomseed", ...))
end

-- -- redis.*

local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = host.version, REDIS_VERSION_NUM = host.version_number,
}

-- An error as the script sees it, of `-CODE message`; without the dash the code is ERR.
local function failure(text)
  text = gsub(text, "%z.*", "")
  local code, message = "ERR", text
  if sub(text, 1, 1) == "-" then
    local blank = find(text, " ", 1, true)
    if blank then
      code, message = sub(text, 2, blank - 1), sub(text, blank + 1)
    else
      message = sub(text, 2)
    end
  end
  message = gsub(gsub(message, "^[\r\n]+", ""), "[\r\n]+$", "")
  return { err = code .. " " .. message }
end

local INLINE = 24 -- more arguments than these are handed over as one text

local function packed(args, given) -- too many for the border one by one
  local sizes = {}
  for i = 1, given do
    if type(args[i]) == "number" then args[i] = host.number(args[i]) end
    sizes[i] = #args[i]
  end
  return table.concat(sizes, " "), table.concat(args)
end

local function outside(...)
  room()
  local given = select("#", ...)
  if given == 0 then return failure("Please specify at least one argument for this redis lib call"), true end
  local args = { ... }
  for i = 1, given do
    local kind = type(args[i])
    if kind ~= "string" and kind ~= "number" then
      return failure("Lua redis lib command arguments must be strings or integers"), true
    end
  end
  if given <= INLINE then return host.call(resp, ...) end
  return host.call_many(resp, packed(args, given))
end

local ABORTED = 0.5 -- what no reply is: the run must end, the host knows why
local OK = 1.5 -- this neither: in place of a table that takes longer to make in Python

local function answered(reply, ours)
  if type(reply) == "table" then
    if ours then return reply, true end
    local text = rawget(reply, "err")
    if text then
      local problem = failure("-" .. text)
      problem.ignore_error_stats_update = true
      return problem, true
    end
  elseif reply == OK then
    return { ok = "OK" }, false
  elseif reply == ABORTED then
    stop("host")
  end
  return reply, false
end

function redis.call(...)
  local reply, failed = answered(outside(...))
  if failed then error(reply, 0) end
  return reply
end

function redis.pcall(...)
  return (answered(outside(...)))
end

function redis.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return failure("wrong number or type of arguments") end
  return failure(sub(text, 1, 1) == "-" and text or "-" .. text)
end

function redis.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return failure("wrong number or type of arguments") end
  return { ok = text }
end

local function raise(text) error(failure(text), 0) end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then raise("wrong number of arguments") end
  local value = ...
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then value = "" end
  spend(floor(#value / 8))
  room()
  return host.sha1(value)
end

local LOGGING = 10000 -- a line in the log, in instructions

function redis.log(...)
  local given = select("#", ...)
  if given < 2 then raise("redis.log() requires two arguments or more.") end
  local level = tonumber((...))
  if not level then raise("First argument must be a number (log level).") end
  level = floor(level)
  if level < 0 or level > 3 then raise("Invalid debug level.") end
  spend(LOGGING)
  room()
  local words = {}
  for i = 2, given do
    local word = select(i, ...)
    local kind = type(word)
    if kind == "string" or kind == "number" then words[#words + 1] = word end
  end
  host.log(level, table.concat(words, " "))
end

function redis.setresp(...)
  if select("#", ...) ~= 1 then raise("redis.setresp() requires one argument.") end
  local version = tonumber((...))
  version = version and floor(version)
  if version ~= 2 and version ~= 3 then raise("RESP version must be 2 or 3.") end
  resp = version
end

function redis.set_repl(...)
  if select("#", ...) ~= 1 then raise("redis.set_repl() requires one argument.") end
  local flags = floor(tonumber((...)) or 0)
  if flags < 0 or flags > 3 then
    raise("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
  end
end

function redis.acl_check_cmd(...)
  local given = select("#", ...)
  if given == 0 then raise("Please specify at least one argument for this redis lib call") end
  for i = 1, given do
    local kind = type((select(i, ...)))
    if kind ~= "string" and kind ~= "number" then
      raise("Lua redis lib command arguments must be strings or integers")
    end
  end
  room()
  local allowed = host.may(packed({ ... }, given))
  if allowed == nil then raise("Invalid command passed to redis.acl_check_cmd()") end
  return allowed
end

function redis.breakpoint() return false end

function redis.debug() end

function redis.replicate_commands() return true end

-- -- replies: what the script returned, as RESP3; see `replies.py` for who reads it

local DEPTH = 100 -- nested tables; Redis has room for about 2,000

local out, size
local function put(text)
  size = size + 1
  out[size] = text
end

local function whole(number)
  if number ~= number or number >= 2 ^ 63 or number < -2 ^ 63 then return "-9223372036854775808" end
  return format("%d", number)
end

local function is_text(value) return type(value) == "string" or type(value) == "number" end

local write

local function write_table(t, depth)
  if depth > DEPTH then return put("-ERR reached lua stack limit\r\n") end
  t = behind[t] or t
  local value = rawget(t, "err")
  if type(value) == "string" then return put("-" .. gsub(value, "[\r\n%z]", " ") .. "\r\n") end
  value = rawget(t, "ok")
  if type(value) == "string" then return put("+" .. gsub(gsub(value, "%z.*", ""), "[\r\n]", " ") .. "\r\n") end
  value = rawget(t, "double")
  if type(value) == "number" then return put("," .. format("%.17g", value) .. "\r\n") end
  value = rawget(t, "big_number")
  if type(value) == "string" then return put("(" .. gsub(value, "[\r\n]", " ") .. "\r\n") end
  value = rawget(t, "verbatim_string")
  if type(value) == "table" then
    local kind, text = rawget(value, "format"), rawget(value, "string")
    if type(kind) == "string" and type(text) == "string" then
      kind = sub(gsub(kind, "%z.*", "") .. "   ", 1, 3)
      return put("=" .. #text + 4 .. "\r\n" .. kind .. ":" .. text .. "\r\n")
    end
  end
  for name, sign in ipairs({ "map", "set" }) do
    value = rawget(t, sign)
    if type(value) == "table" then
      local real = behind[value] or value
      local keys = keys_of(real)
      put((name == 1 and "%" or "~") .. #keys .. "\r\n")
      for _, key in ipairs(keys) do
        write(key, depth)
        if name == 1 then write(rawget(real, key), depth) end
      end
      return
    end
  end
  local length = 0
  put("")
  local head = size
  while true do
    value = rawget(t, length + 1)
    if value == nil then break end
    length = length + 1
    write(value, depth)
  end
  out[head] = "*" .. length .. "\r\n"
end

function write(value, depth)
  local kind = type(value)
  if kind == "string" then
    put("$" .. #value .. "\r\n")
    put(value)
    put("\r\n")
  elseif kind == "number" then
    put(":" .. whole(value) .. "\r\n")
  elseif kind == "table" then
    write_table(value, depth + 1)
  elseif kind == "boolean" then
    put(resp == 3 and (value and "#t\r\n" or "#f\r\n") or (value and ":1\r\n" or "_\r\n"))
  else
    put("_\r\n")
  end
end

local WRITTEN, FAILED, STOPPED = 0, 1, 2

-- A string, a small integer or nil as it is; anything else written, and then the second result says so.
local function reply_of(result)
  local kind = type(result)
  if kind == "string" or kind == "nil" then return result end
  if kind == "number" and result == floor(result) and result < 2 ^ 53 and result > -2 ^ 53 then
    return result
  end
  out, size = {}, 0
  write(result, 0)
  return table.concat(out), WRITTEN
end

-- -- running

-- What Redis does of an error: a table with the place where it happened, as the script's author sees it.
local function on_error(problem)
  if stopped then return problem end
  if type(problem) ~= "table" then problem = { err = "ERR " .. text_of(problem) } end
  local level = 2
  local place = getinfo(level, "Sl")
  while place and (place.what == "C" or OURS[place.source] or place.what == "tail") do
    level = level + 1
    place = getinfo(level, "Sl")
  end
  if place and not behind[problem] then
    rawset(problem, "source", place.source)
    rawset(problem, "line", place.currentline)
  end
  return problem
end

local function failed(problem, name)
  if type(problem) ~= "table" then return "ERR " .. text_of(problem) end
  local text, source, line = rawget(problem, "err"), rawget(problem, "source"), rawget(problem, "line")
  text = is_text(text) and text or "ERR unknown error"
  if not (is_text(source) and is_text(line)) then return text end
  return text .. " script: " .. name .. ", on " .. source .. ":" .. line .. "."
end

local resets = {} -- functions that begin a library's state anew

local function run(f, name, keys, argv)
  globals.KEYS, globals.ARGV = keys, argv
  budget, stopped, resp, named = allowance, nil, 2, 0
  names, walks = {}, {}
  high, low = nil, nil
  for i = 1, #resets do resets[i]() end
  sethook(tick, "", step)
  local ok, value = xpcall(f, on_error)
  local kind
  if ok then ok, value, kind = pcall(reply_of, value) end
  sethook()
  out, names, walks = nil, nil, nil
  globals.KEYS, globals.ARGV = nil, nil
  if stopped then return stopped, STOPPED end
  if not ok then
    if value == OUT_OF_MEMORY then return value, STOPPED end
    return failed(value, name), FAILED
  end
  if kind then return value, kind end
  return value
end

-- As `run`, with few keys and arguments in a row.
local function run_short(f, name, count, ...)
  local given = select("#", ...)
  if count == 0 then return run(f, name, {}, { ... }) end
  if count == given then return run(f, name, { ... }, {}) end
  local keys = { ... }
  for i = given, count + 1, -1 do keys[i] = nil end
  return run(f, name, keys, { select(count + 1, ...) })
end

local function load_script(text)
  if byte(text) == 27 then return "user_script:1: unexpected symbol near 'char(27)'" end
  local f, problem = loadstring(text, "@user_script")
  if f then f, problem = charged(f) end
  return f or problem
end

-- -- what a script sees

for name, f in next, {
  assert = assert, error = error, ipairs = ipairs, rawequal = rawequal, select = select, type = type,
} do globals[name] = f end
globals._G, globals._VERSION = G, _VERSION
function globals.collectgarbage() return 0 end
function globals.gcinfo() return 0 end
globals.string = strings_meta.__index
globals.table = protected(tables)
globals.math = protected(numbers)
globals.coroutine = protected(threads)
globals.redis = protected(redis)

-- What the libraries need of this file. Each returns its functions, and what brings its settings back to
-- those it began with.
local tools = {
  bad = bad, behind = behind, null = null, spend = spend, complain = complain, blame = blame,
  float_bytes = asking(host.float_bytes), bytes_float = asking(host.bytes_float),
  integer_bytes = asking(host.integer_bytes), bytes_integer = asking(host.bytes_integer),
  reraise = function(problem, level)
    if stopped then error(STOP, 0) end
    if problem == OUT_OF_MEMORY then stop(OUT_OF_MEMORY) end
    error(problem, find(problem, "^table index") and 0 or level + 1)
  end,
}
for _, file in ipairs(files) do
  OURS[getinfo(file, "S").source] = true
  local name, library, begin = file(tools)
  if name == "string" then
    for of, f in next, library do lib[of] = f end
    library = nil
  end
  if library then globals[name] = protected(library) end
  resets[#resets + 1] = begin
end

getmetatable("").__index = lib
-- A table of keys and values put in one by one, as Redis does it: that decides the order in which it is walked.
local function keyed(count, keys, values)
  local t = {}
  for i = 1, count do t[keys[i]] = values[i] end
  return t
end

local function collect_garbage()
  collect("collect")
  collect("stop")
end
collect_garbage()
return run, run_short, load_script, collect_garbage, keyed
