package gateway

import (
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
