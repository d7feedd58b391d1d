package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/message"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// closes answers POSTs with 500 until a time.
func closes(at time.Time) func(landed) int {
	return func(p landed) int {
		if p.at.Before(at) {
			return 500
		}
		return 200
	}
}

// parkedBehind returns n deliveries that are parked for r, whose next probe is in a
// minute.
func (y *yard) parkedBehind(r *Registration, n int) (ds []Delivery) {
	y.Helper()
	now := y.Clock()
	y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: now, Interval: time.Minute, ProbeAt: now.Add(time.Minute)})
	y.circuits.healths.Purge()
	for range n {
		d := y.delivered(r)
		if !d.Parked() || y.row(d).Due != (time.Time{}) {
			y.Fatalf("behind an open circuit a delivery is %s, due at %v; want it parked", d.Status, d.due)
		}
		ds = append(ds, d)
	}
	return ds
}

func (y *yard) alterHealth(r *Registration, f func(circuit.Health) circuit.Health) {
	y.Helper()
	if _, err := y.circuits.changeHealth(y.Context(), r.ID, f); err != nil {
		y.Fatal(err)
	}
}

// TestWhatIsParkedCostsOneWriteAndWakesOldestFirst has an endpoint be dead for two
// hours, and then accept.
func TestWhatIsParkedCostsOneWriteAndWakesOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(slices.Repeat([]time.Duration{time.Minute}, 12)...))
		y.answer = closes(y.Clock().Add(2 * time.Hour))
		var ds []Delivery
		for range 40 {
			ds = append(ds, y.parkedBehind(r, 1)...)
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(y.store.written("D#")); n != len(ds) {
			t.Errorf("%d writes of %d deliveries that are parked, want one each", n, len(ds))
		}
		begun := time.Now()
		err := y.work(&outage{}, func() bool {
			return !slices.ContainsFunc(ds, func(d Delivery) bool { return y.delivery(r, d.Event).Status != Succeeded })
		}, false)
		if err != nil {
			t.Fatalf("%v: %s", err, y.said.String())
		}
		refused := 0
		for _, p := range y.posts {
			if p.at.Before(begun.Add(2*time.Hour - time.Minute)) {
				refused++
			}
		}
		if writes := len(y.store.written("D#")); refused < 6 || refused > 12 || len(y.posts) > len(ds)+refused+5 || writes > 3*len(ds)+20*refused {
			t.Errorf("%d probes in two hours, %d POSTs and %d writes for %d deliveries; want 6 to 12 probes, and each once more", refused, len(y.posts), writes, len(ds))
		}
		if took := time.Since(begun); took > 4*time.Hour {
			t.Errorf("all accepted after %v, want it soon after the endpoint accepts", took)
		}
		if h, row, err := storage.Load[circuit.Health](t.Context(), y.store, HealthKey(r.ID)); err != nil || h.Open || h.Parked || h.Probing != "" || !row.Due.IsZero() {
			t.Errorf("afterwards %+v, due at %v, %v; want it closed and not due", h, row.Due, err)
		}
	})
}

// TestCircuitThatClosesWhileADeliveryIsParked has it close between the moment in
// which a worker looked and the one in which it writes.
func TestCircuitThatClosesWhileADeliveryIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		now := y.Clock()
		y.put(HealthKey(r.ID), circuit.Health{Open: true, Since: now, Interval: time.Hour, ProbeAt: now.Add(time.Hour)})
		if _, err := y.circuits.health(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		y.put(HealthKey(r.ID), circuit.Health{LastSuccess: now})
		d := y.delivered(r)
		if hs := y.headers(storage.SlowQueue); d.Parked() || len(hs) != 1 || hs[0].ID != d.ID || hs[0].Claim != d.Claim {
			t.Errorf("it is parked %v, messages %+v; want it handed out", d.Parked(), hs)
		}
	})
}

// TestWakeStopsWhenTheCircuitOpensAgain wakes 1,500 deliveries of an endpoint that
// accepts the first 50.
func TestWakeStopsWhenTheCircuitOpensAgain(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every(24*time.Hour))
		accepts := 50
		y.parkedBehind(r, proofs.Length(600, 600, 1500))
		y.answer = func(landed) int {
			if accepts--; accepts < 0 {
				return 500
			}
			return 200
		}
		parked := func() (n int) {
			for d, err := range y.deliveries.unfinishedFrom(t.Context(), r.ID, "") {
				if err != nil {
					t.Fatal(err)
				}
				if d.Parked() {
					n++
				}
			}
			return n
		}
		begun := time.Now()
		if err := y.work(&outage{}, func() bool { return time.Since(begun) > 20*time.Minute }, false); err != nil {
			t.Fatal(err)
		}
		h, row, err := storage.Load[circuit.Health](t.Context(), y.store, HealthKey(r.ID))
		if n := parked(); err != nil || !h.Open || !h.Parked || row.Due.IsZero() || n == 0 {
			t.Errorf("%d parked, %+v due at %v, %v; want some behind an open circuit that is probed", n, h, row.Due, err)
		}
		y.answer = nil
		if err := y.work(&outage{}, func() bool { return parked() == 0 }, false); err != nil {
			t.Errorf("%d stay parked: %v", parked(), err)
		}
	})
}

// TestParkedDeliveriesAreListedOldestFirst has 400 among as many that failed.
func TestParkedDeliveriesAreListedOldestFirst(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example", every())
		var want []string
		for range 400 {
			time.Sleep(time.Second)
			d := y.dueAt(y.refused(r), y.Clock(), func(d *Delivery) { *d = d.end(Failed, reasonExhausted, y.Clock()) })
			a := y.arrival()
			d = newDelivery(&a.Event, r, y.Clock()).park(y.Clock())
			d.retained = true
			if err := y.putDelivery(t.Context(), &d, ""); err != nil {
				t.Fatal(err)
			}
			want = append(want, d.Event)
		}
		for _, from := range []int{0, 1, 170, 399} {
			var got []string
			for d, err := range y.deliveries.unfinishedFrom(t.Context(), r.ID, want[from]) {
				if err != nil {
					t.Fatal(err)
				}
				if d.Parked() {
					got = append(got, d.Event)
				}
			}
			if !slices.Equal(got, want[from:]) {
				t.Errorf("from the %dth: %d, %d of them wanted, want the %d, oldest first", from, len(got), len(got), len(want)-from)
			}
		}
		if next := afterEvent(want[0]); strings.Compare(next, want[0]) <= 0 || next >= want[1] {
			t.Errorf("behind(%q) = %q, want it before %q", want[0], next, want[1])
		}
	})
}

// TestForgottenCircuitWakesWhatIsParked is what enabling a registration does.
func TestForgottenCircuitWakesWhatIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		r := y.register("tenant.example")
		d := y.parkedBehind(r, 1)[0]
		if err := y.ForgetHealth(t.Context(), r.ID); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := y.work(&outage{}, func() bool { return y.delivery(r, d.Event).Status == Succeeded }, false); err != nil || time.Since(begun) > 30*time.Second {
			t.Errorf("after %v: %v; want it accepted soon", time.Since(begun), err)
		}
	})
}

// TestProbesTakeAQuarterOfThePlaces has the probes of six endpoints that hang be due at
// once, where there are eight places.
func TestProbesTakeAQuarterOfThePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory, func(c *Config) { c.MaxConcurrency = 8 })
		var rs []*Registration
		for n := range 6 {
			rs = append(rs, y.register(fmt.Sprintf("n%d.example", n)))
			y.parkedBehind(rs[n], 0)
		}
		a := y.arrival()
		if y.fanOut(1, a) {
			t.Fatal(y.said.String())
		}
		most := y.answersAfter(10*time.Second, http.StatusInternalServerError)
		time.Sleep(time.Minute)
		var workers sync.WaitGroup
		for _, r := range rs {
			workers.Go(func() {
				if y.receive(y.RedeliverSlow, y.message(message.Header{Kind: message.Probe, ID: r.ID}), 1) {
					t.Error(y.said.String())
				}
			})
		}
		workers.Wait()
		if y.made() != 2 || most() != 2 {
			t.Errorf("%d POSTs, %d at once; want the two that a quarter of the places allows", y.made(), most())
		}
		probed := 0
		for _, r := range rs {
			d := y.delivery(r, a.ID)
			if probed += d.Attempts; !d.Parked() {
				t.Errorf("after a probe that failed it is due at %v, want it parked", d.due)
			}
		}
		if probed != 2 {
			t.Errorf("%d attempts recorded, want those two", probed)
		}
	})
}
