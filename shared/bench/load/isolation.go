package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// A tenant of the isolation scenario gets so many callbacks a second, for so many
// times of a fixed rate, as a p99 that is to be compared takes thousands. The one
// beside it gets as many for one registration, or fewer for fifty.
const (
	tenantRate = 50
	crowdRate  = 10
	crowd      = 50
	windows    = 6
)

// manners are how the endpoints of fifty registrations answer beside a tenant.
var manners = []manner{
	{name: "hang", after: time.Hour, status: 200},
	{name: "answer 200 after 14 s", after: 14 * time.Second, status: 200},
	{name: "answer a byte a second", status: 200, drips: true},
	{name: "answer 500", status: 500},
}

// isolation compares a tenant that is alone in a runner with one that has another
// beside it, and one beside fifty registrations that answer with one beside as many
// that do not, or not well: on one source, a group for each. The two are measured at
// once, in two processes, since what else a machine does changes by more from minute
// to minute than one tenant costs the other.
func (b *bench) isolation(ctx context.Context) error {
	well := manner{name: "answer", status: 200}
	err := b.compare(ctx, [2]string{"a tenant alone", "meanwhile one beside another that answers"}, [2]neighbours{{}, {1, tenantRate, well}})
	for _, m := range manners {
		what := [2]string{"a tenant beside fifty registrations that answer", "meanwhile one beside fifty that " + m.name}
		err = errors.Join(err, b.compare(ctx, what, [2]neighbours{{crowd, crowdRate, well}, {crowd, crowdRate, m}}))
	}
	return err
}

// Neighbours are the registrations of the other tenant, of which each gets so many
// callbacks a second.
type neighbours struct {
	n    int // 0: there is no other tenant
	rate int
	manner
}

// compare measures two tenants at once, each beside neighbours.
func (b *bench) compare(ctx context.Context, what [2]string, beside [2]neighbours) error {
	var pairs [len(what)]*pair
	var m [len(what)]measurement
	for i := range what {
		p, err := b.newPair(ctx, beside[i])
		if err != nil {
			return err
		}
		defer p.end()
		pairs[i] = p
	}
	group, running := errgroup.WithContext(ctx)
	for i, p := range pairs {
		group.Go(func() (err error) {
			m[i], err = p.measure(running, beside[i])
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
	keys          [2]string // of their API
}

// newPair starts a runner with a tenant and its neighbours. But for calls it leaves them the
// default limits: they are a part of what keeps tenants apart.
func (b *bench) newPair(ctx context.Context, beside neighbours) (*pair, error) {
	s, err := b.newStage(ctx)
	if err != nil {
		return nil, err
	}
	p := &pair{stage: s, first: newLedger(1, warm+windows*b.callbacksAt(tenantRate)), second: newLedger(1, windows*b.callbacksAt(max(beside.rate, 1)))}
	if err = p.setUp(ctx, beside); err == nil {
		err = p.warmUp(ctx, p.first)
	}
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func (p *pair) setUp(ctx context.Context, beside neighbours) (err error) {
	notes := [...]func(int, int, []byte){p.noting(p.first), p.noting(p.second)}
	p.receiver, err = newReceiver(func(endpoint, n int, webhookID []byte) { notes[min(endpoint, 1)](0, n, webhookID) })
	if err != nil {
		return err
	}
	p.receiver.second.Store(&beside.manner)
	for endpoint, group := range [...]string{groupA, groupB} {
		key, err := p.tenant(ctx, fmt.Sprint("tenant ", endpoint), map[string]any{"api_calls_per_second": 1000})
		registrations := 1
		if endpoint == 1 {
			registrations = beside.n
		}
		for range registrations {
			if err == nil {
				err = p.register(ctx, key, endpoint, group)
			}
		}
		if err != nil {
			return err
		}
		p.keys[endpoint] = key
	}
	return nil
}

// measure sends both tenants their callbacks, and tells how long the first's took.
func (p *pair) measure(ctx context.Context, beside neighbours) (measurement, error) {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := p.generator(p.first, groupA).pace(running, warm, len(p.first.acked), tenantRate)
		return err
	})
	if beside.n > 0 {
		group.Go(func() error {
			_, err := p.generator(p.second, groupB).pace(running, 0, len(p.second.acked), float64(beside.rate))
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
