package pace

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Places are a bounded number of places that tenants share. A tenant may take one
// while it holds fewer than are free: alone it gets half of them, n tenants that
// want all get one part in n + 1 each, and some are always free for one more
// ("Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", Choudhury
// and Hahne, with a factor of 1).
type Places struct {
	mu      sync.Mutex
	free    int
	shares  map[string]share // of tenants that hold some
	waiting []*seeker        // in the order of their coming
}

// A share is what a tenant holds.
type share struct {
	held  int
	moved time.Time // when it last took one or left one
}

// A seeker waits for a place.
type seeker struct {
	tenant string
	got    chan struct{}
}

// NewPlaces returns n places, all free.
func NewPlaces(n int) *Places { return &Places{free: n, shares: map[string]share{}} }

// Take takes a place for tenant, which Leave gives back, and reports whether the
// tenant's share allows it.
func (p *Places) Take(tenant string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(tenant)
}

func (p *Places) take(tenant string) bool {
	held := p.shares[tenant].held
	if held >= p.free {
		return false
	}
	p.free--
	p.shares[tenant] = share{held + 1, time.Now()}
	return true
}

// Await is Take that waits for so long, or until ctx ends, for a place: not at
// all if tenant's share did not move for Patience.
func (p *Places) Await(ctx context.Context, tenant string, patience time.Duration) bool {
	p.mu.Lock()
	if p.take(tenant) {
		p.mu.Unlock()
		return true
	}
	if of, ok := p.shares[tenant]; patience <= 0 || ok && time.Since(of.moved) > Patience {
		p.mu.Unlock()
		return false
	}
	s := &seeker{tenant, make(chan struct{})}
	p.waiting = append(p.waiting, s)
	p.mu.Unlock()
	if closedWithin(ctx, patience, s.got) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, s)
	if i < 0 {
		return true // it came at the last moment
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return false
}

// Leave gives a place of tenant back, to the first who waits and may have it.
func (p *Places) Leave(tenant string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if held := p.shares[tenant].held; held > 1 {
		p.shares[tenant] = share{held - 1, time.Now()}
	} else {
		delete(p.shares, tenant)
	}
	for i := 0; i < len(p.waiting) && p.free > 0; {
		s := p.waiting[i]
		if !p.take(s.tenant) {
			i++
			continue
		}
		p.waiting = slices.Delete(p.waiting, i, i+1)
		close(s.got)
	}
}
