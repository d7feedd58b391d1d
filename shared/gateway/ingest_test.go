package gateway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestCallbackIsAnsweredAsItDeserves takes callbacks in that are not what they
// should be, some in two ways: the first in the order of the table counts.
func TestCallbackIsAnsweredAsItDeserves(t *testing.T) {
	db, ours := newStore(t), keyRing(t, oldKey).GatewayID()
	tooLarge := strings.Repeat("x", provider.MaxCallbackBytes+1)
	for _, tt := range []struct {
		name                   string
		method                 string
		via                    []string
		source, key, body      string // empty: the right ones
		coding                 []string
		verify, parse, sending error
		read                   error
		status                 int
	}{
		{name: "a good one", status: 200},
		{name: "by GET, of another source", method: http.MethodGet, source: "src-00000009", status: 404},
		{name: "by GET, not genuine", method: http.MethodGet, verify: provider.ErrSignature, status: 405},
		{name: "by GET, from this gateway", method: http.MethodGet, via: []string{ours}, status: 405},
		{name: "from this gateway, of another source", via: []string{ours}, source: "src-00000009", status: 404},
		{name: "from this gateway, not genuine", via: []string{ours}, verify: provider.ErrSignature, status: 508},
		{name: "from another gateway", via: []string{"gw-0000"}, status: 200},
		{name: "that went round two gateways", via: []string{"gw-0000, " + ours}, status: 508},
		{name: "that went round, by another grammar", via: []string{"gw-0000", " ,gw-1;a=1 ,\t" + ours + " ; b"}, status: 508},
		{name: "through five", via: []string{"1,2,3", "4,5"}, status: 200},
		{name: "through six", via: []string{"1,2,3", "4,5,6"}, status: 508},
		{name: "through five times the same", via: []string{"1,1,1,1,1"}, status: 200},
		{name: "through what is no name", via: []string{"two names", "two\u00a0names", strings.Repeat("x", 65) + strings.Repeat(", a b", 6)}, status: 200},
		{name: "through what is no name and this gateway", via: []string{"two names", ours}, status: 508},
		{name: "whose body does not come", read: provider.ErrUnreadable, status: 400},
		{name: "for whose body there is no room", read: provider.ErrUnavailable, status: 503},
		{name: "of another source, whose body does not come", source: "src-00000009", read: provider.ErrUnreadable, status: 404},
		{name: "by GET, whose body does not come", method: http.MethodGet, read: provider.ErrUnreadable, status: 405},
		{name: "of another source, not genuine", source: "src-00000009", verify: provider.ErrSignature, status: 404},
		{name: "with another key, not genuine", key: "anotherkey", verify: provider.ErrSignature, status: 404},
		{name: "with the key in the place of the source", source: "not-a-source", status: 404},
		{name: "not genuine, too large", verify: provider.ErrSignature, body: tooLarge, status: 401},
		{name: "too large, unreadable", body: tooLarge, parse: provider.ErrUnreadable, status: 413},
		{name: "as large as may be", body: tooLarge[1:], status: 200},
		{name: "unreadable", parse: provider.ErrUnreadable, status: 400},
		{name: "compressed, which would be unreadable", coding: []string{"gzip"}, parse: provider.ErrUnreadable, status: 415},
		{name: "compressed, not genuine", coding: []string{"gzip"}, verify: provider.ErrSignature, status: 401},
		{name: "compressed besides", coding: []string{"identity", "br"}, status: 415},
		{name: "compressed twice", coding: []string{"identity, gzip"}, status: 415},
		{name: "as it is", coding: []string{"Identity"}, status: 200},
		{name: "of no coding", coding: []string{""}, status: 200},
		{name: "that cannot be queued", sending: errOutage, status: 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := worldOn(t, db)
			w.upstream.verify = func(*provider.Callback, provider.Credentials) error { return tt.verify }
			w.upstream.unreadable = tt.parse
			w.queue.refuse = func(context.Context, storage.QueueName, []storage.Message) []error { return []error{tt.sending} }
			w.upstream.reading.Items = []provider.Item{{Type: "happened", Payload: []byte("{}")}}
			cb := &provider.Callback{Method: http.MethodPost, Header: http.Header{}, Body: []byte(tt.body), Received: time.Now()}
			if tt.method != "" {
				cb.Method = tt.method
			}
			cb.Header["Content-Encoding"] = tt.coding
			if tt.via != nil {
				cb.Header[http.CanonicalHeaderKey(ViaHeader)] = tt.via
			}
			if tt.read != nil {
				cb.Read = func() ([]byte, error) { return nil, tt.read }
			}
			source, key := w.source, w.key
			if tt.source != "" {
				source = tt.source
			}
			if tt.key != "" {
				key = tt.key
			}
			reply := w.Ingest(t.Context(), "upstream", source, key, cb)
			if reply.StatusCode != tt.status {
				t.Errorf("answered %d, want %d", reply.StatusCode, tt.status)
			}
			taken, refused, queued := 1, 0, 1
			if tt.status != 200 {
				taken, refused, queued = 0, 1, 0
			}
			if got := len(w.queue.events(t)); got != queued || w.counted.of(Callbacks) != float64(taken) || w.counted.of(RefusedCallbacks) != float64(refused) {
				t.Errorf("%d events queued, counted %v taken and %v refused; want %d, %d and %d",
					got, w.counted.of(Callbacks), w.counted.of(RefusedCallbacks), queued, taken, refused)
			}
			checkCallbackLine(t, w, source, tt.status, len(tt.body))
		})
	}
}

// checkCallbackLine wants one line of the log for a callback to a source. What is
// no id of one is not repeated: it may be a secret.
func checkCallbackLine(t *testing.T, w *world, source string, status, bytes int) {
	t.Helper()
	got := w.log.with(t, "callback")
	if len(got) != 1 {
		t.Fatalf("%d lines of the log, want 1: %v", len(got), got)
	}
	if source == "not-a-source" {
		source = ""
	}
	want := map[string]any{"level": "DEBUG", "provider": "upstream", "source": source, "outcome": "taken", "bytes": float64(bytes)}
	if status != 200 {
		want["level"], want["outcome"], want["status"] = "WARN", "refused", float64(status)
	}
	for name, value := range want {
		if got[0][name] != value {
			t.Errorf("%s of the line is %v, want %v: %v", name, got[0][name], value, got[0])
		}
	}
}

// TestProviderIsAnsweredInTime has a queue that never answers.
func TestProviderIsAnsweredInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.queue.refuse = func(ctx context.Context, _ storage.QueueName, ms []storage.Message) []error {
			<-ctx.Done()
			return []error{ctx.Err()}
		}
		start := time.Now()
		reply := w.call(provider.Item{Type: "happened"})
		if took := time.Since(start); reply.StatusCode != 503 || took != ackTimeout {
			t.Errorf("answered %d after %v, want 503 after %v", reply.StatusCode, took, ackTimeout)
		}
	})
}

// A slowStore reads nothing within a second.
type slowStore struct{ storage.Store }

func (s slowStore) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	select {
	case <-time.After(1200 * time.Millisecond):
		return s.Store.Get(ctx, keys...)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestProviderIsAnsweredInTimeBySlowReads has a callback whose source is read twice.
func TestProviderIsAnsweredInTimeBySlowReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := worldOn(t, slowStore{newStore(t)})
		w.upstream.verify = func(*provider.Callback, provider.Credentials) error { return provider.ErrSignature }
		start := time.Now()
		w.call(provider.Item{Type: "happened"})
		if took := time.Since(start); took != ackTimeout {
			t.Errorf("answered after %v, want %v", took, ackTimeout)
		}
	})
}

func TestIgnoredEventTypesAreAcknowledgedAndNotQueued(t *testing.T) {
	w := newWorld(t)
	w.put(SourceKey(w.source), Source{ID: w.source, Provider: "upstream", IgnoreEventTypes: []string{"spam", "noise.*"}})
	items := []provider.Item{{Type: "spam"}, {Type: "spam.not"}, {Type: "noise.loud"}, {Type: "good"}}
	if r := w.call(items...); r.StatusCode != 200 {
		t.Errorf("answered %d, want 200", r.StatusCode)
	}
	var got []string
	for _, e := range w.queue.events(t) {
		got = append(got, e.Type)
	}
	if fmt.Sprint(got) != "[spam.not good]" {
		t.Errorf("of %v %v are queued, want [spam.not good]", items, got)
	}
	w.queue.take(storage.EventsQueue)
	if r := w.call(items[0]); r.StatusCode != 200 || len(w.queue.events(t)) != 0 {
		t.Errorf("an ignored event alone is answered %d and queued %d times, want 200 and none", r.StatusCode, len(w.queue.events(t)))
	}
}

// TestTimeThatARepeatCannotChangeMakesTheID varies the provider's time of an item
// with a natural key. One that is too far from the arrival may be a clock's error:
// then nothing is recognised by the key, unless it is unique for ever.
func TestTimeThatARepeatCannotChangeMakesTheID(t *testing.T) {
	const week = 7 * 24 * time.Hour
	source := ident.NewSource()
	received := noon.Add(7*time.Minute + 123*time.Millisecond)
	for _, tt := range []struct {
		name   string
		stable time.Time
		want   time.Time // in the id; noon: none, nothing is recognised
	}{
		{"none", time.Time{}, noon},
		{"of the arrival", received, received},
		{"nearly an hour ahead", received.Add(time.Hour - time.Millisecond), received.Add(time.Hour - time.Millisecond)},
		{"an hour ahead", received.Add(time.Hour), noon},
		{"a day ahead", received.Add(24 * time.Hour), noon},
		{"nearly a week back", received.Add(time.Millisecond - week), received.Add(time.Millisecond - week)},
		{"a week back", received.Add(-week), noon},
	} {
		it := provider.Item{Type: "happened", NaturalKey: "k", StableTime: tt.stable}
		for _, it.UniqueForever = range []bool{false, true} {
			known := !tt.want.Equal(noon) || it.UniqueForever
			at := tt.want
			if at.Equal(noon) {
				at = received
			}
			want, err := ident.Event(source, "acme", at, "happened", "k")
			if err != nil {
				t.Fatal(err)
			}
			id, repeatable, err := newEventID(source, "acme", it, received)
			if (id == want) != known || repeatable != known || err != nil {
				t.Errorf("a time %s, unique for ever %v: id %s, repeatable %v, %v; want %s, %v", tt.name, it.UniqueForever, id, repeatable, err, want, known)
			}
		}
	}
}

func TestItemWithoutANaturalKeyIsNeverARepeat(t *testing.T) {
	source := ident.NewSource()
	it := provider.Item{Type: "happened", StableTime: noon.Add(-time.Hour)}
	one, windowed, err := newEventID(source, "", it, noon)
	if err != nil {
		t.Fatal(err)
	}
	two, _, _ := newEventID(source, "", it, noon)
	floor, above := ident.EventFloor(source, noon), ident.EventFloor(source, noon.Add(time.Second))
	if one == two || windowed || one < floor || one >= above {
		t.Errorf("ids %s and %s, of a window %v; want two of the arrival, from %s on", one, two, windowed, floor)
	}
}

// TestItemsBecomeEvents reads a callback of which one item comes twice.
func TestItemsBecomeEvents(t *testing.T) {
	received := time.Date(2026, 3, 1, 13, 0, 0, 123_456_789, time.FixedZone("", 3600))
	at := received.Add(-time.Minute)
	reading := provider.Reading{ContentType: "text/plain", Query: "a=1", Items: []provider.Item{
		{Type: "one", NaturalKey: "k", StableTime: at, Time: at, Payload: []byte("1"), Keys: map[string][]string{"group": {"g"}}},
		{Type: "two", NaturalKey: "k", StableTime: at, Payload: []byte("2")},
		{Type: "one", NaturalKey: "k", StableTime: at, Payload: []byte("3")},
		{Type: "three", Payload: []byte("4"), Unreadable: true},
		{Type: "three", Payload: []byte("4")},
	}}
	for _, label := range []string{"", "acme"} {
		a := account{Source: Source{ID: ident.NewSource(), Provider: "upstream"}, label: label}
		for i := range reading.Items {
			delete(reading.Items[i].Keys, "label")
		}
		as, err := inboundEvents(a, reading, received, []string{"gw-1", "gw-2"})
		if err != nil || len(as) != 4 {
			t.Fatalf("%d events, %v; want 4", len(as), err)
		}
		for i, want := range []struct {
			typ, payload, keys string
			unique, unreadable bool
			at                 time.Time
		}{
			{"one", "1", "map[group:[g]]", false, false, storage.UTC(at)},
			{"two", "2", "map[]", false, false, time.Time{}},
			{"three", "4", "map[]", true, true, time.Time{}},
			{"three", "4", "map[]", true, false, time.Time{}},
		} {
			if label != "" {
				want.keys = strings.Replace(want.keys, "map[group:[g]", "map[group:[g] ", 1)
				want.keys = strings.TrimSuffix(want.keys, "]") + "label:[acme]]"
			}
			got := as[i]
			if got.Type != want.typ || string(got.Payload) != want.payload || fmt.Sprint(got.Keys) != want.keys || got.NoNaturalKey != want.unique ||
				got.Unreadable != want.unreadable || got.Time != want.at {
				t.Errorf("label %q, event %d: %+v, want %+v", label, i, got, want)
			}
			if got.Token == "" || got.Token != as[0].Token || got.UniqueForever || got.Source != a.ID || got.Provider != "upstream" || got.Label != label ||
				got.Received != storage.UTC(received) || got.ContentType != "text/plain" || got.Query != "a=1" || !slices.Equal(got.Via, []string{"gw-1", "gw-2"}) {
				t.Errorf("label %q, event %d: %+v, want what all of the callback have", label, i, got)
			}
		}
	}
}

// TestSingleItemBecomesAnEvent looks at a callback of one item, for which
// nothing is remembered.
func TestSingleItemBecomesAnEvent(t *testing.T) {
	a := account{Source: Source{ID: ident.NewSource()}}
	as, err := inboundEvents(a, provider.Reading{Items: []provider.Item{{Type: "one", NaturalKey: "k"}}}, noon, nil)
	if err != nil || len(as) != 1 {
		t.Errorf("%d events, %v; want one", len(as), err)
	}
}

// TestEventOfNoSourceIsNotTaken has a source whose row says that it is none.
func TestEventOfNoSourceIsNotTaken(t *testing.T) {
	for _, it := range []provider.Item{{}, {NaturalKey: "k"}, {NaturalKey: "k", StableTime: noon}} {
		if _, _, err := newEventID("none", "", it, noon); err == nil {
			t.Errorf("%+v was given an id", it)
		}
	}
	w := newWorld(t)
	w.put(SourceKey(w.source), Source{ID: "none", Provider: "upstream"})
	if r := w.call(provider.Item{Type: "happened"}); r.StatusCode != 503 || len(w.queue.events(t)) != 0 {
		t.Errorf("answered %d with %d events queued, want 503 and none", r.StatusCode, len(w.queue.events(t)))
	}
}

// TestCredentialsAreReadAgainBeforeARefusal rotates a token of a source while the
// gateway remembers it.
func TestCredentialsAreReadAgainBeforeARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		verified := 0
		w.upstream.verify = func(cb *provider.Callback, c provider.Credentials) error {
			verified++
			if len(c.Tokens) == 1 && c.Tokens[0] == cb.Query {
				return nil
			}
			return provider.ErrSignature
		}
		rotate := func(token string) {
			w.put(SourceKey(w.source), Source{ID: w.source, Provider: "upstream", Tokens: []keyring.Secret{{Sealed: w.Keys.Seal(SourceKey(w.source).PK, "token", token)}}})
		}
		rotate("first")
		reads := 0
		for _, step := range []struct {
			name   string
			after  time.Duration
			rotate string
			token  string
			status int
			reads  int
			verify int // times
		}{
			{"the first callback", 0, "", "first", 200, 1, 1},
			{"another, from what is remembered", sourceTTL - time.Millisecond, "", "first", 200, 0, 1},
			{"another, when that is old", time.Millisecond, "", "first", 200, 1, 1},
			{"a wrong one, at once", 0, "", "wrong", 401, 0, 1},
			{"a new token, that was not there a moment ago", refusalTTL - time.Millisecond, "second", "second", 401, 0, 1},
			{"the new token, a second after the look", time.Millisecond, "", "second", 200, 1, 2},
			{"the old one", time.Second, "", "first", 401, 1, 2},
			{"the new one, again", 0, "", "second", 200, 0, 1},
		} {
			time.Sleep(step.after)
			if step.rotate != "" {
				rotate(step.rotate)
			}
			reply := w.callWith(&provider.Callback{Method: http.MethodPost, Header: http.Header{}, Query: step.token, Received: time.Now()})
			n := w.store.got("S#")/2 - reads // source and key
			if reads += n; reply.StatusCode != step.status || n != step.reads || verified != step.verify {
				t.Errorf("%s: answered %d after %d looks at the Store, judged %d times; want %d after %d, %d times",
					step.name, reply.StatusCode, n, verified, step.status, step.reads, step.verify)
			}
			verified = 0
		}
	})
}

// TestBodyIsReadInTheCallersTime has a provider that sends its body slowly.
func TestBodyIsReadInTheCallersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cb := &provider.Callback{Method: http.MethodPost, Header: http.Header{}, Received: time.Now(), Read: func() ([]byte, error) {
			time.Sleep(20 * time.Second)
			return []byte("{}"), nil
		}}
		if r := w.callWith(cb, provider.Item{Type: "happened"}); r.StatusCode != 200 || len(w.queue.events(t)) != 1 {
			t.Errorf("answered %d with %d events queued, want 200 and one", r.StatusCode, len(w.queue.events(t)))
		}
	})
}

// TestDeliveryNamesTheGatewaysThatItCameThrough sends on what another gateway sent.
func TestDeliveryNamesTheGatewaysThatItCameThrough(t *testing.T) {
	w := newWorld(t)
	r := w.register()
	cb := &provider.Callback{Method: http.MethodPost, Header: http.Header{http.CanonicalHeaderKey(ViaHeader): {"gw-1;x=1", "gw-2"}}, Received: time.Now()}
	if r := w.callWith(cb, provider.Item{Type: "happened"}); r.StatusCode != 200 {
		t.Fatalf("answered %d, want 200", r.StatusCode)
	}
	es := w.queue.events(t)
	if len(es) != 1 || !slices.Equal(es[0].Via, []string{"gw-1", "gw-2"}) {
		t.Fatalf("queued %+v, want one event that came through gw-1 and gw-2", es)
	}
	for _, tt := range []struct {
		e    *provider.Event
		want string
	}{{&es[0], "gw-1, gw-2, " + w.ID()}, {anEvent(w), w.ID()}} {
		_, _, h, _, err := w.requested(r, tt.e, false)
		name := ViaHeader // as it is sent
		if got := h[name]; err != nil || len(got) != 1 || got[0] != tt.want {
			t.Errorf("a delivery of an event through %v has %q, %v; want %s", tt.e.Via, got, err, tt.want)
		}
	}
}
