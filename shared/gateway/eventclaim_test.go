package gateway

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// wholeArrival returns an event of which nothing is empty.
func wholeArrival(t *testing.T, y *yard) message.InboundEvent {
	t.Helper()
	a := y.arrival()
	a.Token, a.Time, a.Keys = "token", a.Received.Add(-time.Minute), map[string][]string{"group": {"a", "b"}}
	a.Label, a.Query, a.Via, a.Unreadable, a.Recipient, a.Tenant = "label", "q=1", []string{"gw-1", "gw-2"}, true, "reg_1", y.tenant
	for v, i := reflect.ValueOf(a.Event), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Fatalf("%s is empty", v.Type().Field(i).Name)
		}
	}
	return a
}

// TestLargestEventFitsItsRow fills all that a provider may report with what
// JSON makes most of.
func TestLargestEventFitsItsRow(t *testing.T) {
	text := func(n int) string { return strings.Repeat("<", n) }
	a := message.InboundEvent{Token: "t", UniqueForever: true, Event: provider.Event{
		ID: "evt_" + strings.Repeat("0", 44), Source: "src-00000000", Provider: "direct", Label: text(MaxName), Type: text(provider.MaxEventTypeBytes),
		Received: noon, Time: noon.Add(-time.Minute), Keys: map[string][]string{"label": {text(MaxName)}, "group": {text(provider.MaxKeysBytes)}},
		ContentType: text(provider.MaxContentTypeBytes), Query: text(provider.MaxQueryBytes), Via: slices.Repeat([]string{text(maxViaBytes)}, maxVia), Payload: make([]byte, provider.MaxPayloadBytes),
	}}
	data, err := json.Marshal(newEventRow(a, slices.Repeat([]string{ident.New("reg", noon)}, maxInlineRegistrations), true, storage.NewRev()+".abcdef", noon))
	if err != nil {
		t.Fatal(err)
	}
	key, err := EventKey(a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := (storage.Row{Key: key, Rev: storage.NewRev(), Data: data, Body: a.Payload}).Check(); err != nil {
		t.Errorf("row with %d bytes of data: %v", len(data), err)
	}
	if _, err := message.PackOne([]message.InboundEvent{a}); err != nil {
		t.Errorf("message: %v", err)
	}
}

// TestBegunEventIsReadAsItCame stores an event and reads it.
func TestBegunEventIsReadAsItCame(t *testing.T) {
	y := newYard(t, FullHistory)
	a, lease := wholeArrival(t, y), y.Clock().Add(time.Hour)
	for _, long := range []bool{false, true} {
		want := EventRow{ID: a.ID, Provider: a.Provider, Label: a.Label, Type: a.Type, Received: a.Received, Time: a.Time, Keys: a.Keys,
			ContentType: a.ContentType, Query: a.Query, Via: a.Via, Unreadable: true, Recipient: a.Recipient, Tenant: a.Tenant,
			Token: "token", Run: "p.1", Lease: lease, Match: []string{"reg_1"}, Chunked: long, ManyUnfinished: long}
		if got := newEventRow(a, []string{"reg_1"}, long, "p.1", lease); !reflect.DeepEqual(got, want) {
			t.Errorf("row = %+v, want %+v", got, want)
		}
	}
	row := newEventRow(a, []string{"reg_1"}, false, "p.1", lease)
	if answer, er, err := y.claimEvent(t.Context(), a, row, false); answer != newlyClaimed || err != nil || !reflect.DeepEqual(er, row) {
		t.Fatalf("begin = %v, %+v, %v", answer, er, err)
	}
	e, er, err := y.LoadEvent(t.Context(), a.ID)
	if ends := y.Clock().Add(y.Retention.History).Sub(er.expires); ends.Abs() > time.Minute {
		t.Errorf("LoadEvent says that the row expires at %v, %v too late", er.expires, -ends)
	}
	row.expires = er.expires
	if err != nil || !reflect.DeepEqual(*e, a.Event) || !reflect.DeepEqual(er, row) {
		t.Errorf("LoadEvent = %+v, %+v, %v; want %+v, %+v", e, er, err, a.Event, row)
	}
}

// TestEventThatCannotBeReadIsNotMissing asks for events that there are not, and
// for one while it cannot be read.
func TestEventThatCannotBeReadIsNotMissing(t *testing.T) {
	w := newWorld(t)
	id := w.happen()
	other, _ := ident.Event(w.source, "", noon, "other")
	if _, _, err := w.LoadEvent(t.Context(), other); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("one that there is not: %v, want ErrNotFound", err)
	}
	if e, _, err := w.LoadEvent(t.Context(), "nonsense"); err == nil || e != nil {
		t.Errorf("nonsense: %+v, %v; want an error", e, err)
	}
	w.store.failOn("get", "E#")
	if e, _, err := w.LoadEvent(t.Context(), id); !errors.Is(err, errOutage) || errors.Is(err, storage.ErrNotFound) || e != nil {
		t.Errorf("one that cannot be read: %+v, %v; want %v", e, err, errOutage)
	}
}

// TestEventRowLastsByWhatItIsOpenFor looks at its expiry when it is begun.
func TestEventRowLastsByWhatItIsOpenFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, FullHistory)
		for _, tt := range []struct {
			name string
			er   EventRow
			ago  time.Duration // it was received
			want time.Duration // from now; 0: for ever
		}{
			{"for nothing", EventRow{}, 0, y.Retention.History},
			{"for nothing, redriven late", EventRow{}, 240 * time.Hour, y.Retention.History},
			{"for nothing, by a clock that is ahead", EventRow{}, -time.Hour, y.Retention.History + time.Hour},
			{"for a lane", EventRow{Unfinished: []string{"reg_1"}}, 0, 0},
			{"for too many", EventRow{ManyUnfinished: true}, 0, y.Retention.maxUnfinished()},
		} {
			a := y.arrival()
			a.Received = y.Clock().Add(-tt.ago)
			key, _ := EventKey(a.ID)
			got := y.events.newRow(key, a, tt.er)
			if want := y.Clock().Add(tt.want); got.Key != key || string(got.Body) != string(a.Payload) || tt.want == 0 != got.Expires.IsZero() || tt.want > 0 && !got.Expires.Equal(want) {
				t.Errorf("%s: %+v; want it to expire %v", tt.name, got, want)
			}
		}
	})
}

// TestBeginAnswersByWhatIsStored begins an event, after a run that ended if it is
// stored, while calls of the Store fail.
func TestBeginAnswersByWhatIsStored(t *testing.T) {
	claimed := func(by string) func(*testing.T, *world, message.InboundEvent) {
		return func(t *testing.T, w *world, a message.InboundEvent) {
			key, err := NaturalKeyKey(a.ID)
			if err != nil {
				t.Fatal(err)
			}
			if by == "" {
				by = a.ID
			}
			w.put(key, Link{by})
		}
	}
	stored := func(change func(*EventRow)) func(*testing.T, *world, message.InboundEvent) {
		return func(t *testing.T, w *world, a message.InboundEvent) {
			er := newEventRow(a, []string{"reg_first"}, false, "dead.1", w.Clock())
			change(&er)
			key, _ := EventKey(a.ID)
			w.put(key, er)
		}
	}
	same := func(*EventRow) {}
	failing := func(call, pk string, before func(*testing.T, *world, message.InboundEvent)) func(*testing.T, *world, message.InboundEvent) {
		return func(t *testing.T, w *world, a message.InboundEvent) { before(t, w, a); w.store.failOn(call, pk) }
	}
	nothing := func(*testing.T, *world, message.InboundEvent) {}
	w := newWorld(t)
	for _, tt := range []struct {
		name    string
		forever bool
		thin    bool
		before  func(*testing.T, *world, message.InboundEvent)
		want    claimResult
		err     error
		payload bool // is stored
		match   string
	}{
		{"it is new", false, false, nothing, newlyClaimed, nil, true, "reg_mine"},
		{"it is new and thin", false, true, nothing, newlyClaimed, nil, false, "reg_mine"},
		{"it cannot be stored", false, false, failing("put", "E#", nothing), 0, errOutage, false, "reg_mine"},
		{"its natural key is new", true, false, nothing, newlyClaimed, nil, true, "reg_mine"},
		{"its natural key is its own", true, false, claimed(""), newlyClaimed, nil, true, "reg_mine"},
		{"its natural key is another's", true, false, claimed("evt_other"), duplicate, nil, false, ""},
		{"its natural key cannot be claimed", true, false, failing("put", "U#", nothing), duplicate, errOutage, false, ""},
		{"its run ended", false, false, stored(same), resumed, nil, true, "reg_first"},
		{"its run ended, it is thin", false, true, stored(same), resumed, nil, true, "reg_first"},
		{"its run ended, it was erased", false, false, stored(func(er *EventRow) { er.Erased = true }), resumed, nil, false, "reg_first"},
		{"its run goes on", false, false, stored(func(er *EventRow) { er.Lease = er.Lease.Add(time.Minute) }), claimedByOther, nil, false, "reg_first"},
		{"it is another's", false, false, stored(func(er *EventRow) { er.Token = "another" }), duplicate, nil, false, "reg_first"},
		{"its run ended, and another was faster", false, false, func(t *testing.T, w *world, a message.InboundEvent) {
			stored(same)(t, w, a)
			first := true
			w.store.fail(func(call string, k storage.Key) error {
				if call == "put" && k.PK[:2] == "E#" {
					if !first { // between the read and the write
						w.store.fail(nil)
						stored(same)(t, w, a)
					}
					first = false
				}
				return nil
			})
		}, claimedByOther, nil, false, "reg_first"},
		{"its run ended, and it cannot be stored again", false, false, func(t *testing.T, w *world, a message.InboundEvent) {
			stored(same)(t, w, a)
			first := true
			w.store.fail(func(call string, k storage.Key) error {
				if call == "put" && k.PK[:2] == "E#" && !first {
					return errOutage
				}
				first = first && call != "put"
				return nil
			})
		}, resumed, errOutage, false, "reg_first"},
	} {
		id, err := ident.Event(w.source, "", noon, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		a := message.InboundEvent{Token: "mine", UniqueForever: tt.forever, Event: provider.Event{ID: id, Source: w.source, Received: w.Clock(), Payload: []byte("payload")}}
		tt.before(t, w, a)
		lease := w.Clock().Add(time.Hour)
		got, er, err := w.claimEvent(t.Context(), a, newEventRow(a, []string{"reg_mine"}, false, "p.2", lease), tt.thin)
		w.store.fail(nil)
		match := ""
		if len(er.Match) == 1 {
			match = er.Match[0]
		}
		if got != tt.want || !errors.Is(err, tt.err) || tt.err == nil && err != nil || match != tt.match {
			t.Errorf("%s: begin = %v for %q, %v; want %v for %q, %v", tt.name, got, match, err, tt.want, tt.match, tt.err)
		}
		key, _ := EventKey(id)
		now, row, _ := storage.Load[EventRow](t.Context(), w.Store, key)
		mine := tt.err == nil && (tt.want == newlyClaimed || tt.want == resumed)
		if (string(row.Body) == "payload") != tt.payload || (now.Run == "p.2" && now.Lease.Equal(lease)) != mine || mine && (er.Run != "p.2" || !er.Lease.Equal(lease)) {
			t.Errorf("%s: stored: payload %q, run %q until %v; want it mine %v", tt.name, row.Body, now.Run, now.Lease, mine)
		}
		if natural, err := NaturalKeyKey(id); tt.forever && tt.want == newlyClaimed && err == nil {
			if l, row := load[Link](w, natural); l.ID != id || tt.name == "its natural key is new" && row.Expires.Before(w.Clock().Add(naturalKeyRetention-time.Minute)) {
				t.Errorf("%s: the natural key is that of %s until %v; want %v from now", tt.name, l.ID, row.Expires, naturalKeyRetention)
			}
		}
	}
}

// TestEventOfNoSourceIsNotBegun begins events whose ids say nothing, or whose rows
// cannot be read.
func TestEventOfNoSourceIsNotBegun(t *testing.T) {
	w := newWorld(t)
	puts := w.store.put("")
	for _, forever := range []bool{false, true} {
		if _, _, err := w.claimEvent(t.Context(), message.InboundEvent{UniqueForever: forever, Event: provider.Event{ID: "nonsense"}}, EventRow{}, false); err == nil || w.store.put("") > puts {
			t.Errorf("an event of no source is begun: %v, %d rows are to be written", err, w.store.put("")-puts)
		}
	}
	if mine, err := w.events.claimNaturalKey(t.Context(), message.InboundEvent{Event: provider.Event{ID: "nonsense"}}); mine || err == nil {
		t.Errorf("the key of an event of no source: %v, %v; want an error", mine, err)
	}
	id, _ := ident.Event(w.source, "", noon, "k")
	a := message.InboundEvent{UniqueForever: true, Event: provider.Event{ID: id, Received: noon}}
	key, _ := EventKey(id)
	natural, _ := NaturalKeyKey(id)
	for _, k := range []storage.Key{key, natural} {
		if err := w.Store.Put(t.Context(), storage.Row{Key: k, Rev: "1", Data: []byte("{")}, storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.claimEvent(t.Context(), a, newEventRow(a, nil, false, "p.1", noon), false); err == nil {
			t.Errorf("%s, which cannot be decoded, is begun", k.PK)
		}
	}
}
