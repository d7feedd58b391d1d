package gateway

import (
	"sync"

	"ringback/shared/egress"
)

// slowAfter is how many timeouts in a row make an endpoint slow: from then on
// first attempts wait in the retry queue, so that a batch of new events does
// not end with its slowest attempt.
const slowAfter = 2

// pace keeps the attempts of one registration within its limits in this
// process. Its zero value is ready.
type pace struct {
	mu   sync.Mutex
	busy map[string]*mood
}

// A mood is what this process saw of an endpoint lately.
type mood struct {
	posting  int // attempts under way
	timeouts int // in a row
}

// enter asks for the right to make an attempt. The function that it returns
// must be called with the attempt, or the zero one if there was none. Only a
// first attempt is refused to a slow endpoint.
func (p *pace) enter(r Registration, first bool) (func(Attempt), bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy == nil {
		p.busy = map[string]*mood{}
	}
	m := p.busy[r.ID]
	if m == nil {
		m = &mood{}
		p.busy[r.ID] = m
	}
	if m.posting >= r.atOnce() || first && m.timeouts >= slowAfter {
		return nil, false
	}
	m.posting++
	return func(a Attempt) { p.leave(r.ID, m, a) }, true
}

func (p *pace) leave(id string, m *mood, a Attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.posting--
	switch {
	case a.Class == egress.Timeout:
		m.timeouts++
	case !a.At.IsZero():
		m.timeouts = 0
	}
	if m.posting == 0 && m.timeouts == 0 {
		delete(p.busy, id)
	}
}

// atOnce returns how many attempts of r may run at once in one process.
func (r Registration) atOnce() int {
	if r.Concurrency > 0 {
		return r.Concurrency
	}
	return Limits{}.OrDefault().Concurrency
}
