package gateway

import (
	"context"
	"sync"
	"time"

	"ringback/shared/egress"
)

const (
	// slowAfter is how many timeouts in a row make an endpoint slow: from then on
	// first attempts wait in the retry queue, so that a batch of new events does
	// not end with its slowest attempt.
	slowAfter = 2
	// patience is how long an attempt waits in the process for one of the same
	// registration to end. Nothing waits where none ended for so long.
	patience = time.Second
)

// pace keeps the attempts of each registration within its limit in this
// process. Its zero value is ready.
type pace struct {
	mu    sync.Mutex
	moods map[string]*mood
}

// A mood is what this process saw of an endpoint lately.
type mood struct {
	posting  int             // attempts under way
	timeouts int             // in a row
	moved    time.Time       // when an attempt last began or ended
	waiting  []chan struct{} // closed, first come first served, when one may begin
}

// enter asks for the right to make an attempt, and waits for it a moment if
// others of the registration are about to end. The function that it returns
// must be called with the attempt, or the zero one if there was none. A first
// attempt is refused to a slow endpoint.
func (p *pace) enter(ctx context.Context, r Registration, first bool) (leave func(Attempt), ok bool) {
	p.mu.Lock()
	m := p.mood(r.ID)
	now, limit := time.Now(), r.atOnce()
	leave = func(a Attempt) { p.leave(r.ID, m, a) }
	switch {
	case first && m.timeouts >= slowAfter:
		p.mu.Unlock()
		return nil, false
	case m.posting < limit:
		m.posting++
		m.moved = now
		p.mu.Unlock()
		return leave, true
	case len(m.waiting) >= limit || now.Sub(m.moved) > patience:
		p.mu.Unlock()
		return nil, false
	}
	turn := make(chan struct{})
	m.waiting = append(m.waiting, turn)
	p.mu.Unlock()
	return leave, p.await(ctx, m, turn)
}

func (p *pace) mood(id string) *mood {
	if p.moods == nil {
		p.moods = map[string]*mood{}
	}
	m := p.moods[id]
	if m == nil {
		m = &mood{}
		p.moods[id] = m
	}
	return m
}

// await waits for turn as long as patience lasts.
func (p *pace) await(ctx context.Context, m *mood, turn chan struct{}) bool {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-turn:
		return true
	case <-t.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range m.waiting {
		if c == turn {
			m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
			return false
		}
	}
	return true // it came at the last moment
}

// leave ends an attempt; its place goes to the one that waits longest.
func (p *pace) leave(id string, m *mood, a Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.moved = time.Now()
	switch {
	case a.Class == egress.Timeout:
		m.timeouts++
	case !a.At.IsZero():
		m.timeouts = 0
	}
	if len(m.waiting) > 0 {
		close(m.waiting[0])
		m.waiting = m.waiting[1:]
		return
	}
	if m.posting--; m.posting == 0 && m.timeouts == 0 {
		delete(p.moods, id)
	}
}

// atOnce returns how many attempts of r may run at once in one process.
func (r Registration) atOnce() int {
	if r.Concurrency > 0 {
		return r.Concurrency
	}
	return Limits{}.OrDefault().Concurrency
}
