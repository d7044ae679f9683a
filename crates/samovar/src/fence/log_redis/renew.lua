-- Renews a node's lease by a write. KEYS: beside the log's the node's own. ARGV: a name for an epoch, how long the node is
-- taken for living, in milliseconds.

local there = log(ARGV[1])
if not there then return {'none'} end
redis.call('SET', KEYS[3], digits(there.seq), 'PX', ARGV[2])
return {'at', string.match(there.history, '(%x+):%d+$'), digits(there.seq)}
