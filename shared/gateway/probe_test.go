package gateway

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestProbeIsAttemptedFromTheSlowQueue has a first attempt come for an open circuit
// that is to be probed: where a batch ends with its slowest attempt, and of an
// endpoint that is slow. Who took the probe along to the slow queue would find there
// that it is not its turn, for ever.
func TestProbeIsAttemptedFromTheSlowQueue(t *testing.T) {
	for _, first := range []time.Duration{time.Second, 0} {
		synctest.Test(t, func(t *testing.T) {
			y := newYard(t, FullHistory, func(c *Config) { c.FirstAttempt = first })
			r := y.register("tenant.example")
			y.delivered(r)
			for _, m := range y.out.take(storage.SlowQueue) {
				y.receive(y.RedeliverSlow, m.Body, 1)
			}
			if first == 0 {
				y.slow(r)
			}
			time.Sleep(2 * time.Minute)
			y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: y.Clock(), Interval: time.Minute, ProbeAt: y.Clock()})
			posts := y.made()
			d := y.delivered(r)
			if d.Status != Pending || y.made() != posts {
				t.Fatalf("a probe in a batch: %s after %d POSTs, want it pending", d.Status, y.made()-posts)
			}
			y.receive(y.RedeliverSlow, y.out.take(storage.SlowQueue)[0].Body, 1)
			if d = y.delivery(r, d.Event); d.Status != Succeeded {
				t.Errorf("from the slow queue it is %s, want it made", d.Status)
			}
		})
	}
}

// TestEventThatAlwaysFailsKeepsNoCircuitOpen has the endpoint refuse the oldest of two
// events alone. What a probe failed with stays parked until its schedule's next attempt.
func TestEventThatAlwaysFailsKeepsNoCircuitOpen(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(24*time.Hour, 24*time.Hour))
		ds := y.parkedBehind(r, 2)
		bad, good := ds[0], ds[1]
		if good.Event < bad.Event {
			bad, good = good, bad
		}
		y.answer = func(p landed) int {
			if p.event == bad.Event {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		}
		begun := time.Now()
		if err := y.work(&outage{}, func() bool { return y.delivery(r, good.Event).Status == Succeeded }, false); err != nil || time.Since(begun) > 10*time.Minute {
			t.Errorf("accepted after %v, %v; want the second probe to be of another event", time.Since(begun), err)
		}
		d := y.delivery(r, bad.Event)
		if waits := d.NextAttempt.Sub(d.Last.At); d.Attempts != 1 || waits < 19*time.Hour {
			t.Errorf("%d attempts of what is refused, the next after %v; want one, and a day's wait", d.Attempts, waits)
		}
		time.Sleep(time.Until(d.NextAttempt.Add(-2 * time.Hour)))
		if err := y.work(&outage{}, func() bool { return y.delivery(r, bad.Event).Attempts == 2 }, false); err != nil {
			t.Errorf("it is attempted no more: %v", err)
		}
		if again := y.delivery(r, bad.Event); again.Last.At.Before(d.NextAttempt) {
			t.Errorf("attempted again at %v, want it not before %v", again.Last.At, d.NextAttempt)
		}
	})
}

// TestProbeOfASlowRateIsMade has each look ask for a place that is hours away, as long
// as the one before is dropped.
func TestProbeOfASlowRateIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", func(r *Registration) { r.Rate = 1. / 3600 })
		for y.delivered(r).Status == Succeeded { // until the place is taken
		}
		time.Sleep(2 * successTTL)
		d := y.parkedBehind(r, 1)[0]
		begun := time.Now()
		if err := y.work(&outage{}, func() bool { return y.delivery(r, d.Event).Status == Succeeded }, false); err != nil || time.Since(begun) > 4*time.Hour {
			t.Errorf("accepted after %v, %v; want it within some places of an hour", time.Since(begun), err)
		}
	})
}

// TestProbeThatDoesNotEndKeepsNoCircuitOpen has the attempt of the oldest of two events
// panic, as often as it is made. Each such probe counts as a claim that was lost, and
// the next is of another event.
func TestProbeThatDoesNotEndKeepsNoCircuitOpen(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory, func(c *Config) { c.MaxConcurrency = 2 })
		r := y.register("tenant.example")
		ds := y.parkedBehind(r, 2)
		bad, good := ds[0], ds[1]
		if good.Event < bad.Event {
			bad, good = good, bad
		}
		accepts, panics := false, 0
		y.answer = func(p landed) int {
			switch {
			case p.event == bad.Event:
				panics++
				panic("an event that nobody can send")
			case accepts:
				return http.StatusOK
			}
			return http.StatusInternalServerError
		}
		y.until(func() bool { return y.delivery(r, good.Event).Attempts > 0 })
		if d := y.delivery(r, bad.Event); d.LostClaims != 1 || panics != 1 {
			t.Errorf("before the other is probed it was %d times, %d counted as lost; want one", panics, d.LostClaims)
		}
		y.until(func() bool { return y.delivery(r, bad.Event).Status != Pending })
		if d := y.delivery(r, bad.Event); d.Status != Failed || d.Reason != reasonInternal || d.Attempts != 0 || panics != maxLostClaims {
			t.Errorf("after %d probes and %d attempts it is %s because of %q, want it failed after %d that did not end", panics, d.Attempts, d.Status, d.Reason, maxLostClaims)
		}
		accepts = true
		y.until(func() bool { return y.delivery(r, good.Event).Status == Succeeded })
	})
}

// TestProbeThatIsDeniedIsNotLost has all places for probes be taken whenever a probe's
// time comes.
func TestProbeThatIsDeniedIsNotLost(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		d := y.parkedBehind(r, 1)[0]
		for range cap(y.attempter.probeSlots) {
			y.attempter.probeSlots <- struct{}{}
		}
		begun := time.Now()
		y.until(func() bool { return time.Since(begun) > 5*time.Hour })
		if d = y.delivery(r, d.Event); d.Status != Pending || d.LostClaims != 0 || y.made() != 0 {
			t.Errorf("it is %s, %d of its probes counted as lost, %d POSTs; want none of either", d.Status, d.LostClaims, y.made())
		}
	})
}

// until has the gateway work until done, for days.
func (y *yard) until(done func() bool) {
	y.Helper()
	for end := time.Now().Add(4 * 24 * time.Hour); !done() && time.Now().Before(end); {
		next := time.Now().Add(5 * time.Hour)
		if err := y.work(&outage{}, func() bool { return done() || time.Now().After(next) }, false); err != nil {
			y.Fatal(err)
		}
	}
	if !done() {
		y.Fatal("not done in 4 days")
	}
}
