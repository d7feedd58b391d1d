package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

func (w *world) listDeliveries(c control.Caller, registration string) ([]gateway.Delivery, error) {
	var out []gateway.Delivery
	q := history.Query{Registration: registration}
	for {
		page, next, err := w.lists().Deliveries(w.t.Context(), c, q)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			out = append(out, v.Delivery)
		}
		if next == "" {
			return out, nil
		}
		q.Cursor = next
	}
}

// wantStatus waits until the registration's only delivery has a status.
func (w *world) wantStatus(c control.Caller, r gateway.Registration, within time.Duration, want gateway.Status) gateway.Delivery {
	w.t.Helper()
	if w.weak != 0 { // claim after claim may be lost, each of which holds for twice as long
		within = max(within, 6*time.Hour)
	}
	var d gateway.Delivery
	w.within(within, fmt.Sprintf("delivery %s", want), func() bool {
		ds := w.deliveries(c, r.ID)
		if len(ds) == 1 {
			d = ds[0]
		}
		return len(ds) == 1 && d.Status == want
	})
	return d
}

func TestEveryRegistrationThatWantsAnEventGetsIt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		all := w.tenant(s, nil)
		some := w.tenant(s, gateway.Match{"group": {groupA}})
		_, whole := w.register(all, s, "whole.example", control.RegistrationChange{})
		_, group := w.register(some, s, "group.example", control.RegistrationChange{Match: ptr(gateway.Match{"group": {groupA}})})
		_, other := w.register(all, s, "other.example", control.RegistrationChange{Match: ptr(gateway.Match{"group": {"another"}})})
		_, typed := w.register(all, s, "typed.example", control.RegistrationChange{EventTypes: ptr([]string{"group_message"})})
		w.chat(path, groupA, "hello")
		w.chat(path, groupB, "elsewhere")
		w.within(10*time.Minute, "the whole source gets both, the group its own", func() bool {
			return len(whole.Succeeded()) == 2 && len(group.Succeeded()) == 1
		})
		if n := len(other.Posts()) + len(typed.Posts()); n != 0 {
			t.Errorf("registrations that want neither event got %d", n)
		}
		for _, p := range group.Posts() {
			if !p.Valid || p.Text(t, "message") != "hello" {
				t.Errorf("delivery to the group: valid %v, body %s", p.Valid, p.Body)
			}
		}
	})
}

func TestTypoInMatchReceivesNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, gateway.Match{"group": {groupA}})
		_, wrong := w.register(c, s, "typo.example", control.RegistrationChange{Match: ptr(gateway.Match{"group": {groupA + "x"}})})
		_, all := w.register(c, s, "all.example", control.RegistrationChange{})
		w.chat(path, groupA, "mine")
		w.chat(path, groupB, "not granted")
		w.within(10*time.Minute, "the event that is granted", func() bool { return len(all.Succeeded()) == 1 })
		time.Sleep(time.Hour)
		if len(wrong.Posts()) != 0 || len(all.Succeeded()) != 1 {
			t.Errorf("typo got %d events, want 0; grant of one group got %d, want 1", len(wrong.Posts()), len(all.Succeeded()))
		}
		_, _, err := w.control().CreateRegistration(t.Context(), c, ident.New("reg", time.Now()), s.ID,
			control.RegistrationChange{URL: ptr("https://x.example/"), Match: ptr(gateway.Match{"grupo": {"a"}})})
		if !errors.Is(err, storage.ErrInvalid) && w.weak == 0 {
			t.Errorf("unknown routing key: %v, want ErrInvalid", err)
		}
	})
}

func TestRefusedDeliveryFollowsTheWholeSchedule(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "refuses.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		w.forDays()
		w.chat(path, groupA, "hello")
		d := w.wantStatus(c, r, 8*24*time.Hour, gateway.Failed)
		if d.Attempts != 10 || d.Reason != "exhausted" {
			t.Errorf("made %d attempts, why %q; want 10, exhausted", d.Attempts, d.Reason)
		}
		waits := gaps(e.Posts())
		if w.weak == 0 && len(waits) != 9 {
			t.Fatalf("waits %v, want 9", waits)
		}
		for n, wait := range waits {
			if w.weak != 0 {
				break // duplicates of messages may add POSTs, and delays may move them
			}
			plan := (schedule.Schedule{}).Wait(n)
			if low, high := plan*8/10, plan*12/10+2*time.Second; wait < low-time.Second || wait > high {
				t.Errorf("wait %d: %v, want %v to %v", n, wait, low, high)
			}
		}
		if id := e.Posts()[0].ID; slices.ContainsFunc(e.Posts(), func(p gatewaytest.Post) bool { return p.ID != id || !p.Valid }) {
			t.Errorf("attempts differ in webhook-id or are not signed")
		}
	})
}

func TestWaitsAreSpreadByTheGatewaysOwnRandom(t *testing.T) {
	for _, random := range []float64{0, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 0)
			w.g.Random = func() float64 { return random }
			s, path := w.smartBots()
			c := w.tenant(s, nil)
			schedule := schedule.Schedule{Waits: []time.Duration{10 * time.Second, 10 * time.Second}}
			r, e := w.register(c, s, "refuses.example", control.RegistrationChange{Schedule: &schedule})
			e.RespondWith(gatewaytest.Always(500))
			w.chat(path, groupA, "hello")
			w.wantStatus(c, r, time.Hour, gateway.Failed)
			want := time.Duration(float64(10*time.Second) * (0.8 + 0.4*random))
			for _, wait := range gaps(e.Posts()) {
				if wait < want || wait >= want+time.Second { // a queue's delay is in whole seconds
					t.Errorf("random %v: waited %v, want %v", random, wait, want)
				}
			}
		})
	}
}

func TestScheduleOfItsOwnIsFollowed(t *testing.T) {
	for name, tt := range map[string]struct {
		schedule schedule.Schedule
		attempts int
	}{
		"every five minutes, until the circuit opens": {schedule.Schedule{Name: "every-5-minutes"}, 11},
		"a list":   {schedule.Schedule{Waits: []time.Duration{30 * time.Second, 5 * time.Minute}}, 3},
		"no waits": {schedule.Schedule{Waits: []time.Duration{}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			scenarioOfDays(t, func(t *testing.T, w *world) {
				s, path := w.smartBots()
				c := w.tenant(s, nil)
				r, e := w.register(c, s, "refuses.example", control.RegistrationChange{Schedule: &tt.schedule})
				e.RespondWith(gatewaytest.Always(503))
				w.forDays()
				w.chat(path, groupA, "hello")
				d := w.wantStatus(c, r, 5*24*time.Hour, gateway.Failed)
				spared := tt.schedule.Name != "" // most of its attempts are, by the circuit
				if d.Attempts < tt.attempts || !spared && d.Attempts != tt.attempts || len(e.Posts()) < tt.attempts || !spared && w.weak == 0 && len(e.Posts()) != tt.attempts {
					t.Errorf("made %d, POSTs %d, want %d", d.Attempts, len(e.Posts()), tt.attempts)
				}
			})
		})
	}
}

func gaps(posts []gatewaytest.Post) []time.Duration {
	var out []time.Duration
	for i := 1; i < len(posts); i++ {
		out = append(out, posts[i].At.Sub(posts[i-1].At))
	}
	return out
}

func TestRefusedDeliverySucceedsOnRetry(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "recovers.example", control.RegistrationChange{})
		e.RespondWith(func(n int, _ *http.Request) (int, http.Header) {
			if n < 3 {
				return 502, http.Header{}
			}
			return 204, http.Header{}
		})
		w.chat(path, groupA, "hello")
		d := w.wantStatus(c, r, 24*time.Hour, gateway.Succeeded)
		if d.Last.StatusCode != 204 || d.Attempts < 4 && w.weak == 0 {
			t.Errorf("last %d after %d attempts, want 204 after 4", d.Last.StatusCode, d.Attempts)
		}
	})
}

func TestRetryAfterIsTheLeastWaitAndAddsNoAttempt(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		schedule := schedule.Schedule{Waits: []time.Duration{5 * time.Second, 10 * time.Second}}
		r, e := w.register(c, s, "busy.example", control.RegistrationChange{Schedule: &schedule})
		e.RespondWith(func(int, *http.Request) (int, http.Header) { return 429, http.Header{"Retry-After": {"600"}} })
		w.chat(path, groupA, "hello")
		if d := w.wantStatus(c, r, 24*time.Hour, gateway.Failed); d.Attempts != 3 {
			t.Errorf("made %d attempts, want 3", d.Attempts)
		}
		for _, wait := range gaps(e.Posts()) {
			if w.weak == 0 && (wait < 600*time.Second || wait > 602*time.Second) {
				t.Errorf("waits %v, want 10 minutes each, though the schedule has seconds", gaps(e.Posts()))
			}
		}
	})
}

func TestEndpointThatIsGoneDisablesItsRegistration(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "gone.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(http.StatusGone))
		w.chat(path, groupA, "hello")
		if d := w.wantStatus(c, r, time.Hour, gateway.Failed); d.Reason != "gone" {
			t.Errorf("why %q, want gone", d.Reason)
		}
		w.within(time.Hour, "disabled", func() bool {
			r, err := w.control().Registration(t.Context(), c, r.ID)
			return err == nil && r.State == gateway.Disabled
		})
	})
}

func TestDisabledRegistrationHoldsAndEnablingReleases(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "paused.example", control.RegistrationChange{})
		again(w, func() (gateway.Registration, error) { return w.control().DisableRegistration(t.Context(), c, r.ID) })
		time.Sleep(3 * time.Second)
		w.chat(path, groupA, "while disabled")
		w.wantStatus(c, r, time.Hour, gateway.Held)
		if n := len(e.Posts()); n != 0 {
			t.Fatalf("disabled endpoint got %d POSTs", n)
		}
		time.Sleep(time.Minute)
		again(w, func() (gateway.Registration, error) { return w.control().EnableRegistration(t.Context(), c, r.ID) })
		time.Sleep(time.Hour)
		if n := len(e.Posts()); n != 0 && w.weak == 0 {
			t.Errorf("what was held long before enabling was delivered unasked: %d", n)
		}
		again(w, func() (gateway.Job, error) {
			return w.control().StartRelease(t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{})
		})
		w.within(time.Hour, "released", func() bool { return len(e.Succeeded()) == 1 })
	})
}

func TestDeletedRegistrationCancelsWhatIsPending(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "deleted.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "hello")
		w.within(10*time.Minute, "attempted", func() bool { return len(e.Posts()) > 0 })
		w.wantStatus(c, r, 10*time.Minute, gateway.Pending)
		w.remove(c, r)
		time.Sleep(3 * time.Second)
		before := len(e.Posts())
		w.wantStatus(c, r, 3*time.Hour, gateway.Cancelled)
		if n := len(e.Posts()); n > before {
			t.Errorf("%d POSTs after the deletion took effect", n-before)
		}
	})
}

func TestRevokedGrantCancelsWhatIsPending(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, gateway.Match{"group": {"another"}})
		grant := w.grant(s, c.Tenant, gateway.Match{"group": {groupA}})
		r, e := w.register(c, s, "revoked.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "hello")
		w.within(10*time.Minute, "attempted", func() bool { return len(e.Posts()) > 0 })
		w.wantStatus(c, r, 10*time.Minute, gateway.Pending)
		w.gone(func() error { return w.control().DeleteGrant(t.Context(), s.ID, grant.ID) })
		time.Sleep(3 * time.Second)
		before := len(e.Posts())
		if d := w.wantStatus(c, r, 3*time.Hour, gateway.Cancelled); d.Reason != "grant_revoked" || len(e.Posts()) > before {
			t.Errorf("why %q, %d POSTs after the revocation", d.Reason, len(e.Posts())-before)
		}
	})
}

func TestProviderRepeatIsNotDeliveredAgain(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.direct()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "once.example", control.RegistrationChange{})
		w.forDays()
		item := fmt.Sprintf(`{"message_uuid":"m1","channel_type":"SMS","callback_event":"delivered","status":"delivered","status_time":%q}`,
			time.Now().UTC().Format(time.RFC3339))
		for range 5 {
			w.post(path, "application/json", "["+item+","+item+"]", http.StatusOK)
			time.Sleep(7 * time.Hour)
		}
		w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 1 })
		if n := len(e.Posts()); n != 1 && w.weak == 0 {
			t.Errorf("the same item in 5 callbacks over 28 h was POSTed %d times, want 1", n)
		}
	})
}

func TestEqualChatsAreTwoEvents(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "chat.example", control.RegistrationChange{})
		w.chat(path, groupA, "hi")
		w.chat(path, groupA, "hi")
		w.within(time.Hour, "both", func() bool { return len(e.Succeeded()) >= 2 })
	})
}

func TestTenantThatHangsKeepsOthersServed(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		slow, well := w.tenant(s, nil), w.tenant(s, nil)
		_, hanging := w.register(slow, s, "hangs.example", control.RegistrationChange{})
		_, healthy := w.register(well, s, "healthy.example", control.RegistrationChange{})
		hanging.RespondWith(gatewaytest.Hangs)
		var worst time.Duration
		for n := range 200 {
			sent := time.Now()
			w.chat(path, groupA, fmt.Sprint(n))
			w.within(time.Hour, "the healthy one gets it", func() bool { return len(healthy.Succeeded()) > n })
			if w.weak == 0 {
				worst = max(worst, time.Since(sent))
			}
		}
		if worst > 20*time.Second {
			t.Errorf("beside a hanging endpoint the healthy one waited %v", worst)
		}
	})
}

func TestResendGoesOutOnceMore(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "resend.example", control.RegistrationChange{})
		w.chat(path, groupA, "hello")
		d := w.wantStatus(c, r, time.Hour, gateway.Succeeded)
		before := len(e.Posts())
		again(w, func() (gateway.Delivery, error) { return w.g.Resend(t.Context(), d.ID) })
		w.within(time.Hour, "resent", func() bool { return len(e.Posts()) > before })
		if ids := e.Succeeded(); len(ids) != 1 {
			t.Errorf("webhook-ids %v, want the same one", ids)
		}
	})
}

func TestLongFanOutReachesAll(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		var all []*gatewaytest.Endpoint
		for n := range 3 {
			c := w.tenant(s, nil)
			for m := range 49 {
				ch := control.RegistrationChange{}
				if m%2 == 0 {
					ch.Match = ptr(gateway.Match{"group": {groupA}})
				}
				_, e := w.register(c, s, fmt.Sprintf("r%d-%d.example", n, m), ch)
				all = append(all, e)
			}
		}
		w.chat(path, groupA, "to everybody")
		w.within(6*time.Hour, "all have it", func() bool {
			return !slices.ContainsFunc(all, func(e *gatewaytest.Endpoint) bool { return len(e.Succeeded()) != 1 })
		})
	})
}

func TestRestartGoesOnWhereItStopped(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "restart.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "hello")
		w.within(10*time.Minute, "attempted", func() bool { return len(e.Posts()) > 0 })
		w.restart()
		e.RespondWith(nil)
		w.wantStatus(c, r, 24*time.Hour, gateway.Succeeded)
	})
}

// group makes a SmartBots group of s.
func (w *world) group(s gateway.Source, name, uuid, code string) gateway.Group {
	w.t.Helper()
	id := ident.New("grp", time.Now())
	return again(w, func() (gateway.Group, error) {
		g, _, err := w.groups().CreateGroup(w.t.Context(), id, groups.GroupChange{Source: s.ID, Name: name, UUID: uuid, GroupID: "harbor-crew", Code: code})
		return g, err
	})
}

// setHTTPCallback registers an app by the group's code.
func (w *world) setHTTPCallback(c control.Caller, group, code, app, host string) *gatewaytest.Endpoint {
	w.t.Helper()
	e := w.endpoints.Add(host, "")
	again(w, func() (gateway.Group, error) {
		return w.groups().SetHTTPCallback(w.t.Context(), c, groups.CallbackRequest{
			Group: group, Secret: code, AppName: "An app", AppUUID: app, URL: "https://" + host + "/hook",
		})
	})
	return e
}

func TestCodeChangeRemovesWhatWasRegisteredByCode(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, gateway.Match{"group": {"none"}})
		group := w.group(s, "Harbor Crew", groupA, "1234")
		e := w.setHTTPCallback(c, "Harbor Crew", "1234", "7e0c2a9e-63c5-4d24-8f8e-6a2f0f1d9b10", "app.example")
		w.within(time.Hour, "callback_set", func() bool { return w.forms(e, "callback_set") == 1 })
		w.chat(path, groupA, "hello")
		w.within(time.Hour, "group_chat", func() bool { return w.forms(e, "group_chat") == 1 })
		again(w, func() (gateway.Group, error) {
			return w.groups().ChangeGroup(t.Context(), control.Operator(), group.ID, groups.GroupChange{Code: "5678"})
		})
		w.within(time.Hour, "callback_removed", func() bool { return w.forms(e, "callback_removed") == 1 })
		w.chat(path, groupA, "after the change")
		time.Sleep(2 * time.Hour)
		if n := w.forms(e, "group_chat"); n != 1 {
			t.Errorf("app got %d chats, want the one from before the change", n)
		}
	})
}

// forms counts the different events of an action that e accepted.
func (w *world) forms(e *gatewaytest.Endpoint, action string) int {
	ids := map[string]bool{}
	for _, p := range e.Posts() {
		if p.Status == 200 && strings.Contains(string(p.Body), "action="+action) {
			ids[p.ID] = true
		}
	}
	return len(ids)
}

func TestReplayBringsWhatANewRegistrationMissed(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		w.chat(path, groupA, "before the grant")
		time.Sleep(time.Minute)
		c := w.tenant(s, nil)
		time.Sleep(time.Minute)
		w.chat(path, groupA, "missed")
		time.Sleep(time.Hour)
		r, e := w.register(c, s, "late.example", control.RegistrationChange{})
		again(w, func() (gateway.Job, error) {
			return w.control().StartReplay(t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: time.Now().Add(-24 * time.Hour)})
		})
		w.within(3*time.Hour, "replayed", func() bool { return len(e.Succeeded()) == 1 })
		time.Sleep(3 * time.Hour)
		if got := e.Posts(); got[0].Text(t, "message") != "missed" || len(e.Succeeded()) != 1 {
			t.Errorf("replayed %d events, the first %q; want only the one since the grant", len(e.Succeeded()), got[0].Text(t, "message"))
		}
	})
}

func TestRecoverRepeatsWhatFailed(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "recover.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{}}})
		e.RespondWith(gatewaytest.Always(500))
		start := w.later()
		for n := range 20 {
			w.chat(path, groupA, fmt.Sprint(n))
		}
		w.within(6*time.Hour, "all failed", func() bool {
			ds := w.deliveries(c, r.ID)
			return len(ds) >= 20 && !slices.ContainsFunc(ds, func(d gateway.Delivery) bool { return d.Status != gateway.Failed })
		})
		e.RespondWith(nil)
		w.later() // what fails while the job is asked for is not its affair
		again(w, func() (gateway.Job, error) {
			return w.control().StartRecover(t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: start})
		})
		w.within(12*time.Hour, "all recovered", func() bool { return len(e.Succeeded()) >= 20 })
	})
}

func TestRemovedTenantLeavesNothing(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "leaves.example", control.RegistrationChange{})
		w.chat(path, groupA, "hello")
		w.within(time.Hour, "delivered", func() bool { return len(e.Succeeded()) == 1 })
		again(w, func() (gateway.Job, error) { return w.control().RemoveTenant(t.Context(), c.Tenant) })
		w.within(6*time.Hour, "the tenant is gone", func() bool {
			_, err := w.control().Tenant(context.Background(), c.Tenant)
			return errors.Is(err, storage.ErrNotFound)
		})
		w.chat(path, groupA, "after")
		time.Sleep(time.Hour)
		if n := len(e.Succeeded()); n != 1 {
			t.Errorf("%d events delivered, want the one from before", n)
		}
	})
}

func TestEventRedrivenAfterItsHistoryIsDeliveredAndRetried(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "redriven.example", control.RegistrationChange{})
		e.RespondWith(func(n int, _ *http.Request) (int, http.Header) {
			if n < 2 {
				return 500, http.Header{}
			}
			return 200, http.Header{}
		})
		w.paused = true // the worker is down, for longer than the history lasts
		w.restart()
		w.chat(path, groupA, "hello")
		w.pausedFor(20 * 24 * time.Hour)
		w.wantStatus(c, r, 24*time.Hour, gateway.Succeeded)
	})
}
