package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// A broken Store writes no more after so many rows.
type broken struct {
	storage.Store
	left *atomic.Int64
}

var errBroken = errors.New("the store is gone")

func (b broken) Put(ctx context.Context, r storage.Row, was string) error {
	if b.left.Add(-1) < 0 {
		return errBroken
	}
	return b.Store.Put(ctx, r, was)
}

// restartWith is restart with another key ring and, unless that is nil, a
// wrapped Store.
func (w *world) restartWith(ring string, wrap func(storage.Store) storage.Store) {
	w.t.Helper()
	w.stop()
	w.ring, w.wrap = ring, wrap
	w.start()
}

const (
	formerKey = "old an older key of no fewer than 32 characters"
	latterKey = "new a newer key of no fewer than 32 characters"
)

func TestSealingKeyIsChangedWithoutLosingASecret(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.restartWith(formerKey, nil)
		s, path := w.direct()
		login := provider.Login{Name: "ringback", Password: "direct password"}
		again(w, func() (gateway.Source, error) { return w.control().RotateBasic(t.Context(), s.ID, login, 0) })
		c := w.tenant(s, nil)
		var all []*gatewaytest.Endpoint
		var ids []string
		for n := range 12 {
			r, e := w.register(c, s, fmt.Sprintf("r%d.example", n), control.RegistrationChange{Headers: map[string]string{"X-Tenant": fmt.Sprint("sealed ", n)}})
			all, ids = append(all, e), append(ids, r.ID)
		}
		before := again(w, func() (gateway.Registration, error) { return w.control().Registration(t.Context(), c, ids[0]) })

		// Both keys; the store breaks when the job has done a part.
		both := latterKey + "\n" + formerKey
		var left atomic.Int64
		left.Store(14)
		w.restartWith(both, func(s storage.Store) storage.Store { return broken{s, &left} })
		id := ident.New("job", time.Now())
		if _, err := w.transfer().StartReseal(t.Context(), id); err != nil && w.weak == 0 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if n := w.sealedUnder("new", c, ids); w.weak == 0 && (n == 0 || n == len(ids)) {
			t.Fatalf("%d of %d registrations are sealed anew; want the job to have broken half-way", n, len(ids))
		}
		w.restartWith(both, nil)
		again(w, func() (gateway.Job, error) { return w.transfer().StartReseal(t.Context(), id) })
		w.statusAs(path, login, "half-way")
		w.within(6*time.Hour, "delivered while old and new rows stand side by side", func() bool { return allHave(all, 1) })
		w.within(24*time.Hour, "done", func() bool {
			j, err := w.g.Job(t.Context(), id)
			return err == nil && j.Status == gateway.JobDone && j.Skipped == 0
		})

		w.restartWith(latterKey, nil)
		if n := w.sealedUnder("new", c, ids); n != len(ids) {
			t.Errorf("%d of %d registrations are sealed anew", n, len(ids))
		}
		after := again(w, func() (gateway.Registration, error) { return w.control().Registration(t.Context(), c, ids[0]) })
		if before.Rev != after.Rev || before.Endpoint.URL == after.Endpoint.URL {
			t.Errorf("revision %d, then %d; want the same, under another seal", before.Rev, after.Rev)
		}
		if now := w.path(again(w, func() (string, error) { return w.control().FirstCallbackURL(t.Context(), s) })); now != path {
			t.Error("the callback URL is another one")
		}
		w.statusAs(path, login, "after")
		if code := w.answerTo(path, provider.Login{Name: "ringback", Password: "guessed"}, "wrong"); code != http.StatusUnauthorized && w.weak == 0 {
			t.Errorf("a wrong login is answered with %d, want 401", code)
		}
		w.within(6*time.Hour, "delivered without the old key", func() bool { return allHave(all, 2) })
		for n, e := range all {
			for _, p := range e.Posts() {
				if got := p.Header.Get("X-Tenant"); !p.Valid || got != fmt.Sprint("sealed ", n) {
					t.Errorf("delivery to r%d: signature valid %v, header %q", n, p.Valid, got)
				}
			}
		}
	})
}

// sealedUnder counts the registrations whose URL is sealed with a key.
func (w *world) sealedUnder(key string, c control.Caller, ids []string) (n int) {
	w.t.Helper()
	for _, id := range ids {
		r := again(w, func() (gateway.Registration, error) { return w.control().Registration(w.t.Context(), c, id) })
		if strings.HasPrefix(r.Endpoint.URL, "s1."+key+".") {
			n++
		}
	}
	return n
}

// answerTo returns the answer's status to a Direct callback with a login.
func (w *world) answerTo(path string, login provider.Login, message string) int {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(fmt.Sprintf(
		`[{"message_uuid":%q,"channel_type":"SMS","callback_event":"delivered","status":"delivered","status_time":%q}]`,
		message, time.Now().UTC().Format(time.RFC3339))))
	r.Header.Set("Content-Type", "application/json")
	r.SetBasicAuth(login.Name, login.Password)
	rec := httptest.NewRecorder()
	app.Callback(w.g, "direct").ServeHTTP(rec, r)
	return rec.Code
}

// statusAs sends a Direct delivery status with a login until it is taken.
func (w *world) statusAs(path string, login provider.Login, message string) {
	w.t.Helper()
	w.within(time.Hour, "the callback is taken", func() bool { return w.answerTo(path, login, message) == http.StatusOK })
}

// allHave reports whether each of all accepted so many events.
func allHave(all []*gatewaytest.Endpoint, events int) bool {
	for _, e := range all {
		if len(e.Succeeded()) < events {
			return false
		}
	}
	return true
}

func TestResealSkipsWhatNoKeyOpens(t *testing.T) {
	scenario(t, func(t *testing.T, w *world) {
		w.restartWith(formerKey, nil)
		s, _ := w.direct()
		c := w.tenant(s, nil)
		w.register(c, s, "lost.example", control.RegistrationChange{})
		w.restartWith(latterKey, nil) // the former key is lost
		id := ident.New("job", time.Now())
		again(w, func() (gateway.Job, error) { return w.transfer().StartReseal(t.Context(), id) })
		w.within(24*time.Hour, "done, and told so", func() bool {
			j, err := w.g.Job(t.Context(), id)
			return err == nil && j.Status == gateway.JobDone && j.Skipped >= 2 && j.Done == 0
		})
	})
}
