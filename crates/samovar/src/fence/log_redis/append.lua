-- Appends marks. ARGV: a name for an epoch, how many marks to keep, the head that there must be (or nothing), marks.

local there = log(ARGV[1])
if not there then return {'none'} end
local epoch = string.match(there.history, '(%x+):%d+$')
local seq = there.seq
if ARGV[3] ~= '' and ARGV[3] ~= epoch .. ':' .. digits(seq) then return {'on'} end
local call, format = redis.call, string.format
for at = 4, #ARGV do
  seq = seq + 1
  call('XADD', stream, format('%.0f-0', seq), 'e', epoch, 'm', ARGV[at])
end
call('XTRIM', stream, 'MAXLEN', '~', ARGV[2])
call('HSET', meta, 'seq', digits(seq))
return {'at', epoch, digits(seq)}
