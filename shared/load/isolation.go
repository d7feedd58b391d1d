package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The tenants of the isolation scenario get so many callbacks a second each,
// and the second one's endpoint hangs for so long.
const (
	tenantRate = 50
	hangFor    = 10 * time.Second
)

// isolation measures a tenant alone, beside another whose endpoint answers, and
// beside the same while it hangs: one source, a group for each, one rate.
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
	n := 6 * s.callbacksAt(tenantRate) // a p99 that is to be compared takes thousands
	p := &pair{stage: s, n: n, first: newLedger(1, warm+3*n), second: newLedger(1, 3*n)}
	if err := p.setUp(ctx); err != nil {
		return err
	}
	if err := s.warmUp(ctx, p.first); err != nil {
		return err
	}
	alone := 0.0
	for part, of := range [...]struct {
		what   string
		beside bool
		hang   time.Duration
	}{
		{"a tenant alone", false, 0},
		{"it beside one that answers", true, 0},
		{"it beside one that hangs for 10 s", true, hangFor},
	} {
		s.receiver.hang[1].Store(int64(of.hang))
		m, err := p.measure(ctx, part, of.beside)
		if err != nil {
			return err
		}
		if of.beside {
			m[ratio] = m[p99] / alone
		} else {
			alone = m[p99]
		}
		if err := s.add(fmt.Sprintf("%s, %d callbacks/s each", of.what, tenantRate), "isolation", m); err != nil {
			return err
		}
	}
	return p.first.check()
}

// A pair is two tenants on one source.
type pair struct {
	*stage
	n             int // callbacks of each in one part
	first, second *ledger
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

// measure sends the first tenant the callbacks of one part, and with beside the
// second as many, and tells how long the first's took.
func (p *pair) measure(ctx context.Context, part int, beside bool) (measurement, error) {
	other := make(chan error, 1)
	go func() {
		var err error
		if beside {
			_, err = p.generator(p.second, groupB).pace(ctx, part*p.n, (part+1)*p.n, tenantRate)
		}
		other <- err
	}()
	from, to := warm+part*p.n, warm+(part+1)*p.n
	_, err := p.generator(p.first, groupA).pace(ctx, from, to, tenantRate)
	if err := errors.Join(err, <-other); err != nil {
		return nil, err
	}
	if err := p.first.wait(ctx, p.patience); err != nil {
		return nil, err
	}
	m := measurement{}
	m.times(p.first, from, to)
	return m, p.sizes(m, p.first)
}
