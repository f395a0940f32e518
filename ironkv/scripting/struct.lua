-- struct: C's structures in strings, as lua-struct 0.2 has them, on a little-endian machine with 8-byte longs.

local tools = ...
local byte, find, format, rep, sub = string.byte, string.find, string.format, string.rep, string.sub
local error, select, tonumber, type, unpack = error, select, tonumber, type, unpack
local concat = table.concat

local SIZES = { B = 1, b = 1, H = 2, h = 2, L = 8, l = 8, T = 8, f = 4, d = 8, x = 1 }
local INTEGERS = "[bBhHlLTiI]"
local LARGEST = 32 -- bytes of an integer
local ALIGNMENT = 8 -- of `!` alone
local RESULTS = 7000

local function bad_argument(place, name, reason, level)
  error(format("bad argument #%d to '%s' (%s)", place, name, reason), level + 1)
end

-- A walk through a format: `option` gives the next option, its size and the padding before it.
-- Errors name the caller of the library's function, three levels up.
local LEVEL = 3

local function walk(form, name)
  local at, little, alignment = 1, true, 1

  local function number(default)
    local _, last = find(form, "^%d+", at)
    if not last then return default end
    local value = tonumber(sub(form, at, last))
    at = last + 1
    if value > 2147483647 then error("integral size overflow", LEVEL + 1) end
    return value
  end

  local function option(total)
    local letter = sub(form, at, at)
    if letter == "" or letter == "\0" then return nil end
    at = at + 1
    local size = SIZES[letter] or 0
    if letter == "c" then
      size = number(1)
    elseif letter == "i" or letter == "I" then
      size = number(4)
      if size > LARGEST then
        error(format("integral size %d is larger than limit of %d", size, LARGEST), LEVEL)
      end
    end
    local padding = 0
    if size > 0 and letter ~= "c" then
      local to = size > alignment and alignment or size
      -- what C makes of (size - (total & (size - 1))) & (size - 1), which is meant for powers of 2
      if to == 1 or to == 2 or to == 4 or to == 8 or to == 16 or to == 32 then padding = -total % to end
    end
    return letter, size, padding
  end

  local function control(letter)
    if letter == ">" then
      little = false
    elseif letter == "<" then
      little = true
    elseif letter == "!" then
      local wanted = number(ALIGNMENT)
      local power = 1
      while power < wanted do power = power * 2 end
      if power ~= wanted then error(format("alignment %d is not a power of 2", wanted), LEVEL) end
      alignment = wanted
    elseif letter ~= " " then
      bad_argument(1, name, format("invalid format option '%s'", letter), LEVEL)
    end
  end

  return option, control, function() return little end
end

local function form_of(name, form)
  if type(form) == "number" then form = form .. "" end
  if type(form) ~= "string" then
    bad_argument(1, name, "string expected, got " .. (form == nil and "no value" or type(form)), 3)
  end
  return form
end

local function number_of(name, place, value)
  local number = tonumber(value)
  if type(value) ~= "number" and type(value) ~= "string" or not number then
    bad_argument(place, name, "number expected, got " .. type(value), 3)
  end
  return number
end

local struct = {}

function struct.pack(...)
  local form = form_of("pack", (...))
  local option, control, little = walk(form, "pack")
  local out, total, place = {}, 0, 1
  while true do
    local letter, size, padding = option(total)
    if not letter then break end
    total = total + padding
    if padding > 0 then out[#out + 1] = rep("\0", padding) end
    if find(letter, INTEGERS) then
      place = place + 1
      out[#out + 1] = tools.integer_bytes(number_of("pack", place, (select(place, ...))), size, little())
    elseif letter == "x" then
      out[#out + 1] = "\0"
    elseif letter == "f" or letter == "d" then
      place = place + 1
      out[#out + 1] = tools.float_bytes(number_of("pack", place, (select(place, ...))), size, little())
    elseif letter == "c" or letter == "s" then
      place = place + 1
      local text = select(place, ...)
      if type(text) == "number" then text = text .. "" end
      if type(text) ~= "string" then
        bad_argument(place, "pack", "string expected, got " .. type(text), 2)
      end
      if size == 0 then size = #text end
      if #text < size then bad_argument(place + 1, "pack", "string too short", 2) end
      out[#out + 1] = sub(text, 1, size)
      if letter == "s" then
        out[#out + 1] = "\0"
        size = size + 1
      end
    else
      control(letter)
    end
    total = total + size
  end
  return concat(out)
end

function struct.unpack(...)
  local form = form_of("unpack", (...))
  local data, from = select(2, ...)
  if type(data) == "number" then data = data .. "" end
  if type(data) ~= "string" then
    bad_argument(2, "unpack", "string expected, got " .. (data == nil and "no value" or type(data)), 2)
  end
  from = from == nil and 1 or number_of("unpack", 3, from)
  if from >= 0 and from < 1 then bad_argument(3, "unpack", "offset must be 1 or greater", 2) end
  if from < 0 then bad_argument(2, "unpack", "data string too short", 2) end
  local option, control, little = walk(form, "unpack")
  local results, count, at = {}, 0, from - from % 1 - 1
  while true do
    local letter, size, padding = option(at)
    if not letter then break end
    at = at + padding
    if size > #data or at > #data - size then bad_argument(2, "unpack", "data string too short", 2) end
    if count > RESULTS then error("too many results", 2) end
    if find(letter, INTEGERS) then
      count = count + 1
      results[count] = tools.bytes_integer(sub(data, at + 1, at + size), little(), letter >= "a")
    elseif letter == "f" or letter == "d" then
      count = count + 1
      results[count] = tools.bytes_float(sub(data, at + 1, at + size), little())
    elseif letter == "c" then
      if size == 0 then
        size = results[count]
        if count == 0 or not tonumber(size) then error("format 'c0' needs a previous size", 2) end
        size = tonumber(size)
        count = count - 1
        if size < 0 or size > #data or at > #data - size then
          bad_argument(2, "unpack", "data string too short", 2)
        end
        size = size - size % 1
      end
      count = count + 1
      results[count] = sub(data, at + 1, at + size)
    elseif letter == "s" then
      local zero = find(data, "%z", at + 1)
      if not zero then error("unfinished string in data", 2) end
      size = zero - at
      count = count + 1
      results[count] = sub(data, at + 1, zero - 1)
    elseif letter ~= "x" then
      control(letter)
    end
    at = at + size
  end
  results[count + 1] = at + 1
  return unpack(results, 1, count + 1)
end

function struct.size(...)
  local form = form_of("size", (...))
  local option, control = walk(form, "size")
  local total = 0
  while true do
    local letter, size, padding = option(total)
    if not letter then break end
    if letter == "s" then bad_argument(1, "size", "option 's' has no fixed size", 2) end
    if letter == "c" and size == 0 then bad_argument(1, "size", "option 'c0' has no fixed size", 2) end
    if not find(letter, "%w") then control(letter) end
    total = total + padding + size
  end
  return total
end

return "struct", struct
