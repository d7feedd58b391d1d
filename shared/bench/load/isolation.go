package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// The tenants of the isolation scenario get so many callbacks a second each, for
// so many times of a fixed rate, as a p99 that is to be compared takes thousands;
// and a request to the second one's endpoint hangs for so long.
const (
	tenantRate = 50
	windows    = 6
	hangFor    = 10 * time.Second
)

// isolation compares a tenant that is alone in a runner with one that has another
// beside it, which answers or hangs: on one source, a group for each. The two are
// measured at once, in two processes, since what else a machine does changes by
// more from minute to minute than one tenant costs the other.
func (b *bench) isolation(ctx context.Context) error {
	return errors.Join(
		b.compare(ctx, "a tenant alone", "meanwhile one beside another that answers", 0),
		b.compare(ctx, "again a tenant alone", "meanwhile one beside another that hangs for 10 s", hangFor),
	)
}

// compare measures a tenant alone, and meanwhile one beside another whose
// endpoint hangs for a time.
func (b *bench) compare(ctx context.Context, alone, beside string, hang time.Duration) error {
	what := [...]string{alone, beside}
	var pairs [len(what)]*pair
	var m [len(what)]measurement
	for i := range what {
		p, err := b.newPair(ctx, hang)
		if err != nil {
			return err
		}
		defer p.end()
		pairs[i] = p
	}
	group, running := errgroup.WithContext(ctx)
	for i, p := range pairs {
		group.Go(func() (err error) {
			m[i], err = p.measure(running, i == 1)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	m[1][ratio] = m[1][p99] / m[0][p99]
	for i := range what {
		if err := b.add(fmt.Sprintf("%s, %d callbacks/s each", what[i], tenantRate), "isolation", m[i]); err != nil {
			return err
		}
	}
	return errors.Join(pairs[0].first.check(), pairs[1].first.check())
}

// A pair is two tenants on one source.
type pair struct {
	*stage
	first, second *ledger
}

// newPair starts a runner with two tenants, the second of which hangs. It leaves
// them the default limits: they are a part of what keeps tenants apart.
func (b *bench) newPair(ctx context.Context, hang time.Duration) (*pair, error) {
	s, err := b.newStage(ctx)
	if err != nil {
		return nil, err
	}
	n := windows * b.callbacksAt(tenantRate)
	p := &pair{stage: s, first: newLedger(1, warm+n), second: newLedger(1, n)}
	if err = p.setUp(ctx, hang); err == nil {
		err = p.warmUp(ctx, p.first)
	}
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func (p *pair) setUp(ctx context.Context, hang time.Duration) (err error) {
	notes := [...]func(int, int, []byte){p.noting(p.first), p.noting(p.second)}
	p.receiver, err = newReceiver(func(endpoint, n int, webhookID []byte) { notes[min(endpoint, 1)](0, n, webhookID) })
	if err != nil {
		return err
	}
	p.receiver.hang[1].Store(int64(hang))
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

// measure sends the first tenant its callbacks, and with beside the second one
// as many, and tells how long the first's took.
func (p *pair) measure(ctx context.Context, beside bool) (measurement, error) {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := p.generator(p.first, groupA).pace(running, warm, len(p.first.acked), tenantRate)
		return err
	})
	if beside {
		group.Go(func() error {
			_, err := p.generator(p.second, groupB).pace(running, 0, len(p.second.acked), tenantRate)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := p.first.wait(ctx, p.patience); err != nil {
		return nil, err
	}
	m := measurement{}
	m.times(p.first, warm, len(p.first.acked))
	return m, p.sizes(m, p.first)
}

// end kills the runner, since what hangs would hold up an interrupted one.
func (p *pair) end() error {
	p.runner.kill()
	return p.remove()
}
