package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"sync/atomic"
	"time"

	"ringback/shared/bench/quantile"
)

// poll is how often a ledger is looked at by who waits for it. Times are those
// of the arrivals, not of the look.
const poll = 5 * time.Millisecond

// A ledger holds what was sent and what arrived: callbacks by their number,
// deliveries by endpoint and number. Numbers may be sent by many goroutines,
// each once; deliveries may arrive in any order.
type ledger struct {
	start     time.Time
	due       []time.Duration // when a callback was to be sent, since start
	late      []time.Duration // how much later it was sent
	acked     []atomic.Bool
	endpoints [][]arrival
	arrived   atomic.Int64 // first ones
	repeats   atomic.Int64 // the same webhook-id once more at the same endpoint
	strange   atomic.Int64 // what no callback explains, or another webhook-id for one that arrived
	last      atomic.Int64 // the last first arrival, since start
	refused   atomic.Int64 // callbacks that were not acknowledged
}

// An arrival is a delivery's first.
type arrival struct {
	id atomic.Uint64 // hash of its webhook-id; 0: it did not arrive
	at atomic.Int64  // since start, in nanoseconds; 0: not noted yet
}

var idSeed = maphash.MakeSeed()

func newLedger(endpoints, callbacks int) *ledger {
	l := &ledger{
		start: time.Now(), due: make([]time.Duration, callbacks), late: make([]time.Duration, callbacks),
		acked: make([]atomic.Bool, callbacks), endpoints: make([][]arrival, endpoints),
	}
	for i := range l.endpoints {
		l.endpoints[i] = make([]arrival, callbacks)
	}
	return l
}

// sending notes that callback n, which was due at a time, is sent now.
func (l *ledger) sending(n int, due time.Time) {
	l.due[n] = due.Sub(l.start)
	l.late[n] = time.Since(due)
}

// answered notes whether callback n was acknowledged.
func (l *ledger) answered(n int, ok bool) {
	if l.acked[n].Store(ok); !ok {
		l.refused.Add(1)
	}
}

// deliver notes that callback n arrived at an endpoint.
func (l *ledger) deliver(endpoint, n int, webhookID []byte) {
	if endpoint < 0 || endpoint >= len(l.endpoints) || n < 0 || n >= len(l.acked) || len(webhookID) == 0 {
		l.strange.Add(1)
		return
	}
	a, id := &l.endpoints[endpoint][n], maphash.Bytes(idSeed, webhookID)|1
	switch {
	case a.id.CompareAndSwap(0, id):
		at := int64(time.Since(l.start))
		a.at.Store(at)
		l.last.Store(at)
		l.arrived.Add(1)
	case a.id.Load() == id:
		l.repeats.Add(1)
	default:
		l.strange.Add(1)
	}
}

// acknowledged returns how many callbacks were.
func (l *ledger) acknowledged() int {
	n := 0
	for i := range l.acked {
		if l.acked[i].Load() {
			n++
		}
	}
	return n
}

// lost returns how many deliveries of acknowledged callbacks did not arrive.
func (l *ledger) lost() int {
	n := 0
	for i := range l.acked {
		if !l.acked[i].Load() {
			continue
		}
		for _, e := range l.endpoints {
			if e[i].id.Load() == 0 {
				n++
			}
		}
	}
	return n
}

// wait waits until every acknowledged callback, of which there are no more to
// come, arrived everywhere, or nothing has arrived for as long as patience.
func (l *ledger) wait(ctx context.Context, patience time.Duration) error {
	want := int64(l.acknowledged() * len(l.endpoints))
	before, since := l.arrived.Load(), time.Now()
	return until(ctx, poll, func() (bool, error) {
		now := l.arrived.Load()
		if now != before {
			before, since = now, time.Now()
		}
		return now >= want && l.lost() == 0 || time.Since(since) > patience, nil
	})
}

// took returns how long the callbacks from number from up to number to took
// until they arrived at the first endpoint, in ascending order: counted from
// when they were due, so that a callback that had to wait is not forgiven.
func (l *ledger) took(from, to int) []time.Duration {
	var out []time.Duration
	for n := from; n < to; n++ {
		if at := l.endpoints[0][n].at.Load(); at != 0 && l.acked[n].Load() {
			out = append(out, time.Duration(at)-l.due[n])
		}
	}
	slices.Sort(out)
	return out
}

// lateness returns how late the generator sent them.
func (l *ledger) lateness(from, to int) []time.Duration {
	return slices.Sorted(slices.Values(l.late[from:to]))
}

// check returns an error if something arrived that must not.
func (l *ledger) check() error {
	return cmp.Or(
		wrong(l.strange.Load(), "deliveries that no callback explains, or under a second webhook-id"),
		wrong(l.refused.Load(), "callbacks were refused"),
		wrong(int64(l.lost()), "deliveries of acknowledged callbacks lost"),
	)
}

func wrong(n int64, what string) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d %s", n, what)
}

// percentile returns the p-th of ascending times, in milliseconds; of none it is
// not a number.
func percentile(ascending []time.Duration, p int) float64 {
	return quantile.Of(ascending, float64(p)/100) / float64(time.Millisecond)
}

// until waits until done reports true, and looks every so often.
func until(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
