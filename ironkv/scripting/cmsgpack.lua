-- cmsgpack: MessagePack as lua-cmsgpack 0.4 of Redis reads and writes it.

local tools = ...
local behind, reraise = tools.behind, tools.reraise
local byte, char, sub = string.byte, string.char, string.sub
local error, floor, format, next, pcall, rawget, select, tonumber, type, unpack =
  error, math.floor, string.format, next, pcall, rawget, select, tonumber, type, unpack
local concat = table.concat

local NESTING = 16 -- tables within tables; deeper ones become nil
local RESULTS = 7000 -- values that one unpack can return

-- -- writing

local out, size

local function put(text)
  size = size + 1
  out[size] = text
end

local function short(sign, number) return char(sign, floor(number / 256), number % 256) end

local function long(sign, number)
  return char(sign, floor(number / 16777216), floor(number / 65536) % 256, floor(number / 256) % 256, number % 256)
end

local function put_text(text)
  local length = #text
  if length < 32 then
    put(char(0xA0 + length))
  elseif length <= 0xFF then
    put(char(0xD9, length))
  elseif length <= 0xFFFF then
    put(short(0xDA, length))
  else
    put(long(0xDB, length))
  end
  put(text)
end

local function put_integer(number)
  if number >= 0 then
    if number <= 127 then return put(char(number)) end
    if number <= 0xFF then return put(char(0xCC, number)) end
    if number <= 0xFFFF then return put(short(0xCD, number)) end
    if number <= 0xFFFFFFFF then return put(long(0xCE, number)) end
    return put("\207" .. tools.integer_bytes(number, 8, false))
  end
  if number >= -32 then return put(char(256 + number)) end
  if number >= -128 then return put(char(0xD0, 256 + number)) end
  if number >= -32768 then return put(short(0xD1, 65536 + number)) end
  if number >= -2147483648 then return put(long(0xD2, 4294967296 + number)) end
  return put("\211" .. tools.integer_bytes(number, 8, false))
end

local function put_number(number)
  if number == floor(number) and number >= -2 ^ 63 and number < 2 ^ 63 then return put_integer(number) end
  local single = tools.float_bytes(number, 4, false)
  if tools.bytes_float(single, false) == number then return put("\202" .. single) end
  put("\203" .. tools.float_bytes(number, 8, false))
end

local function put_head(count, least, sign)
  if count <= 15 then return put(char(least + count)) end
  if count <= 65535 then return put(short(sign, count)) end
  put(long(sign + 1, count))
end

-- How many elements an array has; nil if it is none. An empty table is one.
local function array_length(t)
  local count, most = 0, 0
  for key in next, t do
    if type(key) ~= "number" or key <= 0 or key ~= floor(key) or key > 2147483647 then return nil end
    if key > most then most = key end
    count = count + 1
  end
  return most == count and count or nil
end

local function put_value(value, level)
  local kind = type(value)
  if kind == "string" then
    put_text(value)
  elseif kind == "number" then
    put_number(value)
  elseif kind == "boolean" then
    put(value and "\195" or "\194")
  elseif kind == "table" and level < NESTING then
    value = behind[value] or value
    local length = array_length(value)
    if length then
      put_head(length, 0x90, 0xDC)
      for i = 1, length do put_value(rawget(value, i), level + 1) end
    else
      local count = 0
      for key in next, value do
        local of = type(key)
        if of ~= "string" and of ~= "number" and of ~= "boolean" then
          error("keys that are neither strings, numbers nor booleans have no order that all replicas share", 0)
        end
        count = count + 1
      end
      put_head(count, 0x80, 0xDE)
      for key, item in next, value do
        put_value(key, level + 1)
        put_value(item, level + 1)
      end
    end
  else
    put("\192")
  end
end

local cmsgpack = {
  _NAME = "cmsgpack", _VERSION = "lua-cmsgpack 0.4.0", _COPYRIGHT = "Copyright (C) 2012, Redis Ltd.",
  _DESCRIPTION = "MessagePack C implementation for Lua",
}

function cmsgpack.pack(...)
  local given = select("#", ...)
  if given == 0 then error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2) end
  out, size = {}, 0
  local ok, problem = pcall(function(...)
    for i = 1, given do put_value((select(i, ...)), 0) end
  end, ...)
  if not ok then reraise(problem, 2) end
  local text = concat(out)
  out = nil
  return text
end

-- -- reading

local MISSING, BAD = "Missing bytes in input.", "Bad data format in input."
local text, at, last

local function need(count)
  if last - at + 1 < count then error(MISSING, 0) end
end

local value

local function array(count)
  local made = {}
  for i = 1, count do made[i] = value() end
  return made
end

local function map(count)
  local made = {}
  for _ = 1, count do
    local key = value()
    local item = value()
    if key == nil then error("table index is nil", 0) end
    if key ~= key then error("table index is NaN", 0) end
    made[key] = item
  end
  return made
end

local function text_of(head, length)
  need(head + length)
  local from = at + head
  at = from + length
  return sub(text, from, at - 1)
end

local function unsigned(count)
  need(1 + count)
  local number = 0
  for i = at + 1, at + count do number = number * 256 + byte(text, i) end
  return number
end

local function signed(count)
  local number = unsigned(count)
  at = at + 1 + count
  return number >= 2 ^ (8 * count - 1) and number - 2 ^ (8 * count) or number
end

local function positive(count)
  local number = unsigned(count)
  at = at + 1 + count
  return number
end

local function wide()
  need(9)
  local number = tools.bytes_integer(sub(text, at + 1, at + 8), false, true)
  at = at + 9
  return number
end

local function float(count)
  need(1 + count)
  local number = tools.bytes_float(sub(text, at + 1, at + count), false)
  at = at + 1 + count
  return number
end

local function sized(count, read)
  return function()
    local length = unsigned(count)
    at = at + 1 + count
    return read(length)
  end
end

local readers = {
  [0xC0] = function() at = at + 1 return nil end,
  [0xC2] = function() at = at + 1 return false end,
  [0xC3] = function() at = at + 1 return true end,
  [0xCA] = function() return float(4) end,
  [0xCB] = function() return float(8) end,
  [0xCC] = function() return positive(1) end,
  [0xCD] = function() return positive(2) end,
  [0xCE] = function() return positive(4) end,
  [0xCF] = wide, -- as if it were signed: Lua's integers are
  [0xD0] = function() return signed(1) end,
  [0xD1] = function() return signed(2) end,
  [0xD2] = function() return signed(4) end,
  [0xD3] = wide,
  [0xD9] = function() return text_of(2, unsigned(1)) end,
  [0xDA] = function() return text_of(3, unsigned(2)) end,
  [0xDB] = function() return text_of(5, unsigned(4)) end,
  [0xDC] = sized(2, array), [0xDD] = sized(4, array),
  [0xDE] = sized(2, map), [0xDF] = sized(4, map),
}

function value()
  need(1)
  local sign = byte(text, at)
  local read = readers[sign]
  if read then return read() end
  if sign < 0x80 then
    at = at + 1
    return sign
  end
  if sign >= 0xE0 then
    at = at + 1
    return sign - 256
  end
  if sign >= 0xA0 and sign < 0xC0 then return text_of(1, sign - 0xA0) end
  if sign >= 0xA0 then error(BAD, 0) end
  at = at + 1
  if sign >= 0x90 then return array(sign - 0x90) end
  return map(sign - 0x80)
end

local function unpacked(given, name, limit, offset)
  text = given
  if type(text) == "number" then text = text .. "" end
  if type(text) ~= "string" then
    error(format("bad argument #1 to '%s' (string expected, got %s)", name, given == nil and "no value" or type(given)), 3)
  end
  local all = limit == 0 and offset == 0
  if offset < 0 or limit < 0 then
    error(format("Invalid request to unpack with offset of %d and limit of %d.", offset, #text), 3)
  elseif offset > #text then
    error(format("Start offset %d greater than input length %d.", offset, #text), 3)
  end
  at, last = offset + 1, #text
  local results, count = {}, all and 0 or 1
  local ok, problem = pcall(function()
    while at <= last and (all or count <= limit) do
      if count == RESULTS then
        error("too many return values at once; use unpack_one or unpack_limit instead.", 0)
      end
      count = count + 1
      results[count] = value()
    end
  end)
  text = nil
  if not ok then reraise(problem, 3) end
  if not all then results[1] = at > last and -1 or at - 1 end
  return unpack(results, 1, count)
end

local function integer(name, place, given, default)
  if given == nil and default then return default end
  local number = tonumber(given)
  if type(given) ~= "number" and type(given) ~= "string" or not number then
    error(format("bad argument #%d to '%s' (number expected, got %s)", place, name,
      given == nil and "no value" or type(given)), 3)
  end
  return number < 0 and -floor(-number) or floor(number)
end

function cmsgpack.unpack(given) return unpacked(given, "unpack", 0, 0) end

function cmsgpack.unpack_one(given, offset)
  return unpacked(given, "unpack_one", 1, integer("unpack_one", 2, offset, 0))
end

function cmsgpack.unpack_limit(given, limit, offset)
  return unpacked(given, "unpack_limit", integer("unpack_limit", 2, limit), integer("unpack_limit", 3, offset, 0))
end

return "cmsgpack", cmsgpack
