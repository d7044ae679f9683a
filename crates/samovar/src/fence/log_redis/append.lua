-- Appends marks. ARGV: a name for an epoch, how many marks to keep, the head that there must be (or nothing), marks.

-- So many in an entry: to add one takes longer than to carry another mark in it. Not more, because every script reads the
-- newest entry.
local TOGETHER = 16

local there = log(ARGV[1])
if not there then return {'none'} end
local epoch = string.match(there.history, '(%x+):%d+$')
local seq = there.seq
if ARGV[3] ~= '' and ARGV[3] ~= epoch .. ':' .. digits(seq) then return {'on'} end
for from = 4, #ARGV, TOGETHER do
  local to = math.min(from + TOGETHER - 1, #ARGV)
  local fields = {'e', epoch}
  for at = from, to do
    fields[#fields + 1] = 'm'
    fields[#fields + 1] = ARGV[at]
  end
  -- An entry has the number of its last mark.
  seq = seq + to - from + 1
  redis.call('XADD', stream, digits(seq) .. '-0', unpack(fields))
end
local keep = tonumber(ARGV[2])
if seq > keep then redis.call('XTRIM', stream, 'MINID', '~', digits(seq - keep + 1)) end
redis.call('HSET', meta, 'seq', digits(seq))
return {'at', epoch, digits(seq)}
