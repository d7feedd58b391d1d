package gateway

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/limiter"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

func TestScheduleIsOverAfterItsWholeTime(t *testing.T) {
	s := schedule.Schedule{Waits: []time.Duration{10 * time.Hour, 20 * time.Hour}}
	const whole = 36*time.Hour + circuit.MaxInterval // 30 h, a fifth more
	for _, tt := range []struct {
		name string
		d    Delivery
		s    schedule.Schedule
		want bool
	}{
		{"just not", Delivery{Created: noon.Add(-whole)}, s, false},
		{"just", Delivery{Created: noon.Add(-whole - 1)}, s, true},
		{"asked to wait for as much longer", Delivery{Created: noon.Add(-2 * whole), RetryAfterSum: whole}, s, false},
		{"asked to wait for less", Delivery{Created: noon.Add(-2*whole - 1), RetryAfterSum: whole}, s, true},
		{"begun anew", Delivery{Created: noon.Add(-10 * whole), RestartedAt: noon.Add(-whole)}, s, false},
		{"begun anew long ago", Delivery{Created: noon.Add(-10 * whole), RestartedAt: noon.Add(-whole - 1)}, s, true},
		{"of one attempt, for an hour", Delivery{Created: noon.Add(-circuit.MaxInterval)}, schedule.Schedule{Waits: []time.Duration{}}, false},
		{"of one attempt, for longer", Delivery{Created: noon.Add(-circuit.MaxInterval - 1)}, schedule.Schedule{Waits: []time.Duration{}}, true},
	} {
		if got := noon.After(tt.d.scheduleEnd(tt.s)); got != tt.want {
			t.Errorf("%s: over %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestOneCallerProbesAnOpenCircuit asks for attempts before, at and after the time
// of a probe, by two processes.
func TestOneCallerProbesAnOpenCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		other, err := New(w.Config)
		if err != nil {
			t.Fatal(err)
		}
		now := w.Clock()
		w.put(HealthKey("reg_1"), circuit.Health{Open: true, Since: now, Interval: time.Minute, ProbeAt: now.Add(time.Minute)})
		ask := func(g *Gateway) (admitted, open bool) {
			t.Helper()
			probe, closed, err := g.circuits.admit(t.Context(), &Delivery{Registration: "reg_1"}, true)
			if err != nil {
				t.Fatal(err)
			}
			return closed.IsZero(), probe || !closed.IsZero()
		}
		time.Sleep(time.Minute - time.Millisecond)
		if ok, open := ask(w.Gateway); ok || !open {
			t.Errorf("before the probe: admitted %v, open %v; want neither before its time", ok, open)
		}
		ask(other) // from now on both know the circuit
		time.Sleep(time.Millisecond)
		if ok, open := ask(w.Gateway); !ok || !open {
			t.Errorf("at the probe's time: admitted %v, open %v; want the probe of an open circuit", ok, open)
		}
		if ok, open := ask(other); ok || !open {
			t.Errorf("another, at the same time: admitted %v, open %v; want one probe alone", ok, open)
		}
		if h, _ := load[circuit.Health](w, HealthKey("reg_1")); !h.ProbeAt.Equal(w.Clock().Add(time.Minute)) {
			t.Errorf("the next probe is in %v, want a minute", h.ProbeAt.Sub(w.Clock()))
		}
		if _, err := w.circuits.changeHealth(t.Context(), "reg_1", func(h circuit.Health) circuit.Health { return h.AfterSuccess(w.Clock()) }); err != nil {
			t.Fatal(err)
		}
		if ok, open := ask(w.Gateway); !ok || open {
			t.Errorf("after an acceptance: admitted %v, open %v; want it closed", ok, open)
		}
		if ok, _ := ask(other); ok {
			t.Error("another process knows at once; what it read is good for 10 s")
		}
		time.Sleep(time.Minute)
		if ok, open := ask(other); !ok || open {
			t.Errorf("another process, later: admitted %v, open %v; want it closed", ok, open)
		}
		w.put(HealthKey("reg_3"), circuit.Health{Open: true, Interval: time.Minute, ProbeAt: w.Clock()})
		w.store.failOn("put", "R#")
		if _, _, err := w.circuits.admit(t.Context(), &Delivery{Registration: "reg_3"}, true); !errors.Is(err, errOutage) {
			t.Errorf("a probe that cannot be taken: %v, want the outage", err)
		}
		w.store.failOn("get", "R#")
		if _, _, err := w.circuits.admit(t.Context(), &Delivery{Registration: "reg_2"}, true); !errors.Is(err, errOutage) {
			t.Errorf("without an answer: %v; want the outage", err)
		}
	})
}

// TestHealthIsAskedForSeldom counts reads of it.
func TestHealthIsAskedForSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		reads := 0
		for _, step := range []struct {
			name     string
			after    time.Duration
			accepted bool
			want     int
		}{
			{"the first time", 0, false, 1},
			{"while what is known is fresh", healthTTL - time.Millisecond, false, 0},
			{"when it is not", time.Millisecond, false, 1},
			{"after an acceptance, when it is not", time.Hour, true, 0},
			{"for a minute", successTTL - time.Millisecond, false, 0},
			{"after that", time.Millisecond, false, 1},
		} {
			time.Sleep(step.after)
			if step.accepted {
				leave, _ := w.attempter.limiter.Acquire(t.Context(), limiter.Request{Registration: "reg_1", Allowance: limiter.Allowance{Concurrency: 1}})
				leave(Attempt{At: time.Now(), Class: egress.OK}.outcome(false))
			}
			if h, err := w.circuits.health(t.Context(), "reg_1"); err != nil || h != (circuit.Health{}) {
				t.Errorf("%s: %+v, %v; want nothing said against it", step.name, h, err)
			}
			n := w.store.got("R#reg_1") - reads
			if reads += n; n != step.want {
				t.Errorf("%s: read %d times, want %d", step.name, n, step.want)
			}
		}
	})
}

// TestCircuitOpensAtItsThresholds has attempts of one process fail in a row.
func TestCircuitOpensAtItsThresholds(t *testing.T) {
	const second, doubt = time.Second, circuit.SuspectFor
	ok, bad, slow := egress.OK, egress.Status5xx, egress.Timeout
	many := func(n int, c egress.Class) []egress.Class {
		out := make([]egress.Class, n)
		for i := range out {
			out[i] = c
		}
		return out
	}
	for _, tt := range []struct {
		name     string
		outcomes []egress.Class
		pause    time.Duration // between them
		open     bool
	}{
		{"a thousand failures in less than five seconds", many(1000, bad), 4 * time.Millisecond, false},
		{"two failures", many(2, bad), doubt, false},
		{"another five seconds later", many(3, bad), doubt, true},
		{"another a moment sooner", many(3, bad), doubt - 1, false},
		{"failures for eight seconds", many(8, bad), second, true},
		{"an acceptance among them", append(append(many(6, bad), ok), bad), second, false},
		{"timeouts for eight seconds", many(8, slow), second, true},
		{"our own fault, often", many(20, egress.Internal), second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r, e := w.register(), anEvent(w)
			for _, c := range tt.outcomes {
				leave, _ := w.attempter.limiter.Acquire(t.Context(), limiter.Request{Registration: r.ID, Allowance: limiter.Allowance{Concurrency: 1}})
				a := Attempt{At: time.Now(), Class: c}
				leave(a.outcome(false))
				w.circuits.applyOutcome(t.Context(), e, &r, a, &Delivery{Status: Pending}, false)
				time.Sleep(tt.pause)
			}
			h, _, err := storage.Load[circuit.Health](t.Context(), w.Store, HealthKey(r.ID))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Fatal(err)
			}
			told := 0
			for _, news := range w.queue.events(t) {
				if news.Type == registrationFailing {
					told++
				}
			}
			if h.Open != tt.open || told > 0 != tt.open || told > 1 {
				t.Errorf("%s: open %v, told %d times; want %v, told once if so", tt.name, h.Open, told, tt.open)
			}
		})
	}
}

// TestAcceptanceLooksForWhatOthersSaw has another process note a failure.
func TestAcceptanceLooksForWhatOthersSaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, e := w.register(), anEvent(w)
		accept := func() {
			w.circuits.applyOutcome(t.Context(), e, &r, Attempt{At: time.Now(), Class: egress.OK}, &Delivery{Status: Succeeded}, false)
		}
		accept()
		failing := circuit.Health{FirstFailure: w.Clock(), LastFailure: w.Clock()}
		w.put(HealthKey(r.ID), failing)
		for _, step := range []struct {
			after   time.Duration
			failing bool
		}{{circuit.WriteInterval - time.Millisecond, true}, {time.Millisecond, false}} {
			time.Sleep(step.after)
			accept()
			if h, _ := load[circuit.Health](w, HealthKey(r.ID)); h.Failing() != step.failing {
				t.Errorf("%v after this process looked the endpoint is failing: %v, want %v", step.after, h.Failing(), step.failing)
			}
		}
		if es := w.queue.events(t); len(es) != 0 {
			t.Errorf("told %+v of a circuit that was never open", es)
		}
		puts := w.store.put("R#")
		accept()
		if n := w.store.put("R#") - puts; n != 0 {
			t.Errorf("a further acceptance is written %d times", n)
		}
	})
}

// TestConsequencesThatFailAreALine has the Store and the queue refuse them.
func TestConsequencesThatFailAreALine(t *testing.T) {
	for _, tt := range []struct {
		name  string
		class egress.Class
		code  int
		d     Delivery
		fail  func(w *world, r Registration)
	}{
		{"an acceptance that cannot look", egress.OK, 200, Delivery{}, func(w *world, _ Registration) { w.store.failOn("get", "R#") }},
		{"an acceptance that cannot be written", egress.OK, 200, Delivery{}, func(w *world, r Registration) {
			w.put(HealthKey(r.ID), circuit.Health{Open: true})
			w.store.failOn("put", "R#")
		}},
		{"a refusal that cannot be written", egress.Status5xx, 500, Delivery{}, func(w *world, _ Registration) { w.store.failOn("put", "R#") }},
		{"a refusal that cannot disable", egress.Status5xx, 500, Delivery{}, func(w *world, r Registration) {
			w.put(HealthKey(r.ID), circuit.Health{FirstFailure: time.Now().Add(-2 * circuit.DisableAfter), LastFailure: time.Now().Add(-circuit.DisableAfter)})
			w.store.fail(func(call string, k storage.Key) error {
				if call == "put" && k == RegistrationKey(r.ID) {
					return errOutage
				}
				return nil
			})
		}},
		{"an end that cannot be told", egress.Status5xx, 500, Delivery{Status: Failed, Reason: reasonExhausted}, nil},
		{"a 410 that cannot be told", egress.Status4xx, http.StatusGone, Delivery{}, nil},
	} {
		w := newWorld(t)
		r, e := w.register(), anEvent(w)
		if tt.fail == nil {
			r.Source = "none" // there is no event of it
		} else {
			tt.fail(w, r)
		}
		w.circuits.applyOutcome(t.Context(), e, &r, Attempt{At: time.Now(), Class: tt.class, StatusCode: tt.code}, &tt.d, false)
		if got := w.log.with(t, "circuit"); len(got) != 1 || got[0]["level"] != "WARN" || got[0]["registration"] != r.ID || got[0]["outcome"] != "not written" {
			t.Errorf("%s: lines %v, want one", tt.name, got)
		}
		w = newWorld(t)
		r, e = w.register(), anEvent(w)
		w.circuits.applyOutcome(t.Context(), e, &r, Attempt{At: time.Now(), Class: tt.class, StatusCode: tt.code}, &tt.d, false)
		if got := w.log.with(t, "circuit"); len(got) != 0 {
			t.Errorf("%s, yet it can: lines %v, want none", tt.name, got)
		}
	}
}

// TestDeliveryBehindAnOpenCircuitEndsWithItsSchedule has it fall due when its
// schedule is over, with the circuit open and closed, and as a resend.
func TestDeliveryBehindAnOpenCircuitEndsWithItsSchedule(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name   string
		open   bool
		manual bool
		after  time.Duration
		probed time.Duration // before now; the schedule was over 2 h 12 min after the beginning
		next   time.Duration // probe, from now
		want   bool
	}{
		{"open, over", true, false, 3 * time.Hour, time.Minute, time.Hour, true},
		{"open, over, to be probed", true, false, 3 * time.Hour, time.Minute, 0, false},
		{"open, over, probed last before that", true, false, 3 * time.Hour, 48 * time.Minute, time.Hour, false},
		{"open, over, probed last a moment after that", true, false, 3 * time.Hour, 48*time.Minute - time.Millisecond, time.Hour, true},
		{"open, not over", true, false, 2 * time.Hour, time.Minute, time.Hour, false},
		{"closed, over", false, false, 3 * time.Hour, time.Minute, time.Hour, false},
		{"a resend, open, over", true, true, 3 * time.Hour, time.Minute, time.Hour, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.register(func(r *Registration) { r.Schedule = schedule.Schedule{Waits: []time.Duration{time.Hour}} })
			id := w.stored(r, 1, func(d Delivery) Delivery { return d.waitUntil(w.Clock(), false) })[0]
			time.Sleep(tt.after)
			w.put(HealthKey(r.ID), circuit.Health{Open: tt.open, Interval: time.Hour, ProbeAt: w.Clock().Add(tt.next), ProbeFailed: w.Clock().Add(-tt.probed)})
			d := w.delivery(r, id)
			d.Manual = tt.manual
			spent, err := w.circuits.expiredBehindCircuit(t.Context(), d, &r)
			if spent != tt.want || err != nil {
				t.Errorf("%s: over %v, %v; want %v", tt.name, spent, err, tt.want)
			}
			if !spent {
				return
			}
			e, _, err := w.LoadEvent(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			r.Source = "none"
			if err := w.circuits.endExhausted(t.Context(), e, &r, d); err == nil || w.delivery(r, id).Status != Pending {
				t.Errorf("an end that cannot be told: %v, the delivery is %s; want it to wait", err, w.delivery(r, id).Status)
			}
			r.Source = w.source
			w.store.failOn("put", "D#")
			if err := w.circuits.endExhausted(t.Context(), e, &r, d); !errors.Is(err, errOutage) {
				t.Errorf("an end that cannot be written: %v, want the outage", err)
			}
			w.store.failOn("get", "R#")
			time.Sleep(healthTTL)
			if spent, err := w.circuits.expiredBehindCircuit(t.Context(), d, &r); spent || !errors.Is(err, errOutage) {
				t.Errorf("without an answer: over %v, %v; want the outage", spent, err)
			}
			w.store.fail(nil)
			w.log.text.Reset()
			if err := w.circuits.endExhausted(t.Context(), e, &r, d); err != nil {
				t.Fatal(err)
			}
			after, es := w.delivery(r, id), w.queue.events(t)
			if after.Status != Failed || after.Reason != reasonExhausted || !after.Since.Equal(w.Clock()) || len(es) != 1 || es[0].Type != deliveryExhausted {
				t.Errorf("ended as %s (%s) at %v, told %+v; want it failed now, told once", after.Status, after.Reason, after.Since, es)
			}
			if got := w.log.with(t, "delivery"); len(got) != 1 || got[0]["outcome"] != reasonExhausted {
				t.Errorf("lines %v, want one", got)
			}
		})
	}
}

// TestNothingIsWrittenThatIsWritten counts writes of an endpoint's health and of
// its registration.
func TestNothingIsWrittenThatIsWritten(t *testing.T) {
	w := newWorld(t)
	r, e := w.register(), anEvent(w)
	refuse := func() {
		w.circuits.applyOutcome(t.Context(), e, &r, Attempt{At: time.Now(), Class: egress.Status5xx, StatusCode: 500}, &Delivery{Status: Pending}, false)
	}
	refuse()
	gets, puts := w.store.got("R#"), w.store.put("R#")
	refuse()
	if g, p := w.store.got("R#")-gets, w.store.put("R#")-puts; g != 0 || p != 0 {
		t.Errorf("a second failure in a moment: %d reads and %d writes, want none", g, p)
	}
	if _, err := w.circuits.changeHealth(t.Context(), r.ID, func(h circuit.Health) circuit.Health { return h }); err != nil || w.store.put("R#") != puts {
		t.Errorf("health that is as it was: %d writes, %v; want none", w.store.put("R#")-puts, err)
	}
	r.State = Disabled
	w.set(r)
	puts = w.store.put("R#")
	if err := w.circuits.disable(t.Context(), r.ID, r.Rev, "why"); err != nil || w.store.put("R#") != puts {
		t.Errorf("a registration that is disabled is disabled again: %d writes, %v; want none", w.store.put("R#")-puts, err)
	}
}

// TestHopelessRegistrationIsDisabledThoughNothingElseIsNew has a process know the
// endpoint's health, which came to be hopeless since.
func TestHopelessRegistrationIsDisabledThoughNothingElseIsNew(t *testing.T) {
	w := newWorld(t)
	r, e := w.register(), anEvent(w)
	w.put(HealthKey(r.ID), circuit.Health{FirstFailure: w.Clock().Add(-circuit.DisableAfter), LastFailure: w.Clock()})
	if _, err := w.circuits.readHealth(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	w.circuits.applyOutcome(t.Context(), e, &r, Attempt{At: time.Now(), Class: egress.Status5xx, StatusCode: 500}, &Delivery{Status: Pending}, false)
	if now, _ := load[Registration](w, RegistrationKey(r.ID)); now.State != Disabled {
		t.Errorf("the registration is %s, want disabled", now.State)
	}
	if es := w.queue.events(t); len(es) != 1 || es[0].Type != registrationDisabled {
		t.Errorf("told %+v, want that it is disabled", es)
	}
}
