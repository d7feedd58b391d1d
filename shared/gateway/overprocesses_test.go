package gateway

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// processes returns so many that share y's rows and its queues.
func (y *yard) processes(n int) (ps []*yard) {
	y.Helper()
	for range n {
		ps = append(ps, y.as(func(*Config) {}))
	}
	return ps
}

// limitRows returns the rows of limits that were written.
func (y *yard) limitRows() (sks []string) {
	y.store.mu.Lock()
	defer y.store.mu.Unlock()
	for _, r := range y.store.wrote {
		if r.PK[:2] == "R#" && slices.Contains([]string{"P", "C"}, r.SK) {
			sks = append(sks, r.SK)
		}
	}
	return sks
}

// TestRateHoldsOverProcesses has ten processes get an event each at once, and then
// what they sent themselves in its time.
func TestRateHoldsOverProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", func(r *Registration) { r.Rate = 1 })
		ps := y.processes(10)
		var all sync.WaitGroup
		for _, p := range ps {
			all.Go(func() { p.delivered(r) })
		}
		if all.Wait(); y.made() != 1 {
			t.Errorf("%d POSTs at once by a rate of one a second, want one", y.made())
		}
		for begun, n := time.Now(), 0; time.Since(begun) < 30*time.Second && y.made() < 10; time.Sleep(time.Second) {
			for _, m := range y.out.take(storage.RetryQueue) {
				n++
				p := ps[n%10]
				time.AfterFunc(m.Delay, func() { p.receive(p.Redeliver, m.Body, 1) })
			}
		}
		y.mu.Lock()
		defer y.mu.Unlock()
		if len(y.posts) != 10 {
			t.Fatalf("%d POSTs of ten in half a minute", len(y.posts))
		}
		if took := y.posts[9].at.Sub(y.posts[0].at); took < 7*time.Second || took > 14*time.Second {
			t.Errorf("ten POSTs in %v by a rate of one a second, want about 9 s", took)
		}
	})
}

// TestConcurrencyHoldsOverProcesses has ten processes get an event each at once.
func TestConcurrencyHoldsOverProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		most := y.answersAfter(400*time.Millisecond, 200)
		r := y.register("tenant.example", func(r *Registration) { r.Concurrency = 2 })
		var all sync.WaitGroup
		for _, p := range y.processes(10) {
			all.Go(func() {
				if d := p.delivered(r); d.Status == Pending && (d.Attempts != 0 || d.NextAttempt.Sub(y.Clock()) > 3*time.Second) {
					t.Errorf("what has to wait has made %d attempts, and waits until %v; want none, and seconds", d.Attempts, d.NextAttempt)
				}
			})
		}
		if all.Wait(); most() != 2 || y.made() != 2 {
			t.Errorf("%d of %d POSTs at once, want 2", most(), y.made())
		}
		for range 3 { // leases were given back
			if d := y.delivered(r); d.Status != Succeeded {
				t.Errorf("afterwards a delivery is %s, want it succeeded", d.Status)
			}
		}
	})
}

// TestLimitsCostNothingWhereTheyAreNotUsed looks which rows are written.
func TestLimitsCostNothingWhereTheyAreNotUsed(t *testing.T) {
	limited := func(r *Registration) { r.Rate, r.Concurrency = 1, 1 }
	for _, tt := range []struct {
		name   string
		alone  bool
		change func(*Registration)
		want   []string
	}{
		{"none", false, func(*Registration) {}, nil},
		{"a rate", false, func(r *Registration) { r.Rate = 1 }, []string{"P", "P"}},
		{"a concurrency", false, func(r *Registration) { r.Concurrency = 1 }, []string{"C", "C", "C", "C"}},
		{"a concurrency that no row keeps", false, func(r *Registration) { r.Concurrency = 51 }, nil},
		{"both", false, limited, []string{"P", "C", "C", "P"}},
		{"both in the only process", true, limited, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			reads := &tampered{}
			y := newYard(t, FullHistory, func(c *Config) { c.SingleProcess = tt.alone; reads.Store, c.Store = c.Store, reads })
			r := y.register("tenant.example", tt.change)
			reads.fail(func(call string, k storage.Key) error {
				if call == "get" && (k.SK == "P" || k.SK == "C") {
					t.Errorf("%s: row %s is read", tt.name, k.SK)
				}
				return nil
			})
			if d := y.delivered(r); d.Status != Succeeded {
				t.Errorf("%s: the delivery is %s, want it succeeded", tt.name, d.Status)
			}
			y.delivered(r) // it has to ask as well
			if got := y.limitRows(); !slices.Equal(got, tt.want) {
				t.Errorf("%s: rows %v are written, want %v", tt.name, got, tt.want)
			}
		})
	}
}

// TestLimitsThatCannotBeWrittenLoseNothing fails the rows of limits for a while.
func TestLimitsThatCannotBeWrittenLoseNothing(t *testing.T) {
	for _, sk := range []string{"P", "C"} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory)
			r := y.register("tenant.example", func(r *Registration) { r.Rate, r.Concurrency = 1, 1 })
			y.store.set(func(r storage.Row) error {
				if r.SK == sk {
					return errOutage
				}
				return nil
			})
			a := y.arrival()
			if again := y.fanOut(1, a); !again || y.made() != 0 {
				t.Errorf("row %s cannot be written: the event comes again %v, after %d POSTs; want true, 0", sk, again, y.made())
			}
			y.store.set(nil)
			time.Sleep(2 * maxLease)
			if again := y.fanOut(2, a); again || y.made() != 1 {
				t.Errorf("row %s can be written again: the event comes again %v, after %d POSTs; want false, 1", sk, again, y.made())
			}
			if !y.enters(r) {
				t.Errorf("row %s could not be written: no other attempt may begin", sk)
			}
		})
	}
}
