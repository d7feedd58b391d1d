package bill

import (
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/cloud/dynamotest"
	"ringback/shared/test/proofs"
)

// What endpoints that are dead for long may cost, in US dollars: a million deliveries
// that are parked behind them, and the probes of deadEndpoints in a month, of which the
// design wants 60.
const (
	parkedBudget  = 5.00
	probesBudget  = 60.00
	deadEndpoints = 10_000
)

// TestDeadEndpointsStayWithinTheirBudget has 25 be dead for two hours, so that they are
// probed once an hour, and counts three hours of that, and what comes meanwhile.
func TestDeadEndpointsStayWithinTheirBudget(t *testing.T) {
	if !proofs.Full() {
		t.Skip("plays five hours of dead endpoints, for RINGBACK_PROOFS=full")
	}
	const (
		endpoints = 25
		hours     = 3
		events    = 10
	)
	dynamoDB, prices := dynamotest.Endpoint(t), ListPrices()
	var probing, parking Usage
	now := time.Now()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		w := newWorld(t, dynamoDB)
		dead := load{fanOut: endpoints, failing: 100}
		w.prepare(dead)
		w.endpoint.refuse(dead)
		for range 2 * events {
			w.callBack()
			w.pass(6 * time.Minute)
		}
		idle := w.idle()
		w.reset()
		w.pass(hours * time.Hour)
		if posts := w.endpoint.egress / EgressBytes; posts < endpoints*(hours-1) || posts > endpoints*(hours+1) {
			t.Errorf("%v probes of %d endpoints in %d hours, want one an hour of each", posts, endpoints, hours)
		}
		t.Logf("rows put: %v", w.meters.puts)
		probing = w.counted().Without(idle.Each(1 / w.usage.Retry.Invocations)).Each(endpoints * hours)
		w.reset()
		for range events {
			w.callBack()
		}
		for l := w.lines()[0]; w.depth(l.name).Waiting > 0; {
			w.work(l)
		}
		if n := w.meters.puts.count("D"); n != events*endpoints || w.endpoint.egress > 0 {
			t.Errorf("%d deliveries written and %v POSTs, want %d parked, each with one write", n, w.endpoint.egress/EgressBytes, events*endpoints)
		}
		parking = w.counted().Each(events * endpoints)
	})
	month := prices.Of(probing).Total() * deadEndpoints * month.Hours()
	parked := prices.Of(parking).Total() * million
	t.Logf("parked: $%.2f a million, %+v", parked, parking)
	t.Logf("probes: $%.2f a month, %+v: %+v", month, prices.Of(probing), probing)
	if parked > parkedBudget || month > probesBudget {
		t.Errorf("a million parked deliveries cost $%.2f, want at most $%.2f; %d dead endpoints $%.2f a month, want at most $%.2f", parked, parkedBudget, deadEndpoints, month, probesBudget)
	}
}

// pass works and ticks for so long.
func (w *world) pass(long time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(30 * time.Second) {
		for _, l := range w.lines() {
			for w.depth(l.name).Waiting > 0 {
				w.work(l)
			}
		}
		if time.Until(end)/time.Second%60 < 30 {
			w.tick()
		}
	}
}
