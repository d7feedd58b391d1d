package app_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// pausedFor lets time go by while nothing runs, and at its end, as long as the
// backend needs to remove what has expired, while neither worker nor schedule does.
func (w *world) pausedFor(d time.Duration) {
	w.t.Helper()
	const sweeps = 2 * time.Hour
	w.stop()
	time.Sleep(d - sweeps)
	w.paused = true
	w.start()
	time.Sleep(sweeps)
	w.paused = false
	w.restart()
}

func TestHeldDeliveryLastsThirtyDays(t *testing.T) {
	proofs.Long(t)
	const day = 24 * time.Hour
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "paused.example", control.RegistrationChange{})
		failing, f := w.register(c, s, "failing.example", control.RegistrationChange{})
		f.RespondWith(gatewaytest.Always(500))
		disable := func(r gateway.Registration) {
			again(w, func() (gateway.Registration, error) { return w.control().DisableRegistration(t.Context(), c, r.ID) })
		}
		disable(r)
		time.Sleep(3 * time.Second)
		w.chat(path, groupA, "held at once")
		w.wantStatus(c, r, time.Hour, gateway.Held)
		w.within(time.Hour, "attempted", func() bool { return len(f.Posts()) > 0 })
		disable(failing)
		w.wantStatus(c, failing, 6*time.Hour, gateway.Held)
		w.pausedFor(28 * day)
		f.RespondWith(nil)
		for _, r := range []gateway.Registration{r, failing} {
			again(w, func() (gateway.Registration, error) { return w.control().EnableRegistration(t.Context(), c, r.ID) })
			id := ident.New("job", time.Now())
			again(w, func() (gateway.Job, error) { return w.control().StartRelease(t.Context(), c, id, r.ID, control.Span{}) })
			w.job(id)
			w.wantStatus(c, r, 6*time.Hour, gateway.Succeeded)
		}
		if got := e.Posts()[0].Text(t, "message"); got != "held at once" {
			t.Errorf("delivered %q, want what was held", got)
		}
		disable(r)
		time.Sleep(3 * time.Second)
		w.chat(path, groupA, "held for too long")
		w.within(time.Hour, "held", func() bool { return w.count(c, r, gateway.Held) == 1 })
		w.within(time.Hour, "empty", func() bool { // a message that is left would begin the event anew when it is forgotten
			d, err := w.g.Queue.Depth(t.Context(), storage.EventsQueue)
			return err == nil && d.Waiting+d.InFlight+d.Delayed == 0
		})
		w.pausedFor(31 * day)
		if n := w.count(c, r, gateway.Held); n != 0 {
			t.Errorf("%d deliveries are held after 31 days, want none", n)
		}
	})
}

func TestOrderedRegistrationGetsWhatWasHeldFirst(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true)})
		again(w, func() (gateway.Registration, error) { return w.control().DisableRegistration(t.Context(), c, r.ID) })
		time.Sleep(3 * time.Second)
		const held, after = 8, 4
		for n := range held {
			w.chat(path, groupA, fmt.Sprintf("%02d", n))
			time.Sleep(3 * time.Second)
		}
		w.within(6*time.Hour, "all held", func() bool { return w.count(c, r, gateway.Held) == held })
		time.Sleep(time.Hour)
		again(w, func() (gateway.Registration, error) { return w.control().EnableAndRelease(t.Context(), c, r.ID) })
		for n := range after {
			w.chat(path, groupA, fmt.Sprintf("%02d", held+n))
			time.Sleep(3 * time.Second)
		}
		w.within(24*time.Hour, "all delivered", func() bool { return len(e.Succeeded()) == held+after })
		var texts []string
		for _, p := range e.Posts() {
			if p.Header.Get("Ringback-Late") == "" {
				texts = append(texts, p.Text(t, "message"))
			} else if w.weak == 0 {
				t.Errorf("%s is marked as late", p.Text(t, "message"))
			}
		}
		if texts = slices.Compact(texts); !slices.IsSorted(texts) && w.weak == 0 {
			t.Errorf("delivered %v, want what was held first, by arrival", texts)
		}
	})
}

func TestOrderedRegistrationGoesOnWithoutWhatWasHeld(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true)})
		again(w, func() (gateway.Registration, error) { return w.control().DisableRegistration(t.Context(), c, r.ID) })
		time.Sleep(3 * time.Second)
		w.chat(path, groupA, "held")
		w.wantStatus(c, r, 6*time.Hour, gateway.Held)
		time.Sleep(time.Hour)
		again(w, func() (gateway.Registration, error) { return w.control().EnableRegistration(t.Context(), c, r.ID) })
		w.chat(path, groupA, "new")
		w.within(6*time.Hour, "the new one is delivered", func() bool { return len(e.Succeeded()) >= 1 })
		time.Sleep(6 * time.Hour)
		if n := w.count(c, r, gateway.Held); n != 1 || len(e.Succeeded()) != 1 {
			t.Errorf("%d held, %d delivered; want what was skipped to stay held", n, len(e.Succeeded()))
		}
	})
}
