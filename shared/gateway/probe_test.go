package gateway

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/storage"
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
		if waits := d.Start.Sub(d.Last.At); d.Made != 1 || waits < 19*time.Hour {
			t.Errorf("%d attempts of what is refused, the next after %v; want one, and a day's wait", d.Made, waits)
		}
		time.Sleep(time.Until(d.Start.Add(-2 * time.Hour)))
		if err := y.work(&outage{}, func() bool { return y.delivery(r, bad.Event).Made == 2 }, false); err != nil {
			t.Errorf("it is attempted no more: %v", err)
		}
		if again := y.delivery(r, bad.Event); again.Last.At.Before(d.Start) {
			t.Errorf("attempted again at %v, want it not before %v", again.Last.At, d.Start)
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
		time.Sleep(2 * wellFor)
		d := y.parkedBehind(r, 1)[0]
		begun := time.Now()
		if err := y.work(&outage{}, func() bool { return y.delivery(r, d.Event).Status == Succeeded }, false); err != nil || time.Since(begun) > 4*time.Hour {
			t.Errorf("accepted after %v, %v; want it within some places of an hour", time.Since(begun), err)
		}
	})
}
