// Package limiter keeps the attempts of each registration within its rate and concurrency limits, in one process, and
// defers attempts that would have to wait long. shares.go shares a bounded number of slots among tenants, speed.go
// decides which endpoints are fast, speedstore.go keeps that for all processes, and pacer.go spreads over time what a
// job or a retry run makes due.
package limiter

import (
	"context"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// An attempt that takes slowLatency is slow. minSlowRun slow attempts in a row that span minSlowTime make the
	// endpoint slow: its deliveries then go through the slow queue, where they hold up nobody else. One alone may be a
	// cold start (if one of 150 attempts made an endpoint slow, it would be so for most of the time), and of 2,000
	// attempts a second three that end in the same moment mean nothing.
	slowLatency = time.Second
	minSlowRun  = 3
	minSlowTime = 2 * time.Second
	// An attempt below quickLatency is quick. minQuickRun quick attempts without a slow run between them, spread over
	// a probation, make the endpoint fast again: over firstProbation, doubled each time that it turns slow again, up
	// to longestProbation.
	quickLatency     = 500 * time.Millisecond
	minQuickRun      = 20
	firstProbation   = time.Minute
	longestProbation = time.Hour
	// MaxQueueWait is how long an attempt waits in the process for another of its registration to end. It does not wait
	// at all if none began or ended for so long, or if its turn is expected later (unless fewer wait than may run).
	MaxQueueWait = time.Second
	// usualRetryAfter bounds the time after which a deferred attempt asks again, since the endpoint may become faster.
	// It grows up to maxRetryAfter where so many are deferred that more than maxRetriesPerSecond would ask in vain.
	usualRetryAfter     = time.Minute
	maxRetryAfter       = 15 * time.Minute
	maxRetriesPerSecond = 10
	// MaxEndpoints is how many endpoints a process remembers.
	MaxEndpoints = 20_000
)

// MinRate is the lowest rate in attempts a second: one an hour. The interval of a far lower one would overflow a
// time.Duration.
const MinRate = 1.0 / 3600

// Limiter keeps the attempts of each registration within its limits in this process.
type Limiter struct {
	// Shared says that a SpeedStore decides which endpoints are slow, by what all processes saw.
	Shared bool

	mu        sync.Mutex
	endpoints *lru.Cache[string, *endpoint]
}

// An endpoint is what this process saw of an endpoint lately.
type endpoint struct {
	inFlight    int             // attempts
	failures    int             // in a row
	lastSuccess time.Time       // end of the last one
	latency     time.Duration   // moving average of attempts
	lastChange  time.Time       // when an attempt last began or ended
	nextStart   time.Time       // when the rate allows the next attempt
	queue       []chan struct{} // of waiting attempts, first come first served; closed when one may begin
	deferred    float64         // attempts that will ask again, as of deferredAt
	deferredAt  time.Time

	slow        bool
	timesSlowed int       // times that it turned slow
	slowInRow   int       // slow attempts in a row
	slowSince   time.Time // start of the first of them
	slowPath    bool      // the last attempt came from the slow queue
	quickInRow  int       // quick attempts in a row, on the same path
	quickSince  time.Time // end of the first of them
}

// New returns a Limiter that knows no endpoint.
func New() *Limiter {
	l := &Limiter{}
	l.endpoints, _ = lru.New[string, *endpoint](MaxEndpoints)
	return l
}

// An Allowance is what a registration may use: its own limits within those of its tenant.
type Allowance struct {
	Concurrency int
	Rate        float64 // attempts a second; 0: no limit
}

// A Request is an attempt that wants to begin.
type Request struct {
	Registration string
	Allowance
	Slow        bool // it comes from the slow queue, where attempts of slow endpoints belong
	RateGranted bool // it has waited for the rate already
}

// An Outcome is how an attempt ended; the zero one is that of none. An interrupted attempt counts only towards its
// endpoint's being slow.
type Outcome struct {
	Attempted, Succeeded, Interrupted bool
	Took                              time.Duration
}

func (o Outcome) slow() bool  { return o.Interrupted || o.Attempted && o.Took >= slowLatency }
func (o Outcome) quick() bool { return o.Succeeded && o.Took < quickLatency }

// A Wait says why an attempt may not begin yet: the endpoint is slow and the attempt not from the slow queue (Slow),
// the rate allows it at a later time (At), or the concurrency is used up and it should ask again After about so long.
type Wait struct {
	Slow  bool
	At    time.Time
	After time.Duration
}

// Acquire asks for the right to make an attempt, and waits up to MaxQueueWait for one of the registration to end. With
// the right it returns release, which must be called with the outcome, zero if no attempt was made; without it nil.
func (l *Limiter) Acquire(ctx context.Context, r Request) (release func(Outcome), _ Wait) {
	l.mu.Lock()
	e := getOrAdd(l.endpoints, r.Registration)
	now := time.Now()
	release = func(o Outcome) { l.release(e, o) }
	if e.slow && !r.Slow {
		l.mu.Unlock()
		return nil, Wait{Slow: true}
	}
	if r.Slow != e.slowPath {
		e.slowPath, e.quickInRow = r.Slow, 0
	}
	if r.Rate > 0 && !r.RateGranted {
		at := e.nextStart
		e.nextStart = Later(at, now).Add(Interval(r.Rate))
		if at.After(now) {
			l.mu.Unlock()
			return nil, Wait{At: at}
		}
	}
	switch {
	case e.inFlight < r.Concurrency:
		e.inFlight++
		e.lastChange = now
		l.mu.Unlock()
		return release, Wait{}
	case len(e.queue) >= r.Concurrency && e.queueTime(r.Concurrency, 0) > MaxQueueWait || now.Sub(e.lastChange) > MaxQueueWait:
		defer l.mu.Unlock()
		return nil, Wait{After: e.deferOne(r.Concurrency, now)}
	}
	granted := make(chan struct{})
	e.queue = append(e.queue, granted)
	l.mu.Unlock()
	if !l.waitInQueue(ctx, e, granted) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, Wait{After: e.deferOne(r.Concurrency, time.Now())}
	}
	return release, Wait{}
}

// Interval returns the time between two attempts at rate a second. Rates below MinRate, which rows of earlier releases
// may hold, count as MinRate.
func Interval(rate float64) time.Duration {
	return time.Duration(float64(time.Second) / max(rate, MinRate))
}

// getOrAdd returns what c has under key, adding a zero T if need be.
func getOrAdd[T any](c *lru.Cache[string, *T], key string) *T {
	v, ok := c.Get(key)
	if !ok {
		v = new(T)
		c.Add(key, v)
	}
	return v
}

// queueTime estimates how long one more attempt waits if, besides those queued in the process, ahead are before it.
func (e *endpoint) queueTime(concurrency int, ahead float64) time.Duration {
	return e.latency * time.Duration((len(e.queue)+int(ahead))/concurrency+1)
}

// deferOne counts one more deferred attempt and returns when it should ask again: about when those deferred before it
// have had their turns. They may ask in other processes, so their returns are not counted: deferred shrinks at the
// speed of the endpoint, but at least by maxRetriesPerSecond. While no attempt ends, one takes at least as long as
// that.
func (e *endpoint) deferOne(concurrency int, now time.Time) time.Duration {
	e.latency = max(e.latency, now.Sub(e.lastChange), time.Millisecond)
	perSecond := max(float64(concurrency)/e.latency.Seconds(), maxRetriesPerSecond)
	e.deferred = max(e.deferred-now.Sub(e.deferredAt).Seconds()*perSecond, 0)
	e.deferredAt = now
	limit := max(usualRetryAfter, time.Duration(e.deferred/maxRetriesPerSecond*float64(time.Second)))
	retryAfter := min(e.queueTime(concurrency, e.deferred), limit, maxRetryAfter)
	e.deferred++
	return retryAfter
}

// waitInQueue waits up to MaxQueueWait for granted to be closed, and reports whether it was.
func (l *Limiter) waitInQueue(ctx context.Context, e *endpoint, granted chan struct{}) bool {
	if receiveWithin(ctx, MaxQueueWait, granted) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(e.queue, granted)
	if i < 0 {
		return true // granted at the last moment
	}
	e.queue = slices.Delete(e.queue, i, i+1)
	return false
}

// receiveWithin reports whether c is ready before d is over or ctx ends; a nil c never is.
func receiveWithin(ctx context.Context, d time.Duration, c <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	return false
}

// release ends an attempt. Its slot goes to the attempt that waits longest.
func (l *Limiter) release(e *endpoint, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	e.lastChange = now
	switch {
	case !o.Attempted:
	case o.Succeeded:
		e.failures, e.lastSuccess = 0, now
	default:
		e.failures++
	}
	if o.Attempted {
		e.latency += (o.Took - e.latency) / 8
	}
	e.classify(o, now)
	e.slow = e.slow && !l.Shared
	if len(e.queue) > 0 {
		close(e.queue[0])
		e.queue = e.queue[1:]
		return
	}
	e.inFlight--
}

// slowRun reports whether the last attempts were slow, and so many over such a time that they make the endpoint slow.
func (e *endpoint) slowRun(now time.Time) bool {
	return e.slowInRow >= minSlowRun && now.Sub(e.slowSince) >= minSlowTime
}

// classify decides by an attempt that ended now whether the endpoint is slow.
func (e *endpoint) classify(o Outcome, now time.Time) {
	if !o.Attempted && !o.Interrupted {
		return
	}
	if e.slowInRow++; !o.slow() {
		e.slowInRow = 0
	} else if e.slowInRow == 1 {
		e.slowSince = now.Add(-max(o.Took, slowLatency))
	}
	switch {
	case e.slowRun(now):
		if !e.slow {
			e.slow = true
			e.timesSlowed++
		}
		e.quickInRow = 0
	case o.quick():
		if e.quickInRow++; e.quickInRow == 1 {
			e.quickSince = now
		}
		e.slow = e.slow && (e.quickInRow < minQuickRun || now.Sub(e.quickSince) < probation(e.timesSlowed))
		if e.quickInRow == trustedRun && !e.slow {
			e.timesSlowed = max(e.timesSlowed-1, 0)
		}
	}
}

// Slow reports whether an endpoint is slow, as far as this process saw.
func (l *Limiter) Slow(registration string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints.Get(registration)
	return ok && e.slow
}

// Stats are what this process saw of an endpoint.
type Stats struct {
	Failures    int // attempts in a row that failed
	LastSuccess time.Time
	Quick       int       // quick attempts in a row, on the same path
	QuickSince  time.Time // end of the first of them
	Slow        bool      // the last attempts were a slow run
}

// Stats returns what is known of an endpoint.
func (l *Limiter) Stats(registration string) Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.endpoints.Get(registration)
	if !ok {
		return Stats{}
	}
	return Stats{e.failures, e.lastSuccess, e.quickInRow, e.quickSince, e.slowRun(time.Now())}
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
