package limit

import (
	"maps"
	"time"
)

// leases are the attempts that run: by id, when each must be over, in Unix milliseconds.
type leases struct {
	Held map[string]int64 `json:"held,omitempty"`
}

// acquire returns ls with a lease for id, and whether fewer than n were held. Expired ones are dropped.
func (ls leases) acquire(id string, n int, now, end time.Time) (leases, bool) {
	held := make(map[string]int64, len(ls.Held)+1)
	maps.Copy(held, ls.Held)
	maps.DeleteFunc(held, func(_ string, end int64) bool { return end <= now.UnixMilli() })
	if len(held) >= n {
		return ls, false
	}
	held[id] = end.UnixMilli()
	return leases{held}, true
}

// release returns ls without the lease of id, and whether it was held.
func (ls leases) release(id string) (leases, bool) {
	if _, ok := ls.Held[id]; !ok {
		return ls, false
	}
	held := maps.Clone(ls.Held)
	delete(held, id)
	return leases{held}, true
}

func (ls leases) expires() time.Time {
	last := int64(0)
	for _, end := range ls.Held {
		last = max(last, end)
	}
	return time.UnixMilli(last)
}
