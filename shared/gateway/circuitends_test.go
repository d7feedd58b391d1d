package gateway

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// TestDeliveryThatNobodyCanAttemptEnds ends deliveries for which there is nothing
// to attempt, while what that needs is gone or cannot be had.
func TestDeliveryThatNobodyCanAttemptEnds(t *testing.T) {
	other := errors.New("another")
	for _, tt := range []struct {
		name    string
		why     error
		unknown bool // the registration
		before  func(w *world, r *Registration)
		want    Status
		whyThen string
		told    int
		line    bool
		err     error
	}{
		{name: "its payload is gone", why: errExpired, want: Failed, whyThen: reasonExpired, told: 1, line: true},
		{name: "its payload and registration are gone", why: errExpired, unknown: true, want: Failed, whyThen: reasonExpired, line: true},
		{name: "its payload and source are gone", why: errExpired, before: func(w *world, _ *Registration) {
			if err := w.Store.Delete(w.t.Context(), SourceKey(w.source), storage.AnyRev); err != nil {
				w.t.Fatal(err)
			}
		}, want: Failed, whyThen: reasonExpired, told: 1, line: true},
		{name: "its payload is gone, its source cannot be read", why: errExpired, before: func(w *world, _ *Registration) { w.store.failOn("get", "S#") },
			want: Pending, line: true, err: errOutage},
		{name: "its payload is gone, it cannot be told", why: errExpired, before: func(_ *world, r *Registration) { r.Source = "none" },
			want: Pending, line: true, err: storage.ErrInvalid},
		{name: "its payload is gone, it cannot be written", why: errExpired, before: func(w *world, _ *Registration) { w.store.failOn("put", "D#") },
			want: Pending, told: 1, line: true, err: errOutage},
		{name: "its event was erased", why: errErased, want: Cancelled, whyThen: ReasonErased},
		{name: "its registration is gone", why: storage.ErrNotFound, unknown: true, want: Cancelled, whyThen: ReasonDeleted},
		{name: "something else", why: other, want: Pending, err: other},
	} {
		w := newWorld(t)
		r := w.register()
		id := w.stored(r, 1, func(d Delivery) Delivery { d.Attempts = 3; return d.waitUntil(w.Clock(), false) })[0]
		d, known := w.delivery(r, id), r
		if tt.before != nil {
			tt.before(w, &known)
		}
		to := &known
		if tt.unknown {
			to = nil
		}
		err := w.circuits.endUnattemptable(t.Context(), d, to, tt.why)
		w.store.fail(nil)
		now, es, lines := w.delivery(r, id), w.queue.events(t), w.log.with(t, "delivery")
		if !errors.Is(err, tt.err) || tt.err == nil && err != nil || now.Status != tt.want || now.Reason != tt.whyThen || len(es) != tt.told || len(lines) == 1 != tt.line {
			t.Errorf("%s: %v; %s (%s), told %+v, lines %v; want %v, %s (%s), %d", tt.name, err, now.Status, now.Reason, es, lines, tt.err, tt.want, tt.whyThen, tt.told)
		}
		if got := w.counted.of(Expired); (got == 1) != tt.line {
			t.Errorf("%s: %v counted as expired", tt.name, got)
		}
		if len(es) == 1 && (es[0].Type != deliveryExhausted || es[0].Tenant != w.tenant || (es[0].Provider == "upstream") != (tt.name != "its payload and source are gone")) {
			t.Errorf("%s: told %+v", tt.name, es[0])
		}
		if !tt.line || len(lines) != 1 {
			continue
		}
		for k, v := range map[string]any{"level": "ERROR", "source": w.source, "event": id, "tenant": w.tenant, "registration": r.ID, "delivery": d.ID, "attempts": 3., "outcome": reasonExpired} {
			if lines[0][k] != v {
				t.Errorf("%s: %s = %v, want %v", tt.name, k, lines[0][k], v)
			}
		}
	}
}

// TestExhaustedDeliveryIsOneLineOfTheLog compares the line, field by field.
func TestExhaustedDeliveryIsOneLineOfTheLog(t *testing.T) {
	w := newWorld(t)
	d := aDelivery(Failed, false)
	w.circuits.logExhausted(&d)
	lines := w.log.with(t, "delivery")
	if len(lines) != 1 {
		t.Fatalf("lines %v, want one", lines)
	}
	want := map[string]any{"level": "INFO", "msg": "delivery", "time": lines[0]["time"], "source": "src_1", "event": "evt_1", "tenant": "ten_1", "registration": "reg_1",
		"delivery": "del_1", "attempts": 3., "outcome": reasonExhausted}
	for k, v := range want {
		if lines[0][k] != v || len(lines[0]) != len(want) {
			t.Errorf("%s = %v, want %v, and as many fields", k, lines[0][k], v)
		}
	}
}

// TestAttemptThatWasNotMadeHasNoConsequence heeds attempts of each kind.
func TestAttemptThatWasNotMadeHasNoConsequence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		a      Attempt
		health bool // is written
		told   string
	}{
		{"not written", Attempt{Class: egress.Internal}, false, ""},
		{"accepted", Attempt{Class: egress.OK, StatusCode: 200}, false, ""},
		{"gone", Attempt{Class: egress.Status4xx, StatusCode: http.StatusGone}, false, registrationDisabled},
		{"refused", Attempt{Class: egress.Status5xx, StatusCode: 500}, true, ""},
	} {
		w := newWorld(t)
		r, e := w.register(), anEvent(w)
		if err := w.circuits.applyAttempt(t.Context(), e, &r, tt.a, false); err != nil {
			t.Fatal(err)
		}
		_, _, err := storage.Load[circuit.Health](t.Context(), w.Store, HealthKey(r.ID))
		es := w.queue.events(t)
		if (err == nil) != tt.health || len(es) > 1 || len(es) == 1 != (tt.told != "") || len(es) == 1 && es[0].Type != tt.told {
			t.Errorf("%s: health %v, told %+v; want it written %v, %q", tt.name, err, es, tt.health, tt.told)
		}
	}
}

// TestDisablingIsDoneOnceAndPublished disables registrations in each state.
func TestDisablingIsDoneOnceAndPublished(t *testing.T) {
	for _, tt := range []struct {
		name      string
		change    func(*Registration)
		rev       int
		call, pk  string // fails
		done      bool
		published bool
		line      bool
		err       error
	}{
		{name: "enabled", rev: 1, done: true, published: true},
		{name: "changed since", rev: 0},
		{name: "disabled", change: disabled, rev: 1},
		{name: "removed", change: func(r *Registration) { r.State = Removed }, rev: 1},
		{name: "it cannot be written", rev: 1, call: "put", pk: "R#", err: errOutage},
		{name: "it cannot be published", rev: 1, call: "put", pk: "S#", done: true, line: true},
	} {
		w := newWorld(t)
		r := w.register()
		if tt.change != nil {
			tt.change(&r)
			w.set(r)
		}
		before := w.store.put("S#")
		if tt.call != "" {
			w.store.failOn(tt.call, tt.pk)
		}
		err := w.circuits.disable(t.Context(), r.ID, tt.rev, "why")
		w.store.fail(nil)
		if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		now, _ := load[Registration](w, RegistrationKey(r.ID))
		lines := w.log.with(t, "registration")
		if done := now.Rev == 2 && now.State == Disabled && now.Reason == "why" && !now.Since.IsZero(); done != tt.done || !done && now.Rev != 1 {
			t.Errorf("%s: %+v, want it disabled %v", tt.name, now, tt.done)
		}
		if len(lines) == 1 != tt.line || tt.published && w.store.put("S#") != before+1 || tt.line && (lines[0]["registration"] != r.ID || lines[0]["level"] != "WARN") {
			t.Errorf("%s: published %d times, lines %v", tt.name, w.store.put("S#")-before, lines)
		}
	}
	w := newWorld(t)
	puts := w.store.put("S#")
	if err := w.circuits.disable(t.Context(), "reg_gone", 0, "why"); err != nil || w.store.put("R#")+w.store.put("S#") > puts {
		t.Errorf("one that is gone: %v, %d writes; want none", err, w.store.put("R#")+w.store.put("S#"))
	}
}

// TestTimeEndsOnlyWhatWaitedForIt asks whether deliveries are over, at the edges.
func TestTimeEndsOnlyWhatWaitedForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Schedule = schedule.Schedule{Waits: []time.Duration{}} })
		d := Delivery{Status: Pending}
		time.Sleep(2 * time.Hour)                                                                                                           // then the clock is known to go evenly
		w.put(HealthKey(r.ID), circuit.Health{Open: true, ProbeAt: w.Clock().Add(time.Hour), ProbeFailed: w.Clock().Add(time.Millisecond)}) // by a clock that is ahead
		for _, tt := range []struct {
			name  string
			began time.Duration // before now
			want  bool
		}{
			{"an hour", time.Hour, false}, {"more", time.Hour + time.Millisecond, true}, {"all of it", 2 * time.Hour, true},
		} {
			d.Created = w.Clock().Add(-tt.began)
			if got, err := w.circuits.expiredBehindCircuit(t.Context(), d, &r); got != tt.want || err != nil {
				t.Errorf("after %s: over %v, %v; want %v", tt.name, got, err, tt.want)
			}
		}
		fresh, err := New(w.Config)
		if err != nil {
			t.Fatal(err)
		}
		fresh.SingleProcess = true
		fresh.clockWatch = clockWatch{}
		if got, err := fresh.circuits.expiredBehindCircuit(t.Context(), d, &r); got || err != nil {
			t.Errorf("by a clock that is not known to go evenly: over %v, %v; want not", got, err)
		}
	})
}
