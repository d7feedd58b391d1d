package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// TestLogTellsWhyAnEndpointFails has an endpoint fail to the end of its schedule,
// in a lane and without one, and another one not.
func TestLogTellsWhyAnEndpointFails(t *testing.T) {
	proofs.Long(t)
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 0)
			s, path := w.smartBots()
			c := w.tenant(s, nil)
			schedule := schedule.Schedule{Waits: []time.Duration{time.Minute, time.Hour}}
			r, e := w.register(c, s, "fails.example", control.RegistrationChange{Schedule: &schedule, Ordered: &ordered})
			e.RespondWith(gatewaytest.Always(503))
			_, well := w.register(c, s, "well.example", control.RegistrationChange{})
			w.chat(path, groupA, "hello")
			w.within(3*time.Hour, "the delivery fails for good", func() bool { return w.count(c, r, gateway.Failed) == 1 })
			w.within(time.Minute, "the other is delivered", func() bool { return len(well.Succeeded()) == 1 })
			attempts, ended := w.log.Of(t, "attempt"), w.log.Of(t, "delivery")
			if len(attempts) != 3 || len(ended) != 1 {
				t.Fatalf("ordered %v: %d lines of attempts and %d of ends, want 3 and 1: %v %v", ordered, len(attempts), len(ended), attempts, ended)
			}
			for n, a := range attempts {
				next, last := a["next"], n == len(attempts)-1
				if a["level"] != "INFO" || a["tenant"] != c.Tenant || a["registration"] != r.ID || a["host"] != "fails.example" ||
					a["code"] != 503. || a["number"] != float64(n+1) || (next == nil) != last {
					t.Errorf("ordered %v: attempt %d is logged as %v", ordered, n+1, a)
				}
			}
			if d := ended[0]; d["registration"] != r.ID || d["tenant"] != c.Tenant || d["attempts"] != 3. || d["outcome"] != "exhausted" {
				t.Errorf("ordered %v: the end is logged as %v", ordered, d)
			}
		})
	}
}

// unwritable is a provider of whose events one cannot be written as data.
type unwritable struct{ provider.Provider }

func (u unwritable) Data(e *provider.Event) (json.RawMessage, error) {
	if strings.Contains(string(e.Payload), "poison") {
		return nil, errors.New("cannot be written")
	}
	return u.Provider.Data(e)
}

// TestWhatCannotBeWrittenEnds wants the deliveries behind it, in its lane too.
func TestWhatCannotBeWrittenEnds(t *testing.T) {
	proofs.Long(t)
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 0)
			w.g.Providers["smartbots"] = unwritable{w.g.Providers["smartbots"]}
			s, path := w.smartBots()
			c := w.tenant(s, nil)
			r, e := w.register(c, s, "tenant.example", control.RegistrationChange{Ordered: &ordered})
			w.chat(path, groupA, "poison")
			time.Sleep(time.Second)
			w.chat(path, groupA, "hello")
			w.within(12*time.Hour, "the other one is delivered", func() bool { return len(e.Succeeded()) == 1 })
			w.within(12*time.Hour, "it fails", func() bool { return w.count(c, r, gateway.Failed) == 1 })
			for _, d := range w.deliveries(c, r.ID) {
				if d.Status == gateway.Failed && (d.Reason != "internal" || d.Attempts != 0) {
					t.Errorf("ordered %v: it failed because of %q after %d attempts, want internal and none", ordered, d.Reason, d.Attempts)
				}
			}
		})
	}
}

// A panicky is a Store that panics where a registration is read, until it is mended.
type panicky struct {
	storage.Store
	mended *bool
}

func (p panicky) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	for _, k := range keys {
		if strings.HasPrefix(k.PK, "R#") && k.SK == "R" && !*p.mended {
			panic("a bug in matching")
		}
	}
	return p.Store.Get(ctx, keys...)
}

// TestRunbookFindsWhyEventsAreDead does what the runbook says about dead letters of
// the events queue: looks in the log for what it names, mends that and redrives.
func TestRunbookFindsWhyEventsAreDead(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile("\\| `EventsDeadLetters` \\|.*Find `([^`]+)` in Worker's log and mend its `([^`]+)`").FindStringSubmatch(string(readme))
	if said == nil {
		t.Fatal("the runbook does not say what to find in the log for EventsDeadLetters")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		mended := true
		w.wrap = func(s storage.Store) storage.Store { return panicky{s, &mended} }
		w.restart()
		s, path := w.smartBots()
		c := w.tenant(s, nil)
		_, e := w.register(c, s, "tenant.example", control.RegistrationChange{})
		mended = false
		w.chat(path, groupA, "hello")
		dead := func() int { return gatewaytest.Must(w.db.Depth(t.Context(), storage.EventsQueue))(w.t).Dead }
		w.within(time.Hour, "the event is a dead letter", func() bool { return dead() == 1 })
		found := 0
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, said[1]) && strings.Contains(line, `"`+said[2]+`":"panic: a bug in matching"`) && strings.Contains(line, "panicky.Get") {
				found++
			}
		}
		if found != storage.MaxReceives {
			t.Errorf("%d lines have %s, what panicked and where; want %d, one a receive", found, said[1], storage.MaxReceives)
		}
		mended = true
		if err := w.db.Redrive(t.Context(), storage.EventsQueue); err != nil {
			t.Fatal(err)
		}
		w.within(time.Hour, "it is delivered", func() bool { return len(e.Succeeded()) == 1 })
	})
}
