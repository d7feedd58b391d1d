package storage

import "hash/fnv"

// DueShard returns the shard of the due index that k belongs to, from 0 to DueShards−1: 32-bit FNV-1a of PK, a zero
// byte and SK. Both backends use it, so that rows keep their shards when a file is copied to a table.
func (k Key) DueShard() int {
	h := fnv.New32a()
	h.Write([]byte(k.PK))
	h.Write([]byte{0})
	h.Write([]byte(k.SK))
	return int(h.Sum32() % DueShards)
}
