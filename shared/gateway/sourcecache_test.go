package gateway

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// TestCallbackKeyEndsWhenItSays has a key that ends while it is remembered, once
// with a Store that answers and once without.
func TestCallbackKeyEndsWhenItSays(t *testing.T) {
	for _, outage := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.put(CallbackKeyKey(w.source, w.key), CallbackKey{ID: "cbk_1", Source: w.source, Until: time.Now().Add(40 * time.Second)})
			for _, step := range []struct {
				after  time.Duration
				status int
			}{
				{0, 200}, {20 * time.Second, 200}, {20*time.Second - time.Millisecond, 200}, {time.Millisecond, 404}, {time.Hour, 404},
			} {
				time.Sleep(step.after)
				if step.after > time.Minute {
					w.store.fail(nil) // after so long nothing is told without a look
				}
				if r := w.call(); r.StatusCode != step.status {
					t.Errorf("outage %v: a callback %v after the one before is answered %d, want %d", outage, step.after, r.StatusCode, step.status)
				}
				if outage {
					w.store.failOn("get", "S#")
				}
			}
		})
	}
}

// TestCallbacksAreTakenWhileTheStoreIsAway goes by what is remembered for 15 min.
func TestCallbacksAreTakenWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if r := w.call(); r.StatusCode != 200 {
			t.Fatalf("answered %d", r.StatusCode)
		}
		w.store.failOn("get", "S#")
		for _, step := range []struct {
			after  time.Duration
			status int
		}{
			{31 * time.Second, 200}, {14*time.Minute + 29*time.Second - time.Millisecond, 200}, {time.Millisecond, 503}, {time.Hour, 503},
		} {
			time.Sleep(step.after)
			if r := w.call(); r.StatusCode != step.status {
				t.Errorf("a callback %v after the one before is answered %d, want %d", step.after, r.StatusCode, step.status)
			}
		}
		w.store.fail(nil)
		if r := w.call(); r.StatusCode != 200 {
			t.Errorf("when the Store is back a callback is answered %d, want 200", r.StatusCode)
		}
	})
}

// TestOutageFindsNothingThatWasNeverRead calls a source for the first time.
func TestOutageFindsNothingThatWasNeverRead(t *testing.T) {
	w := newWorld(t)
	w.store.failOn("get", "S#")
	if r := w.call(); r.StatusCode != 503 {
		t.Errorf("answered %d, want 503", r.StatusCode)
	}
}

// TestWrongKeyIsLookedForOnceASecond calls a key that is made only later.
func TestWrongKeyIsLookedForOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		known := w.key
		w.key = "notmadeyet"
		reads := 0
		for _, step := range []struct {
			name   string
			after  time.Duration
			made   bool
			status int
			reads  int
		}{
			{"a wrong key", 0, false, 404, 1},
			{"again at once", 0, false, 404, 0},
			{"made meanwhile", refusalTTL - time.Millisecond, true, 404, 0},
			{"a second after the look", time.Millisecond, true, 200, 1},
			{"from what is remembered", time.Millisecond, true, 200, 0},
		} {
			time.Sleep(step.after)
			if step.made {
				w.put(CallbackKeyKey(w.source, w.key), CallbackKey{ID: "cbk_2", Source: w.source})
			}
			r := w.call()
			n := w.store.got("S#")/2 - reads
			if reads += n; r.StatusCode != step.status || n != step.reads {
				t.Errorf("%s: answered %d after %d looks at the Store, want %d after %d", step.name, r.StatusCode, n, step.status, step.reads)
			}
		}
		w.key = known
		if r := w.call(); r.StatusCode != 200 {
			t.Errorf("the other key is answered %d, want 200", r.StatusCode)
		}
	})
}

// TestDeletedKeyIsForgotten sees that a key is gone, and then loses the Store:
// what was remembered before does not come back.
func TestDeletedKeyIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if r := w.call(); r.StatusCode != 200 {
			t.Fatalf("answered %d", r.StatusCode)
		}
		if err := w.Store.Delete(t.Context(), CallbackKeyKey(w.source, w.key), storage.AnyRev); err != nil {
			t.Fatal(err)
		}
		time.Sleep(sourceTTL)
		if r := w.call(); r.StatusCode != 404 {
			t.Errorf("the deleted key is answered %d, want 404", r.StatusCode)
		}
		w.store.failOn("get", "S#")
		time.Sleep(2 * refusalTTL)
		if r := w.call(); r.StatusCode != 503 {
			t.Errorf("the deleted key is answered %d while the Store is away, want 503", r.StatusCode)
		}
	})
}

// TestSourceIsThatOfOneProvider calls it by the URL of another.
func TestSourceIsThatOfOneProvider(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Providers["other"] = c.Providers["upstream"] })
	cb := &provider.Callback{Method: http.MethodPost, Header: http.Header{}, Received: time.Now()}
	for _, step := range []struct {
		provider string
		status   int
	}{{"other", 404}, {"upstream", 200}, {"other", 404}} {
		if r := w.Ingest(t.Context(), step.provider, w.source, w.key, cb); r.StatusCode != step.status {
			t.Errorf("by the URL of %s: answered %d, want %d", step.provider, r.StatusCode, step.status)
		}
	}
}

// TestWhatCannotBeASourceIsNotLookedFor counts reads of the Store.
func TestWhatCannotBeASourceIsNotLookedFor(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ source, key string }{{"src-XXXXXXXX", w.key}, {"", w.key}, {w.source, ""}} {
		w.Gateway.unknown.Purge()
		if r := w.Ingest(t.Context(), "upstream", tt.source, tt.key, &provider.Callback{Method: http.MethodPost, Header: http.Header{}}); r.StatusCode != 404 || w.store.got("S#") != 0 {
			t.Errorf("source %q with key %q: answered %d after %d reads, want 404 after none", tt.source, tt.key, r.StatusCode, w.store.got("S#"))
		}
	}
}

// TestSourceThatCannotBeReadIsNotRefused has rows that another release or key
// ring may read.
func TestSourceThatCannotBeReadIsNotRefused(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"the source is of a newer release": func(w *world) { w.spoil(SourceKey(w.source)) },
		"the key is of a newer release":    func(w *world) { w.spoil(CallbackKeyKey(w.source, w.key)) },
		"a token is sealed by another key": func(w *world) {
			w.put(SourceKey(w.source), Source{ID: w.source, Provider: "upstream", Tokens: []keyring.Secret{{Sealed: "s1.x.AAAA"}}})
		},
	} {
		w := newWorld(t)
		spoil(w)
		if r := w.call(); r.StatusCode != 503 {
			t.Errorf("%s: answered %d, want 503", name, r.StatusCode)
		}
	}
}

// spoil writes a row that this release cannot read.
func (w *world) spoil(k storage.Key) {
	w.t.Helper()
	data := json.RawMessage(`{"v":99}`)
	if err := w.Store.Put(w.t.Context(), storage.Row{Key: k, Rev: storage.NewRev(), Data: data}, storage.AnyRev); err != nil {
		w.t.Fatal(err)
	}
}
