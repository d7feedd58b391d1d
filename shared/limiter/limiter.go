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
	waiting     []chan struct{} // closed, first come first served, when one may begin
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
	p := &Limiter{}
	p.endpoints, _ = lru.New[string, *endpoint](MaxEndpoints)
	return p
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
	Attempted, Succeeded, Cut bool
	Took                      time.Duration
}

func (o Outcome) slow() bool  { return o.Cut || o.Attempted && o.Took >= slowLatency }
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
func (p *Limiter) Acquire(ctx context.Context, t Request) (leave func(Outcome), _ Wait) {
	p.mu.Lock()
	m := getOrAdd(p.endpoints, t.Registration)
	now := time.Now()
	leave = func(o Outcome) { p.release(m, o) }
	if m.slow && !t.Slow {
		p.mu.Unlock()
		return nil, Wait{Slow: true}
	}
	if t.Slow != m.slowPath {
		m.slowPath, m.quickInRow = t.Slow, 0
	}
	if t.Rate > 0 && !t.RateGranted {
		at := m.nextStart
		m.nextStart = Later(at, now).Add(Interval(t.Rate))
		if at.After(now) {
			p.mu.Unlock()
			return nil, Wait{At: at}
		}
	}
	switch {
	case m.inFlight < t.Concurrency:
		m.inFlight++
		m.lastChange = now
		p.mu.Unlock()
		return leave, Wait{}
	case len(m.waiting) >= t.Concurrency && m.queueTime(t.Concurrency, 0) > MaxQueueWait || now.Sub(m.lastChange) > MaxQueueWait:
		defer p.mu.Unlock()
		return nil, Wait{After: m.deferOne(t.Concurrency, now)}
	}
	free := make(chan struct{})
	m.waiting = append(m.waiting, free)
	p.mu.Unlock()
	if !p.waitInQueue(ctx, m, free) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, Wait{After: m.deferOne(t.Concurrency, time.Now())}
	}
	return leave, Wait{}
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
func (m *endpoint) queueTime(atOnce int, before float64) time.Duration {
	return m.latency * time.Duration((len(m.waiting)+int(before))/atOnce+1)
}

// deferOne sends one away and returns about when it may ask again: when those that were sent away before it have had their
// turns. They ask wherever their messages arrive, so they are not counted but taken to have asked as fast as they were
// told to, or as the endpoint is. While nothing ends, an attempt takes at least as long as that.
func (m *endpoint) deferOne(atOnce int, now time.Time) time.Duration {
	m.latency = max(m.latency, now.Sub(m.lastChange), time.Millisecond)
	perSecond := max(float64(atOnce)/m.latency.Seconds(), maxRetriesPerSecond)
	m.deferred = max(m.deferred-now.Sub(m.deferredAt).Seconds()*perSecond, 0)
	m.deferredAt = now
	longest := max(usualRetryAfter, time.Duration(m.deferred/maxRetriesPerSecond*float64(time.Second)))
	turn := min(m.queueTime(atOnce, m.deferred), longest, maxRetryAfter)
	m.deferred++
	return turn
}

// waitInQueue waits for free as long as Patience lasts.
func (p *Limiter) waitInQueue(ctx context.Context, m *endpoint, free chan struct{}) bool {
	if receiveWithin(ctx, MaxQueueWait, free) {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(m.waiting, free)
	if i < 0 {
		return true // it came at the last moment
	}
	m.waiting = slices.Delete(m.waiting, i, i+1)
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
func (p *Limiter) release(m *endpoint, o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	m.lastChange = now
	switch {
	case !o.Attempted:
	case o.Succeeded:
		m.failures, m.lastSuccess = 0, now
	default:
		m.failures++
	}
	if o.Attempted {
		m.latency += (o.Took - m.latency) / 8
	}
	m.classify(o, now)
	m.slow = m.slow && !p.Shared
	if len(m.waiting) > 0 {
		close(m.waiting[0])
		m.waiting = m.waiting[1:]
		return
	}
	m.inFlight--
}

// slowRun reports whether so many attempts in a row were slow, over so long, that the endpoint is.
func (m *endpoint) slowRun(now time.Time) bool {
	return m.slowInRow >= minSlowRun && now.Sub(m.slowSince) >= minSlowTime
}

// classify says by an attempt that ended now whether the endpoint is slow.
func (m *endpoint) classify(o Outcome, now time.Time) {
	if !o.Attempted && !o.Cut {
		return
	}
	if m.slowInRow++; !o.slow() {
		m.slowInRow = 0
	} else if m.slowInRow == 1 {
		m.slowSince = now.Add(-max(o.Took, slowLatency))
	}
	switch {
	case m.slowRun(now):
		if !m.slow {
			m.slow = true
			m.timesSlowed++
		}
		m.quickInRow = 0
	case o.quick():
		if m.quickInRow++; m.quickInRow == 1 {
			m.quickSince = now
		}
		m.slow = m.slow && (m.quickInRow < minQuickRun || now.Sub(m.quickSince) < probation(m.timesSlowed))
		if m.quickInRow == trustedRun && !m.slow {
			m.timesSlowed = max(m.timesSlowed-1, 0)
		}
	}
}

// Slow reports whether an endpoint is slow, as far as this process saw.
func (p *Limiter) Slow(registration string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.endpoints.Get(registration)
	return ok && m.slow
}

// Stats is what this process saw of an endpoint: attempts in a row that were not
// accepted, and when the last one was; quick ones on the same path since a run of
// slow ones, and when the first of those ended; whether the last ones were such a run.
type Stats struct {
	Failures   int
	Accepted   time.Time
	Quick      int
	QuickSince time.Time
	Slow       bool
}

// Stats returns what is known of an endpoint.
func (p *Limiter) Stats(registration string) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.endpoints.Get(registration)
	if !ok {
		return Stats{}
	}
	return Stats{m.failures, m.lastSuccess, m.quickInRow, m.quickSince, m.slowRun(time.Now())}
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
