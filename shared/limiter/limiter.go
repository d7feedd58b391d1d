// Package limiter keeps the attempts of each registration within its rate and concurrency limits, in one
// process, and sends away what would wait there for long. shares.go shares a bounded number of places among
// tenants, speed.go says which endpoints are fast and speedstore.go keeps that for all processes, and pacer.go gives
// what is made due ahead its instants.
package limiter

import (
	"context"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// slowLatency is how long an attempt of a slow endpoint takes. From slowRun in a row on that lasted for slowFor, the
	// first one's start to the last one's end, its deliveries wait for each other alone, in the slow queue. (One alone
	// may be a cold start: where one of 150 attempts takes so long, an endpoint that one made slow would be so for most
	// of the time; and of 2,000 a second three in a row, which end in a moment, are no wonder.)
	slowLatency = time.Second
	minSlowRun  = 3
	minSlowTime = 2 * time.Second
	// quickLatency is how long one of a fast endpoint takes at most. After quickRun with no such run between them,
	// over some time, a slow endpoint is fast again: over firstTrial at first, twice as long each time that
	// it turns out to be slow anew, up to longestTrial.
	quickLatency     = 500 * time.Millisecond
	minQuickRun      = 20
	firstProbation   = time.Minute
	longestProbation = time.Hour
	// MaxQueueWait is how long an attempt waits in the process for others of the same registration to end. Nothing waits
	// where none ended for so long, or where its turn is not expected by then; unless so few wait as may be under way.
	MaxQueueWait = time.Second
	// usualRetryAfter is how long an attempt that was sent away waits at most for its turn, about: the endpoint may become
	// faster. Where so many wait that more than looks a second would ask in vain it is longer, up to farTurn.
	usualRetryAfter     = time.Minute
	maxRetryAfter       = 15 * time.Minute
	maxRetriesPerSecond = 10
	// MaxEndpoints is how many endpoints a process remembers.
	MaxEndpoints = 20_000
)

// MinRate is the least rate that may be asked for, in attempts a second: one an
// hour. The interval of one far lower would fit no time.Duration.
const MinRate = 1.0 / 3600

// Limiter keeps the attempts of each registration within its limits in this process.
type Limiter struct {
	// Shared says that Books know who is slow, by what all processes saw.
	Shared bool

	mu        sync.Mutex
	endpoints *lru.Cache[string, *endpoint]
}

// A endpoint is what this process saw of an endpoint lately.
type endpoint struct {
	inFlight    int             // attempts under way
	failures    int             // in a row
	lastSuccess time.Time       // the last one
	latency     time.Duration   // that an attempt takes, lately
	lastChange  time.Time       // when an attempt last began or ended
	nextStart   time.Time       // when the rate lets the next one begin
	queue       []chan struct{} // closed, first come first served, when one may begin
	deferred    float64         // attempts that were sent away and will ask again, as of turned
	deferredAt  time.Time

	slow        bool
	timesSlowed int       // times that it turned slow
	slowInRow   int       // slow attempts in a row
	slowSince   time.Time // the first of them
	slowPath    bool      // the last one was made in the slow queue
	quickInRow  int       // of quick attempts, on the same path
	quickSince  time.Time // the first of the run
}

// New returns a Pace that knows no endpoint.
func New() *Limiter {
	l := &Limiter{}
	l.endpoints, _ = lru.New[string, *endpoint](MaxEndpoints)
	return l
}

// An Allowance is what a registration may use: its own limits within those of its tenant.
type Allowance struct {
	Concurrency int
	Rate        float64 // POSTs a second; 0: as many as come
}

// A Request is an attempt that wants to begin.
type Request struct {
	Registration string
	Allowance
	Slow        bool // it is in the slow queue, where attempts of slow endpoints belong
	RateGranted bool // it waited for the rate already
}

// An Outcome is how an attempt ended. The zero one is of none that was made. One
// that was cut off counts as none, but for its endpoint's being slow.
type Outcome struct {
	Attempted, Succeeded, Interrupted bool
	Took                              time.Duration
}

func (o Outcome) slow() bool  { return o.Interrupted || o.Attempted && o.Took >= slowLatency }
func (o Outcome) quick() bool { return o.Succeeded && o.Took < quickLatency }

// A Wait says why an attempt may not begin: the rate has a place for it at a time, or the endpoint is slow
// and the attempt not in the slow queue, or so many are before it that its turn comes after about so long.
type Wait struct {
	Slow  bool
	At    time.Time
	After time.Duration
}

// Acquire asks for the right to make an attempt, and waits for it a moment if others of the registration are
// about to end. The function that it returns must be called with the outcome, the zero one if there was none;
// it is nil without the right.
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

// Interval returns the time between two attempts at so many a second. What rows of
// former releases ask for below LeastRate counts as that.
func Interval(rate float64) time.Duration {
	return time.Duration(float64(time.Second) / max(rate, MinRate))
}

// getOrAdd returns what c has under key, which is zero at first.
func getOrAdd[T any](c *lru.Cache[string, *T], key string) *T {
	v, ok := c.Get(key)
	if !ok {
		v = new(T)
		c.Add(key, v)
	}
	return v
}

// queueTime returns how long it takes about until one more that waits may begin, if
// so many beside those in the process are before it.
func (e *endpoint) queueTime(concurrency int, ahead float64) time.Duration {
	return e.latency * time.Duration((len(e.queue)+int(ahead))/concurrency+1)
}

// deferOne sends one away and returns about when it may ask again: when those that were sent away before it have had their
// turns. They ask wherever their messages arrive, so they are not counted but taken to have asked as fast as they were
// told to, or as the endpoint is. While nothing ends, an attempt takes at least as long as that.
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

// waitInQueue waits for free as long as Patience lasts.
func (l *Limiter) waitInQueue(ctx context.Context, e *endpoint, granted chan struct{}) bool {
	if receiveWithin(ctx, MaxQueueWait, granted) {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(e.queue, granted)
	if i < 0 {
		return true // it came at the last moment
	}
	e.queue = slices.Delete(e.queue, i, i+1)
	return false
}

// receiveWithin reports whether something comes from c, if that is not nil, before d is over, or ctx.
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

// release ends an attempt; its place goes to the one that waits longest.
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

// slowRun reports whether so many attempts in a row were slow, over so long, that the endpoint is.
func (e *endpoint) slowRun(now time.Time) bool {
	return e.slowInRow >= minSlowRun && now.Sub(e.slowSince) >= minSlowTime
}

// classify says by an attempt that ended now whether the endpoint is slow.
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

// Stats is what this process saw of an endpoint: attempts in a row that were not
// accepted, and when the last one was; quick ones on the same path since a run of
// slow ones, and when the first of those ended; whether the last ones were such a run.
type Stats struct {
	Failures    int
	LastSuccess time.Time
	Quick       int
	QuickSince  time.Time
	Slow        bool
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
