package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// TestTenantIsToldOnceAnHour tells the same several times, by two processes and
// in two hours, and other things besides.
func TestTenantIsToldOnceAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, other := w.register(), w.register()
		e := anEvent(w)
		restarted, err := New(w.Config)
		if err != nil {
			t.Fatal(err)
		}
		tell := func(by *Gateway, kind string, r Registration) string {
			t.Helper()
			if err := by.notifier.notify(t.Context(), kind, e, &r, "why"); err != nil {
				t.Fatal(err)
			}
			id := ""
			if es := w.queue.events(t); len(es) > 0 {
				id = es[0].ID
			}
			w.queue.take(storage.EventsQueue)
			return id
		}
		start := time.Now().Truncate(time.Hour)
		first := tell(w.Gateway, registrationFailing, r)
		if again := tell(w.Gateway, registrationFailing, r); first == "" || again != "" {
			t.Errorf("told %q, then %q; want it once", first, again)
		}
		time.Sleep(time.Until(start.Add(time.Hour - time.Millisecond)))
		if id := tell(restarted, registrationFailing, r); id != first {
			t.Errorf("another process told %q at the end of the hour, want the same event, %q", id, first)
		}
		for name, id := range map[string]string{"of another": tell(w.Gateway, registrationFailing, other), "another thing": tell(w.Gateway, registrationDisabled, r)} {
			if id == "" || id == first {
				t.Errorf("told %s: %q, want an event of its own", name, id)
			}
		}
		time.Sleep(time.Millisecond)
		if id := tell(w.Gateway, registrationFailing, r); id == "" || id == first {
			t.Errorf("told in the next hour: %q, want another event than %q", id, first)
		}
	})
}

// TestNewsHoldsWhatHelps looks at the events that are told.
func TestNewsHoldsWhatHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.register(func(r *Registration) { r.Endpoint.RedactedURL = "https://tenant.example/***" })
		e := anEvent(w)
		for kind, delivery := range map[string]string{registrationFailing: "", deliveryExhausted: ident.Delivery(r.ID, e.ID)} {
			if err := w.notifier.notify(t.Context(), kind, e, &r, "the reason"); err != nil {
				t.Fatal(err)
			}
			got := w.queue.events(t)[0]
			w.queue.take(storage.EventsQueue)
			var data operationalData
			if err := json.Unmarshal(got.Payload, &data); err != nil {
				t.Fatal(err)
			}
			want := operationalData{Registration: r.ID, Endpoint: "https://tenant.example/***", Why: "the reason", Delivery: delivery}
			if data != want || got.Type != kind || got.Tenant != w.tenant || got.Recipient != "" || got.Source != w.source || got.Provider != "upstream" ||
				!got.Received.Equal(time.Now()) || !got.Time.Equal(time.Now()) || got.ContentType != "application/json" {
				t.Errorf("told %+v with %+v, want %s to %s with %+v", got, data, kind, w.tenant, want)
			}
		}
	})
}

// TestNewsCausesNoNews fails deliveries of operational events, of a test, and of
// what was sent to one registration.
func TestNewsCausesNoNews(t *testing.T) {
	w := newWorld(t)
	r := w.register()
	for _, tt := range []struct {
		name string
		e    provider.Event
		want int
	}{
		{"a provider's event", provider.Event{Type: "happened"}, 1},
		{"a test", provider.Event{Type: TestEventType, Recipient: r.ID}, 1},
		{"the news that it was set", provider.Event{Type: CallbackSet, Recipient: r.ID}, 1},
		{"an operational event", provider.Event{Type: registrationFailing, Tenant: w.tenant}, 0},
		{"one of the source", provider.Event{Type: sourceDisconnected}, 0},
	} {
		w.notifier.notified.Purge()
		tt.e.ID, tt.e.Provider = anEvent(w).ID, "upstream"
		if err := w.notifier.notify(t.Context(), deliveryExhausted, &tt.e, &r, "why"); err != nil {
			t.Fatal(err)
		}
		if got := len(w.queue.take(storage.EventsQueue)); got != tt.want {
			t.Errorf("%s failed: %d events told, want %d", tt.name, got, tt.want)
		}
	}
}

// TestNewsThatCouldNotBeSentIsToldAgain has the queue refuse it once.
func TestNewsThatCouldNotBeSentIsToldAgain(t *testing.T) {
	w := newWorld(t)
	r, e := w.register(), anEvent(w)
	w.queue.refuse = func(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
		return []error{storage.ErrInvalid}
	}
	if err := w.notifier.notify(t.Context(), registrationFailing, e, &r, "why"); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("told to a queue that refuses: %v, want its error", err)
	}
	w.queue.refuse = nil
	if err := w.notifier.notify(t.Context(), registrationFailing, e, &r, "why"); err != nil || len(w.queue.events(t)) != 1 {
		t.Errorf("told again: %v, %d events; want one", err, len(w.queue.events(t)))
	}
	r.Source = "none"
	if err := w.notifier.notify(t.Context(), registrationFailing, e, &r, "why"); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("told of a registration of no source: %v, want ErrInvalid", err)
	}
}

// TestExhaustedDeliveryIsToldOf has an endpoint refuse all attempts there are.
func TestExhaustedDeliveryIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.endpoints.code = http.StatusInternalServerError
		r := w.register(func(r *Registration) { r.Schedule = schedule.Schedule{Waits: []time.Duration{5 * time.Second}} })
		d := w.delivery(r, w.happen())
		if es := w.queue.events(t); d.Status != Pending || len(es) != 0 {
			t.Fatalf("after one attempt: %s, told %+v; want it pending", d.Status, es)
		}
		time.Sleep(time.Until(d.NextAttempt))
		w.redeliver()
		d = w.delivery(r, d.Event)
		if es := w.queue.events(t); d.Status != Failed || d.Reason != reasonExhausted || len(es) != 1 || es[0].Type != deliveryExhausted {
			t.Errorf("after the last attempt: %s (%s), told %+v; want it failed, told once", d.Status, d.Reason, es)
		}
		if got := w.log.with(t, "delivery"); len(got) != 1 || got[0]["delivery"] != d.ID || got[0]["attempts"] != 2.0 {
			t.Errorf("lines of deliveries that failed: %v, want one", got)
		}
	})
}

// TestSourceThatWasDisconnectedIsToldOf has SmartBots say so, of two groups.
func TestSourceThatWasDisconnectedIsToldOf(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Providers[SmartBots] = c.Providers["upstream"] })
	w.put(SourceKey(w.source), Source{ID: w.source, Provider: SmartBots})
	say := func(typ string, groups ...string) {
		w.upstream.reading = provider.Reading{Items: []provider.Item{{Type: typ, Keys: map[string][]string{"group": groups}, Payload: []byte("{}")}}}
		r := w.Ingest(t.Context(), SmartBots, w.source, w.key, &provider.Callback{Method: http.MethodPost, Header: http.Header{}, Received: time.Now()})
		if r.StatusCode != 200 {
			t.Fatalf("answered %d", r.StatusCode)
		}
		w.fanOut()
	}
	for _, tt := range []struct {
		name, typ string
		groups    []string
		told      string // the groups of what is told; empty: nothing
	}{
		{"something else", "group_chat", []string{"a"}, ""},
		{"the callback of a group", CallbackRemoved, []string{"b", "a"}, "a b"},
		{"the same, in another order", CallbackRemoved, []string{"a", "b"}, ""},
		{"that of another group", CallbackRemoved, []string{"c"}, "c"},
	} {
		w.queue.take(storage.EventsQueue)
		say(tt.typ, tt.groups...)
		es := w.queue.events(t)
		if len(es) == 0 != (tt.told == "") {
			t.Errorf("%s was removed: told %+v, want groups %q", tt.name, es, tt.told)
			continue
		}
		if tt.told == "" {
			continue
		}
		var data operationalData
		if err := json.Unmarshal(es[0].Payload, &data); err != nil || es[0].Type != sourceDisconnected || data.Group != tt.told || es[0].Tenant != "" {
			t.Errorf("%s was removed: told %+v with %+v, want groups %q", tt.name, es[0], data, tt.told)
		}
	}
}
