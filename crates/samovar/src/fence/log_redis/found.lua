-- Founds the log, if it is not there: what is left of it goes. ARGV: a name for an epoch, the founder's history (or
-- nothing) and its position.

if log(ARGV[1]) then return {'there'} end
local run, replid = server()
local began = ARGV[1] .. ':' .. ARGV[3]
local history = ARGV[2] == '' and began or ARGV[2] .. ',' .. began
redis.call('DEL', stream, meta)
redis.call('HSET', meta, 'format', '1', 'history', history, 'first', ARGV[3], 'seq', ARGV[3], 'run', run, 'replid', replid)
return {'founded'}
