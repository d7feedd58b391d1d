package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The tenants of the isolation scenario get so many callbacks a second each, for
// so many times of a fixed rate, as a p99 that is to be compared takes thousands;
// and a request to the second one's endpoint hangs for so long.
const (
	tenantRate = 50
	windows    = 6
	hangFor    = 10 * time.Second
)

// isolation measures a tenant alone, alone with as much as two have, beside
// another whose endpoint answers, and beside the same while it hangs: one source,
// a group for each.
func (b *bench) isolation(ctx context.Context) error {
	s, err := b.newStage(ctx)
	if err != nil {
		return err
	}
	err = s.besides(ctx)
	s.runner.kill() // what hangs would hold up an interrupted one
	return errors.Join(err, s.remove())
}

func (s *stage) besides(ctx context.Context) (err error) {
	n := windows * s.callbacksAt(tenantRate)
	p := &pair{stage: s, first: newLedger(1, warm+5*n), second: newLedger(1, 2*n), sent: warm}
	if err := p.setUp(ctx); err != nil {
		return err
	}
	if err := s.warmUp(ctx, p.first); err != nil {
		return err
	}
	alone := 0.0
	for _, of := range [...]struct {
		what         string
		rate, beside int
		hang         time.Duration
	}{
		{"a tenant alone", tenantRate, 0, 0},
		{"the same", 2 * tenantRate, 0, 0},
		{"it beside one that answers", tenantRate, tenantRate, 0},
		{"it beside one that hangs for 10 s", tenantRate, tenantRate, hangFor},
	} {
		s.receiver.hang[1].Store(int64(of.hang))
		m, err := p.measure(ctx, of.rate, of.beside)
		if err != nil {
			return err
		}
		if alone == 0 {
			alone = m[p99]
		} else {
			m[ratio] = m[p99] / alone
		}
		if err := s.add(fmt.Sprintf("%s, %d callbacks/s each", of.what, of.rate), "isolation", m); err != nil {
			return err
		}
	}
	return p.first.check()
}

// A pair is two tenants on one source.
type pair struct {
	*stage
	first, second *ledger
	sent, beside  int // callbacks of each so far
}

// setUp leaves the tenants the default limits: they are a part of what keeps
// tenants apart.
func (p *pair) setUp(ctx context.Context) (err error) {
	notes := [...]func(int, int, []byte){p.noting(p.first), p.noting(p.second)}
	p.receiver, err = newReceiver(func(endpoint, n int, webhookID []byte) { notes[min(endpoint, 1)](0, n, webhookID) })
	if err != nil {
		return err
	}
	for endpoint, group := range [...]string{groupA, groupB} {
		key, err := p.tenant(ctx, fmt.Sprint("tenant ", endpoint), nil)
		if err == nil {
			err = p.register(ctx, key, endpoint, group)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measure sends the first tenant callbacks at a rate, and the second at the rate
// beside, and tells how long the first's took.
func (p *pair) measure(ctx context.Context, rate, beside int) (measurement, error) {
	n, other := windows*p.callbacksAt(rate), make(chan error, 1)
	go func() {
		var err error
		if beside > 0 {
			n := windows * p.callbacksAt(beside)
			_, err = p.generator(p.second, groupB).pace(ctx, p.beside, p.beside+n, float64(beside))
			p.beside += n
		}
		other <- err
	}()
	from := p.sent
	p.sent += n
	_, err := p.generator(p.first, groupA).pace(ctx, from, p.sent, float64(rate))
	if err := errors.Join(err, <-other); err != nil {
		return nil, err
	}
	if err := p.first.wait(ctx, p.patience); err != nil {
		return nil, err
	}
	m := measurement{}
	m.times(p.first, from, p.sent)
	return m, p.sizes(m, p.first)
}
