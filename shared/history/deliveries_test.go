package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/circuit"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

// eventAt stores an event of a source that came at a time, by its own row alone.
func (w *world) eventAt(s gateway.Source, key string, at time.Time, er gateway.EventRow) string {
	w.t.Helper()
	er.ID = gatewaytest.Must(ident.Event(s.ID, "", at, key))(w)
	er.Provider, er.Received = s.Provider, at
	w.putEvent(er, []byte(`{"message_uuid":"m"}`))
	return er.ID
}

func (w *world) putEvent(er gateway.EventRow, body []byte) {
	w.t.Helper()
	row := storage.Row{Key: gatewaytest.Must(gateway.EventKey(er.ID))(w), Body: body, Expires: w.Now.Add(w.gw.Retention.History)}
	w.OK(storage.PutRow(w.t.Context(), w.Store, row, er, storage.AnyRev))
}

// deliveryOf stores a delivery of an event for r.
func (w *world) deliveryOf(r gateway.Registration, event string, d gateway.Delivery) string {
	w.t.Helper()
	d.Tenant = r.Tenant
	row := storage.Row{Key: gateway.DeliveryKey(r.ID, event), Open: d.Status != gateway.Succeeded}
	if d.Final() {
		row.Expires = d.Received.Add(w.gw.Retention.History)
	}
	w.OK(storage.PutRow(w.t.Context(), w.Store, row, d, storage.AnyRev))
	return ident.Delivery(r.ID, event)
}

// allOf returns the ids that all pages of a history list hold.
func allOf[T any](w *world, q Query, list func(Query) ([]T, string, error), id func(T) string) []string {
	w.t.Helper()
	out := []string{}
	for range 1_000 {
		page, next, err := list(q)
		w.OK(err)
		if out = append(out, gatewaytest.IDs(page, id)...); next == "" {
			return out
		}
		q.Cursor = next
	}
	w.t.Fatal("the list does not end")
	return nil
}

func (w *world) listEvents(c control.Caller, q Query) []string {
	w.t.Helper()
	return allOf(w, q, func(q Query) ([]Event, string, error) { return w.Events(w.t.Context(), c, q) }, func(l Event) string { return l.ID })
}

func (w *world) listDeliveries2(c control.Caller, q Query) []string {
	w.t.Helper()
	return allOf(w, q, func(q Query) ([]Delivery, string, error) { return w.Deliveries(w.t.Context(), c, q) }, func(l Delivery) string { return l.ID })
}

func TestPageHasItsLimit(t *testing.T) {
	for limit, want := range map[int]int{-1: 50, 0: 50, 1: 1, 2: 2, 100: 100, 101: 100} {
		if got := (Query{Limit: limit}).limit(); got != want {
			t.Errorf("limit of %d: %d, want %d", limit, got, want)
		}
	}
}

func TestSinceIsInclusiveAndUntilIsNot(t *testing.T) {
	at := gatewaytest.Start
	for _, tt := range []struct {
		name string
		q    Query
		want bool
	}{
		{"no condition", Query{}, true},
		{"since then", Query{Since: at}, true},
		{"since a moment later", Query{Since: at.Add(1)}, false},
		{"since a moment before", Query{Since: at.Add(-1)}, true},
		{"until then", Query{Until: at}, false},
		{"until a moment later", Query{Until: at.Add(1)}, true},
		{"between", Query{Since: at, Until: at.Add(1)}, true},
		{"its type", Query{Type: "sent"}, true},
		{"the beginning of its type", Query{Type: "se*"}, true},
		{"another type", Query{Type: "delivered"}, false},
		{"its type at another time", Query{Type: "sent", Until: at}, false},
		{"another type at its time", Query{Type: "delivered", Since: at}, false},
	} {
		if got := tt.q.wants("sent", at); got != tt.want {
			t.Errorf("%s: wants = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestEventsOfASourceAreListedNewestFirst(t *testing.T) {
	w := newWorld(t)
	s, other := w.source(direct), w.source(direct)
	var ids []string
	for n := range 23 {
		w.Pass(time.Minute)
		ids = append(ids, w.eventAt(s, fmt.Sprint(n), w.Now, gateway.EventRow{Type: []string{"sent", "delivered"}[n%2]}))
	}
	w.eventAt(other, "other", w.Now, gateway.EventRow{Type: "sent"})
	first := gatewaytest.Start.Add(time.Minute)
	at := func(n int) time.Time { return first.Add(time.Duration(n) * time.Minute) }
	for _, tt := range []struct {
		name string
		q    Query
		want []string
	}{
		{"all", Query{}, ids},
		{"one a page", Query{Limit: 1}, ids},
		{"five a page", Query{Limit: 5}, ids},
		{"since one came", Query{Since: at(10)}, ids[10:]},
		{"since just after one came", Query{Since: at(10).Add(time.Millisecond)}, ids[11:]},
		{"until one came", Query{Until: at(10)}, ids[:10]},
		{"until just after one came", Query{Until: at(10).Add(time.Millisecond)}, ids[:11]},
		{"between", Query{Since: at(3), Until: at(5), Limit: 1}, ids[3:5]},
		{"of a type", Query{Type: "sent", Since: at(4), Until: at(9)}, []string{ids[4], ids[6], ids[8]}},
		{"of a type that none has", Query{Type: "read"}, []string{}},
	} {
		tt.q.Source = s.ID
		want := slices.Clone(tt.want)
		slices.Reverse(want)
		if got := w.listEvents(control.Operator(), tt.q); !slices.Equal(got, want) {
			t.Errorf("events, %s: %d, want %d", tt.name, len(got), len(want))
		}
	}
	w.Pass(w.gw.Retention.History - time.Minute*2)
	if got := w.listEvents(control.Operator(), Query{Source: s.ID}); len(got) != 2 {
		t.Errorf("events when all but two have expired: %d, want 2", len(got))
	}
	if got, next, err := w.Events(t.Context(), control.Operator(), Query{Source: "no source"}); len(got) != 0 || next != "" || err != nil {
		t.Errorf("events of what is no source: %v, %q, %v, want none", got, next, err)
	}
	_, _, err := w.Events(t.Context(), control.Operator(), Query{})
	w.WantErr("events of nothing", err, control.ErrUnreadable)
	_, _, err = w.Events(t.Context(), control.Operator(), Query{Source: s.ID, Cursor: "x"})
	w.WantErr("events after a cursor that is none", err, storage.ErrInvalid)
	w.Store.FailAt(3)
	_, _, err = w.Events(t.Context(), control.Operator(), Query{Source: s.ID})
	w.WantErr("events without a Store", err, storagetest.ErrBroken)
	w.Store.FailAt(1)
	_, _, err = w.Events(t.Context(), control.Operator(), Query{Source: "no source"})
	w.WantErr("events of what is no source, without a Store", err, nil)
	_, err = w.readEvents(t.Context(), nil)
	w.WantErr("readEvents of none, without a Store", err, nil)
}

func TestHistoryOfANewerReleaseIsNotPassedOver(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{})
	id := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "sent"})
	w.deliveryOf(r, id, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Succeeded})
	w.PutNewer(gatewaytest.Must(gateway.EventKey(id))(w))
	for name, c := range map[string]control.Caller{"the operator": control.Operator(), "a tenant": c} {
		if es, _, err := w.Events(t.Context(), c, Query{Source: s.ID}); err == nil {
			t.Errorf("events by %s = %+v, want an error", name, es)
		}
		if e, err := w.EventOf(t.Context(), c, id); err == nil || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("EventOf by %s = %+v, %v, want that it cannot be read", name, e, err)
		}
	}
	w.Put(gatewaytest.Must(gateway.EventKey(id))(w), gateway.EventRow{ID: "no id", Received: w.Now})
	if es, _, err := w.Events(t.Context(), control.Operator(), Query{Source: s.ID}); err == nil {
		t.Errorf("events with one whose id is none = %+v, want an error", es)
	}
	w.PutNewer(gateway.DeliveryKey(r.ID, id))
	if ds, _, err := w.Deliveries(t.Context(), c, Query{}); err == nil {
		t.Errorf("deliveries with one of a newer release = %+v, want an error", ds)
	}
	w.PutNewer(gateway.HealthKey(r.ID))
	if hs, err := w.Healths(t.Context(), r); err == nil {
		t.Errorf("Healths with one of a newer release = %+v, want an error", hs)
	}
	w.PutNewer(gateway.RegistrationKey(r.ID))
	if rs, err := w.ReadRegistrations(t.Context(), []string{r.ID}); err == nil {
		t.Errorf("ReadRegistrations of one of a newer release = %+v, want an error", rs)
	}
	w.PutNewer(gateway.TenantLinkKey(c.Tenant, "R", r.ID))
	if ds, _, err := w.Deliveries(t.Context(), c, Query{}); err == nil {
		t.Errorf("deliveries of a tenant with a registration of a newer release = %+v, want an error", ds)
	}
}

func TestPageOfEventsEndsBehindItsLastEvent(t *testing.T) {
	row := func(id string) Event { return Event{Event: provider.Event{ID: ident.EventPrefix + "12345678" + id}} }
	for _, tt := range []struct {
		name string
		page []Event
		next string
		want string
	}{
		{"the last page", []Event{row("a")}, "", ""},
		{"one that ends with an event", []Event{row("b"), row("a")}, "a.reg_1", "a."},
		{"one that ends before another", []Event{row("b")}, "a.reg_1", "a.reg_1"},
		{"an empty one", nil, "a.reg_1", "a.reg_1"},
	} {
		if got := afterEvent(tt.page, tt.next); got != tt.want {
			t.Errorf("%s: afterEvent(%q) = %q, want %q", tt.name, tt.next, got, tt.want)
		}
	}
}

// TestRareRowsAreFoundInOneCall lists what few of many rows are: a client that stops at
// an empty page would see nothing.
func TestRareRowsAreFoundInOneCall(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted("direct")
	r := w.register(c, s.ID, control.RegistrationChange{URL: new("https://tenant.example/")})
	var rare []string
	for i := range 1500 {
		er := gateway.EventRow{Type: "usual"}
		if i < 70 {
			er.Type = "rare" // the oldest
		}
		at := w.Now.Add(time.Duration(i-3000) * time.Second)
		id := w.eventAt(s, fmt.Sprint(i), at, er)
		w.deliveryOf(r, id, gateway.Delivery{EventType: er.Type, Received: at, Status: gateway.Succeeded})
		if er.Type == "rare" {
			rare = append([]string{id}, rare...)
		}
	}
	for name, list := range map[string]func(Query) ([]string, string){
		"events of a source": func(q Query) ([]string, string) {
			q.Source = s.ID
			es, next, err := w.Events(t.Context(), control.Operator(), q)
			w.OK(err)
			return gatewaytest.IDs(es, func(e Event) string { return e.ID }), next
		},
		"events of a tenant": func(q Query) ([]string, string) {
			es, next, err := w.Events(t.Context(), control.Caller{Scope: control.ScopeFull, Tenant: r.Tenant}, q)
			w.OK(err)
			return gatewaytest.IDs(es, func(e Event) string { return e.ID }), next
		},
		"deliveries": func(q Query) ([]string, string) {
			ds, next, err := w.Deliveries(t.Context(), control.Caller{Scope: control.ScopeFull, Tenant: r.Tenant}, q)
			w.OK(err)
			return gatewaytest.IDs(ds, func(d Delivery) string { return d.Event }), next
		},
	} {
		first, next := list(Query{Type: "rare", Limit: 50})
		if !slices.Equal(first, rare[:len(first)]) || len(first) == 0 || next == "" || len(first) > 50 {
			t.Errorf("%s: the first page holds %d rows and the cursor %q, want the newest of %d rare ones, at most 50, and a cursor", name, len(first), next, len(rare))
		}
		all := first
		for next != "" {
			var more []string
			if more, next = list(Query{Type: "rare", Limit: 50, Cursor: next}); len(more) == 0 && next != "" {
				t.Fatalf("%s: an empty page that is not the last", name)
			}
			all = append(all, more...)
		}
		if !slices.Equal(all, rare) {
			t.Errorf("%s: %d rows, want %d, each once, newest first", name, len(all), len(rare))
		}
		if none, next := list(Query{Type: "none"}); len(none) > 0 || next != "" {
			t.Errorf("%s of a type that there is not: %d rows and the cursor %q, want the end", name, len(none), next)
		}
	}
}

// TestCursorTellsHowFarItLooked reads cursors.
func TestCursorTellsHowFarItLooked(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	id, err := ident.Event("src-0123abcd", "", at, "x")
	if err != nil {
		t.Fatal(err)
	}
	for cursor, want := range map[string]time.Time{
		cursor{id[idNumberChars:], "reg_1"}.String(): at, cursor{time: id[idNumberChars:]}.String(): at,
		cursor{id[idNumberChars:] + "~", "reg_1"}.String(): at, "": {}, "x": {}, "x.y": {},
	} {
		if got := ScannedTo(cursor); !got.Equal(want) {
			t.Errorf("ScannedTo(%q) = %s, want %s", cursor, got, want)
		}
	}
}

func TestEventOfAProvidersTimeIsListedByItsReceipt(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	put := func(key string, idTime, received time.Time) string {
		id := gatewaytest.Must(ident.Event(s.ID, "", idTime, key))(w)
		w.putEvent(gateway.EventRow{ID: id, Provider: direct, Type: "sent", Received: received}, nil)
		return id
	}
	early := put("a week early", gatewaytest.Start.Add(-8*24*time.Hour), gatewaytest.Start)
	late := put("an hour late", gatewaytest.Start.Add(time.Hour-time.Millisecond), gatewaytest.Start)
	put("too early", gatewaytest.Start.Add(-8*24*time.Hour-time.Millisecond), gatewaytest.Start)
	got := w.listEvents(control.Operator(), Query{Source: s.ID, Since: gatewaytest.Start, Until: gatewaytest.Start.Add(time.Millisecond)})
	if !slices.Equal(got, []string{late, early}) {
		t.Errorf("events that came at a time: %v, want %v", got, []string{late, early})
	}
}

func TestEventsOfATenantAreThoseOfItsDeliveries(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	w.grant(s.ID, c, gateway.Match{"label": {"other"}})
	another := w.tenant()
	w.grant(s.ID, another, nil)
	a, b := w.register(c, s.ID, control.RegistrationChange{}), w.register(c, s.ID, control.RegistrationChange{})
	theirs := w.register(another, s.ID, control.RegistrationChange{})
	var both, one []string
	for n := range 15 {
		w.Pass(time.Minute)
		id := w.eventAt(s, fmt.Sprint(n), w.Now, gateway.EventRow{Type: "sent", Keys: map[string][]string{"label": {""}}})
		d := gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Succeeded}
		switch n % 3 {
		case 0:
			w.deliveryOf(a, id, d)
			w.deliveryOf(b, id, d)
			both = append(both, id)
		case 1:
			w.deliveryOf(b, id, d)
			one = append(one, id)
		default:
			w.deliveryOf(theirs, id, d)
		}
	}
	mine := append(slices.Clone(both), one...)
	for _, ids := range [][]string{mine, both, one} {
		slices.Sort(ids)
		slices.Reverse(ids)
	}
	for _, limit := range []int{0, 1, 2, 3} {
		if got := w.listEvents(c, Query{Limit: limit}); !slices.Equal(got, mine) {
			t.Errorf("events of a tenant, %d a page: %d, want %d", limit, len(got), len(mine))
		}
	}
	if got := w.listEvents(c, Query{Registration: a.ID}); !slices.Equal(got, both) {
		t.Errorf("events of a registration: %d, want %d", len(got), len(both))
	}
	for name, q := range map[string]Query{"a tenant": {Tenant: c.Tenant}, "a registration": {Registration: b.ID}} {
		if got := w.listEvents(control.Operator(), q); !slices.Equal(got, mine) {
			t.Errorf("events of %s, by the operator: %d, want %d", name, len(got), len(mine))
		}
	}
	_, _, err := w.Events(t.Context(), c, Query{Registration: theirs.ID})
	w.WantErr("events of another's registration", err, storage.ErrNotFound)
	_, _, err = w.Events(t.Context(), c, Query{Tenant: another.Tenant})
	w.WantErr("events of another tenant", err, storage.ErrNotFound)
	_, _, err = w.Events(t.Context(), c, Query{Cursor: "x"})
	w.WantErr("events after a cursor that is none", err, storage.ErrInvalid)

	w.OK(w.Store.Delete(t.Context(), gatewaytest.Must(gateway.EventKey(mine[0]))(w), storage.AnyRev))
	if got := w.listEvents(c, Query{}); !slices.Equal(got, mine[1:]) {
		t.Errorf("events when one is gone: %d, want %d", len(got), len(mine)-1)
	}
	w.WantFaultsReported("Events", func() storagetest.Operation {
		w.OK(w.gw.Publish(t.Context(), s.ID)) // what is known of its grants is old
		return storagetest.Operation{Do: func() error {
			_, _, err := w.Events(t.Context(), c, Query{Limit: 1, Registration: a.ID})
			return err
		}}
	})
}

func TestEventThatNoGrantCoversIsHidden(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	gr := w.grant(s.ID, c, nil)
	a, b := w.register(c, s.ID, control.RegistrationChange{}), w.register(c, s.ID, control.RegistrationChange{})
	id := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "sent", Label: "l", Query: "q", ContentType: "ct", Keys: map[string][]string{"label": {"l"}}})
	d := gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Succeeded}
	w.deliveryOf(a, id, d)
	w.deliveryOf(b, id, d)
	want := Event{
		Event: provider.Event{
			ID: id, Source: s.ID, Provider: direct, Type: "sent", Received: w.Now, Label: "l", Query: "q", ContentType: "ct",
			Keys: map[string][]string{"label": {"l"}}, Payload: []byte(`{"message_uuid":"m"}`),
		},
		Size: 20,
	}
	see := func(what string, c control.Caller, want Event) {
		t.Helper()
		es, _, err := w.Events(t.Context(), c, Query{Tenant: a.Tenant})
		if w.OK(err); len(es) != 1 || cmp.Diff(want, es[0]) != "" {
			t.Errorf("%s: events (-want +got):\n%s", what, cmp.Diff([]Event{want}, es))
		}
		e, err := w.EventOf(t.Context(), c, id)
		if w.OK(err); cmp.Diff(want, e) != "" {
			t.Errorf("%s: event (-want +got):\n%s", what, cmp.Diff(want, e))
		}
	}
	see("granted", c, want)
	see("by the operator", control.Operator(), want)
	w.OK(w.DeleteGrant(t.Context(), s.ID, gr.ID))
	see("by the operator, without a grant", control.Operator(), want)
	hidden := Event{Event: provider.Event{ID: id, Source: s.ID, Provider: direct, Type: "sent", Received: w.Now}, Hidden: true}
	see("without a grant", c, hidden)
	w.grant(s.ID, c, nil)
	er, _ := w.event(id)
	er.Erased = true
	w.putEvent(er, nil)
	want.Erased, want.Size, want.Payload = true, 0, nil
	see("erased", c, want)
	if data, _ := w.Row(gatewaytest.Must(gateway.EventKey(id))(w)); data.Body != nil {
		t.Error("the payload is there")
	}
}

func TestEventIsWhoseHasADelivery(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other := w.tenant()
	w.grant(s.ID, other, nil)
	r, none := w.register(c, s.ID, control.RegistrationChange{}), w.register(other, s.ID, control.RegistrationChange{})
	w.register(c, s.ID, control.RegistrationChange{})
	id := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "sent", Keys: map[string][]string{"label": {""}}})
	w.deliveryOf(r, id, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Succeeded})
	get := func(what string, c control.Caller, id string, want error) {
		t.Helper()
		l, err := w.EventOf(t.Context(), c, id)
		if w.WantErr("EventOf "+what, err, want); err == nil && (l.ID != id || l.Hidden || len(l.Payload) == 0) {
			t.Errorf("EventOf %s = %+v", what, l)
		}
	}
	get("the tenant's", c, id, nil)
	get("the tenant's, by the operator", control.Operator(), id, nil)
	get("another's", other, id, storage.ErrNotFound)
	get("what is no id", c, "evt_1", storage.ErrNotFound)
	get("what is no id, by the operator", control.Operator(), "", storage.ErrNotFound)
	get("one that is not there", c, gatewaytest.Must(ident.Event(s.ID, "", w.Now, "2"))(w), storage.ErrNotFound)
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	get("of a removed registration", c, id, nil)
	another := w.eventAt(s, "3", w.Now, gateway.EventRow{Type: "sent", Keys: map[string][]string{"label": {""}}})
	w.deliveryOf(none, another, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Succeeded})
	get("of a tenant with one registration", other, another, nil)
	w.WantFaultsReported("EventOf", func() storagetest.Operation {
		w.OK(w.gw.Publish(t.Context(), s.ID))
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.EventOf(t.Context(), c, id)) }}
	})
	w.Pass(w.gw.Retention.History - time.Millisecond)
	get("that ends in a moment", control.Operator(), id, nil)
	w.Pass(time.Millisecond)
	get("that has expired", control.Operator(), id, storage.ErrNotFound)
}

func TestPayloadIsShownAsJSON(t *testing.T) {
	w := newWorld(t)
	w.gw.Providers["mute"], w.gw.Providers["vague"] = mute{}, vague{}
	if _, _, err := w.DataOf(&provider.Event{Provider: "vague"}); err == nil {
		t.Error("DataOf an event whose parameters cannot be read: no error")
	}
	for _, tt := range []struct {
		name         string
		event        provider.Event
		data, params string
	}{
		{"JSON of direct", provider.Event{Provider: direct, Type: "sent", ContentType: "application/json", Payload: []byte(`{"a":1}`)}, `{"a":1}`, ""},
		{"a form of smartbots", provider.Event{Provider: gateway.SmartBots, Type: "group_chat", ContentType: "application/x-www-form-urlencoded", Payload: []byte("action=group_chat&a=b")},
			`{"action":"group_chat","a":"b"}`, ""},
		{"a query of tencent-chat", provider.Event{Provider: tencentChat, Type: "X", Query: "SdkAppid=1&CallbackCommand=X", Payload: []byte(`{"a":1}`)},
			`{"a":1}`, `{"SdkAppid":"1","CallbackCommand":"X"}`},
		{"an event of our own", provider.Event{Provider: direct, Type: gateway.TestEventType, Recipient: "reg_1", Payload: []byte(`{"b":2}`)}, `{"b":2}`, ""},
		{"a form of our own", provider.Event{Provider: gateway.SmartBots, Type: gateway.CallbackSet, Recipient: "reg_1", Payload: []byte(`a=b`)}, "", ""},
		{"of an unknown provider", provider.Event{Provider: "pigeon", Payload: []byte(`[1]`)}, `[1]`, ""},
		{"of an unknown provider, no JSON", provider.Event{Provider: "pigeon", Payload: []byte(`coo`)}, "", ""},
		{"unreadable", provider.Event{Provider: direct, Unreadable: true, Payload: []byte(`{"a":`)}, "", ""},
		{"unreadable JSON", provider.Event{Provider: gateway.SmartBots, Unreadable: true, ContentType: "application/x-www-form-urlencoded", Payload: []byte(`{"a":1}`)}, `{"a":1}`, ""},
		{"what its provider cannot read", provider.Event{Provider: "mute", Type: "sent", Payload: []byte(`{"a":1}`)}, "", ""},
	} {
		data, params, err := w.DataOf(&tt.event)
		if err != nil || string(data) != tt.data || string(params) != tt.params {
			t.Errorf("DataOf %s = %s, %s, %v, want %s, %s", tt.name, data, params, err, tt.data, tt.params)
		}
	}
}

// vague is a provider that reads no parameters.
type vague struct{ provider.Provider }

func (vague) Data(*provider.Event) (json.RawMessage, error) { return []byte(`{}`), nil }
func (vague) Parameters(*provider.Event) (json.RawMessage, error) {
	return nil, errors.New("unreadable")
}

// mute is a provider that reads no payload.
type mute struct{ provider.Provider }

func (mute) Data(*provider.Event) (json.RawMessage, error) {
	return []byte(`{}`), errors.New("unreadable")
}
func (mute) Parameters(*provider.Event) (json.RawMessage, error) { return []byte(`{}`), nil }

func TestDeliveriesAreListedNewestFirst(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other := w.source(direct)
	w.grant(other.ID, c, nil)
	another := w.tenant()
	w.grant(s.ID, another, nil)
	a, b, elsewhere := w.register(c, s.ID, control.RegistrationChange{}), w.register(c, s.ID, control.RegistrationChange{}), w.register(c, other.ID, control.RegistrationChange{})
	theirs := w.register(another, s.ID, control.RegistrationChange{})
	type delivery struct {
		id, registration, source, event, typ string
		status                               gateway.Status
		at                                   time.Time
	}
	var all []delivery
	statuses := []gateway.Status{gateway.Succeeded, gateway.Failed, gateway.Pending, gateway.Held}
	for n := range 16 {
		w.Pass(time.Minute)
		d := gateway.Delivery{EventType: []string{"sent", "delivered"}[n%2], Received: w.Now, Status: statuses[n%4]}
		on, rs := s, []gateway.Registration{a, b}
		if n%3 == 2 {
			on, rs = other, []gateway.Registration{elsewhere}
		}
		event := w.eventAt(on, fmt.Sprint(n), w.Now, gateway.EventRow{Type: d.EventType, Match: gatewaytest.IDs(rs, func(r gateway.Registration) string { return r.ID })})
		for _, r := range rs {
			all = append(all, delivery{w.deliveryOf(r, event, d), r.ID, on.ID, event, d.EventType, d.Status, w.Now})
		}
		w.deliveryOf(theirs, event, d)
	}
	slices.SortFunc(all, func(x, y delivery) int { // by time, then by registration
		return strings.Compare(y.event[idNumberChars:]+y.registration, x.event[idNumberChars:]+x.registration)
	})
	at := func(n int) time.Time { return gatewaytest.Start.Add(time.Duration(n) * time.Minute) }
	for _, tt := range []struct {
		name string
		q    Query
		is   func(delivery) bool
	}{
		{"all", Query{}, func(delivery) bool { return true }},
		{"of a registration", Query{Registration: a.ID}, func(d delivery) bool { return d.registration == a.ID }},
		{"on a source", Query{Source: other.ID}, func(d delivery) bool { return d.source == other.ID }},
		{"that succeeded", Query{Status: gateway.Succeeded}, func(d delivery) bool { return d.status == gateway.Succeeded }},
		{"that failed", Query{Status: gateway.Failed}, func(d delivery) bool { return d.status == gateway.Failed }},
		{"that wait", Query{Status: gateway.Pending, Registration: b.ID}, func(d delivery) bool { return d.status == gateway.Pending && d.registration == b.ID }},
		{"of a type", Query{Type: "del*"}, func(d delivery) bool { return d.typ == "delivered" }},
		{"since one came", Query{Since: at(7)}, func(d delivery) bool { return !d.at.Before(at(7)) }},
		{"until one came", Query{Until: at(7)}, func(d delivery) bool { return d.at.Before(at(7)) }},
	} {
		var want []string
		for _, d := range all {
			if tt.is(d) {
				want = append(want, d.id)
			}
		}
		for _, limit := range []int{0, 3} {
			tt.q.Limit = limit
			if got := w.listDeliveries2(c, tt.q); !slices.Equal(got, want) {
				t.Errorf("deliveries %s, %d a page: %d, want %d in their order", tt.name, limit, len(got), len(want))
			}
		}
	}
	for name, q := range map[string]Query{"a tenant": {Tenant: c.Tenant}} {
		if got := w.listDeliveries2(control.Operator(), q); len(got) != len(all) {
			t.Errorf("deliveries of %s, by the operator: %d, want %d", name, len(got), len(all))
		}
	}
	event := all[0].event
	for name, tt := range map[string]struct {
		c    control.Caller
		q    Query
		want int
	}{
		"a tenant":                             {c, Query{Event: all[2].event}, count(all, func(d delivery) bool { return d.event == all[2].event })},
		"a tenant, of another status":          {c, Query{Event: event, Status: gateway.Cancelled}, 0},
		"the operator":                         {control.Operator(), Query{Event: event}, count(all, func(d delivery) bool { return d.event == event })},
		"the operator, of a tenant":            {control.Operator(), Query{Event: all[len(all)-1].event, Tenant: another.Tenant}, 1},
		"another tenant":                       {another, Query{Event: all[len(all)-1].event}, 1},
		"a tenant, by one of its registration": {c, Query{Event: all[len(all)-1].event, Registration: a.ID}, 1},
	} {
		ds, next, err := w.Deliveries(t.Context(), tt.c, tt.q)
		if err != nil || next != "" || len(ds) != tt.want {
			t.Errorf("deliveries of an event, by %s: %d, %q, %v, want %d", name, len(ds), next, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		c    control.Caller
		q    Query
		want error
	}{
		"nothing":                        {control.Operator(), Query{}, control.ErrUnreadable},
		"a source alone":                 {control.Operator(), Query{Source: s.ID}, control.ErrUnreadable},
		"another's registration":         {another, Query{Registration: a.ID}, storage.ErrNotFound},
		"another tenant":                 {another, Query{Tenant: c.Tenant}, storage.ErrNotFound},
		"what is no event":               {c, Query{Event: "evt_1"}, storage.ErrNotFound},
		"what is no event, of one":       {c, Query{Event: "evt_1", Registration: a.ID}, storage.ErrNotFound},
		"no event, by the operator":      {control.Operator(), Query{Event: gatewaytest.Must(ident.Event(s.ID, "", w.Now, "none"))(w)}, storage.ErrNotFound},
		"after a cursor that is none":    {c, Query{Cursor: "x"}, storage.ErrInvalid},
		"after a cursor that is no text": {c, Query{Cursor: "\xff.\xff"}, storage.ErrInvalid},
	} {
		_, _, err := w.Deliveries(t.Context(), tt.c, tt.q)
		w.WantErr("deliveries of "+name, err, tt.want)
	}
	for name, q := range map[string]Query{"open ones": {Registration: a.ID, Status: gateway.Failed}, "an event's": {Event: event}, "an event's by its registration": {Event: event, Registration: all[0].registration}} {
		w.WantFaultsReported("Deliveries of "+name, func() storagetest.Operation {
			return storagetest.Operation{Do: func() error { _, _, err := w.Deliveries(t.Context(), c, q); return err }}
		})
	}
	w.WantFaultsReported("Deliveries of an event, by the operator", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error {
			_, _, err := w.Deliveries(t.Context(), control.Operator(), Query{Event: event})
			return err
		}}
	})
}

func count[T any](vs []T, is func(T) bool) int {
	n := 0
	for _, v := range vs {
		if is(v) {
			n++
		}
	}
	return n
}

func TestExpiredDeliveryIsNotListed(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{})
	event := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "sent"})
	w.deliveryOf(r, event, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Failed})
	for _, tt := range []struct {
		pass time.Duration
		want int
	}{{w.gw.Retention.History - time.Millisecond, 1}, {time.Millisecond, 0}} {
		w.Pass(tt.pass)
		for name, q := range map[string]Query{"all": {}, "failed ones": {Status: gateway.Failed}, "of the event": {Event: event}} {
			if ds, _, err := w.Deliveries(t.Context(), c, q); err != nil || len(ds) != tt.want {
				t.Errorf("deliveries, %s, %v after it came: %d, %v, want %d", name, w.Now.Sub(gatewaytest.Start), len(ds), err, tt.want)
			}
		}
	}
}

func TestDeliveryIsShownAsItsRegistrationStands(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	disabled, removed := w.register(c, s.ID, control.RegistrationChange{}), w.register(c, s.ID, control.RegistrationChange{})
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, disabled.ID)))
	event := w.eventAt(s, "1", w.Now, gateway.EventRow{Type: "sent"})
	d := gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Pending}
	held, cancelled := w.deliveryOf(disabled, event, d), w.deliveryOf(removed, event, d)
	w.OK(w.DeleteRegistration(t.Context(), c, removed.ID))
	for _, tt := range []struct {
		name   string
		q      Query
		id     string
		status gateway.Status
	}{
		{"held", Query{Status: gateway.Held}, held, gateway.Held},
		{"of the removed one", Query{Registration: removed.ID}, cancelled, gateway.Cancelled},
		{"of the removed one, cancelled", Query{Registration: removed.ID, Status: gateway.Cancelled}, cancelled, gateway.Cancelled},
	} {
		ds, _, err := w.Deliveries(t.Context(), c, tt.q)
		if err != nil || len(ds) != 1 || ds[0].ID != tt.id || ds[0].ListedStatus != tt.status || ds[0].Status != gateway.Pending {
			t.Errorf("deliveries, %s: %+v, %v, want one that is shown as %s", tt.name, ds, err, tt.status)
		}
	}
	if ds, _, err := w.Deliveries(t.Context(), c, Query{Status: gateway.Pending}); err != nil || len(ds) != 0 {
		t.Errorf("deliveries that wait: %+v, %v, want none", ds, err)
	}
	if ds, _, err := w.Deliveries(t.Context(), c, Query{Event: event}); err != nil || len(ds) != 2 {
		t.Errorf("deliveries of the event: %+v, %v, want both", ds, err)
	}
	l, r, err := w.DeliveryOf(t.Context(), c, held)
	if err != nil || l.ListedStatus != gateway.Held || r.ID != disabled.ID || l.ID != held {
		t.Errorf("DeliveryOf = %+v, %+v, %v", l, r, err)
	}
	if l, _, err := w.DeliveryOf(t.Context(), control.Operator(), cancelled); err != nil || l.ListedStatus != gateway.Cancelled {
		t.Errorf("DeliveryOf by the operator = %+v, %v", l, err)
	}
	_, _, err = w.DeliveryOf(t.Context(), w.other(), held)
	w.WantErr("DeliveryOf by another", err, storage.ErrNotFound)
	_, _, err = w.DeliveryOf(t.Context(), c, "dlv_1")
	w.WantErr("DeliveryOf of none", err, storage.ErrNotFound)
	w.OK(w.Store.Delete(t.Context(), gateway.RegistrationKey(removed.ID), storage.AnyRev))
	if l, r, err := w.DeliveryOf(t.Context(), c, cancelled); err != nil || l.ID != cancelled || r.ID != "" {
		t.Errorf("DeliveryOf of a registration that is gone = %+v, %+v, %v", l, r, err)
	}
	w.WantFaultsReported("DeliveryOf", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { _, _, err := w.DeliveryOf(t.Context(), c, held); return err }}
	})
}

func TestDeliveriesOfManyRegistrationsAreNotMerged(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	first := w.register(c, s.ID, control.RegistrationChange{})
	for n := range MaxMerged - 1 {
		w.Put(gateway.TenantLinkKey(c.Tenant, "R", fmt.Sprint("reg_", n)), control.TenantRegistration{Source: s.ID})
	}
	w.Put(gateway.TenantLinkKey(c.Tenant, "R", "reg_removed"), control.TenantRegistration{Source: s.ID, Removed: true})
	_, _, err := w.Deliveries(t.Context(), c, Query{})
	w.WantErr("deliveries of as many as are merged", err, nil)
	w.Put(gateway.TenantLinkKey(c.Tenant, "R", "reg_more"), control.TenantRegistration{Source: "src-00000001"})
	_, _, err = w.Deliveries(t.Context(), c, Query{})
	w.WantErr("deliveries of one more", err, control.ErrUnreadable)
	_, _, err = w.Events(t.Context(), c, Query{})
	w.WantErr("events of one more", err, control.ErrUnreadable)
	for name, q := range map[string]Query{
		"a source": {Source: s.ID}, "a registration": {Registration: first.ID}, "an event": {Event: gatewaytest.Must(ident.Event(s.ID, "", w.Now, "x"))(w)},
	} {
		_, _, err = w.Deliveries(t.Context(), c, q)
		w.WantErr("deliveries of "+name, err, nil)
	}
}

func TestEventIsLookedForOnItsSource(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other := w.source(direct)
	w.grant(other.ID, c, nil)
	r := w.register(c, s.ID, control.RegistrationChange{})
	w.register(c, other.ID, control.RegistrationChange{})
	event := gatewaytest.Must(ident.Event(s.ID, "", w.Now, "x"))(w)
	rs := gatewaytest.Must(w.registrationsFor(t.Context(), c, Query{Event: event, Source: other.ID}))(w)
	if len(rs) != 1 || rs[0].ID != r.ID {
		t.Errorf("registrations that an event may be for: %+v, want %s", rs, r.ID)
	}
	w.WantErr("registrations for what is no event", gatewaytest.ErrOf(w.registrationsFor(t.Context(), c, Query{Event: "evt_1"})), storage.ErrNotFound)
}

func TestManyRegistrationsAreReadInParts(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	var ids []string
	for n := range storage.MaxPageRows + 1 {
		id := fmt.Sprintf("reg_%026d", n)
		w.Put(gateway.RegistrationKey(id), gateway.Registration{ID: id, Tenant: c.Tenant, Source: s.ID})
		w.Put(gateway.HealthKey(id), gateway.Link{ID: id})
		w.Put(gateway.TenantLinkKey(c.Tenant, "R", id), control.TenantRegistration{Source: s.ID})
		ids = append(ids, id)
	}
	rs := gatewaytest.Must(w.ReadRegistrations(t.Context(), append(ids, "reg_9")))(w)
	if got := gatewaytest.IDs(rs, func(r gateway.Registration) string { return r.ID }); len(got) != len(ids) {
		t.Errorf("ReadRegistrations: %d, want %d", len(got), len(ids))
	}
	if hs, err := w.Healths(t.Context(), append(rs, gateway.Registration{ID: "reg_9"})...); err != nil || len(hs) != len(ids) {
		t.Errorf("Healths: %d, %v, want %d", len(hs), err, len(ids))
	}
	event := gatewaytest.Must(ident.Event(s.ID, "", w.Now, "x"))(w)
	for _, r := range rs {
		w.deliveryOf(r, event, gateway.Delivery{EventType: "sent", Received: w.Now, Status: gateway.Failed})
	}
	if ds, _, err := w.Deliveries(t.Context(), c, Query{Event: event}); err != nil || len(ds) != len(ids) || !slices.IsSortedFunc(ds, func(a, b Delivery) int { return strings.Compare(a.ID, b.ID) }) {
		t.Errorf("deliveries of an event: %d, %v, want %d in order", len(ds), err, len(ids))
	}
	for n := 1; n <= 2; n++ {
		w.Store.FailAt(n)
		_, err := w.Healths(t.Context(), rs...)
		w.WantErr("Healths without a Store", err, storagetest.ErrBroken)
		w.Store.FailAt(n)
		_, err = w.ReadRegistrations(t.Context(), ids)
		w.WantErr("ReadRegistrations without a Store", err, storagetest.ErrBroken)
	}
	w.Store.Heal()
	if hs, err := w.Healths(t.Context()); err != nil || len(hs) != 0 {
		t.Errorf("Healths of none: %v, %v", hs, err)
	}
}

func TestHealthIsOfItsRegistration(t *testing.T) {
	w := newWorld(t)
	w.Put(gateway.HealthKey("reg_1"), circuit.Health{Open: true, Since: w.Now})
	w.Put(gateway.HealthKey("reg_2"), circuit.Health{Since: w.Now.Add(time.Hour)})
	hs, err := w.Healths(t.Context(), gateway.Registration{ID: "reg_2"}, gateway.Registration{ID: "reg_3"}, gateway.Registration{ID: "reg_1"})
	if err != nil || len(hs) != 2 || !hs["reg_1"].Open || !hs["reg_2"].Since.Equal(w.Now.Add(time.Hour)) {
		t.Errorf("Healths = %+v, %v, want those of reg_1 and reg_2", hs, err)
	}
}

func TestAttemptsAreListedOldestFirst(t *testing.T) {
	w := newWorld(t)
	w.Respond = gatewaytest.Fails
	s, c := w.granted(direct)
	r := w.register(c, s.ID, control.RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{10 * time.Second, 10 * time.Second, 10 * time.Second}}})
	w.delivered(s, "m")
	for range 2 {
		w.Pass(30 * time.Second)
		w.Work()
	}
	w.Respond = nil
	w.Pass(30 * time.Second)
	w.Work()
	id := ident.Delivery(r.ID, w.eventIDs(s.ID)[0])
	l, _, err := w.DeliveryOf(t.Context(), c, id)
	w.OK(err)
	if l.Status != gateway.Succeeded || l.Attempts != 4 || !l.Last.Inline {
		t.Fatalf("the delivery is %+v, want it succeeded at the fourth attempt, which has no row", l.Delivery)
	}
	all, next, err := w.Attempts(t.Context(), l.Delivery, storage.PageRequest{})
	w.OK(err)
	codes := gatewaytest.IDs(all, func(a gateway.Attempt) string { return fmt.Sprint(a.StatusCode) })
	if !slices.Equal(codes, []string{"500", "500", "500", "200"}) || next != "" || !slices.IsSortedFunc(all, func(a, b gateway.Attempt) int { return a.At.Compare(b.At) }) {
		t.Errorf("attempts %v, %q, want three refused and one accepted, oldest first", codes, next)
	}
	for _, a := range all {
		if string(a.Response) != "answered" {
			t.Errorf("attempt %d with the answer %q", a.StatusCode, a.Response)
		}
	}
	for n := range 10 {
		limit := n/2 + 1
		if n == 1 {
			w.Store.Store = terse{w.Store.Store}
		}
		got := []gateway.Attempt{}
		at := storage.PageRequest{Limit: limit}
		for range 10 {
			page, next, err := w.Attempts(t.Context(), l.Delivery, at)
			w.OK(err)
			if len(page) > limit {
				t.Errorf("page of %d attempts, want %d at most", len(page), limit)
			}
			if got = append(got, page...); next == "" {
				break
			}
			at.Cursor = next
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("attempts, %d a page (-all at once +got):\n%s", limit, diff)
		}
	}
	d := l.Delivery
	d.Last = nil
	if as := gatewaytest.MustPage(w.Attempts(t.Context(), d, storage.PageRequest{}))(w); len(as) != 3 {
		t.Errorf("attempts of a delivery without a last one: %d, want 3", len(as))
	}
	last := *l.Last
	last.Inline = false
	d.Last = &last
	if as := gatewaytest.MustPage(w.Attempts(t.Context(), d, storage.PageRequest{}))(w); len(as) != 3 {
		t.Errorf("attempts of a delivery whose last one has a row: %d, want 3", len(as))
	}
	w.Put(storage.Key{Table: storage.Deliveries, PK: "A#" + id, SK: gateway.AttemptID(id, all[3])}, all[3])
	if as := gatewaytest.MustPage(w.Attempts(t.Context(), l.Delivery, storage.PageRequest{}))(w); len(as) != 4 {
		t.Errorf("attempts of a delivery whose last one got a row: %d, want 4", len(as))
	}
	for _, d := range []gateway.Delivery{d, l.Delivery} {
		w.Store.FailAt(1)
		_, _, err = w.Attempts(t.Context(), d, storage.PageRequest{})
		w.WantErr("attempts without a Store", err, storagetest.ErrBroken)
		w.Store.Heal()
	}
	w.PutNewer(storage.Key{Table: storage.Deliveries, PK: "A#" + id, SK: gateway.AttemptID(id, all[0])})
	if as, _, err := w.Attempts(t.Context(), d, storage.PageRequest{}); err == nil {
		t.Errorf("attempts with one of a newer release = %+v, want an error", as)
	}
}

func TestResendIsMadeIfTheTenantMayHaveIt(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	gr := w.grant(s.ID, c, nil)
	r := w.register(c, s.ID, control.RegistrationChange{})
	w.delivered(s, "m")
	event := w.eventIDs(s.ID)[0]
	id := ident.Delivery(r.ID, event)
	resend := func(what string, c control.Caller, want error) {
		t.Helper()
		do := func() {
			d, err := w.ResendDelivery(t.Context(), c, id)
			if w.WantErr("ResendDelivery "+what, err, want); err == nil && (d.ID != id || !d.Manual) {
				t.Errorf("ResendDelivery %s = %+v, want a manual attempt to come", what, d)
			}
		}
		if want == nil {
			do()
			return
		}
		w.WantUnwritten(what, do)
	}
	asked := len(w.Requests)
	resend("of its own", c, nil)
	if w.Work(); len(w.Requests) != asked+1 {
		t.Errorf("the endpoint was called %d times, want once", len(w.Requests)-asked)
	}
	resend("by the operator", control.Operator(), nil)
	w.Work()
	w.WantFaultsReported("ResendDelivery", func() storagetest.Operation {
		w.OK(w.gw.Publish(t.Context(), s.ID)) // what is known of its grants is old
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.ResendDelivery(t.Context(), c, id)) }}
	})
	w.Work()
	resend("by another", w.other(), storage.ErrNotFound)
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	resend("of a disabled one", c, storage.ErrConflict)
	w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)))
	w.Work()
	w.OK(w.DeleteGrant(t.Context(), s.ID, gr.ID))
	resend("without a grant", c, control.ErrForbidden)
	w.grant(s.ID, c, nil)
	er, row := w.event(event)
	er.Erased = true
	w.putEvent(er, row.Body)
	resend("of an erased event", c, storage.ErrConflict)
	w.OK(w.Store.Delete(t.Context(), row.Key, storage.AnyRev))
	resend("of an event that is gone", c, storage.ErrConflict)
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	resend("of a removed one", c, storage.ErrConflict)
}

// A terse Store says of a page that it is the last if nothing follows it.
type terse struct{ storage.Store }

// List implements storage.Store.
func (s terse) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	p, err := s.Store.List(ctx, q)
	if err == nil && p.Next != "" {
		q.After = p.Next
		if rest, err := s.Store.List(ctx, q); err == nil && len(rest.Rows) == 0 {
			p.Next = ""
		}
	}
	return p, err
}
