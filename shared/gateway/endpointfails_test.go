package gateway

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// TestRequestThatCannotBeWrittenIsNoFailureOfTheTenant has a secret that does not
// open: that is our fault. The delivery waits a minute, and no attempt is counted,
// neither for it nor for the circuit.
func TestRequestThatCannotBeWrittenIsNoFailureOfTheTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Secrets = []keyring.Secret{w.secret("reg_other", "of another row")} })
		for range circuit.OpenAfter + 1 {
			d := w.delivery(r, w.happen())
			if wait := time.Until(d.NextAttempt); d.Status != Pending || d.Attempts != 0 || d.Last != nil || wait != schedule.SlowDownWait {
				t.Fatalf("the delivery is %s after %d attempts, the last %+v, tried in %v; want it pending after none, in %v", d.Status, d.Attempts, d.Last, wait, schedule.SlowDownWait)
			}
			if as := w.attempts(d); len(as) != 0 {
				t.Fatalf("attempts %+v, want none", as)
			}
			time.Sleep(circuit.SuspectFor)
		}
		if _, _, err := storage.Load[circuit.Health](t.Context(), w.Store, HealthKey(r.ID)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the endpoint's health is written, %v; want nothing said of it", err)
		}
		if _, n := w.endpoints.last(); n != 0 || w.counted.of(AttemptsFailed) != 0 {
			t.Errorf("%d POSTs, %v counted as refused; want none", n, w.counted.of(AttemptsFailed))
		}
	})
}

// TestLaterRequestThatCannotBeWrittenIsHandedOutAgain has the same happen to a
// delivery that was attempted before.
func TestLaterRequestThatCannotBeWrittenIsHandedOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register()
		event := w.happen()
		before := w.delivery(r, event)
		r.Rev++
		r.Secrets = []keyring.Secret{w.secret("reg_other", "of another row")}
		w.set(r)
		time.Sleep(time.Until(before.NextAttempt))
		w.redeliver()
		after := w.delivery(r, event)
		if after.Status != Pending || after.Attempts != 1 || after.Claim != before.Claim || after.due.IsZero() || len(w.attempts(after)) != 1 {
			t.Errorf("%s, %d made, claim %d, due %v, %d attempts stored; want it as it was before, to fall due: %+v",
				after.Status, after.Attempts, after.Claim, after.due, len(w.attempts(after)), before)
		}
		if _, n := w.endpoints.last(); n != 1 {
			t.Errorf("%d POSTs, want the first alone", n)
		}
	})
}

// TestAttemptThatIsNotStoredMakesTheEventComeAgain has the Store refuse the row
// of a first attempt that failed.
func TestAttemptThatIsNotStoredMakesTheEventComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register()
		event := w.arrive(provider.Item{})[0]
		w.store.failOn("put", "A#")
		w.fanOut()
		if _, err := w.LoadDelivery(t.Context(), ident.Delivery(r.ID, event)); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the delivery is written without its attempt, %v", err)
		}
		if n := len(w.queue.events(t)); n != 1 {
			t.Fatalf("the event comes again %d times, want once", n)
		}
		w.store.fail(nil)
		time.Sleep(2 * time.Hour) // until the lease is over
		w.fanOut()
		if d := w.delivery(r, event); d.Attempts != 1 || len(w.attempts(d)) != 1 {
			t.Errorf("%d attempts made, %d stored; want one", d.Attempts, len(w.attempts(d)))
		}
	})
}

// TestOldGoneDisablesNothingThatWasChanged has an endpoint answer 410 to a
// delivery during which its registration is changed, to another endpoint perhaps.
func TestOldGoneDisablesNothingThatWasChanged(t *testing.T) {
	for _, changed := range []bool{false, true} {
		w := newWorld(t)
		r := w.register()
		w.endpoints.code = http.StatusGone
		w.endpoints.react = func(*http.Request) (*http.Response, error) {
			if changed {
				r.Rev++
				w.put(RegistrationKey(r.ID), r)
			}
			return nil, nil
		}
		d := w.delivery(r, w.happen())
		now, _ := load[Registration](w, RegistrationKey(r.ID))
		state, why, rev := Disabled, reasonGone, 2
		if changed {
			state, why, rev = Enabled, "", 2
		}
		if d.Status != Failed || d.Reason != "gone" || now.State != state || now.Reason != why || now.Rev != rev {
			t.Errorf("changed meanwhile %v: delivery %s (%s), registration %s (%s) of revision %d; want it failed, and %s (%s) of %d",
				changed, d.Status, d.Reason, now.State, now.Reason, now.Rev, state, why, rev)
		}
		if es := w.queue.events(t); !changed && (len(es) != 1 || es[0].Type != registrationDisabled) {
			t.Errorf("told %+v, want of the 410 alone", es)
		}
		if now.Since.IsZero() == (state == Disabled) {
			t.Errorf("changed meanwhile %v: %s since %v", changed, now.State, now.Since)
		}
	}
}

// TestGoneIsHeededBeforeItIsStored has the Store refuse to disable the
// registration: afterwards there might be no other attempt that says so.
func TestGoneIsHeededBeforeItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register()
		w.endpoints.code = http.StatusGone
		event := w.arrive(provider.Item{})[0]
		w.store.failOn("put", "R#")
		w.fanOut()
		if _, err := w.LoadDelivery(t.Context(), ident.Delivery(r.ID, event)); !errors.Is(err, storage.ErrNotFound) || len(w.queue.events(t)) != 1 {
			t.Errorf("delivery stored (%v), %d events come again; want none and one", err, len(w.queue.events(t)))
		}
		time.Sleep(2 * time.Hour)   // until the lease is over
		w.store.failOn("put", "S#") // nobody learns of it: they ask, and hear the same
		w.fanOut()
		if now, _ := load[Registration](w, RegistrationKey(r.ID)); now.State != Disabled || w.delivery(r, event).Status != Failed {
			t.Errorf("the registration is %s, the delivery %s; want disabled, failed", now.State, w.delivery(r, event).Status)
		}
		if got := w.log.with(t, "registration"); len(got) != 1 || got[0]["outcome"] != "disabled, not published" {
			t.Errorf("lines of what is not published: %v, want one", got)
		}
	})
}

// TestOneFailureIsNotEnoughToDisable looks at the edges of five days of nothing
// but failures, of which two are at least twelve hours apart.
func TestOneFailureIsNotEnoughToDisable(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name        string
		first, last time.Duration // before now
		accepted    time.Duration // before now; 0: never
		want        bool
	}{
		{"one five days ago", 5 * day, 5 * day, 0, false},
		{"one a month ago", 30 * day, 30 * day, 0, false},
		{"two, twelve hours apart", 5 * day, 5*day - 12*time.Hour, 0, true},
		{"two, hardly less apart", 5 * day, 5*day - 12*time.Hour + 1, 0, false},
		{"two, the first hardly less ago", 5*day - 1, 0, 0, false},
		{"two, accepted before", 5 * day, 0, 5*day + 1, true},
		{"two, accepted at the first", 5 * day, 0, 5 * day, false},
		{"two, accepted since", 5 * day, 0, day, false},
	} {
		h := circuit.Health{FirstFailure: noon.Add(-tt.first), LastFailure: noon.Add(-tt.last)}
		if tt.accepted > 0 {
			h.LastSuccess = noon.Add(-tt.accepted)
		}
		if got := h.ShouldDisable(noon); got != tt.want {
			t.Errorf("failures: %s: to be disabled %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestEndpointThatAcceptsNothingForFiveDaysIsDisabled fails once every six hours:
// too seldom for the circuit.
func TestEndpointThatAcceptsNothingForFiveDaysIsDisabled(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register(func(r *Registration) { r.Schedule = schedule.Schedule{Waits: []time.Duration{}} })
		start := time.Now()
		state := func() State {
			now, _ := load[Registration](w, RegistrationKey(r.ID))
			return now.State
		}
		for n := 0; state() == Enabled; n++ {
			if n == 100 {
				t.Fatal("the registration is never disabled")
			}
			w.happen()
			time.Sleep(6 * time.Hour)
		}
		if took := time.Since(start) - 6*time.Hour; took != circuit.DisableAfter {
			t.Errorf("disabled %v after the first failure, want %v", took, circuit.DisableAfter)
		}
		if r, _ := load[Registration](w, RegistrationKey(r.ID)); r.Reason != "nothing was accepted for five days" || r.Rev != 2 {
			t.Errorf("disabled because of %q, revision %d", r.Reason, r.Rev)
		}
	})
}

// TestOverdueRowsAreSpread has deliveries fall due at different times, and looks
// at when they are handed out: those that are late over half a minute, so that a
// backlog does not come at once, others at their own time.
func TestOverdueRowsAreSpread(t *testing.T) {
	for _, tt := range []struct {
		name   string
		due    time.Duration // from now on
		random float64
		want   time.Duration // from now on; below 0: not handed out
	}{
		{"late", -time.Hour, 0, 0},
		{"late", -time.Hour, 0.5, 15 * time.Second},
		{"late", -time.Millisecond, 0.999, 29970 * time.Millisecond},
		{"due now", 0, 0.5, 15 * time.Second},
		{"due soon", 10 * time.Second, 0.5, 10 * time.Second},
		{"due at the horizon", Lookahead, 0.5, Lookahead},
		{"due later", Lookahead + time.Millisecond, 0.5, -1},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.Random = func() float64 { return tt.random } })
			r := w.register()
			e := anEvent(w)
			d := newDelivery(e, &r, noon)
			d.retained = true // there is no event to keep
			start := w.Clock().Add(tt.due)
			d = d.waitUntil(start, false)
			if err := w.Gateway.deliveries.putDelivery(t.Context(), &d, ""); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := w.Retry(t.Context()); err != nil {
				t.Fatal(err)
			}
			ms := w.queue.take(storage.RetryQueue)
			after := w.delivery(r, e.ID)
			switch {
			case tt.want < 0:
				if len(ms) != 0 || after.Claim != d.Claim {
					t.Errorf("%s: %d messages, claim %d; want none", tt.name, len(ms), after.Claim)
				}
			case len(ms) != 1 || ms[0].Delay != tt.want || !after.NextAttempt.Equal(w.Clock().Add(tt.want)) || after.Claim != d.Claim+1:
				t.Errorf("%s, of chance %v: %d messages %+v, starts in %v; want one in %v", tt.name, tt.random, len(ms), ms, time.Until(after.NextAttempt), tt.want)
			}
		})
	}
}

// TestTimeoutIsAnAttemptThatFailed has an endpoint that never answers.
func TestTimeoutIsAnAttemptThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Timeout = 3 * time.Second })
		w.endpoints.react = func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		start := time.Now()
		d := w.delivery(r, w.happen())
		if took := time.Since(start); took != 3*time.Second || d.Attempts != 1 || d.Last == nil || d.Last.Class != egress.Timeout || time.Until(d.NextAttempt) < schedule.SlowDownWait || !strings.Contains(d.Last.Error, "time") {
			t.Errorf("after %v: %d made, last %+v, next in %v; want a timeout after 3s, the next in a minute", took, d.Attempts, d.Last, time.Until(d.NextAttempt))
		}
	})
}
