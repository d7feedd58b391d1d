package api_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

// TestSettingACallbackCountsForFourCalls lets a tenant of eight calls a second
// set callbacks, which is how a security code would be guessed.
func TestSettingACallbackCountsForFourCalls(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.group(w.setting())
		busy := w.Want(201, operatorKey, "POST", "/v1/tenants", object{"name": "busy", "limits": object{"api_calls_per_second": 8}}).Text("api_key")
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
		w.Want(429, busy, "GET", "/v1/me", nil)
		time.Sleep(time.Second / 2) // of the bubble's clock: four calls
		set("OK")
		set("FAIL" + tooMany)
		time.Sleep(time.Second / 2)
		for range 4 {
			w.Want(200, busy, "GET", "/v1/me", nil)
		}
		w.Want(429, busy, "GET", "/v1/me", nil)
		time.Sleep(time.Second / 4) // two of the four that are wanted
		set("FAIL" + tooMany)
		w.Want(200, busy, "GET", "/v1/me", nil) // a refused call costs nothing
		w.Want(200, busy, "GET", "/v1/me", nil)
		w.Want(429, busy, "GET", "/v1/me", nil)
	})
}

// TestKeyIsGoodAgainWhenTheStoreIs asks for a key that the process has not seen
// while the store cannot be read, and at once when it can. What was found wrong
// with a key is remembered, so this must not be found wrong.
func TestKeyIsGoodAgainWhenTheStoreIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := gatewaytest.Open(t)
		store := &unreadable{Store: db}
		w := newWorldOver(t, store, db, nil)
		s := w.setting()
		key := w.Want(201, s.key, "POST", "/v1/keys", object{"scope": "full"}).Text("api_key")
		store.down.Store(true)
		w.Want(503, key, "GET", "/v1/me", nil)
		store.down.Store(false)
		w.Want(200, key, "GET", "/v1/me", nil)
		if strings.Contains(w.Log.String(), `"code":401`) {
			t.Errorf("a good key was refused:\n%s", w.Log.String())
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
