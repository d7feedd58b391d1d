package limiter

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Shares are a bounded number of places that tenants share. A tenant may take one while it holds fewer than are free:
// alone it gets half of them, n tenants that want all get one part in n + 1 each, and some are always free for one more
// ("Dynamic Queue Length Thresholds for Shared-Memory Packet Switches", Choudhury and Hahne, with a factor of 1).
type Shares struct {
	mu              sync.Mutex
	extendWhenAlone bool
	free            int
	shares          map[string]share     // of tenants that hold some
	waiting         map[string][]*Waiter // by tenant, in the order of their coming
	arrivals        int
	lastTenant      string    // tenant that took one
	tenantChangedAt time.Time // when another took one after the one before
}

// A tenant is alone if no other took a place for aloneFor. Then it waits on while its
// share moves, as nobody is held up by that, until stopFor is left of the context.
const aloneAfter, timeReserve = time.Minute, 30 * time.Second

// A share is what a tenant holds.
type share struct {
	held       int
	lastChange time.Time // when it last took one or left one
}

// A Waiter takes places for one tenant, one after the other, and keeps its turn until it has all: an event
// whose deliveries came in turn with those of all others would be finished with the last of them.
type Waiter struct {
	p       *Shares
	tenant  string
	missing int           // places that it was not given yet
	granted chan struct{} // one for each that it was given, and did not await yet
	arrival int           // after so many; 0: it does not wait
}

// Waiter returns a Seeker of n places for tenant, to Await as often.
func (p *Shares) Waiter(tenant string, n int) *Waiter {
	return &Waiter{p: p, tenant: tenant, missing: n, granted: make(chan struct{}, n)}
}

// NewShares returns n places, all free. Where lone is set, a tenant that is alone waits
// for longer than it is told to: batches that end with the slowest attempt want it not.
func NewShares(n int, extendWhenAlone bool) *Shares {
	return &Shares{free: n, extendWhenAlone: extendWhenAlone, shares: map[string]share{}, waiting: map[string][]*Waiter{}}
}

// TryAcquire takes a place for tenant, which Leave gives back, and reports whether the tenant's share allows it.
func (p *Shares) TryAcquire(tenant string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acquire(tenant)
}

func (p *Shares) acquire(tenant string) bool {
	held := p.shares[tenant].held
	if held >= p.free {
		return false
	}
	p.free--
	p.shares[tenant] = share{held + 1, time.Now()}
	if tenant != p.lastTenant {
		if p.lastTenant != "" {
			p.tenantChangedAt = time.Now()
		}
		p.lastTenant = tenant
	}
	return true
}

// keepsWaiting reports whether tenant waits on, though it did for as long as it was to.
func (p *Shares) keepsWaiting(ctx context.Context, tenant string) bool {
	end, hasDeadline := ctx.Deadline()
	return p.extendWhenAlone && tenant == p.lastTenant && time.Since(p.tenantChangedAt) > aloneAfter && p.active(tenant) &&
		ctx.Err() == nil && !(hasDeadline && time.Until(end) < timeReserve)
}

func (p *Shares) active(tenant string) bool {
	holder, ok := p.shares[tenant]
	return !ok || time.Since(holder.lastChange) <= MaxQueueWait
}

// Acquire is Take that waits for so long, or until ctx ends, for a place: not at
// all if the tenant's share did not move for Patience, and for longer if it is alone.
func (w *Waiter) Acquire(ctx context.Context, maxWait time.Duration) bool {
	if acquired, waits := w.enqueue(ctx, maxWait); !waits {
		return acquired
	}
	for !receiveWithin(ctx, maxWait, w.granted) {
		maxWait = MaxQueueWait
		if done, acquired := w.abandon(ctx); done {
			return acquired
		}
	}
	return true
}

// enqueue takes a place, or begins to wait for one, if that is of use.
func (w *Waiter) enqueue(ctx context.Context, maxWait time.Duration) (acquired, waits bool) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(w.granted) > 0:
		<-w.granted
		return true, false
	case w.arrival > 0:
		return false, true
	case p.acquire(w.tenant):
		w.missing--
		return true, false
	case maxWait <= 0 && !p.keepsWaiting(ctx, w.tenant) || !p.active(w.tenant):
		w.missing--
		return false, false
	}
	p.arrivals++
	w.arrival = p.arrivals
	p.waiting[w.tenant] = append(p.waiting[w.tenant], w)
	return false, true
}

// abandon ends s's waiting, unless it goes on, and reports whether it got a place at the last moment.
func (w *Waiter) abandon(ctx context.Context) (done, acquired bool) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(w.granted) > 0 {
		<-w.granted
		return true, true
	}
	if p.keepsWaiting(ctx, w.tenant) {
		return false, false
	}
	w.missing--
	p.dequeue(w)
	return true, false
}

func (p *Shares) dequeue(s *Waiter) {
	s.arrival = 0
	p.waiting[s.tenant] = slices.DeleteFunc(p.waiting[s.tenant], func(w *Waiter) bool { return w == s })
	if len(p.waiting[s.tenant]) == 0 {
		delete(p.waiting, s.tenant)
	}
}

// Release gives a place of tenant back, to the first who waits and may have it.
func (p *Shares) Release(tenant string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if held := p.shares[tenant].held; held > 1 {
		p.shares[tenant] = share{held - 1, time.Now()}
	} else {
		delete(p.shares, tenant)
	}
	for {
		var first *Waiter
		for name, queue := range p.waiting {
			if p.shares[name].held < p.free && (first == nil || queue[0].arrival < first.arrival) {
				first = queue[0]
			}
		}
		if first == nil {
			return
		}
		p.acquire(first.tenant)
		first.granted <- struct{}{}
		if first.missing--; first.missing == 0 {
			p.dequeue(first)
		}
	}
}
