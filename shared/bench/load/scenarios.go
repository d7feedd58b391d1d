package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// A scenario measures one thing, in one or more rows of the table.
type scenario struct {
	name  string
	about string
	run   func(*bench, context.Context) error
}

var scenarios = [...]scenario{
	{"callbacks", "callbacks accepted, as fast as they are; nobody is registered", (*bench).callbacks},
	{"fanout", "deliveries to 1, 10 and 100 registrations, as fast as callbacks are accepted", (*bench).fanOut},
	{"latency", "from callback to arrival at 50, 500 and 2,000 callbacks a second", (*bench).latency},
	{"registrations", "the same with 10, 1,000 and 100,000 registrations on the source, one of which matches", (*bench).registrations},
	{"file", "the same on a file that holds many events", (*bench).largeFile},
	{"isolation", "a tenant alone, beside another, and beside fifty registrations that hang, are slow, drip or refuse", (*bench).isolation},
	{"backlog", "a tenant alone, and beside another whose held deliveries are released", (*bench).backlog},
	{"kill", "kill -9 under load, again and again", (*bench).kill},
}

// callbacks floods a source that nobody is registered on; the worker stores
// each event all the same.
func (b *bench) callbacks(ctx context.Context) error {
	return b.on(ctx, func(s *stage) error {
		l := newLedger(0, warm+b.deliveries)
		if err := s.warmUp(ctx, l); err != nil {
			return err
		}
		before, err := s.begin(ctx)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("callbacks from %d connections, nobody registered", b.connections)
		profiled := s.profile(ctx, what)
		start, err := s.generator(l, groupA).flood(ctx, warm, warm+b.deliveries, b.connections)
		took := time.Since(start)
		if err == nil {
			err = errors.Join(s.runner.idle(ctx), profiled())
		}
		if err != nil {
			return err
		}
		m := measurement{accepted: float64(b.deliveries) / took.Seconds()}
		if err := s.sum(ctx, m, before, b.deliveries, l); err != nil {
			return err
		}
		return errors.Join(b.add(what, "callbacks", m), l.check(), s.begun(ctx, l))
	})
}

// begun returns an error unless every acknowledged callback became an event.
func (s *stage) begun(ctx context.Context, l *ledger) error {
	m, err := s.runner.metrics(ctx)
	events := cmp.Or(m[`events{outcome="new"}`], m["events"]) // the latter of older commits
	if n := l.acknowledged(); err == nil && events != float64(n) {
		err = fmt.Errorf("%d callbacks were acknowledged, %v events claimed", n, events)
	}
	return err
}

func (b *bench) fanOut(ctx context.Context) error {
	for _, n := range b.fanOuts {
		err := b.on(ctx, func(s *stage) error {
			callbacks := max(b.deliveries/n, 1)
			l := newLedger(n, warm+callbacks)
			if err := s.endpoints(ctx, l); err != nil {
				return err
			}
			what := fmt.Sprintf("fan-out %d from %d connections", n, b.connections)
			m, err := s.throughput(ctx, what, l, warm+callbacks)
			return errors.Join(err, b.add(what, "fanout", m), l.check())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// throughput warms up, floods with the callbacks after those up to number to,
// and waits until all have arrived.
func (s *stage) throughput(ctx context.Context, what string, l *ledger, to int) (measurement, error) {
	if err := s.warmUp(ctx, l); err != nil {
		return nil, err
	}
	before, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	profiled := s.profile(ctx, what)
	start, err := s.generator(l, groupA).flood(ctx, warm, to, s.connections)
	took := time.Since(start)
	if err == nil {
		err = errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx))
	}
	if err != nil {
		return nil, err
	}
	n := (to - warm) * len(l.endpoints)
	until := time.Duration(l.last.Load()) - start.Sub(l.start)
	m := measurement{accepted: float64(to-warm) / took.Seconds(), delivered: float64(n) / until.Seconds()}
	return m, errors.Join(s.sum(ctx, m, before, n, l), profiled())
}

func (b *bench) latency(ctx context.Context) error {
	for _, rate := range b.rates {
		err := b.on(ctx, func(s *stage) error {
			n := b.callbacksAt(rate)
			l := newLedger(1, warm+n)
			if err := s.endpoints(ctx, l); err != nil {
				return err
			}
			if err := s.warmUp(ctx, l); err != nil {
				return err
			}
			what := fmt.Sprintf("%s callbacks/s, fan-out 1", number(float64(rate)))
			m, err := s.paced(ctx, what, l, warm, warm+n, rate)
			return errors.Join(err, b.add(what, "latency", m), l.check())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// callbacksAt returns how many callbacks fill the window at a rate.
func (b *bench) callbacksAt(rate int) int { return max(int(float64(rate)*b.window.Seconds()), 1) }

// paced sends callbacks at a rate and tells how long they took to arrive.
func (s *stage) paced(ctx context.Context, what string, l *ledger, from, to, rate int) (measurement, error) {
	before, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	profiled := s.profile(ctx, what)
	if _, err := s.generator(l, groupA).pace(ctx, from, to, float64(rate)); err != nil {
		return nil, err
	}
	if err := errors.Join(l.wait(ctx, s.patience), s.runner.idle(ctx)); err != nil {
		return nil, err
	}
	m := measurement{}
	m.times(l, from, to)
	return m, errors.Join(s.sum(ctx, m, before, (to-from)*len(l.endpoints), l), profiled())
}

// registrations measures one registration that matches among ever more.
func (b *bench) registrations(ctx context.Context) error {
	for _, n := range b.crowds {
		err := b.on(ctx, func(s *stage) error {
			return b.grown(ctx, s, fmt.Sprintf("%s registrations, one matches", number(float64(n))), "registrations", func(lib *library) error {
				return lib.crowd(ctx, n-1)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// largeFile measures on an empty file and on one that holds a history.
func (b *bench) largeFile(ctx context.Context) error {
	for _, n := range []int{0, b.events} {
		err := b.on(ctx, func(s *stage) error {
			return b.grown(ctx, s, fmt.Sprintf("%s events stored before", number(float64(n))), "file", func(lib *library) error {
				return lib.history(ctx, n)
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// grown measures throughput and latency at fan-out 1 after grow has grown what
// lies in the file.
func (b *bench) grown(ctx context.Context, s *stage, what, name string, grow func(*library) error) error {
	const rate = 500
	flooded := warm + b.deliveries
	l := newLedger(1, flooded+b.callbacksAt(rate))
	if err := s.endpoints(ctx, l); err != nil {
		return err
	}
	if err := s.offline(ctx, grow); err != nil {
		return err
	}
	m, err := s.throughput(ctx, what, l, flooded)
	if err != nil {
		return err
	}
	at, err := s.paced(ctx, what+" at 500", l, flooded, len(l.acked), rate)
	if err != nil {
		return err
	}
	for _, c := range []column{p50, p95, p99, lateness, memory, file, acknowledged, lost, duplicated} {
		m[c] = at[c]
	}
	return errors.Join(b.add(what+"; times at 500/s", name, m), l.check())
}
