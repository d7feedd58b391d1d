package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// settled is longer than the time of which a registration gets what was held by
// itself when it is enabled.
const settled = 7 * time.Second

// backlog measures a tenant alone, and then beside another whose held deliveries
// are released.
func (b *bench) backlog(ctx context.Context) error {
	s, err := b.newStage(ctx)
	if err != nil {
		return err
	}
	each := windows * b.callbacksAt(tenantRate)
	p := &pair{stage: s, first: newLedger(1, warm+2*each), second: newLedger(1, b.held)}
	defer p.end()
	if err := p.setUp(ctx, neighbours{n: 1, manner: manner{status: 200}}); err != nil {
		return err
	}
	registration, err := p.hold(ctx)
	if err == nil {
		err = p.warmUp(ctx, p.first)
	}
	if err != nil {
		return err
	}
	alone, err := p.live(ctx, warm, warm+each)
	if err != nil {
		return err
	}
	back, beside, err := p.release(ctx, registration, warm+each)
	if err != nil {
		return err
	}
	beside[ratio] = beside[p99] / alone[p99]
	return errors.Join(
		b.add(fmt.Sprintf("a tenant, %d callbacks/s", tenantRate), "backlog", alone),
		b.add(fmt.Sprintf("meanwhile %s of another's are released at %s/s", number(float64(b.held)), number(float64(b.releaseRate))), "backlog", beside),
		b.add(fmt.Sprintf("%s deliveries released at %s/s", number(float64(b.held)), number(float64(b.releaseRate))), "backlog", back),
		p.first.check(), p.second.check(),
	)
}

// hold has all callbacks of the second tenant be held, and returns its
// registration, which is enabled again.
func (p *pair) hold(ctx context.Context) (string, error) {
	var rs struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := p.runner.call(ctx, p.keys[1], http.MethodGet, "/v1/registrations", nil, &rs); err != nil {
		return "", err
	}
	at := "/v1/registrations/" + rs.Data[0].ID
	if err := p.runner.call(ctx, p.keys[1], http.MethodPost, at+"/disable", nil, nil); err != nil {
		return "", err
	}
	if _, err := p.generator(p.second, groupB).flood(ctx, 0, len(p.second.acked), p.connections); err != nil {
		return "", err
	}
	if err := p.runner.idle(ctx); err != nil {
		return "", err
	}
	time.Sleep(settled)
	return at, p.runner.call(ctx, p.keys[1], http.MethodPost, at+"/enable", map[string]any{}, nil)
}

// live sends the first tenant its callbacks from number from up to number to, and
// tells how long they took.
func (p *pair) live(ctx context.Context, from, to int) (measurement, error) {
	if _, err := p.generator(p.first, groupA).pace(ctx, from, to, tenantRate); err != nil {
		return nil, err
	}
	if err := p.first.wait(ctx, p.patience); err != nil {
		return nil, err
	}
	m := measurement{}
	m.times(p.first, from, to)
	return m, p.sizes(m, p.first)
}

// release has what the second tenant's registration held be delivered, and tells
// how fast that came, while the first tenant gets its last callbacks.
func (p *pair) release(ctx context.Context, registration string, from int) (back, beside measurement, err error) {
	start := time.Now()
	in := map[string]any{"since": start.Add(-time.Hour).UTC(), "rate": p.releaseRate}
	if err := p.runner.call(ctx, p.keys[1], http.MethodPost, registration+"/release", in, nil); err != nil {
		return nil, nil, err
	}
	group, running := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		beside, err = p.live(running, from, len(p.first.acked))
		return err
	})
	group.Go(func() error { return p.second.wait(running, p.patience) })
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	since := func(at int64) float64 { return (time.Duration(at) - start.Sub(p.second.start)).Seconds() }
	arrivals := p.second.endpoints[0]
	first := arrivals[0].at.Load()
	for n := range arrivals {
		first = min(first, arrivals[n].at.Load())
	}
	back = measurement{delivered: float64(len(arrivals)) / since(p.second.last.Load()), firstAfter: since(first) * 1000}
	return back, beside, p.sizes(back, p.second)
}
