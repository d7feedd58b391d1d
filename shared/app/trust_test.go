package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestHopelessEndpointIsProbedNotHammered(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "down.example", control.RegistrationChange{Schedule: &schedule.Schedule{Name: "every-5-minutes"}})
		e.RespondWith(gatewaytest.Always(500))
		w.forDays()
		for n := range 40 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		time.Sleep(10 * time.Minute) // the circuit has seen enough
		before := len(e.Posts())
		time.Sleep(6 * time.Hour)
		if n := len(e.Posts()) - before; w.weak == 0 && (n > 30 || n < 5) {
			t.Errorf("40 deliveries every 5 minutes to a dead endpoint: %d POSTs in 6 h, want probes alone", n)
		}
		e.RespondWith(nil)
		w.within(48*time.Hour, "all delivered after the endpoint is well again", func() bool { return len(e.Succeeded()) == 40 })
	})
}

func TestOperationalEventsTellOncePerHour(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c, other := w.tenant(s, nil), w.tenant(s, nil)
		kinds := []string{"registration.failing", "registration.recovered", "delivery.exhausted"}
		failing, e := w.register(c, s, "failing.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{time.Minute}}})
		_, ops := w.register(c, s, "ops.example", control.RegistrationChange{EventTypes: &kinds})
		_, stars := w.register(c, s, "stars.example", control.RegistrationChange{EventTypes: ptr([]string{"registration.*", "delivery.*"})})
		_, strange := w.register(other, s, "strange.example", control.RegistrationChange{EventTypes: &kinds})
		e.RespondWith(gatewaytest.Always(500))
		for n := range 30 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		told := ops.OfType
		w.within(2*time.Hour, "told that it fails", func() bool { return len(told("registration.failing")) == 1 })
		w.within(24*time.Hour, "told of exhausted deliveries", func() bool { return len(told("delivery.exhausted")) > 0 })
		e.RespondWith(nil)
		w.chat(path, groupA, "one more")
		w.within(24*time.Hour, "told that it recovered", func() bool { return len(told("registration.recovered")) > 0 })
		hours := map[string]map[string]bool{} // kind and hour → webhook-ids
		for _, p := range ops.Posts() {
			var body struct {
				Type      string
				Timestamp time.Time
				Data      struct{ Registration string }
			}
			if err := json.Unmarshal(p.Body, &body); err != nil || body.Data.Registration != failing.ID {
				t.Fatalf("operational event %s, %v; want it to name %s", p.Body, err, failing.ID)
			}
			hour := fmt.Sprint(body.Type, body.Timestamp.Truncate(time.Hour))
			if hours[hour] == nil {
				hours[hour] = map[string]bool{}
			}
			hours[hour][p.ID] = true
		}
		for hour, ids := range hours {
			if len(ids) > 1 {
				t.Errorf("told %d times of %s", len(ids), hour)
			}
		}
		if n := len(ops.Posts()); n != len(hours) && w.weak == 0 {
			t.Errorf("%d POSTs tell of %d kinds and hours, want one each", n, len(hours))
		}
		if n := len(stars.Posts()) + len(strange.Posts()); n != 0 {
			t.Errorf("operational events went to %d registrations that did not name them or are another tenant's", n)
		}
	})
}

// idleFor lets time go by. Minutes in which nothing happens take long, so that all
// but the first ten of them are a pause; at full length all but the first hour, and
// none of them on the embedded backend as it is.
func (w *world) idleFor(d time.Duration) {
	w.t.Helper()
	first := proofs.Length(10*time.Minute, 10*time.Minute, time.Hour)
	if proofs.Full() && w.weak == 0 && w.aws == nil {
		first = d
	}
	time.Sleep(first)
	if first < d {
		w.pausedFor(d - first)
	}
}

func TestDaysOfFailureDisableAndWhatComesThenIsHeld(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "dead.example", control.RegistrationChange{})
		_, ops := w.register(c, s, "ops.example", control.RegistrationChange{EventTypes: ptr([]string{"registration.disabled"})})
		w.forDays()
		e.RespondWith(gatewaytest.Always(500))
		state := func() gateway.State {
			return again(w, func() (gateway.Registration, error) { return w.control().Registration(t.Context(), c, r.ID) }).State
		}
		start := time.Now()
		for time.Since(start) < 5*24*time.Hour-time.Hour {
			w.chat(path, groupA, "hello")
			w.idleFor(5 * time.Hour)
			if time.Since(start) < 5*24*time.Hour && state() != gateway.Enabled {
				t.Fatalf("disabled %v after the first failure, want 5 days", time.Since(start))
			}
		}
		w.chat(path, groupA, "hello")
		w.within(24*time.Hour, "disabled", func() bool { return state() == gateway.Disabled })
		w.within(24*time.Hour, "told of it", func() bool { return len(ops.OfType("registration.disabled")) == 1 })
		time.Sleep(time.Minute)
		w.chat(path, groupA, "meanwhile")
		w.within(24*time.Hour, "what comes meanwhile is held, and listed", func() bool { return w.count(c, r, gateway.Held) > 0 })
		time.Sleep(6 * time.Hour) // a weak backend may be late with it

		e.RespondWith(nil)
		again(w, func() (gateway.Registration, error) { return w.control().EnableRegistration(t.Context(), c, r.ID) })
		time.Sleep(3 * time.Hour)
		replayed := func() bool {
			return slices.ContainsFunc(e.Posts(), func(p gatewaytest.Post) bool { return p.Status == 200 && p.Text(t, "message") == "meanwhile" })
		}
		if replayed() {
			t.Error("what was held is delivered unasked")
		}
		again(w, func() (gateway.Job, error) {
			return w.control().StartRelease(t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: start})
		})
		w.within(24*time.Hour, "replayed on request", func() bool {
			return w.count(c, r, gateway.Held) == 0 && replayed()
		})
	})
}

// count returns how many deliveries of a registration have a status.
func (w *world) count(c control.Caller, r gateway.Registration, s gateway.Status) (n int) {
	w.t.Helper()
	for _, d := range w.deliveries(c, r.ID) {
		if d.Status == s {
			n++
		}
	}
	return n
}

func TestFailuresNowAndThenDoNotDisable(t *testing.T) {
	everywhereForDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "moody.example", control.RegistrationChange{})
		e.RespondWith(func(n int, _ *http.Request) (int, http.Header) {
			if n%3 != 2 {
				return 500, http.Header{}
			}
			return 200, http.Header{}
		})
		for range 6 * 4 { // days of which five would disable
			w.chat(path, groupA, "hello")
			w.idleFor(6 * time.Hour)
		}
		if r, err := w.control().Registration(t.Context(), c, r.ID); err != nil && w.weak == 0 || err == nil && r.State != gateway.Enabled {
			t.Errorf("state %q, %v; want enabled: a third of the attempts were accepted", r.State, err)
		}
	})
}

func TestRateSpacesDeliveries(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "limited.example", control.RegistrationChange{Rate: ptr(2.0)})
		start := time.Now()
		for n := range 60 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		w.within(2*time.Hour, "all delivered", func() bool { return len(e.Succeeded()) == 60 })
		posts := e.Posts()
		last := posts[len(posts)-1].At
		if took := last.Sub(start); took < 25*time.Second && w.weak == 0 {
			t.Errorf("60 deliveries at 2/s took %v, want about 30 s", took)
		}
		if took := last.Sub(start); took > 45*time.Second && w.weak == 0 {
			t.Errorf("60 deliveries at 2/s took %v: the excess waited for ticks", took)
		}
		for _, d := range w.deliveries(c, r.ID) {
			if d.Attempts > 1 {
				t.Errorf("waiting for the rate used up an attempt: %d", d.Attempts)
			}
		}
	})
}

func TestOrderedRegistrationGetsOneAtATimeByArrival(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true)})
		e.RespondWith(func(n int, r *http.Request) (int, http.Header) {
			if n == 3 || n == 4 {
				return 500, http.Header{}
			}
			return 200, http.Header{}
		})
		for n := range 20 {
			w.chat(path, groupA, fmt.Sprintf("a%02d", n))
			w.chat(path, groupB, fmt.Sprintf("b%02d", n))
			time.Sleep(3 * time.Second)
		}
		w.within(24*time.Hour, "all delivered", func() bool { return len(e.Succeeded()) == 40 })
		var a, b []string
		for _, p := range e.Posts() {
			if p.Status != 200 || w.weak != 0 && p.Header.Get("Ringback-Late") != "" {
				continue
			}
			switch text := p.Text(t, "message"); text[0] {
			case 'a':
				a = append(a, text)
			case 'b':
				b = append(b, text)
			}
		}
		a, b = slices.Compact(a), slices.Compact(b)
		if w.weak == 0 && (!slices.IsSorted(a) || !slices.IsSorted(b)) {
			t.Errorf("out of order: %v, %v", a, b)
		}
	})
}

func TestOrderedDeliveryThatFailsHoldsBackItsGroupAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		schedule := schedule.Schedule{Waits: []time.Duration{10 * time.Minute}}
		_, e := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true), Schedule: &schedule})
		e.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "a-fails")
		w.within(time.Hour, "attempted", func() bool { return len(e.Posts()) > 0 })
		e.RespondWith(nil)
		w.chat(path, groupA, "a-waits")
		w.chat(path, groupB, "b")
		meanwhile := 4 * time.Minute
		if w.weak != 0 {
			meanwhile = time.Hour // a message that was lost waits for the tick
		}
		w.within(meanwhile, "the other group is served meanwhile", func() bool { return len(e.Succeeded()) >= 1 })
		if got := e.Posts(); w.weak == 0 && got[1].Text(t, "message") != "b" {
			t.Errorf("second POST is %q, want the other group's", got[1].Text(t, "message"))
		}
		w.within(3*time.Hour, "all delivered", func() bool { return len(e.Succeeded()) == 3 })
	})
}

func TestHistoryOfFailuresKeepsOnlyThem(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		for _, provider := range []string{"smartbots", "direct"} {
			s, path := w.source(control.SourceChange{Provider: provider, History: ptr(gateway.FailureHistory)})
			c := w.tenant(s, nil)
			r, e := w.register(c, s, provider+".example", control.RegistrationChange{})
			say := func(text string) {
				if provider == "direct" {
					w.status(path, text)
				} else {
					w.chat(path, groupA, text)
				}
			}
			say("accepted")
			w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) >= 1 })
			time.Sleep(time.Minute)
			if ds := w.deliveries(c, r.ID); len(ds) != 0 && w.weak == 0 {
				t.Errorf("%s: a success left %d rows", provider, len(ds))
			}
			before, made := e.Succeeded(), map[string]int{}
			e.RespondWith(func(_ int, r *http.Request) (int, http.Header) {
				id := r.Header.Get("webhook-id") // what comes again of the first is no refusal's business
				if made[id]++; before[id] == 0 && made[id] < 3 {
					return 500, http.Header{}
				}
				return 200, http.Header{}
			})
			say("refused first")
			w.within(24*time.Hour, "delivered on retry", func() bool { return len(e.Succeeded()) > len(before) })
			w.within(time.Hour, "recorded", func() bool { return len(w.deliveries(c, r.ID)) >= 1 })
		}
	})
}
