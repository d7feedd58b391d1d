package storage

import "hash/fnv"

// DueShard returns the partition of the due index that k lies in, from 0 to DueShards−1: 32-bit FNV-1a of PK, a zero
// byte and SK. Both backends use it, so that a row stays where it was when its file is copied to a table.
func (k Key) DueShard() int {
	h := fnv.New32a()
	h.Write([]byte(k.PK))
	h.Write([]byte{0})
	h.Write([]byte(k.SK))
	return int(h.Sum32() % DueShards)
}
