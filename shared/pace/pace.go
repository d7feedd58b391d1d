// Package pace keeps the attempts of each registration within its rate and concurrency limits, in one
// process, and sends away what would wait there for long. places.go shares a bounded number of places among
// tenants, book.go says which endpoints are fast and books.go keeps that for all processes, and line.go gives
// what is made due ahead its instants.
package pace

import (
	"context"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// tooSlow is how long an attempt of a slow endpoint takes. From slowRun in a row on that lasted for slowFor, the
	// first one's start to the last one's end, its deliveries wait for each other alone, in the slow queue. (One alone
	// may be a cold start: where one of 150 attempts takes so long, an endpoint that one made slow would be so for most
	// of the time; and of 2,000 a second three in a row, which end in a moment, are no wonder.)
	tooSlow = time.Second
	slowRun = 3
	slowFor = 2 * time.Second
	// quick is how long one of a fast endpoint takes at most. After quickRun with no such run between them,
	// over some time, a slow endpoint is fast again: over firstTrial at first, twice as long each time that
	// it turns out to be slow anew, up to longestTrial.
	quick        = 500 * time.Millisecond
	quickRun     = 20
	firstTrial   = time.Minute
	longestTrial = time.Hour
	// Patience is how long an attempt waits in the process for others of the same registration to end. Nothing waits
	// where none ended for so long, or where its turn is not expected by then; unless so few wait as may be under way.
	Patience = time.Second
	// nearTurn is how long an attempt that was sent away waits at most for its turn, about: the endpoint may become
	// faster. Where so many wait that more than looks a second would ask in vain it is longer, up to farTurn.
	nearTurn = time.Minute
	farTurn  = 15 * time.Minute
	looks    = 10
	// Known is how many endpoints a process remembers.
	Known = 20_000
)

// LeastRate is the least rate that may be asked for, in attempts a second: one an
// hour. The interval of one far lower would fit no time.Duration.
const LeastRate = 1.0 / 3600

// Pace keeps the attempts of each registration within its limits in this process.
type Pace struct {
	// Shared says that Books know who is slow, by what all processes saw.
	Shared bool

	mu    sync.Mutex
	moods *lru.Cache[string, *mood]
}

// A mood is what this process saw of an endpoint lately.
type mood struct {
	posting  int             // attempts under way
	failures int             // in a row
	accepted time.Time       // the last one
	took     time.Duration   // that an attempt takes, lately
	moved    time.Time       // when an attempt last began or ended
	next     time.Time       // when the rate lets the next one begin
	waiting  []chan struct{} // closed, first come first served, when one may begin
	owed     float64         // attempts that were sent away and will ask again, as of turned
	turned   time.Time

	slow   bool
	slowed int       // times that it turned slow
	late   int       // slow attempts in a row
	begun  time.Time // the first of them
	apart  bool      // the last one was made in the slow queue
	run    int       // of quick attempts, on the same path
	since  time.Time // the first of the run
}

// New returns a Pace that knows no endpoint.
func New() *Pace {
	p := &Pace{}
	p.moods, _ = lru.New[string, *mood](Known)
	return p
}

// An Allowance is what a registration may use: its own limits within those of its tenant.
type Allowance struct {
	AtOnce int
	Rate   float64 // POSTs a second; 0: as many as come
}

// A Turn is an attempt that wants to begin.
type Turn struct {
	Registration string
	Allowance
	Slow  bool // it is in the slow queue, where attempts of slow endpoints belong
	Paced bool // it waited for the rate already
}

// An Outcome is how an attempt ended. The zero one is of none that was made. One
// that was cut off counts as none, but for its endpoint's being slow.
type Outcome struct {
	Made, Accepted, Cut bool
	Took                time.Duration
}

func (o Outcome) slow() bool  { return o.Cut || o.Made && o.Took >= tooSlow }
func (o Outcome) quick() bool { return o.Accepted && o.Took < quick }

// A Wait says why an attempt may not begin: the rate has a place for it at a time, or the endpoint is slow
// and the attempt not in the slow queue, or so many are before it that its turn comes after about so long.
type Wait struct {
	Slow bool
	At   time.Time
	Turn time.Duration
}

// Enter asks for the right to make an attempt, and waits for it a moment if others of the registration are
// about to end. The function that it returns must be called with the outcome, the zero one if there was none;
// it is nil without the right.
func (p *Pace) Enter(ctx context.Context, t Turn) (leave func(Outcome), _ Wait) {
	p.mu.Lock()
	m := known(p.moods, t.Registration)
	now := time.Now()
	leave = func(o Outcome) { p.leave(m, o) }
	if m.slow && !t.Slow {
		p.mu.Unlock()
		return nil, Wait{Slow: true}
	}
	if t.Slow != m.apart {
		m.apart, m.run = t.Slow, 0
	}
	if t.Rate > 0 && !t.Paced {
		at := m.next
		m.next = Later(at, now).Add(Apart(t.Rate))
		if at.After(now) {
			p.mu.Unlock()
			return nil, Wait{At: at}
		}
	}
	switch {
	case m.posting < t.AtOnce:
		m.posting++
		m.moved = now
		p.mu.Unlock()
		return leave, Wait{}
	case len(m.waiting) >= t.AtOnce && m.turn(t.AtOnce, 0) > Patience || now.Sub(m.moved) > Patience:
		defer p.mu.Unlock()
		return nil, Wait{Turn: m.away(t.AtOnce, now)}
	}
	free := make(chan struct{})
	m.waiting = append(m.waiting, free)
	p.mu.Unlock()
	if !p.await(ctx, m, free) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return nil, Wait{Turn: m.away(t.AtOnce, time.Now())}
	}
	return leave, Wait{}
}

// Apart returns the time between two attempts at so many a second. What rows of
// former releases ask for below LeastRate counts as that.
func Apart(rate float64) time.Duration {
	return time.Duration(float64(time.Second) / max(rate, LeastRate))
}

// known returns what c has under key, which is zero at first.
func known[T any](c *lru.Cache[string, *T], key string) *T {
	v, ok := c.Get(key)
	if !ok {
		v = new(T)
		c.Add(key, v)
	}
	return v
}

// turn returns how long it takes about until one more that waits may begin, if
// so many beside those in the process are before it.
func (m *mood) turn(atOnce int, before float64) time.Duration {
	return m.took * time.Duration((len(m.waiting)+int(before))/atOnce+1)
}

// away sends one away and returns about when it may ask again: when those that were sent away before it have had their
// turns. They ask wherever their messages arrive, so they are not counted but taken to have asked as fast as they were
// told to, or as the endpoint is. While nothing ends, an attempt takes at least as long as that.
func (m *mood) away(atOnce int, now time.Time) time.Duration {
	m.took = max(m.took, now.Sub(m.moved), time.Millisecond)
	perSecond := max(float64(atOnce)/m.took.Seconds(), looks)
	m.owed = max(m.owed-now.Sub(m.turned).Seconds()*perSecond, 0)
	m.turned = now
	longest := max(nearTurn, time.Duration(m.owed/looks*float64(time.Second)))
	turn := min(m.turn(atOnce, m.owed), longest, farTurn)
	m.owed++
	return turn
}

// await waits for free as long as Patience lasts.
func (p *Pace) await(ctx context.Context, m *mood, free chan struct{}) bool {
	if comesWithin(ctx, Patience, free) {
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

// comesWithin reports whether something comes from c, if that is not nil, before d is over, or ctx.
func comesWithin(ctx context.Context, d time.Duration, c <-chan struct{}) bool {
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

// leave ends an attempt; its place goes to the one that waits longest.
func (p *Pace) leave(m *mood, o Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	m.moved = now
	switch {
	case !o.Made:
	case o.Accepted:
		m.failures, m.accepted = 0, now
	default:
		m.failures++
	}
	if o.Made {
		m.took += (o.Took - m.took) / 8
	}
	m.judge(o, now)
	m.slow = m.slow && !p.Shared
	if len(m.waiting) > 0 {
		close(m.waiting[0])
		m.waiting = m.waiting[1:]
		return
	}
	m.posting--
}

// lags reports whether so many attempts in a row were slow, over so long, that the endpoint is.
func (m *mood) lags(now time.Time) bool { return m.late >= slowRun && now.Sub(m.begun) >= slowFor }

// judge says by an attempt that ended now whether the endpoint is slow.
func (m *mood) judge(o Outcome, now time.Time) {
	if !o.Made && !o.Cut {
		return
	}
	if m.late++; !o.slow() {
		m.late = 0
	} else if m.late == 1 {
		m.begun = now.Add(-max(o.Took, tooSlow))
	}
	switch {
	case m.lags(now):
		if !m.slow {
			m.slow = true
			m.slowed++
		}
		m.run = 0
	case o.quick():
		if m.run++; m.run == 1 {
			m.since = now
		}
		m.slow = m.slow && (m.run < quickRun || now.Sub(m.since) < trial(m.slowed))
		if m.run == provenRun && !m.slow {
			m.slowed = max(m.slowed-1, 0)
		}
	}
}

// Slow reports whether an endpoint is slow, as far as this process saw.
func (p *Pace) Slow(registration string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.moods.Get(registration)
	return ok && m.slow
}

// Seen is what this process saw of an endpoint: attempts in a row that were not
// accepted, and when the last one was; quick ones on the same path since a run of
// slow ones, and when the first of those ended; whether the last ones were such a run.
type Seen struct {
	Failures   int
	Accepted   time.Time
	Quick      int
	QuickSince time.Time
	Slow       bool
}

// Look returns what is known of an endpoint.
func (p *Pace) Look(registration string) Seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.moods.Get(registration)
	if !ok {
		return Seen{}
	}
	return Seen{m.failures, m.accepted, m.run, m.since, m.lags(time.Now())}
}

// Later returns the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
