-- cjson: JSON as lua-cjson 2.1 of Redis reads and writes it, oddities included: numbers are whatever strtod
-- takes, what follows a NUL is not looked at, an empty table is an object.

local tools = ...
local null, reraise, behind = tools.null, tools.reraise, tools.behind
local byte, char, find, format, gsub, sub = string.byte, string.char, string.find, string.format, string.gsub, string.sub
local error, floor, lower, next, pcall, rawequal, rawget, select, tonumber, type =
  error, math.floor, string.lower, next, pcall, rawequal, rawget, select, tonumber, type
local concat = table.concat
local HUGE, INT_MAX = math.huge, 2147483647

-- -- writing

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n",
  ["\f"] = "\\f", ["\r"] = "\\r" }
for code = 0, 127 do
  if (code < 32 or code == 127) and not ESCAPES[char(code)] then ESCAPES[char(code)] = format("\\u%04x", code) end
end
local TO_ESCAPE = '[%z\1-\31"\\/\127]'

local function refuse(value, reason) error("Cannot serialise " .. type(value) .. ": " .. reason, 0) end

local function array_length(t, config)
  local most, items = 0, 0
  for key in next, t do
    if type(key) ~= "number" or floor(key) ~= key or key < 1 then return -1 end
    if key > most then most = key end
    items = items + 1
  end
  if config.sparse_ratio > 0 and most > items * config.sparse_ratio and most > config.sparse_safe then
    if not config.sparse_convert then refuse(t, "excessively sparse array") end
    return -1
  end
  return most
end

local function number_text(number, config)
  if number ~= number or number == HUGE or number == -HUGE then
    local mode = config.encode_invalid
    if mode == 0 then refuse(number, "must not be NaN or Inf") end
    if mode == 2 then return "null" end
    if number ~= number then return "nan" end
  end
  return format(config.number_format, number)
end

local function encoder(config)
  local out, size

  local function put(value, depth)
    local kind = type(value)
    if kind == "string" then
      size = size + 1
      out[size] = '"' .. gsub(value, TO_ESCAPE, ESCAPES) .. '"'
    elseif kind == "number" then
      size = size + 1
      out[size] = number_text(value, config)
    elseif kind == "table" then
      depth = depth + 1
      if depth > config.encode_depth then error("Cannot serialise, excessive nesting (" .. depth .. ")", 0) end
      value = behind[value] or value
      local length = array_length(value, config)
      if length > 0 then
        size = size + 1
        out[size] = "["
        for i = 1, length do
          if i > 1 then
            size = size + 1
            out[size] = ","
          end
          put(rawget(value, i), depth)
        end
        size = size + 1
        out[size] = "]"
      else
        local before = "{"
        for key, item in next, value do
          size = size + 1
          if type(key) == "string" then
            out[size] = before .. '"' .. gsub(key, TO_ESCAPE, ESCAPES) .. '":'
          elseif type(key) == "number" then
            out[size] = before .. '"' .. number_text(key, config) .. '":'
          else
            refuse(key, "table key must be a number or string")
          end
          before = ","
          put(item, depth)
        end
        size = size + 1
        out[size] = before == "{" and "{}" or "}"
      end
    else
      size = size + 1
      if kind == "boolean" then
        out[size] = value and "true" or "false"
      elseif kind == "nil" or rawequal(value, null) then
        out[size] = "null"
      else
        refuse(value, "type not supported")
      end
    end
  end

  return function(...)
    if select("#", ...) ~= 1 then error("bad argument #1 to 'encode' (expected 1 argument)", 2) end
    out, size = {}, 0
    local ok, problem = pcall(put, (...), 0)
    if not ok then reraise(problem, 2) end
    local text = concat(out)
    out = nil
    return text
  end
end

-- -- reading

local NAMES = { ["{"] = "T_OBJ_BEGIN", ["}"] = "T_OBJ_END", ["["] = "T_ARR_BEGIN", ["]"] = "T_ARR_END",
  [","] = "T_COMMA", [":"] = "T_COLON", [""] = "T_END" }
local UNESCAPED = { b = "\b", t = "\t", n = "\n", f = "\f", r = "\r", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function utf8(code)
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 4096), 0x80 + floor(code / 64) % 64, 0x80 + code % 64)
  end
  return char(0xF0 + floor(code / 262144), 0x80 + floor(code / 4096) % 64, 0x80 + floor(code / 64) % 64,
    0x80 + code % 64)
end

-- The character of the escape `\uXXXX` at `at`, or of a pair of them, and where it ends; nil if it is none.
local function unicode(text, at)
  local hex = find(text, "^%x%x%x%x", at + 2) and sub(text, at + 2, at + 5)
  if not hex then return nil end
  local code = tonumber(hex, 16)
  if code < 0xD800 or code > 0xDFFF then return utf8(code), at + 6 end
  if code > 0xDBFF or not find(text, "^\\u%x%x%x%x", at + 6) then return nil end
  local second = tonumber(sub(text, at + 8, at + 11), 16)
  if second < 0xDC00 or second > 0xDFFF then return nil end
  return utf8((code - 0xD800) * 1024 + second - 0xDC00 + 0x10000), at + 12
end

-- Where the number ends that strtod would find at `at`; nil if there is none.
local function number_end(text, at)
  local _, sign = find(text, "^[+-]?", at)
  local from = sign + 1
  local _, last = find(text, "^0[xX]%x*%.?%x*", from)
  if last and find(text, "^..%.?%x", from) then
    local _, power = find(text, "^[pP][+-]?%d+", last + 1)
    return power or last
  end
  _, last = find(text, "^%d+%.?%d*", from)
  if not last then _, last = find(text, "^%.%d+", from) end
  if last then
    local _, power = find(text, "^[eE][+-]?%d+", last + 1)
    return power or last
  end
  local word = lower(sub(text, from, from + 7))
  if word == "infinity" then return from + 7 end
  if sub(word, 1, 3) == "inf" then return from + 2 end
  if sub(word, 1, 3) == "nan" then
    _, last = find(text, "^%([%w_]*%)", from + 3)
    return last or from + 2
  end
  return nil
end

local function number_of(text)
  local number = tonumber(text)
  if number then return number end
  local negative = sub(text, 1, 1) == "-"
  local word = lower(text)
  local value = find(word, "nan", 1, true) and HUGE - HUGE or find(word, "inf", 1, true) and HUGE or 0
  return negative and -value or value
end

local function is_invalid_number(text, at)
  if sub(text, at, at) == "+" then return true end
  local _, sign = find(text, "^-?", at)
  local word = lower(sub(text, sign + 1, sign + 3))
  return find(word, "^0[x%d]") ~= nil or word == "inf" or word == "nan"
end

local function decoder(config)
  local text, at, begin, depth

  -- The next token: its first character and, of a value, the value.
  -- A string is given as `"`, a number as `0`, a boolean as `t`, null as `n`; an error as its text.
  local function token()
    at = find(text, "[^ \t\r\n]", at) or #text + 1
    begin = at
    local first = sub(text, at, at)
    if first == '"' then
      local from = at + 1
      local stop = find(text, '["\\]', from)
      if stop and byte(text, stop) == 34 then
        at = stop + 1
        return '"', sub(text, from, stop - 1)
      end
      local parts, count = {}, 0
      while stop do
        count = count + 1
        parts[count] = sub(text, from, stop - 1)
        if byte(text, stop) == 34 then
          at = stop + 1
          return '"', concat(parts)
        end
        local code = sub(text, stop + 1, stop + 1)
        local character = UNESCAPED[code]
        from = stop + 2
        if code == "u" then
          character, from = unicode(text, stop)
          if not character then
            begin = stop
            return "invalid unicode escape code"
          end
        elseif not character then
          begin = stop
          return "invalid escape code"
        end
        count = count + 1
        parts[count] = character
        stop = find(text, '["\\]', from)
      end
      begin = #text + 1
      return "unexpected end of string"
    end
    if NAMES[first] then
      if first ~= "" then at = at + 1 end
      return first
    end
    if find(first, "[-%d]") then
      if not config.decode_invalid and is_invalid_number(text, at) then return "invalid number" end
    elseif sub(text, at, at + 3) == "true" then
      at = at + 4
      return "t", true
    elseif sub(text, at, at + 4) == "false" then
      at = at + 5
      return "t", false
    elseif sub(text, at, at + 3) == "null" then
      at = at + 4
      return "n", null
    elseif not (find(first, "[fiIntN+]") and config.decode_invalid and is_invalid_number(text, at)) then
      return "invalid token"
    end
    local last = number_end(text, at)
    if not last then return "invalid number" end
    local number = number_of(sub(text, at, last))
    at = last + 1
    return "0", number
  end

  local KINDS = { ['"'] = "T_STRING", ["0"] = "T_NUMBER", t = "T_BOOLEAN", n = "T_NULL" }

  local function unexpected(wanted, kind)
    error(format("Expected %s but found %s at character %d", wanted, NAMES[kind] or KINDS[kind] or kind, begin), 0)
  end

  local function descend()
    depth = depth + 1
    if depth > config.decode_depth then
      error(format("Found too many nested data structures (%d) at character %d", depth, at - 1), 0)
    end
  end

  local value

  local function object()
    descend()
    local made = {}
    local kind, key = token()
    if kind ~= "}" then
      while true do
        if kind ~= '"' then unexpected("object key string", kind) end
        kind = token()
        if kind ~= ":" then unexpected("colon", kind) end
        made[key] = value(token())
        kind = token()
        if kind == "}" then break end
        if kind ~= "," then unexpected("comma or object end", kind) end
        kind, key = token()
      end
    end
    depth = depth - 1
    return made
  end

  local function array()
    descend()
    local made, count = {}, 0
    local kind, item = token()
    if kind ~= "]" then
      while true do
        count = count + 1
        made[count] = value(kind, item)
        kind = token()
        if kind == "]" then break end
        if kind ~= "," then unexpected("comma or array end", kind) end
        kind, item = token()
      end
    end
    depth = depth - 1
    return made
  end

  function value(kind, item)
    if item ~= nil then return item end
    if kind == "{" then return object() end
    if kind == "[" then return array() end
    return unexpected("value", kind)
  end

  local function whole()
    local result = value(token())
    local kind = token()
    if kind ~= "" then unexpected("the end", kind) end
    return result
  end

  return function(...)
    if select("#", ...) ~= 1 then error("bad argument #1 to 'decode' (expected 1 argument)", 2) end
    text = ...
    if type(text) == "number" then text = text .. "" end
    if type(text) ~= "string" then
      error("bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")", 2)
    end
    if #text >= 2 and find(sub(text, 1, 2), "%z") then
      error("JSON parser does not support UTF-16 or UTF-32", 2)
    end
    text, at, depth = gsub(text, "%z.*", ""), 1, 0
    local ok, result = pcall(whole)
    text = nil
    if not ok then reraise(result, 2) end
    return result
  end
end

-- -- settings

local function begin_config(config)
  config.changed = false
  config.sparse_convert, config.sparse_ratio, config.sparse_safe = false, 2, 10
  config.encode_depth, config.decode_depth = 1000, 1000
  config.encode_invalid, config.decode_invalid = 0, true
  config.precision, config.number_format, config.keep_buffer = 14, "%.14g", true
end

-- Every setting is looked at through this first, so that a run which touches none costs none.
local function limit(config, name, most, count)
  config.changed = true
  if count > most then
    error(format("bad argument #%d to '%s' (found too many arguments)", most + 1, name), 3)
  end
end

local function integer_option(name, place, given, present, least, most)
  if given == nil then return present end
  local number = tonumber(given)
  if type(given) ~= "number" and type(given) ~= "string" or not number then
    error(format("bad argument #%d to '%s' (number expected, got %s)", place, name, type(given)), 3)
  end
  number = number < 0 and -floor(-number) or floor(number)
  if number < least or number > most then
    error(format("bad argument #1 to '%s' (expected integer between %d and %d)", name, least, most), 3)
  end
  return number
end

local function switch_option(name, place, given, present)
  if given == nil then return present end
  if type(given) == "boolean" then return given end
  if given == "on" then return true end
  if given == "off" then return false end
  if type(given) ~= "string" and type(given) ~= "number" then
    error(format("bad argument #%d to '%s' (string expected, got %s)", place, name, type(given)), 3)
  end
  error(format("bad argument #%d to '%s' (invalid option '%s')", place, name, given), 3)
end

local function module(config)
  local cjson = { encode = encoder(config), decode = decoder(config), null = null, _NAME = "cjson", _VERSION = "2.1.0" }

  function cjson.encode_sparse_array(...)
    limit(config, "encode_sparse_array", 3, select("#", ...))
    local convert, ratio, safe = ...
    config.sparse_convert = switch_option("encode_sparse_array", 1, convert, config.sparse_convert)
    config.sparse_ratio = integer_option("encode_sparse_array", 2, ratio, config.sparse_ratio, 0, INT_MAX)
    config.sparse_safe = integer_option("encode_sparse_array", 3, safe, config.sparse_safe, 0, INT_MAX)
    return config.sparse_convert, config.sparse_ratio, config.sparse_safe
  end

  function cjson.encode_max_depth(...)
    limit(config, "encode_max_depth", 1, select("#", ...))
    config.encode_depth = integer_option("encode_max_depth", 1, (...), config.encode_depth, 1, INT_MAX)
    return config.encode_depth
  end

  function cjson.decode_max_depth(...)
    limit(config, "decode_max_depth", 1, select("#", ...))
    config.decode_depth = integer_option("decode_max_depth", 1, (...), config.decode_depth, 1, INT_MAX)
    return config.decode_depth
  end

  function cjson.encode_number_precision(...)
    limit(config, "encode_number_precision", 1, select("#", ...))
    config.precision = integer_option("encode_number_precision", 1, (...), config.precision, 1, 14)
    config.number_format = "%." .. config.precision .. "g"
    return config.precision
  end

  function cjson.encode_keep_buffer(...)
    limit(config, "encode_keep_buffer", 1, select("#", ...))
    config.keep_buffer = switch_option("encode_keep_buffer", 1, (...), config.keep_buffer)
    return config.keep_buffer
  end

  function cjson.encode_invalid_numbers(...)
    limit(config, "encode_invalid_numbers", 1, select("#", ...))
    local given = ...
    if given == "null" then
      config.encode_invalid = 2
    elseif given ~= nil then
      config.encode_invalid = switch_option("encode_invalid_numbers", 1, given) and 1 or 0
    end
    if config.encode_invalid == 2 then return "null" end
    return config.encode_invalid == 1
  end

  function cjson.decode_invalid_numbers(...)
    limit(config, "decode_invalid_numbers", 1, select("#", ...))
    config.decode_invalid = switch_option("decode_invalid_numbers", 1, (...), config.decode_invalid)
    return config.decode_invalid
  end

  function cjson.new()
    local own = {}
    begin_config(own)
    return module(own)
  end

  return cjson
end

local shared = {}
begin_config(shared)

return "cjson", module(shared), function()
  if shared.changed then begin_config(shared) end
end
