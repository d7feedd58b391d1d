package app_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/app"
	"ringback/shared/cloud/cloudtest"
	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/ident"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// scenario runs f in virtual time: on the embedded backend as it is, and under one
// seed, at full length two, on a Store and a Queue that do no better than their
// contracts.
func scenario(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	underSeeds(t, proofs.Length(0, 1, 2), f)
}

// scenarioOfDays is scenario for what takes long: it is skipped with -short, and runs
// under seeds at full length alone.
func scenarioOfDays(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	proofs.Long(t)
	underSeeds(t, proofs.Length(0, 0, 2), f)
}

func underSeeds(t *testing.T, seeds int, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("as it is", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, 0)) })
	})
	for seed := 1; seed <= seeds; seed++ {
		t.Run(fmt.Sprintf("weakened, seed %d", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, uint64(seed))) })
		})
	}
}

// A world is a gateway with everything around it, in one bubble of virtual
// time: a backend, the schedule, and tenants' endpoints reached without a
// network.
type world struct {
	t    *testing.T
	dir  string
	weak uint64 // seed; 0: the backend as it is
	log  *gatewaytest.Lines

	attempts int                               // POSTs at once; 0: as by default
	paused   bool                              // start without worker and schedule
	every    time.Duration                     // between two runs of the schedule; 0: a minute
	history  time.Duration                     // how long events are kept; 0: as by default
	ahead    atomic.Int64                      // nanoseconds by which the gateway's clock was set
	ring     string                            // the key ring
	wrap     func(storage.Store) storage.Store // what the gateway gets in place of the Store; nil: the Store

	aws *cloudtest.Backend // nil: the embedded backend
	db  *embedded.DB       // nil on AWS
	g   *gateway.Gateway
	end func() // of worker and schedule, of which it waits

	endpoints gatewaytest.Endpoints
}

func newWorld(t *testing.T, weak uint64) *world {
	return begun(t, &world{dir: t.TempDir(), weak: weak})
}

func newWorldOn(t *testing.T, aws *cloudtest.Backend) *world { return begun(t, &world{aws: aws}) }

func begun(t *testing.T, w *world) *world {
	w.t, w.log, w.ring = t, &gatewaytest.Lines{}, gatewaytest.KeyRing
	w.start()
	t.Cleanup(w.stop)
	return w
}

// start opens the backend and runs worker and schedule: as the local runner
// does, or as on AWS.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	parts := w.open(ctx)
	parts.Keys, parts.Providers, parts.Log = gatewaytest.Keys(w.t, w.ring), all.Providers(), w.log.Logger()
	cfg := gatewaytest.Config(w.t)
	if w.wrap != nil {
		parts.Store = w.wrap(parts.Store)
	}
	cfg.MaxConcurrency = cmp.Or(w.attempts, cfg.MaxConcurrency)
	w.g = gatewaytest.Must(app.New(cfg, parts))(w.t)
	w.g.Egress.Transport = &w.endpoints
	w.g.Now = w.now
	if w.history != 0 {
		w.g.Retention.History = w.history
	}
	if w.paused {
		return
	}
	stop := gatewaytest.Run(w.g, w.serve, cmp.Or(w.every, time.Minute))
	w.end = func() { stop(); cancel() }
}

// now is the time by the gateway's clock, which is wrong where the backend is
// weak. It is what deliveries tell and jobs ask by.
func (w *world) now() time.Time {
	now := time.Now().Add(time.Duration(w.ahead.Load()))
	if w.weak == 0 {
		return now
	}
	return now.Add(2 * time.Second * time.Duration(1-2*int(w.weak%2)))
}

// open opens the backend for a process.
func (w *world) open(ctx context.Context) app.Parts {
	w.t.Helper()
	if w.aws != nil {
		return app.Parts{Steps: transfer.Steps, Store: w.aws.Store, Queue: w.aws.Queue}
	}
	var err error
	if w.db, err = embedded.Open(ctx, w.dir, embedded.Options{Relaxed: true}); err != nil {
		w.t.Fatal(err)
	}
	parts := app.Parts{Steps: transfer.Steps, Store: w.db, Queue: w.db, SingleProcess: true}
	if w.weak != 0 {
		parts.Store, parts.Queue = storagetest.Weaken(w.db, w.db, w.weak)
	}
	return parts
}

func (w *world) serve(ctx context.Context, q storage.QueueName, h storage.Handler) {
	if w.aws != nil {
		w.aws.Serve(ctx, q, h)
		return
	}
	if q == storage.RetryQueue {
		w.g.Recover(ctx) // what is not handed out anew falls due
	}
	w.db.Serve(ctx, q, embedded.Consumer{Handler: h, Batch: 5, Concurrency: 32, Timeout: time.Minute})
}

func (w *world) stop() {
	w.end()
	if w.db == nil {
		return
	}
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

// forDays has the schedule run every two minutes from now on, for scenarios in which
// nothing happens for days. It hands out what is due in the next two, so what it
// hands out is as punctual as if it ran every minute.
func (w *world) forDays() {
	w.stop()
	w.every = gateway.Lookahead
	w.start()
}

// restart ends the process' part of the world and starts it anew on the backend.
func (w *world) restart() {
	w.stop()
	w.start()
}

// within waits up to d of virtual time for is to hold.
func (w *world) within(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); !is(); {
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s", d, what)
		}
		time.Sleep(d / 200) // virtual: the bubble jumps to the next timer
		w.redrive()
	}
}

// redrive is what an operator does about dead letters. On weak backends there are
// some: of a hundred rows that a message needs one cannot be read, five times.
func (w *world) redrive() {
	if w.weak == 0 {
		return
	}
	for _, q := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
		if err := w.g.Queue.Redrive(w.t.Context(), q); err != nil {
			w.t.Logf("redrive of %s: %v", q, err) // it comes again
		}
	}
}

// remove deletes r.
func (w *world) remove(c control.Caller, r gateway.Registration) {
	w.t.Helper()
	w.gone(func() error { return w.control().DeleteRegistration(w.t.Context(), c, r.ID) })
}

// gone calls f, which deletes something, until it succeeds. Where the answer to a
// call that did it was lost, the next does not find the thing any more.
func (w *world) gone(f func() error) {
	w.t.Helper()
	again(w, func() (struct{}, error) {
		err := f()
		if w.weak != 0 && errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		return struct{}{}, err
	})
}

// again calls f until it succeeds, as people do whom a weak backend refuses. A
// long list makes a hundred calls, each of which may be, so it fails more often
// than not.
func again[T any](w *world, f func() (T, error)) T {
	w.t.Helper()
	var v T
	var err error
	for range 200 {
		if v, err = f(); err == nil {
			return v
		}
		if w.weak == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	w.t.Fatal(err)
	return v
}

func ptr[T any](v T) *T { return &v }

// source makes a source and returns it with its callback URL's path.
func (w *world) source(ch control.SourceChange) (gateway.Source, string) {
	w.t.Helper()
	if ch.Name == nil {
		ch.Name = ptr("a source")
	}
	id := ident.NewSource()
	s := again(w, func() (gateway.Source, error) { return w.control().CreateSource(w.t.Context(), id, ch) })
	return s, w.path(again(w, func() (string, error) { return w.control().FirstCallbackURL(w.t.Context(), s) }))
}

func (w *world) path(callbackURL string) string {
	w.t.Helper()
	return gatewaytest.Must(url.Parse(callbackURL))(w.t).Path
}

func (w *world) smartBots() (gateway.Source, string) {
	w.t.Helper()
	return w.source(control.SourceChange{Provider: "smartbots"})
}

func (w *world) direct() (gateway.Source, string) {
	w.t.Helper()
	return w.source(control.SourceChange{Provider: "direct"})
}

// tenant makes a tenant that may have what match covers of s.
func (w *world) tenant(s gateway.Source, match gateway.Match) control.Caller {
	w.t.Helper()
	id := ident.New("ten", time.Now())
	t := again(w, func() (gateway.Tenant, error) {
		t, _, err := w.control().CreateTenant(w.t.Context(), id, "a tenant", gateway.Limits{})
		return t, err
	})
	w.grant(s, t.ID, match)
	return control.Caller{Scope: control.ScopeFull, Tenant: t.ID}
}

func (w *world) grant(s gateway.Source, tenant string, match gateway.Match) gateway.Grant {
	w.t.Helper()
	id := ident.New("grt", time.Now())
	return again(w, func() (gateway.Grant, error) { return w.control().CreateGrant(w.t.Context(), id, s.ID, tenant, match) })
}

// register makes a registration of c for an endpoint of the world.
func (w *world) register(c control.Caller, s gateway.Source, host string, ch control.RegistrationChange) (gateway.Registration, *gatewaytest.Endpoint) {
	w.t.Helper()
	ch.URL = ptr("https://" + host + "/hook")
	id := ident.New("reg", time.Now())
	var secret string
	r := again(w, func() (r gateway.Registration, err error) {
		r, secret, err = w.control().CreateRegistration(w.t.Context(), c, id, s.ID, ch)
		return r, err
	})
	return r, w.endpoints.Add(host, secret)
}

// post sends a callback, again as long as it is answered with 503, and wants
// status in the end.
func (w *world) post(path, contentType, body string, status int) *http.Response {
	w.t.Helper()
	for range 50 {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		app.Callback(w.g, strings.Split(path, "/")[2]).ServeHTTP(rec, r)
		if rec.Code == status {
			return rec.Result()
		}
		if rec.Code != http.StatusServiceUnavailable || w.weak == 0 {
			w.t.Fatalf("POST %s: %d %s, want %d", strings.Split(path, "/")[2], rec.Code, rec.Body, status)
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("POST: still 503")
	return nil
}

// chat sends a SmartBots group chat with a text.
func (w *world) chat(path, group, text string) {
	w.t.Helper()
	w.post(path, "application/x-www-form-urlencoded", url.Values{
		"action": {"group_chat"}, "group_uuid": {group}, "message": {text},
	}.Encode(), http.StatusOK)
}

// status sends a Direct delivery status.
func (w *world) status(path, message string) {
	w.t.Helper()
	w.post(path, "application/json", fmt.Sprintf(`[{"message_uuid":%q,"channel_type":"SMS","callback_event":"delivered",`+
		`"status":"delivered","status_time":%q}]`, message, time.Now().UTC().Format(time.RFC3339)), http.StatusOK)
}

// deliveries returns what a registration has.
func (w *world) deliveries(c control.Caller, registration string) []gateway.Delivery {
	w.t.Helper()
	return again(w, func() ([]gateway.Delivery, error) { return w.listDeliveries(c, registration) })
}

const (
	groupA = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	groupB = "ffffffff-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	groupC = "eeeeeeee-0a5e-4a0c-9a5a-1f6d2f0e7c11"
)

// control, groups and transfer are what is asked of the gateway that runs now.
func (w *world) control() *control.Control    { return control.New(w.g) }
func (w *world) lists() *history.History      { return history.New(w.control()) }
func (w *world) groups() *groups.Groups       { return groups.New(w.control(), "") }
func (w *world) transfer() *transfer.Transfer { return transfer.New(w.control()) }
