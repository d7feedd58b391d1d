package app_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

// TestJobsFindWhatListsDoNotShowYet starts jobs within the second by which lists
// may lag behind what they are about.
func TestJobsFindWhatListsDoNotShowYet(t *testing.T) {
	late := func(t *testing.T, f func(w *world, s gateway.Source, path string, c control.Caller)) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 0)
			w.restartWith(w.ring, func(s storage.Store) storage.Store {
				s, _ = storagetest.Weakness{Seed: 1, Late: 1, Lag: time.Second}.Weaken(s, w.db)
				return s
			})
			s, path := w.smartBots()
			f(w, s, path, w.tenant(s, nil))
		})
	}
	t.Run("a replay, an event of just now", func(t *testing.T) {
		late(t, func(w *world, s gateway.Source, path string, c control.Caller) {
			w.chat(path, groupA, "missed")
			synctest.Wait() // it is fanned out, to nobody
			r, e := w.register(c, s, "late.example", control.RegistrationChange{})
			gatewaytest.Must(w.control().StartReplay(w.t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: time.Now().Add(-time.Hour)}))(w.t)
			w.within(time.Hour, "replayed", func() bool { return len(e.Succeeded()) == 1 })
		})
	})
	t.Run("a recovery, a delivery that failed just now", func(t *testing.T) {
		late(t, func(w *world, s gateway.Source, path string, c control.Caller) {
			r, e := w.register(c, s, "fails.example", control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{}}})
			e.RespondWith(gatewaytest.Always(500))
			w.chat(path, groupA, "refused")
			synctest.Wait()
			if len(e.Posts()) != 1 {
				t.Fatalf("%d POSTs so far, want one", len(e.Posts()))
			}
			e.RespondWith(nil)
			time.Sleep(time.Millisecond) // it failed before the job is made
			gatewaytest.Must(w.control().StartRecover(w.t.Context(), c, ident.New("job", time.Now()), r.ID, control.Span{Since: time.Now().Add(-time.Hour)}))(w.t)
			w.within(time.Hour, "recovered", func() bool { return len(e.Succeeded()) == 1 })
		})
	})
}
