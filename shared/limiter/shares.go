package limiter

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Shares are a bounded number of slots that tenants share. A tenant may take one while it holds fewer than are free:
// alone it gets half of them, n busy tenants get one part in n + 1 each, and some stay free for one more ("Dynamic
// Queue Length Thresholds for Shared-Memory Packet Switches", Choudhury and Hahne, with a factor of 1).
// Example: of 12 slots a alone holds 6; b then takes 3 and c 2; as a releases some, all three come to 3, and 3 stay free.
type Shares struct {
	mu                  sync.Mutex
	extendForSoleTenant bool
	free                int
	shares              map[string]share     // by tenant, of those that hold some
	waiting             map[string][]*Waiter // by tenant, in the order of arrival
	arrivals            int                  // Waiters that have waited
	lastTenant          string               // that took a slot last
	tenantChangedAt     time.Time            // when it first did after another tenant
}

// A tenant is alone if no other took a slot for soleTenantAfter. It then keeps waiting while its share moves, which holds
// up nobody, until timeReserve is left of the context.
const soleTenantAfter, timeReserve = time.Minute, 30 * time.Second

// A share is what a tenant holds.
type share struct {
	held       int
	lastChange time.Time // when it last took or released a slot
}

// A Waiter takes slots for one event's tenant, one after another, and keeps its place in the queue until it has all:
// if events took turns for each slot, all of them would be finished as late as the last one.
type Waiter struct {
	p       *Shares
	tenant  string
	missing int           // slots not granted yet
	granted chan struct{} // a token for each slot that was granted and not yet fetched by Acquire
	arrival int           // its number among arrivals; 0: it does not wait
}

// Waiter returns a Waiter for n slots of tenant, each to be fetched by a call of Acquire.
func (p *Shares) Waiter(tenant string, n int) *Waiter {
	return &Waiter{p: p, tenant: tenant, missing: n, granted: make(chan struct{}, n)}
}

// NewShares returns n free slots. extendForSoleTenant lets a tenant that is alone wait longer than maxWait; batches,
// which end with their slowest attempt, must not.
func NewShares(n int, extendForSoleTenant bool) *Shares {
	return &Shares{free: n, extendForSoleTenant: extendForSoleTenant, shares: map[string]share{}, waiting: map[string][]*Waiter{}}
}

// TryAcquire takes a slot for tenant, which Release gives back, and reports whether the tenant's share allowed it.
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

// keepsWaiting reports whether tenant may wait beyond its time.
func (p *Shares) keepsWaiting(ctx context.Context, tenant string) bool {
	end, hasDeadline := ctx.Deadline()
	return p.extendForSoleTenant && tenant == p.lastTenant && time.Since(p.tenantChangedAt) > soleTenantAfter && p.active(tenant) &&
		ctx.Err() == nil && !(hasDeadline && time.Until(end) < timeReserve)
}

// active reports whether tenant holds nothing, or took or released a slot within MaxQueueWait.
func (p *Shares) active(tenant string) bool {
	s, ok := p.shares[tenant]
	return !ok || time.Since(s.lastChange) <= MaxQueueWait
}

// Acquire is TryAcquire that waits up to maxWait, or until ctx ends. It does not wait if the tenant's share is not
// active, and waits longer if the tenant is alone.
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

// enqueue takes a slot, or queues w if waiting is of use.
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

// abandon ends w's wait unless it may go on, and reports whether a slot was granted at the last moment.
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

// Release gives a slot of tenant back, and grants free ones to the Waiters that came first and whose share allows it.
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
		for other, queue := range p.waiting {
			if p.shares[other].held < p.free && (first == nil || queue[0].arrival < first.arrival) {
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
