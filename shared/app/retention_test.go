package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/history"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

const day = 24 * time.Hour

// TestUnfinishedDeliveriesOutlastAStop stops worker and schedule for longer than
// events are kept, while deliveries of every kind are under way.
func TestUnfinishedDeliveriesOutlastAStop(t *testing.T) {
	proofs.Long(t)
	everywhere(t, func(t *testing.T, w *world) {
		stop := 60 * day
		if w.aws != nil {
			stop = 13 * day // the queues keep 14
		}
		w.history = 9 * day
		w.restart()
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		waits := schedule.Schedule{Waits: []time.Duration{time.Minute, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour}}
		plain, failing := w.register(c, s, "failing.example", control.RegistrationChange{Schedule: &waits})
		ordered, blocked := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true), Schedule: &waits})
		failing.RespondWith(gatewaytest.Always(500))
		blocked.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "first")
		w.within(time.Hour, "attempted", func() bool { return len(failing.Posts()) > 0 && len(blocked.Posts()) > 0 })
		w.chat(path, groupA, "second")
		w.within(time.Hour, "both are there", func() bool { return w.count(c, plain, gateway.Pending)+w.count(c, ordered, gateway.Pending) == 4 })
		w.pausedFor(stop)
		failing.RespondWith(nil)
		blocked.RespondWith(nil)
		w.within(5*day, "all delivered", func() bool {
			return w.count(c, plain, gateway.Succeeded)+w.count(c, ordered, gateway.Succeeded) == 4
		})
		w.pausedFor(15 * day)
		events := again(w, func() ([]history.Event, error) {
			es, _, err := w.lists().Events(t.Context(), control.Caller{Scope: control.ScopeOperator}, history.Query{Source: s.ID})
			return es, err
		})
		if len(events) != 0 {
			t.Errorf("%d events are there two weeks after the last delivery was finished, want none", len(events))
		}
	})
}

// TestWorkersThatAreAwayEndNothing has the schedule alone run for half a day.
func TestWorkersThatAreAwayEndNothing(t *testing.T) {
	scenarioOfDays(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		r, e := w.register(c, s, "waiting.example", control.RegistrationChange{})
		e.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "hi")
		w.within(time.Hour, "attempted", func() bool { return len(e.Posts()) > 0 })
		w.within(time.Hour, "recorded", func() bool { return len(w.deliveries(c, r.ID)) == 1 })
		w.paused = true
		w.restart()
		for range 12 * 60 {
			w.g.Retry(t.Context()) // what fails is tried again a minute later
			time.Sleep(time.Minute)
		}
		time.Sleep(5 * time.Second)
		d := w.deliveries(c, r.ID)[0]
		if d.Status != gateway.Pending {
			t.Errorf("after half a day without a worker the delivery is %s (%s), %d attempts made; want it pending", d.Status, d.Reason, d.Attempts)
		}
		if waits, err := w.db.Depth(t.Context(), storage.RetryQueue); err != nil || waits.Waiting > 5 {
			t.Errorf("%d messages wait for the worker, %v; want a handful", waits.Waiting, err)
		}
		e.RespondWith(nil)
		w.paused = false
		w.restart()
		limit := 3 * time.Minute
		if w.weak != 0 { // whose messages may come again after the lease of who had them
			limit = 3 * time.Hour
		}
		w.wantStatus(c, r, limit, gateway.Succeeded)
	})
}

// TestDeliveryWhosePayloadIsGoneIsTold takes an event's row away while deliveries
// wait for their next attempt and in a lane.
func TestDeliveryWhosePayloadIsGoneIsTold(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		plain, failing := w.register(c, s, "failing.example", control.RegistrationChange{})
		ordered, blocked := w.register(c, s, "ordered.example", control.RegistrationChange{Ordered: ptr(true)})
		_, told := w.register(c, s, "told.example", control.RegistrationChange{EventTypes: &[]string{"delivery.exhausted"}})
		failing.RespondWith(gatewaytest.Always(500))
		blocked.RespondWith(gatewaytest.Always(500))
		w.chat(path, groupA, "hi")
		w.within(time.Hour, "attempted", func() bool { return len(failing.Posts()) > 0 && len(blocked.Posts()) > 0 })
		w.within(time.Hour, "empty", func() bool { // a message that is left would begin the event anew
			d, err := w.g.Queue.Depth(t.Context(), storage.EventsQueue)
			return err == nil && d.Waiting+d.InFlight+d.Delayed == 0
		})
		key, err := gateway.EventKey(w.deliveries(c, plain.ID)[0].Event)
		if err != nil {
			t.Fatal(err)
		}
		again(w, func() (struct{}, error) { return struct{}{}, w.g.Store.Delete(t.Context(), key, storage.AnyRev) })
		for _, r := range []gateway.Registration{plain, ordered} {
			if d := w.wantStatus(c, r, 3*day, gateway.Failed); d.Reason != "payload_expired" {
				t.Errorf("the delivery failed because of %q, want payload_expired", d.Reason)
			}
		}
		w.within(time.Hour, "told", func() bool { return len(told.Succeeded()) == 2 })
		if n := strings.Count(w.log.String(), `"outcome":"payload_expired"`); n < 2 {
			t.Errorf("%d lines of the log say so, want 2", n)
		}
	})
}

// TestNextAttemptIsNotLateThoughItsMessageWasLost loses the messages of what was
// recorded: their sending fails, and the process goes on, or ends.
func TestNextAttemptIsNotLateThoughItsMessageWasLost(t *testing.T) {
	proofs.Long(t)
	for _, restart := range []bool{false, true} {
		for _, ordered := range []bool{false, true} {
			t.Run(fmt.Sprintf("restart %v, ordered %v", restart, ordered), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 0)
					s, path := w.smartBots()
					c := w.tenant(s, nil)
					r, e := w.register(c, s, "late.example", control.RegistrationChange{Ordered: &ordered})
					e.RespondWith(func(n int, _ *http.Request) (int, http.Header) {
						return []int{500, 500, 200}[min(n, 2)], http.Header{}
					})
					q := &losing{Queue: w.g.Queue}
					w.g.Queue = q
					q.lose.Store(!ordered)
					w.chat(path, groupA, "hi")
					w.within(time.Minute, "attempted", func() bool { return len(e.Posts()) > 0 })
					q.lose.Store(ordered)
					for attempt := 1; attempt <= 2; attempt++ {
						w.within(6*time.Minute, "attempted again", func() bool { return len(e.Posts()) >= attempt })
						time.Sleep(time.Second)
						start := w.deliveries(c, r.ID)[0].NextAttempt
						if restart {
							w.restart()
						}
						q.lose.Store(false)
						w.within(20*time.Minute, "attempted again", func() bool { return len(e.Posts()) > attempt })
						if late := e.Posts()[attempt].At.Sub(start); late > time.Minute+5*time.Second {
							t.Errorf("attempt %d came %v late, want at most a minute", attempt+1, late)
						}
						q.lose.Store(true)
					}
				})
			})
		}
	}
}

// TestClockThatIsSetEndsNothing sets the gateway's clock 20 days ahead for a
// quarter of an hour, while endpoints fail and a job has work.
func TestClockThatIsSetEndsNothing(t *testing.T) {
	proofs.Long(t)
	for _, ahead := range proofs.Length(nil, []time.Duration{20 * day}, []time.Duration{20 * day, -20 * day, 3 * time.Hour}) {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 0)
				w.pausedFor(30 * day)
				s, path := w.smartBots()
				c := w.tenant(s, nil)
				names := []string{"failing.example", "ordered.example", "held.example"}
				var rs []gateway.Registration
				var es []*gatewaytest.Endpoint
				for n, name := range names {
					r, e := w.register(c, s, name, control.RegistrationChange{Ordered: ptr(n == 1)})
					e.RespondWith(gatewaytest.Always(500))
					rs, es = append(rs, r), append(es, e)
				}
				if _, err := w.control().DisableRegistration(t.Context(), c, rs[2].ID); err != nil {
					t.Fatal(err)
				}
				events := 0
				fail := func() {
					for range 12 {
						w.chat(path, groupA, fmt.Sprint(events))
						events++
						time.Sleep(time.Second)
					}
					time.Sleep(15 * time.Minute)
				}
				fail()
				w.ahead.Store(int64(ahead))
				fail()
				w.ahead.Store(0)
				fail()
				for n, r := range rs {
					now, err := w.control().Registration(t.Context(), c, r.ID)
					if err != nil || n < 2 && now.State != gateway.Enabled {
						t.Errorf("%s is %s (%s), %v; want it enabled", names[n], now.State, now.Reason, err)
					}
					if failed := w.count(c, r, gateway.Failed) + w.count(c, r, gateway.Cancelled); failed > 0 {
						t.Errorf("%s: %d deliveries ended", names[n], failed)
					}
					es[n].RespondWith(nil)
				}
				if _, err := w.control().EnableAndRelease(t.Context(), c, rs[2].ID); err != nil {
					t.Fatal(err)
				}
				late := max(ahead, 0)
				if late > 29*time.Hour {
					late = 0
				}
				for n, r := range rs {
					w.within(12*time.Hour+late, names[n]+" has all", func() bool { return w.count(c, r, gateway.Succeeded) == events })
				}
			})
		})
	}
}

// A losing is a Queue that sends nothing to the retry queue while it loses.
type losing struct {
	storage.Queue
	lose atomic.Bool
}

func (q *losing) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	if name != storage.RetryQueue || !q.lose.Load() {
		return q.Queue.Send(ctx, name, ms)
	}
	errs := make([]error, len(ms))
	for i := range errs {
		errs[i] = storage.ErrUnavailable
	}
	return errs
}
