-- Says how the log stands. ARGV: a name for an epoch; the last epoch that somebody knows, and what he has read of the log.

local there = log(ARGV[1], ARGV[2], ARGV[3])
if not there then return {'none'} end
local first = there.first
local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
if oldest then
  -- It has the number of the last of its marks.
  first = tonumber(string.match(oldest[1], '^%d+'))
  for at = 1, #oldest[2], 2 do
    if oldest[2][at] == 'm' then first = first - 1 end
  end
end
return {'at', there.history, digits(first), digits(there.seq)}
