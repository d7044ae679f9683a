-- What every script over the log begins with. KEYS: the stream of marks, and the hash that describes it.

local stream, meta = KEYS[1], KEYS[2]

-- Lua writes large numbers with an exponent.
local function digits(number)
  return string.format('%.0f', number)
end

-- Which server this is, and which data it holds: both change where newest writes may have been lost. Every script asks:
-- names of 40 digits are found faster than patterns.
local function server()
  local info = redis.call('INFO', 'server', 'replication')
  local function named(field)
    local _, before = string.find(info, field, 1, true)
    return before and string.sub(info, before + 1, before + 40)
  end
  return named('run_id:'), named('master_replid:')
end

-- The log: its history, first and last number; false if there is none, or only a part of it (as when Redis evicts).
-- An epoch of this name begins if the server is another than it was, or if it lacks what somebody has read of the epoch.
local function log(name, epoch, read)
  local m = redis.call('HMGET', meta, 'format', 'history', 'first', 'seq', 'run', 'replid')
  if not m[1] then return false end
  if m[1] ~= '1' then
    error({err = 'SAMOVAR the log is of format ' .. m[1] .. ', which this version does not know'})
  end
  local history, first, seq = m[2], tonumber(m[3]), tonumber(m[4])
  local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if newest then
    if newest[1] ~= digits(seq) .. '-0' then return false end
  elseif seq ~= first then
    return false
  end
  local run, replid = server()
  local lacks = read and seq < tonumber(read) and epoch == string.match(history, '(%x+):%d+$')
  if run ~= m[5] or replid ~= m[6] or lacks then
    -- Of an epoch in which no number is left nothing needs to be known, unless it is the first.
    local before = string.match(history, '^(.*),%x+:' .. digits(seq) .. '$') or history
    history = before .. ',' .. name .. ':' .. digits(seq)
    redis.call('HSET', meta, 'history', history, 'run', run, 'replid', replid)
  end
  return {history = history, first = first, seq = seq}
end

