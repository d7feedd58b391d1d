package pace

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Places are a bounded number of places that tenants share. A tenant may take one while it holds fewer than are free:
// alone it gets half of them, n tenants that want all get one part in n + 1 each, and some are always free for one more
// ("Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", Choudhury and Hahne, with a factor of 1).
type Places struct {
	mu       sync.Mutex
	lone     bool
	free     int
	shares   map[string]share     // of tenants that hold some
	waiting  map[string][]*Seeker // by tenant, in the order of their coming
	came     int
	last     string    // tenant that took one
	switched time.Time // when another took one after the one before
}

// A tenant is alone if no other took a place for aloneFor. Then it waits on while its
// share moves, as nobody is held up by that, until stopFor is left of the context.
const aloneFor, stopFor = time.Minute, 30 * time.Second

// A share is what a tenant holds.
type share struct {
	held  int
	moved time.Time // when it last took one or left one
}

// A Seeker takes places for one tenant, one after the other, and keeps its turn until it has all: an event
// whose deliveries came in turn with those of all others would be finished with the last of them.
type Seeker struct {
	p      *Places
	tenant string
	wants  int           // places that it was not given yet
	got    chan struct{} // one for each that it was given, and did not await yet
	came   int           // after so many; 0: it does not wait
}

// Seek returns a Seeker of n places for tenant, to Await as often.
func (p *Places) Seek(tenant string, n int) *Seeker {
	return &Seeker{p: p, tenant: tenant, wants: n, got: make(chan struct{}, n)}
}

// NewPlaces returns n places, all free. Where lone is set, a tenant that is alone waits
// for longer than it is told to: batches that end with the slowest attempt want it not.
func NewPlaces(n int, lone bool) *Places {
	return &Places{free: n, lone: lone, shares: map[string]share{}, waiting: map[string][]*Seeker{}}
}

// Take takes a place for tenant, which Leave gives back, and reports whether the tenant's share allows it.
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
// all if the tenant's share did not move for Patience, and for longer if it is alone.
func (s *Seeker) Await(ctx context.Context, patience time.Duration) bool {
	if takes, waits := s.begin(ctx, patience); !waits {
		return takes
	}
	for !comesWithin(ctx, patience, s.got) {
		patience = Patience
		if over, got := s.givesUp(ctx); over {
			return got
		}
	}
	return true
}

// begin takes a place, or begins to wait for one, if that is of use.
func (s *Seeker) begin(ctx context.Context, patience time.Duration) (takes, waits bool) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(s.got) > 0:
		<-s.got
		return true, false
	case s.came > 0:
		return false, true
	case p.take(s.tenant):
		s.wants--
		return true, false
	case patience <= 0 && !p.goesOn(ctx, s.tenant) || !p.moves(s.tenant):
		s.wants--
		return false, false
	}
	p.came++
	s.came = p.came
	p.waiting[s.tenant] = append(p.waiting[s.tenant], s)
	return false, true
}

// givesUp ends s's waiting, unless it goes on, and reports whether it got a place at the last moment.
func (s *Seeker) givesUp(ctx context.Context) (over, got bool) {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(s.got) > 0 {
		<-s.got
		return true, true
	}
	if p.goesOn(ctx, s.tenant) {
		return false, false
	}
	s.wants--
	p.drop(s)
	return true, false
}

func (p *Places) drop(s *Seeker) {
	s.came = 0
	p.waiting[s.tenant] = slices.DeleteFunc(p.waiting[s.tenant], func(w *Seeker) bool { return w == s })
	if len(p.waiting[s.tenant]) == 0 {
		delete(p.waiting, s.tenant)
	}
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
	for {
		var first *Seeker
		for of, line := range p.waiting {
			if p.shares[of].held < p.free && (first == nil || line[0].came < first.came) {
				first = line[0]
			}
		}
		if first == nil {
			return
		}
		p.take(first.tenant)
		first.got <- struct{}{}
		if first.wants--; first.wants == 0 {
			p.drop(first)
		}
	}
}
