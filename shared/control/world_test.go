package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

// A world is a Control on the embedded backend, with a clock that stands still
// until a test moves it, a queue that keeps what is sent until it is passed on,
// and endpoints that are reached without a network.
type world struct {
	*Control
	t     *testing.T
	store *storagetest.Brittle
	queue *outbox
	now   time.Time
	log   strings.Builder

	mu     sync.Mutex                             // of asked: endpoints are called at once
	asked  []*http.Request                        // of endpoints, in order
	answer func(*http.Request) (int, http.Header) // what endpoints answer; nil: 200
}

// start is far from the time by which the backend sweeps, so what has expired
// by the world's clock is still there, as in a table that deletes late.
var start = time.Date(2100, 3, 1, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: &storagetest.Brittle{Store: db}, now: start}
	w.queue = &outbox{Queue: db, w: w}
	g, err := gateway.New(gateway.Config{
		Store: w.store, Queue: w.queue, Keys: keys, Providers: all.Providers(), PublicURL: "https://ringback.example",
		Egress: &egress.Client{Transport: w}, Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), SingleProcess: true,
		Now: func() time.Time { return w.now }, Random: func() float64 { return 0.5 },
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Steps = Steps(g)
	w.Control = New(g)
	return w
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, r)
	w.mu.Unlock()
	code, header := http.StatusOK, http.Header{}
	if w.answer != nil {
		code, header = w.answer(r)
	}
	if code == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader("answered")), Request: r}, nil
}

// must returns v, and ends the test if err is not nil.
func must[T any](v T, err error) func(w *world) T {
	return func(w *world) T {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
		return v
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) id(prefix string) string { return ident.New(prefix, w.now) }

// source makes a source of a provider.
func (w *world) source(provider string) gateway.Source {
	w.t.Helper()
	ch := SourceChange{Provider: provider, Name: new("a source")}
	if provider == tencentChat {
		ch.SDKAppID = new(uint64(w.store.Writes()) + 1)
	}
	return must(w.CreateSource(w.t.Context(), ident.NewSource(), ch))(w)
}

// tenant makes a tenant and returns the caller with its first key.
func (w *world) tenant() Caller {
	w.t.Helper()
	tn, text, err := w.CreateTenant(w.t.Context(), w.id("ten"), "acme", gateway.Limits{})
	w.ok(err)
	c, _, err := w.CallerOf(w.t.Context(), text)
	w.ok(err)
	if c.Tenant != tn.ID {
		w.t.Fatalf("CallerOf(first key of %s) = %+v", tn.ID, c)
	}
	return c
}

func (w *world) grant(source string, c Caller, m gateway.Match) gateway.Grant {
	w.t.Helper()
	return must(w.CreateGrant(w.t.Context(), w.id("grt"), source, c.Tenant, m))(w)
}

// granted makes a source of a provider and a tenant with a grant of all of it.
func (w *world) granted(provider string) (gateway.Source, Caller) {
	w.t.Helper()
	s, c := w.source(provider), w.tenant()
	w.grant(s.ID, c, nil)
	return s, c
}

const endpointURL = "https://tenant.example/in"

func (w *world) register(c Caller, source string, ch RegistrationChange) gateway.Registration {
	w.t.Helper()
	if ch.URL == nil {
		ch.URL = new(endpointURL)
	}
	r, _, err := w.CreateRegistration(w.t.Context(), c, w.id("reg"), source, ch)
	w.ok(err)
	return r
}

func (w *world) registration(id string) gateway.Registration {
	w.t.Helper()
	return must(w.Registration(w.t.Context(), Operator(), id))(w)
}

// group makes a group of a source of smartbots.
func (w *world) group(source, name string) gateway.Group {
	w.t.Helper()
	of := gateway.Group{ID: w.id("grp"), Source: source, Name: name, UUID: "5b1f0000-0000-4000-8000-000000000001", GroupID: "77", Rev: 1, Created: w.now}
	w.ok(w.ReserveGroupName(w.t.Context(), name, of.ID))
	w.put(gateway.ListKey("groups", of.ID), gateway.Link{ID: of.ID})
	w.put(gateway.GroupKey(of.ID), of)
	return of
}

// app makes a registration of c's by the code that a group has.
func (w *world) app(c Caller, of gateway.Group, name string) gateway.Registration {
	w.t.Helper()
	id := w.id("reg")
	to, err := w.endpoint(id, gateway.Endpoint{}, endpointURL, nil)
	w.ok(err)
	r := gateway.Registration{
		ID: id, Tenant: c.Tenant, Source: of.Source, Created: w.now, State: gateway.Enabled, Since: w.now, Endpoint: to, Format: gateway.Raw,
		EventTypes: []string{"group_chat"}, Match: gateway.Match{"group": {of.UUID}}, Group: of.ID, GroupRev: of.Rev, AppName: name, AppUUID: "uuid of " + name,
	}
	r, err = w.PutRegistration(w.t.Context(), gateway.Registration{}, storage.Row{}, r)
	w.ok(err)
	w.put(gateway.AppKey(of.ID, c.Tenant, r.AppUUID), App{Registration: id, Tenant: c.Tenant})
	return r
}

func (w *world) put(k storage.Key, v any) {
	w.t.Helper()
	w.ok(storage.Put(w.t.Context(), w.store, k, v, storage.AnyRev))
}

// rows returns the keys of a partition of the registrations table.
func (w *world) rows(pk string) []string {
	w.t.Helper()
	out := []string{}
	q := storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}
	w.ok(storage.Each(w.t.Context(), w.store, q, func(r storage.Row) error { out = append(out, r.SK); return nil }))
	return out
}

// newer stores a row of a newer release, which this one cannot read.
func (w *world) newer(k storage.Key) {
	w.t.Helper()
	w.ok(w.store.Put(w.t.Context(), storage.Row{Key: k, Rev: storage.NewRev(), Data: []byte(`{"v":99}`)}, storage.AnyRev))
}

// row returns what is stored under k.
func (w *world) row(k storage.Key) (storage.Row, bool) {
	w.t.Helper()
	rows := must(w.store.Get(w.t.Context(), k))(w)
	if len(rows) == 0 {
		return storage.Row{}, false
	}
	return rows[0], true
}

func (w *world) stored(k storage.Key) bool {
	w.t.Helper()
	_, ok := w.row(k)
	return ok
}

// published returns the revision of a source's version, which is new after each
// change that was made known.
func (w *world) published(source string) string {
	w.t.Helper()
	r, _ := w.row(storage.Key{Table: storage.Registrations, PK: gateway.SourceKey(source).PK, SK: "V"})
	return r.Rev
}

// wantPublished fails the test unless f makes a change of source known, or none
// if want is false.
func (w *world) wantPublished(what, source string, want bool, f func()) {
	w.t.Helper()
	before := w.published(source)
	if f(); (w.published(source) != before) != want {
		w.t.Errorf("%s: published %v, want %v", what, !want, want)
	}
}

// wantUnwritten fails the test if f writes a row or sends a message.
func (w *world) wantUnwritten(what string, f func()) {
	w.t.Helper()
	writes, sent := w.store.Writes(), len(w.queue.sent)
	if f(); w.store.Writes() != writes || len(w.queue.sent) != sent {
		w.t.Errorf("%s: %d writes and %d messages, want none", what, w.store.Writes()-writes, len(w.queue.sent)-sent)
	}
}

// wantErr fails the test unless err wraps want, or is nil if that is.
func (w *world) wantErr(what string, err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// wantFaultsTold is storagetest.WantFaultsReported on w's Store.
func (w *world) wantFaultsTold(what string, prepare func() storagetest.Operation) {
	w.t.Helper()
	storagetest.WantFaultsReported(w.t, w.store, what, prepare)
}

// An outbox keeps what is sent until it is passed on.
type outbox struct {
	storage.Queue
	mu    sync.Mutex // of Send, which deliveries call at once
	w     *world
	sent  []sentMessage
	fail  error // of each call
	depth map[storage.QueueName]storage.Depth
}

// Depth implements storage.Queue.
func (o *outbox) Depth(_ context.Context, q storage.QueueName) (storage.Depth, error) {
	return o.depth[q], o.fail
}

type sentMessage struct {
	queue storage.QueueName
	body  string
	due   time.Time
}

// Send implements storage.Queue.
func (o *outbox) Send(_ context.Context, q storage.QueueName, ms []storage.Message) []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	errs := make([]error, len(ms))
	for i, m := range ms {
		if errs[i] = o.fail; o.fail == nil {
			o.sent = append(o.sent, sentMessage{q, m.Body, o.w.now.Add(m.Delay)})
		}
	}
	return errs
}

// events returns the events that wait in the queue.
func (w *world) events() []provider.Event {
	w.t.Helper()
	var out []provider.Event
	for _, m := range w.queue.sent {
		if m.queue == storage.EventsQueue {
			_, as, err := message.Read(m.body)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, a := range as {
				out = append(out, a.Event)
			}
		}
	}
	return out
}

// work does what is in the queue and due, until there is no more.
func (w *world) work() {
	w.t.Helper()
	for range 1_000 {
		i := slices.IndexFunc(w.queue.sent, func(m sentMessage) bool { return !m.due.After(w.now) })
		if i < 0 {
			return
		}
		m := w.queue.sent[i]
		w.queue.sent = slices.Delete(w.queue.sent, i, i+1)
		handle := w.gw.FanOut
		if m.queue == storage.RetryQueue {
			handle = w.gw.Redeliver
		}
		again, err := handle(w.t.Context(), []storage.Received{{Body: m.body, Receipt: "1", Receives: 1}})
		if err != nil || len(again) > 0 {
			w.t.Fatalf("message on %s: %v again, %v", m.queue, again, err)
		}
	}
	w.t.Fatal("the queue does not become empty")
}

// callback has a provider call a source, by its first callback URL, now.
func (w *world) callback(s gateway.Source, body string) {
	w.t.Helper()
	w.callbackAt(s, must(w.FirstCallbackURL(w.t.Context(), s))(w), body)
}

func (w *world) callbackAt(s gateway.Source, url, body string) {
	w.t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if s.Provider == direct {
		header.Set("Content-Type", "application/json")
	}
	reply := w.gw.Ingest(w.t.Context(), s.Provider, s.ID, url[strings.LastIndex(url, "/")+1:], &provider.Callback{
		Method: http.MethodPost, Header: header, Body: []byte(body), Received: w.now,
	})
	if reply.StatusCode/100 != 2 {
		w.t.Fatalf("callback: %d %s", reply.StatusCode, reply.Body)
	}
}

// delivered has a message of direct be delivered, status and all, and does what follows from that.
func (w *world) delivered(s gateway.Source, message string) {
	w.t.Helper()
	w.callback(s, fmt.Sprintf(`{"message_uuid":%q,"callback_event":"delivered","status":"delivered","channel_type":"SMS"}`, message))
	w.work()
}

// isError is errors.Is.
func isError(err, want error) bool { return errors.Is(err, want) }

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

// known returns err, or nil if it says that something is not there (any more).
func known(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

func idsOf[T any](vs []T, id func(T) string) []string {
	out := []string{}
	for _, v := range vs {
		out = append(out, id(v))
	}
	return out
}

// pages returns all of a list, read two a page.
func pages[T any](w *world, list func(storage.PageRequest) ([]T, string, error)) []T {
	w.t.Helper()
	var out []T
	at := storage.PageRequest{Limit: 2}
	for range 100 {
		page, next, err := list(at)
		w.ok(err)
		if len(page) > 2 {
			w.t.Fatalf("page of %d, want 2", len(page))
		}
		if out = append(out, page...); next == "" {
			return out
		}
		at.Cursor = next
	}
	w.t.Fatal("the list does not end")
	return nil
}

// A rivalStore has another do something before the first Delete.
type rivalStore struct {
	storage.Store
	before func()
}

// Delete implements storage.Store.
func (s *rivalStore) Delete(ctx context.Context, k storage.Key, was string) error {
	if f := s.before; f != nil {
		s.before = nil
		f()
	}
	return s.Store.Delete(ctx, k, was)
}

// must2 is must for a page.
func must2[T any](v T, _ string, err error) func(w *world) T {
	return must(v, err)
}

// refuse is how an endpoint answers that takes nothing.
func refuse(*http.Request) (int, http.Header) { return http.StatusInternalServerError, http.Header{} }

// callbackWith is callbackAt with a query.
func (w *world) callbackWith(s gateway.Source, url, query, body string) {
	w.t.Helper()
	reply := w.gw.Ingest(w.t.Context(), s.Provider, s.ID, url[strings.LastIndex(url, "/")+1:], &provider.Callback{
		Method: http.MethodPost, Query: query, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body), Received: w.now,
	})
	if reply.StatusCode/100 != 2 {
		w.t.Fatalf("callback: %d %s", reply.StatusCode, reply.Body)
	}
}
