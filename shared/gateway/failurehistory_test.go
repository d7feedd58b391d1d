package gateway

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// thinWorld is one whose source keeps a history of failures alone.
func thinWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.put(SourceKey(w.source), Source{ID: w.source, Provider: "upstream", History: FailureHistory})
	return w
}

// stores counts the rows of an event and of its delivery for r, and returns the
// payload that is stored.
func (w *world) stores(r Registration, event string) (events, deliveries int, payload string) {
	w.t.Helper()
	key, err := EventKey(event)
	if err != nil {
		w.t.Fatal(err)
	}
	_, row, err := storage.Load[EventRow](w.t.Context(), w.Store, key)
	if err == nil {
		events, payload = 1, string(row.Body)
	} else if !errors.Is(err, storage.ErrNotFound) {
		w.t.Fatal(err)
	}
	if _, err := w.LoadDelivery(w.t.Context(), ident.Delivery(r.ID, event)); err == nil {
		deliveries = 1
	}
	return events, deliveries, payload
}

// TestHistoryOfFailuresKeepsNoSuccess has events with a natural key and without:
// of those with one the row stays that recognises a repeat, without its payload.
func TestHistoryOfFailuresKeepsNoSuccess(t *testing.T) {
	for _, tt := range []struct {
		name               string
		it                 provider.Item
		code               int
		events, deliveries int
		payload            string
	}{
		{"without a natural key, accepted", provider.Item{}, 200, 0, 0, ""},
		{"with one, accepted", provider.Item{NaturalKey: "k", UniqueForever: true}, 200, 1, 0, ""},
		{"without a natural key, refused", provider.Item{}, 500, 1, 1, `{"n":1}`},
		{"with one, refused", provider.Item{NaturalKey: "k", UniqueForever: true}, 500, 1, 1, `{"n":1}`},
		{"set aside", provider.Item{Unreadable: true}, 200, 1, 0, `{"n":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := thinWorld(t)
				w.endpoints.code = tt.code
				r := w.register()
				id := w.arrive(tt.it)[0]
				w.fanOut()
				es, ds, payload := w.stores(r, id)
				if es != tt.events || ds != tt.deliveries || payload != tt.payload {
					t.Errorf("stored %d events with payload %q and %d deliveries, want %d with %q and %d", es, payload, ds, tt.events, tt.payload, tt.deliveries)
				}
				_, posts := w.endpoints.last()
				if want := 1; posts != want && !tt.it.Unreadable {
					t.Errorf("%d POSTs, want %d", posts, want)
				}
				if tt.code == 200 {
					return
				}
				w.endpoints.code = 0
				time.Sleep(time.Until(w.delivery(r, id).NextAttempt))
				w.redeliver()
				last, n := w.endpoints.last()
				if n != 2 || w.delivery(r, id).Status != Succeeded || last.header.Get("Webhook-Id") != id {
					t.Errorf("%d POSTs, %s; want a second one that is accepted", n, w.delivery(r, id).Status)
				}
			})
		})
	}
}

// TestHistoryOfFailuresKeepsWhatWaits has registrations to which an event cannot
// go at once: disabled, or ordered.
func TestHistoryOfFailuresKeepsWhatWaits(t *testing.T) {
	for name, change := range map[string]func(*Registration){
		"disabled": func(r *Registration) { r.State = Disabled },
		"ordered":  func(r *Registration) { r.Ordered = true },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := thinWorld(t)
			r := w.register(change)
			id := w.happen()
			if es, ds, payload := w.stores(r, id); es != 1 || ds != 1 || payload != `{"n":1}` {
				t.Errorf("%s: stored %d events with payload %q and %d deliveries, want one of each, whole", name, es, payload, ds)
			}
		})
	}
}

// TestHistoryOfFailuresIsWholeFromTheSecondReceiveOn has an event that a run before
// may have begun: what it did is repeated once, not each time.
func TestHistoryOfFailuresIsWholeFromTheSecondReceiveOn(t *testing.T) {
	w := thinWorld(t)
	r := w.register()
	id := w.arrive(provider.Item{})[0]
	m := w.queue.take(storage.EventsQueue)[0]
	for range 2 {
		if again, err := w.FanOut(t.Context(), []storage.Received{{Body: m.Body, Receipt: "r", Receives: 2}}); err != nil || len(again) > 0 {
			t.Logf("%d come again, %v", len(again), err) // another run's lease
		}
	}
	_, posts := w.endpoints.last()
	if es, ds, payload := w.stores(r, id); es != 1 || ds != 1 || payload != `{"n":1}` || posts != 1 {
		t.Errorf("stored %d events with payload %q and %d deliveries after %d POSTs; want one of each, and one POST", es, payload, ds, posts)
	}
}

// TestPayloadThatCannotBeKeptMakesTheEventComeAgain has the Store refuse it when
// the first attempt has failed.
func TestPayloadThatCannotBeKeptMakesTheEventComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := thinWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register()
		id := w.arrive(provider.Item{})[0]
		w.store.failOn("put", "E#")
		w.fanOut()
		if es, ds, _ := w.stores(r, id); es != 0 || ds != 0 || len(w.queue.events(t)) != 1 {
			t.Errorf("stored %d events and %d deliveries, %d come again; want none, and one", es, ds, len(w.queue.events(t)))
		}
		w.store.fail(nil)
		w.fanOut()
		if es, ds, payload := w.stores(r, id); es != 1 || ds != 1 || payload != `{"n":1}` {
			t.Errorf("later stored %d events with payload %q and %d deliveries, want one of each", es, payload, ds)
		}
	})
}
