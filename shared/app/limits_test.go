package app_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/schedule"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestConcurrencyIsKeptAndTheExcessWaitsSeconds(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "narrow.example", control.RegistrationChange{Concurrency: ptr(2)})
		e.Takes = 2 * time.Second
		start := time.Now()
		for n := range 20 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		w.within(3*time.Hour, "all delivered", func() bool { return len(e.Succeeded()) == 20 })
		last := slices.MaxFunc(e.Posts(), func(a, b gatewaytest.Post) int { return a.At.Compare(b.At) }).At
		// Concurrency is each process's. 20 POSTs of 2 s, two at once, take 20 s.
		if n := e.MaxActive(); n > 2 && w.weak == 0 {
			t.Errorf("%d POSTs were under way at once, want 2", n)
		}
		if took := last.Sub(start); took > 5*time.Minute && w.weak == 0 {
			t.Errorf("20 deliveries took %v, want them to wait seconds", took)
		}
		for _, d := range w.deliveries(c, r.ID) {
			if d.Attempts > 1 {
				t.Errorf("waiting for others used up an attempt: %d", d.Attempts)
			}
		}
	})
}

func TestScheduleAndNewEventsDoNotStarveEachOther(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		retried, perSecond := 120, 4 // events that are refused first; new ones
		if w.aws != nil {
			retried, perSecond = proofs.Length(40, 40, 120), proofs.Length(2, 2, 4)
		}
		s, path := w.smartBots()
		c, other := w.tenant(s, gateway.Match{"group": {groupA}}), w.tenant(s, gateway.Match{"group": {groupB}})
		_, e := w.register(c, s, "retried.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{4 * time.Minute}}})
		_, live := w.register(other, s, "live.example", control.RegistrationChange{})
		e.Takes, live.Takes = 300*time.Millisecond, 300*time.Millisecond
		first := map[string]time.Time{}
		e.RespondWith(func(_ int, r *http.Request) (int, http.Header) { // refuses first attempts, but for those that keep the circuit closed
			id := r.Header.Get("webhook-id")
			_, again := first[id]
			if !again {
				first[id] = time.Now()
			}
			if again || len(first)%5 == 0 {
				return 200, http.Header{}
			}
			return 500, http.Header{}
		})
		start := time.Now()
		for n := range retried * 5 / 4 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		time.Sleep(3*time.Minute - time.Since(start)) // from 3.2 to 4.8 min the retries fall due
		sent := map[string]time.Time{}
		for n := range 150 * perSecond {
			sent[fmt.Sprint(n)] = time.Now()
			w.chat(path, groupB, fmt.Sprint(n))
			time.Sleep(time.Second / time.Duration(perSecond))
		}
		w.within(12*time.Hour, "all delivered", func() bool { return len(live.Succeeded()) == len(sent) && len(e.Succeeded()) == retried*5/4 })
		if w.weak != 0 {
			return
		}
		for _, p := range live.Posts() {
			if took := p.At.Sub(sent[p.Text(t, "message")]); took > 2*time.Second {
				t.Errorf("beside %d retries a new event took %v", retried, took)
			}
		}
		for _, p := range e.Posts() {
			if wait := p.At.Sub(first[p.ID]); p.Status == 200 && wait > 5*time.Minute {
				t.Errorf("beside %d new events a second a retry came after %v, want 4 min and a fifth at most", perSecond, wait)
			}
		}
	})
}

func TestOpenCircuitIsKnownToEveryWorker(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "down.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		open := func() bool {
			h := again(w, func() (map[string]circuit.Health, error) { return w.lists().Healths(t.Context(), r) })[r.ID]
			return h.Open
		}
		for n := 0; !open(); n++ {
			if n > 100 {
				t.Fatalf("%d refusals in a row, and the circuit is closed", n)
			}
			w.chat(path, groupA, fmt.Sprint(n))
			time.Sleep(time.Second)
		}
		time.Sleep(40 * time.Minute) // by now probes are many minutes apart
		w.restart()                  // a worker that has seen nothing
		time.Sleep(5 * time.Second)
		before := len(e.Posts())
		for n := range 30 {
			w.chat(path, groupA, fmt.Sprint("after ", n))
		}
		time.Sleep(10 * time.Second)
		if n := len(e.Posts()) - before; n > 1 && w.weak == 0 { // one may be a probe
			t.Errorf("a worker that is new made %d POSTs behind an open circuit", n)
		}
		for _, d := range w.deliveries(c, r.ID) {
			if d.Attempts > 11 {
				t.Errorf("a delivery has %d attempts, more than its schedule", d.Attempts)
			}
		}
		e.RespondWith(nil)
		w.within(24*time.Hour, "a probe closes it", func() bool { return !open() })
	})
}
