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
	mu       sync.Mutex
	lone     bool
	free     int
	shares   map[string]share // of tenants that hold some
	waiting  []*seeker        // in the order of their coming
	last     string           // tenant that took one
	switched time.Time        // when another took one after the one before
}

// A tenant is alone if no other took a place for aloneFor. Then it waits on while its
// share moves, as nobody is held up by that, until stopFor is left of the context.
const aloneFor, stopFor = time.Minute, 30 * time.Second

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

// NewPlaces returns n places, all free. Where lone is set, a tenant that is alone waits
// for longer than it is told to: batches that end with the slowest attempt want it not.
func NewPlaces(n int, lone bool) *Places {
	return &Places{free: n, lone: lone, shares: map[string]share{}}
}

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
	if tenant != p.last {
		if p.last != "" {
			p.switched = time.Now()
		}
		p.last = tenant
	}
	return true
}

// goesOn reports whether tenant waits on, though it did for as long as it was to.
func (p *Places) goesOn(ctx context.Context, tenant string) bool {
	end, ends := ctx.Deadline()
	return p.lone && tenant == p.last && time.Since(p.switched) > aloneFor && p.moves(tenant) &&
		ctx.Err() == nil && !(ends && time.Until(end) < stopFor)
}

func (p *Places) moves(tenant string) bool {
	of, ok := p.shares[tenant]
	return !ok || time.Since(of.moved) <= Patience
}

// Await is Take that waits for so long, or until ctx ends, for a place: not at
// all if tenant's share did not move for Patience, and for longer if it is alone.
func (p *Places) Await(ctx context.Context, tenant string, patience time.Duration) bool {
	p.mu.Lock()
	if p.take(tenant) {
		p.mu.Unlock()
		return true
	}
	if patience <= 0 && !p.goesOn(ctx, tenant) || !p.moves(tenant) {
		p.mu.Unlock()
		return false
	}
	s := &seeker{tenant, make(chan struct{})}
	p.waiting = append(p.waiting, s)
	p.mu.Unlock()
	for !closedWithin(ctx, patience, s.got) {
		patience = Patience
		if over, got := p.givesUp(ctx, s); over {
			return got
		}
	}
	return true
}

// givesUp ends s's waiting, unless it goes on, and reports whether it got a place at
// the last moment.
func (p *Places) givesUp(ctx context.Context, s *seeker) (over, got bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, s)
	if i < 0 {
		return true, true
	}
	if p.goesOn(ctx, s.tenant) {
		return false, false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return true, false
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
	var over *seeker // whose tenant's share is used up
	for i := 0; i < len(p.waiting) && p.free > 0; {
		s := p.waiting[i]
		if over != nil && s.tenant == over.tenant || !p.take(s.tenant) {
			over = s
			i++
			continue
		}
		p.waiting = slices.Delete(p.waiting, i, i+1)
		close(s.got)
	}
}
