-- bit: operations on 32 bits, as LuaJIT's BitOp has them. Results are signed.

local tools = ...
local bad, floor, frexp, format, upper = tools.bad, math.floor, math.frexp, string.format, string.upper
local select, sub, tonumber, type = select, string.sub, tonumber, type

local WORD, BIAS = 2 ^ 32, 2 ^ 52 + 2 ^ 51

-- An argument as 32 bits without sign: the low half of the mantissa once the bias is added, as in C.
local function word(place, name, ...)
  local value = select(place, ...)
  local number = value
  if type(number) ~= "number" then
    number = type(value) == "string" and tonumber(value)
    if not number then bad(2, place, name, "number", ...) end
  end
  local biased = number + BIAS
  if biased >= 2 ^ 52 and biased < 2 ^ 53 then return biased % WORD end
  local mantissa = frexp(biased)
  if mantissa ~= mantissa or mantissa == mantissa + 1 or mantissa == mantissa * 2 then return 0 end
  return ((mantissa < 0 and -mantissa or mantissa) * 2 ^ 53) % WORD
end

local function signed(bits) return bits >= 2 ^ 31 and bits - WORD or bits end

-- Tables of what an operation makes of two nibbles, at 16 * one + other.
local function nibbles(both)
  local made = {}
  for one = 0, 15 do
    for other = 0, 15 do
      local result = 0
      for place = 0, 3 do
        local a, b = floor(one / 2 ^ place) % 2, floor(other / 2 ^ place) % 2
        if both(a, b) then result = result + 2 ^ place end
      end
      made[16 * one + other] = result
    end
  end
  return made
end

local function combining(name, both)
  local made = nibbles(both)
  local function combine(a, b)
    local result, unit = 0, 1
    for _ = 1, 8 do
      local one, other = a % 16, b % 16
      result = result + made[16 * one + other] * unit
      a, b, unit = (a - one) / 16, (b - other) / 16, unit * 16
    end
    return result
  end
  return function(...)
    local given = select("#", ...)
    local result = word(1, name, ...)
    for i = given, 2, -1 do result = combine(result, word(i, name, ...)) end
    return signed(result)
  end
end

local bit = {
  band = combining("band", function(a, b) return a == 1 and b == 1 end),
  bor = combining("bor", function(a, b) return a == 1 or b == 1 end),
  bxor = combining("bxor", function(a, b) return a ~= b end),
}

function bit.tobit(...) return signed(word(1, "tobit", ...)) end

function bit.bnot(...) return signed(WORD - 1 - word(1, "bnot", ...)) end

local function shifting(name, shift)
  bit[name] = function(...)
    local bits, by = word(1, name, ...), word(2, name, ...) % 32
    return signed(shift(bits, by) % WORD)
  end
end

local function right(bits, by) return floor(bits / 2 ^ by) end
local function left(bits, by) return (bits % 2 ^ (32 - by)) * 2 ^ by end

shifting("lshift", left)
shifting("rshift", right)
shifting("arshift", function(bits, by) return floor(signed(bits) / 2 ^ by) end)
shifting("rol", function(bits, by) return left(bits, by) + right(bits, 32 - by) end)
shifting("ror", function(bits, by) return right(bits, by) + left(bits, 32 - by) end)

function bit.bswap(...)
  local bits = word(1, "bswap", ...)
  local result = 0
  for _ = 1, 4 do
    result = result * 256 + bits % 256
    bits = floor(bits / 256)
  end
  return signed(result)
end

function bit.tohex(...)
  local bits, digits = word(1, "tohex", ...), 8
  if select("#", ...) > 1 then digits = signed(word(2, "tohex", ...)) end
  local text = format("%08x", bits)
  if digits < 0 then
    digits, text = -digits, upper(text)
  end
  if digits > 8 then digits = 8 end
  return digits == 0 and "" or sub(text, -digits)
end

return "bit", bit
