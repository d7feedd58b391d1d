package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/embedded"
	"ringback/shared/storage"
)

// TestSettingACallbackCountsForFourCalls lets a tenant of eight calls a second
// set callbacks, which is how a security code would be guessed.
func TestSettingACallbackCountsForFourCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.group(w.setting())
		busy := w.want(201, operatorKey, "POST", "/v1/tenants", object{"name": "busy", "limits": object{"api_calls_per_second": 8}}).text("api_key")
		const tooMany = "too many calls; try again in a second"
		set := func(want string) {
			t.Helper()
			if got := w.setCallback(request(busy, "https://tenant.example/in")); got.Result+got.ResultText != want {
				t.Errorf("set_http_callback answers %s %s, want %s", got.Result, got.ResultText, want)
			}
		}
		set("OK")
		set("OK")
		set("FAIL" + tooMany)
		w.want(429, busy, "GET", "/v1/me", nil)
		time.Sleep(time.Second / 2) // of the bubble's clock: four calls
		set("OK")
		set("FAIL" + tooMany)
		time.Sleep(time.Second / 2)
		for range 4 {
			w.want(200, busy, "GET", "/v1/me", nil)
		}
		w.want(429, busy, "GET", "/v1/me", nil)
		time.Sleep(time.Second / 4) // two of the four that are wanted
		set("FAIL" + tooMany)
		w.want(200, busy, "GET", "/v1/me", nil) // a refused call costs nothing
		w.want(200, busy, "GET", "/v1/me", nil)
		w.want(429, busy, "GET", "/v1/me", nil)
	})
}

// TestKeyIsGoodAgainWhenTheStoreIs asks for a key that the process has not seen
// while the store cannot be read, and at once when it can. What was found wrong
// with a key is remembered, so this must not be found wrong.
func TestKeyIsGoodAgainWhenTheStoreIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		store := &unreadable{Store: db}
		w := newWorldOver(t, store, db)
		s := w.setting()
		key := w.want(201, s.key, "POST", "/v1/keys", object{"scope": "full"}).text("api_key")
		store.down.Store(true)
		w.want(503, key, "GET", "/v1/me", nil)
		store.down.Store(false)
		w.want(200, key, "GET", "/v1/me", nil)
		if strings.Contains(w.log.text(), `"code":401`) {
			t.Errorf("a good key was refused:\n%s", w.log.text())
		}
	})
}

// unreadable is a Store that cannot be read while it is down.
type unreadable struct {
	storage.Store
	down atomic.Bool
}

func (u *unreadable) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if u.down.Load() {
		return nil, fmt.Errorf("down for the test: %w", storage.ErrUnavailable)
	}
	return u.Store.Get(ctx, keys...)
}
