-- find, match, gmatch and gsub that cannot run away.
--
-- Lua's own matcher backtracks in C, where nothing counts its steps: twenty repeats in a pattern can take it
-- years, and many more exhaust C's stack. It is used where the steps can only be few. Anything else is matched
-- here, by the same rules, in Lua, whose instructions are counted.

local tools = ...
local spend, complain = tools.spend, tools.complain
local byte, char, sub = string.byte, string.char, string.sub
local error, floor, pcall, select, setmetatable, tonumber, type, unpack =
  error, math.floor, pcall, select, setmetatable, tonumber, type, unpack
local raw = { find = string.find, match = string.match, gmatch = string.gmatch, gsub = string.gsub }
local concat, find = table.concat, string.find

local FEW = 4000 -- steps that may be left to C
local CAPTURES = 32
local UNCLOSED, POSITION = -1, -2

-- -- how many steps C could need

local function repeats(pattern)
  local _, count = raw.gsub(pattern, "[*+?-]", "")
  local _, special = raw.gsub(pattern, "%%[bf%d]", "")
  return count + special
end

-- A bound for the steps: each repeat may try every length, and an unanchored pattern every start.
local function steps(text, pattern)
  if not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]") then return (#text + 1) * (#pattern + 16) / 16 end
  local power = repeats(pattern)
  if power == 1 and find(pattern, "^%(?[^%(%)]-[*+-]%)?$") and not find(pattern, "^%^") then
    return #text + #pattern -- what comes last takes what there is, and need not give any of it back
  end
  if not find(pattern, "^%^") then power = power + 1 end
  return (#text + 1) ^ power * (#pattern + 1) / 4
end

local function is_quick(text, pattern)
  local most = steps(text, pattern)
  if most > FEW then return false end
  spend(floor(most / 16))
  return true
end

-- -- the matcher

local CLASSES = {} -- letter -> the set of bytes
for letter in raw.gmatch("acdlpsuwxz", ".") do
  local set, others = {}, {}
  for code = 0, 255 do
    local is_in = find(char(code), "%" .. letter) ~= nil
    set[code], others[code] = is_in, not is_in
  end
  CLASSES[letter], CLASSES[raw.gsub(letter, ".", string.upper)] = set, others
end

local matcher = {}
matcher.__index = matcher

-- Where the single item at `p` ends.
local function item_end(pattern, p)
  local first = sub(pattern, p, p)
  if first == "%" then
    if p == #pattern then error("malformed pattern (ends with '%')", 0) end
    return p + 2
  end
  if first ~= "[" then return p + 1 end
  local at = p + 1
  if sub(pattern, at, at) == "^" then at = at + 1 end
  repeat
    if at > #pattern then error("malformed pattern (missing ']')", 0) end
    local inner = sub(pattern, at, at)
    at = at + 1
    if inner == "%" and at <= #pattern then at = at + 1 end
  until sub(pattern, at, at) == "]"
  return at + 1
end

-- The bytes that the item from `p` to before `stop` stands for.
local function set_of(pattern, p, stop)
  local set, first = {}, sub(pattern, p, p)
  if first == "." then
    for code = 0, 255 do set[code] = true end
  elseif first == "%" then
    local letter = sub(pattern, p + 1, p + 1)
    if CLASSES[letter] then return CLASSES[letter] end
    set[byte(letter)] = true
  elseif first == "[" then
    local at, last, negated = p + 1, stop - 2, false
    if sub(pattern, at, at) == "^" then
      at, negated = at + 1, true
    end
    while at <= last do
      local inner = sub(pattern, at, at)
      if inner == "%" then
        local letter = sub(pattern, at + 1, at + 1)
        local class = CLASSES[letter]
        if class then
          for code = 0, 255 do set[code] = set[code] or class[code] end
        else
          set[byte(letter)] = true
        end
        at = at + 2
      elseif sub(pattern, at + 1, at + 1) == "-" and at + 2 <= last then
        for code = byte(inner), byte(pattern, at + 2) do set[code] = true end
        at = at + 3
      else
        set[byte(inner)] = true
        at = at + 1
      end
    end
    if negated then
      for code = 0, 255 do set[code] = not set[code] end
    end
  else
    set[byte(first)] = true
  end
  return set
end

function matcher:item(p)
  local item = self.items[p]
  if not item then
    local stop = item_end(self.pattern, p)
    item = { stop = stop, set = set_of(self.pattern, p, stop), sign = sub(self.pattern, stop, stop) }
    self.items[p] = item
  end
  return item
end

function matcher:balanced(s, p)
  if p + 3 > #self.pattern then error("unbalanced pattern", 0) end
  local open, close = byte(self.pattern, p + 2, p + 3)
  if byte(self.text, s) ~= open then return nil end
  local depth = 1
  for at = s + 1, #self.text do
    local code = byte(self.text, at)
    if code == close then
      depth = depth - 1
      if depth == 0 then return at + 1 end
    elseif code == open then
      depth = depth + 1
    end
  end
  return nil
end

function matcher:capture_again(s, p)
  local number = byte(self.pattern, p + 1) - 48
  if number < 1 or number > self.level or self.lengths[number] == UNCLOSED then
    error("invalid capture index", 0)
  end
  local length = self.lengths[number]
  if length == POSITION then return nil end -- in C a length beyond all texts
  local captured = sub(self.text, self.starts[number], self.starts[number] + length - 1)
  if length <= #self.text - s + 1 and sub(self.text, s, s + length - 1) == captured then return s + length end
  return nil
end

function matcher:open_capture(s, p, length)
  if self.level >= CAPTURES then error("too many captures", 0) end
  self.level = self.level + 1
  local level = self.level
  self.starts[level], self.lengths[level] = s, length
  local stop = self:from(s, p)
  if not stop then self.level = level - 1 end
  return stop
end

function matcher:close_capture(s, p)
  local level = self.level
  while level > 0 and self.lengths[level] ~= UNCLOSED do level = level - 1 end
  if level == 0 then error("invalid pattern capture", 0) end
  self.lengths[level] = s - self.starts[level]
  local stop = self:from(s, p)
  if not stop then self.lengths[level] = UNCLOSED end
  return stop
end

-- Where a match of the pattern from `p` on ends, if the text from `s` on has one.
function matcher:from(s, p)
  local text, pattern = self.text, self.pattern
  while true do
    if p > #pattern then return s end
    local first, second = sub(pattern, p, p), sub(pattern, p + 1, p + 1)
    if first == "(" then
      if second == ")" then return (self:open_capture(s, p + 2, POSITION)) end
      return (self:open_capture(s, p + 1, UNCLOSED))
    elseif first == ")" then
      return (self:close_capture(s, p + 1))
    elseif first == "$" and p == #pattern then
      return s == #text + 1 and s or nil
    elseif first == "%" and second == "b" then
      s = self:balanced(s, p)
      if not s then return nil end
      p = p + 4
    elseif first == "%" and second == "f" then
      p = p + 2
      if sub(pattern, p, p) ~= "[" then error("missing '[' after '%f' in pattern", 0) end
      local stop = item_end(pattern, p)
      local set = set_of(pattern, p, stop)
      if set[byte(text, s - 1) or 0] or not set[byte(text, s) or 0] then return nil end
      p = stop
    elseif first == "%" and find(second, "%d") then
      s = self:capture_again(s, p)
      if not s then return nil end
      p = p + 2
    else
      local item = self:item(p)
      local set, after, sign = item.set, item.stop, item.sign
      if sign == "?" then
        if s <= #text and set[byte(text, s)] then
          local stop = self:from(s + 1, after + 1)
          if stop then return stop end
        end
        p = after + 1
      elseif sign == "*" or sign == "+" then
        local last = s
        while last <= #text and set[byte(text, last)] do last = last + 1 end
        local least = sign == "+" and s + 1 or s
        while last >= least do
          local stop = self:from(last, after + 1)
          if stop then return stop end
          last = last - 1
        end
        return nil
      elseif sign == "-" then
        while true do
          local stop = self:from(s, after + 1)
          if stop then return stop end
          if not (s <= #text and set[byte(text, s)]) then return nil end
          s = s + 1
        end
      else
        if not (s <= #text and set[byte(text, s)]) then return nil end
        s, p = s + 1, after
      end
    end
  end
end

local function new_matcher(text, pattern)
  return setmetatable({ text = text, pattern = pattern, items = {}, level = 0, starts = {}, lengths = {} }, matcher)
end

function matcher:try(s, p)
  self.level = 0
  return self:from(s, p)
end

function matcher:captured(number, s, stop)
  if number > self.level then
    if number ~= 1 then error("invalid capture index", 0) end
    return sub(self.text, s, stop - 1)
  end
  local length = self.lengths[number]
  if length == UNCLOSED then error("unfinished capture", 0) end
  if length == POSITION then return self.starts[number] end
  return sub(self.text, self.starts[number], self.starts[number] + length - 1)
end

function matcher:captures(s, stop, whole)
  local found, count = {}, self.level
  if count == 0 and whole then count = 1 end
  for number = 1, count do found[number] = self:captured(number, s, stop) end
  return found, count
end

-- -- the functions

local function texts(...)
  local text, pattern = ...
  if type(text) == "number" then text = text .. "" end
  if type(pattern) == "number" then pattern = pattern .. "" end
  if type(text) ~= "string" or type(pattern) ~= "string" then return nil end
  return text, pattern
end

local function start_of(text, init)
  init = tonumber(init) or 1
  init = init < 0 and -floor(-init) or floor(init)
  if init < 0 then init = init + #text + 1 end
  if init < 1 then return 1 end
  return init > #text + 1 and #text + 1 or init
end

local function settled(name, ok, ...)
  if ok then return ... end
  tools.blame(name, (...), 4)
end

-- C's function of that name; what it complains of is the script's mistake.
local function by_c(name, ...)
  return settled(name, pcall(raw[name], ...))
end

-- Run trusted code that raises errors without a place; they get that of the script.
local function guarded(f, ...)
  local function finish(ok, ...)
    if ok then return ... end
    tools.reraise((...), 4)
  end
  return finish(pcall(f, ...))
end

local function searched(is_find, text, pattern, init)
  local anchored = sub(pattern, 1, 1) == "^"
  local p = anchored and 2 or 1
  local m, s = new_matcher(text, pattern), start_of(text, init)
  repeat
    local stop = m:try(s, p)
    if stop then
      local found, count = m:captures(s, stop, not is_find)
      if is_find then return s, stop - 1, unpack(found, 1, count) end
      return unpack(found, 1, count)
    end
    s = s + 1
  until anchored or s > #text + 1
  return nil
end

local patterns = {}

function patterns.find(...)
  local text, pattern = texts(...)
  if not text then complain("find", raw.find, ...) end
  local _, _, init, plain = ...
  if plain and init then
    spend(floor(#text * (#pattern + 16) / 1024))
    return raw.find(...)
  end
  if is_quick(text, pattern) then return by_c("find", ...) end
  if not find(pattern, "[%^%$%*%+%?%.%(%[%%%-]") then
    spend(floor(#text * (#pattern + 16) / 1024))
    return raw.find(...)
  end
  return guarded(searched, true, text, pattern, init)
end

function patterns.match(...)
  local text, pattern = texts(...)
  if not text then complain("match", raw.match, ...) end
  if is_quick(text, pattern) then return by_c("match", ...) end
  return guarded(searched, false, text, pattern, (select(3, ...)))
end

local function next_match(m, state)
  local s = state.at
  while s <= #m.text + 1 do
    local stop = m:try(s, 1)
    if stop then
      state.at = stop == s and stop + 1 or stop
      local found, count = m:captures(s, stop, true)
      return unpack(found, 1, count)
    end
    s = s + 1
  end
  state.at = s
  return nil
end

function patterns.gmatch(...)
  local text, pattern = texts(...)
  if not text then complain("gmatch", raw.gmatch, ...) end
  if is_quick(text, pattern) then return raw.gmatch(...) end
  local m, state = new_matcher(text, pattern), { at = 1 }
  return function() return guarded(next_match, m, state) end
end
patterns.gfind = patterns.gmatch

local function from_text(m, replacement, s, stop)
  local parts, at = {}, 1
  while true do
    local percent = find(replacement, "%", at, true)
    if not percent then break end
    parts[#parts + 1] = sub(replacement, at, percent - 1)
    local sign = sub(replacement, percent + 1, percent + 1)
    if sign == "0" then
      parts[#parts + 1] = sub(m.text, s, stop - 1)
    elseif find(sign, "%d") then
      parts[#parts + 1] = m:captured(tonumber(sign), s, stop)
    else
      parts[#parts + 1] = sign
    end
    at = percent + 2
  end
  parts[#parts + 1] = sub(replacement, at)
  return concat(parts)
end

local function replaced(text, pattern, replacement, most)
  local kind = type(replacement)
  local anchored = sub(pattern, 1, 1) == "^"
  local p = anchored and 2 or 1
  local m, s, out, times = new_matcher(text, pattern), 1, {}, 0
  while times < most do
    local stop = m:try(s, p)
    if stop then
      times = times + 1
      local value
      if kind == "function" then
        local found, count = m:captures(s, stop, true)
        value = replacement(unpack(found, 1, count))
      elseif kind == "table" then
        value = replacement[m:captured(1, s, stop)]
      else
        value = from_text(m, replacement, s, stop)
      end
      if not value then
        value = sub(text, s, stop - 1)
      elseif type(value) ~= "string" and type(value) ~= "number" then
        error("invalid replacement value (a " .. type(value) .. ")", 0)
      end
      out[#out + 1] = value
    end
    if stop and stop > s then
      s = stop
    elseif s <= #text then
      out[#out + 1] = sub(text, s, s)
      s = s + 1
    else
      break
    end
    if anchored then break end
  end
  out[#out + 1] = sub(text, s)
  return concat(out), times
end

function patterns.gsub(...)
  local text, pattern = texts(...)
  local _, _, replacement, most = ...
  local kind = type(replacement)
  local known = kind == "string" or kind == "number" or kind == "table" or kind == "function"
  if not (text and known) or (most ~= nil and not tonumber(most)) then complain("gsub", raw.gsub, ...) end
  if kind ~= "function" and kind ~= "table" and is_quick(text, pattern) then
    spend(floor(#text * #(replacement .. "") / 64))
    return by_c("gsub", ...)
  end
  if kind ~= "string" and kind ~= "number" and is_quick(text, pattern) then return raw.gsub(...) end
  if kind == "number" then replacement = replacement .. "" end
  most = most and tonumber(most) or #text + 1
  if kind == "function" or kind == "table" then return replaced(text, pattern, replacement, most) end
  return guarded(replaced, text, pattern, replacement, most)
end

return "string", patterns
