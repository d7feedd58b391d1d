package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A world is a gateway of one process, with a source of a provider that says what
// the test wants, a tenant with a grant of the whole source, and its endpoints.
// What is sent to the queues stays there until the test takes it out.
type world struct {
	*Gateway
	t         *testing.T
	store     *tampered
	queue     *mailbox
	upstream  *upstream
	endpoints *endpoints
	counted   *counts
	log       *lines

	source, key, tenant string
	callbacks           int // so far
}

var errOutage = errors.New("no answer")

// newWorld returns a world whose gateway has the Config that change makes of the
// usual one.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	return worldOn(t, newStore(t), change...)
}

// newStore returns an empty Store, which may hold more than one world.
func newStore(t *testing.T) storage.Store {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// worldOn returns a world on a Store, beside others.
func worldOn(t *testing.T, db storage.Store, change ...func(*Config)) *world {
	t.Helper()
	var err error
	w := &world{
		t: t, store: &tampered{Store: db}, queue: &mailbox{}, upstream: &upstream{}, endpoints: &endpoints{}, counted: &counts{}, log: &lines{},
		source: ident.NewSource(), key: ident.NewCallbackSecret(), tenant: ident.New("ten", time.Now()),
	}
	c := Config{
		Store: w.store, Queue: w.queue, Keys: keyRing(t, oldKey), Providers: map[string]provider.Provider{"upstream": w.upstream},
		Egress: &egress.Client{Transport: w.endpoints}, PublicURL: "https://ringback.example", Metrics: w.counted,
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range change {
		f(&c)
	}
	if w.Gateway, err = New(c); err != nil {
		t.Fatal(err)
	}
	w.put(SourceKey(w.source), Source{ID: w.source, Provider: "upstream", Name: "a source"})
	w.put(CallbackKeyKey(w.source, w.key), CallbackKey{ID: "cbk_1", Source: w.source})
	w.put(TenantKey(w.tenant), Tenant{ID: w.tenant, Name: "acme"})
	w.put(GrantKey(w.source, w.tenant, "grt_1"), Grant{ID: "grt_1", Source: w.source, Tenant: w.tenant, Created: time.Now().Add(-time.Hour)})
	return w
}

// put stores v under k, whatever is there.
func (w *world) put(k storage.Key, v any) {
	w.t.Helper()
	if err := storage.Put(w.t.Context(), w.Store, k, v, storage.AnyRev); err != nil {
		w.t.Fatal(err)
	}
}

// load returns the T under k.
func load[T any](w *world, k storage.Key) (T, storage.Row) {
	w.t.Helper()
	v, row, err := storage.Load[T](w.t.Context(), w.Store, k)
	if err != nil {
		w.t.Fatalf("load %s %s: %v", k.PK, k.SK, err)
	}
	return v, row
}

// register makes a registration of all events of the source to
// https://tenant.example/, as change alters it.
func (w *world) register(change ...func(*Registration)) Registration {
	w.t.Helper()
	id := ident.New("reg", time.Now())
	r := Registration{
		ID: id, Tenant: w.tenant, Source: w.source, Created: time.Now(), Rev: 1, State: Enabled, EventTypes: []string{"*"}, Format: Standard,
		Endpoint: Endpoint{URL: w.Keys.Seal(RegistrationKey(id).PK, "url", "https://tenant.example/"), RedactedURL: "https://tenant.example/"},
		Secrets:  []keyring.Secret{w.secret(id, "a secret of no fewer than 24 bytes")},
	}
	for _, f := range change {
		f(&r)
	}
	w.set(r)
	return r
}

// secret returns a sealed secret of a registration.
func (w *world) secret(registration, text string) keyring.Secret {
	plain := "whsec_" + base64.StdEncoding.EncodeToString([]byte(text))
	return keyring.Secret{Sealed: w.Keys.Seal(RegistrationKey(registration).PK, "secret", plain)}
}

// set stores r, whatever is there, and publishes it.
func (w *world) set(r Registration) {
	w.t.Helper()
	if err := w.Publish(w.t.Context(), r.Source, r.PublishedEntries()...); err != nil {
		w.t.Fatal(err)
	}
	for _, h := range r.PublishedEntries() {
		w.put(IndexKey(r.Source, h.RoutingKey, h.Pattern, r.ID), Link{r.ID})
	}
	w.put(RegistrationKey(r.ID), r)
	w.publish()
}

// publish makes known that something of the source has changed.
func (w *world) publish() {
	w.t.Helper()
	if err := w.Publish(w.t.Context(), w.source); err != nil {
		w.t.Fatal(err)
	}
}

// call has the provider call with items, and returns what it is told.
func (w *world) call(items ...provider.Item) provider.Reply {
	w.t.Helper()
	return w.callWith(&provider.Callback{Method: http.MethodPost, Header: http.Header{}, Body: []byte("{}"), Received: time.Now()}, items...)
}

func (w *world) callWith(cb *provider.Callback, items ...provider.Item) provider.Reply {
	w.t.Helper()
	w.upstream.reading = provider.Reading{Items: items, ContentType: "application/json", Query: "q=1"}
	return w.Ingest(w.t.Context(), "upstream", w.source, w.key, cb)
}

// arrive has the provider report items, of the type "happened" unless they have
// one, and returns the ids of their events, which are in the queue.
func (w *world) arrive(items ...provider.Item) []string {
	w.t.Helper()
	for i := range items {
		w.callbacks++
		if items[i].Type == "" {
			items[i].Type = "happened"
		}
		if items[i].Payload == nil {
			items[i].Payload = fmt.Appendf(nil, `{"n":%d}`, w.callbacks)
		}
	}
	before := len(w.queue.events(w.t))
	if r := w.call(items...); r.StatusCode != http.StatusOK {
		w.t.Fatalf("the callback is answered %d", r.StatusCode)
	}
	var ids []string
	for _, e := range w.queue.events(w.t)[before:] {
		ids = append(ids, e.ID)
	}
	return ids
}

// fanOut has the gateway work on all that is in the events queue. What comes
// again is back in the queue.
func (w *world) fanOut() {
	w.t.Helper()
	w.work(storage.EventsQueue, w.FanOut)
}

// redeliver has the gateway work on what is in the retry queue now.
func (w *world) redeliver() {
	w.t.Helper()
	w.work(storage.RetryQueue, w.Redeliver)
}

// work returns how many messages come again.
func (w *world) work(q storage.QueueName, handle storage.Handler) int {
	w.t.Helper()
	ms := w.queue.take(q)
	var back []storage.Message
	for i, m := range ms {
		again, err := handle(w.t.Context(), []storage.Received{{Body: m.Body, Receipt: fmt.Sprint(i), Receives: 1}})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(again) > 0 {
			back = append(back, m)
		}
	}
	w.queue.add(q, back)
	return len(back)
}

// happen has one event arrive and be fanned out, and returns its id.
func (w *world) happen() string {
	w.t.Helper()
	id := w.arrive(provider.Item{})[0]
	w.fanOut()
	return id
}

// delivery returns the delivery of an event for r.
func (w *world) delivery(r Registration, event string) Delivery {
	w.t.Helper()
	d, err := w.LoadDelivery(w.t.Context(), ident.Delivery(r.ID, event))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// attempts returns the rows of a delivery's attempts.
func (w *world) attempts(d Delivery) []Attempt {
	w.t.Helper()
	var out []Attempt
	q := storage.Query{Table: storage.Deliveries, PK: "A#" + d.ID, Consistent: true}
	err := storage.Each(w.t.Context(), w.Store, q, func(r storage.Row) error {
		a, err := storage.Decoded[Attempt](r)
		out = append(out, a)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// tampered is a Store on which calls fail that before wants to.
type tampered struct {
	storage.Store
	mu     sync.Mutex
	before func(call string, k storage.Key) error // called for each key; nil: all calls are made
	gets   []storage.Key
	puts   []storage.Key
}

// fail has calls fail for which before returns an error; nil ends that.
func (s *tampered) fail(before func(call string, k storage.Key) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

// failOn has one kind of call fail for the rows whose PK begins so.
func (s *tampered) failOn(call, pk string) {
	s.fail(func(c string, k storage.Key) error {
		if c == call && strings.HasPrefix(k.PK, pk) {
			return errOutage
		}
		return nil
	})
}

// got counts the rows that were asked for and whose PK begins so; put those that
// were written.
func (s *tampered) got(pk string) int { return s.count(&s.gets, pk) }
func (s *tampered) put(pk string) int { return s.count(&s.puts, pk) }

func (s *tampered) count(keys *[]storage.Key, pk string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range *keys {
		if strings.HasPrefix(k.PK, pk) {
			n++
		}
	}
	return n
}

func (s *tampered) judge(call string, to *[]storage.Key, keys ...storage.Key) error {
	s.mu.Lock()
	before := s.before
	if to != nil {
		*to = append(*to, keys...)
	}
	s.mu.Unlock()
	for _, k := range keys {
		if before != nil {
			if err := before(call, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *tampered) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := s.judge("get", &s.gets, keys...); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, keys...)
}

func (s *tampered) Put(ctx context.Context, r storage.Row, was string) error {
	if err := s.judge("put", &s.puts, r.Key); err != nil {
		return err
	}
	return s.Store.Put(ctx, r, was)
}

func (s *tampered) Delete(ctx context.Context, k storage.Key, was string) error {
	if err := s.judge("delete", nil, k); err != nil {
		return err
	}
	return s.Store.Delete(ctx, k, was)
}

func (s *tampered) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := s.judge("list", nil, storage.Key{Table: q.Table, PK: q.PK, SK: q.From}); err != nil {
		return storage.Page{}, err
	}
	return s.Store.List(ctx, q)
}

// A mailbox is a Queue that keeps what is sent, as long as it takes it.
type mailbox struct {
	storage.Queue
	mu     sync.Mutex
	sent   map[storage.QueueName][]storage.Message
	calls  [][]storage.Message
	refuse func(ctx context.Context, q storage.QueueName, ms []storage.Message) []error // nil: nothing
	depth  storage.Depth
}

func (b *mailbox) Send(ctx context.Context, q storage.QueueName, ms []storage.Message) []error {
	b.mu.Lock()
	b.calls = append(b.calls, slices.Clone(ms))
	refuse := b.refuse
	b.mu.Unlock()
	errs := storage.CheckSend(q, ms)
	if refuse != nil {
		for i, err := range refuse(ctx, q, ms) {
			errs[i] = errors.Join(errs[i], err)
		}
	}
	for i, err := range errs {
		if err == nil {
			b.add(q, ms[i:i+1])
		}
	}
	return errs
}

func (b *mailbox) Depth(context.Context, storage.QueueName) (storage.Depth, error) {
	return b.depth, nil
}

func (b *mailbox) add(q storage.QueueName, ms []storage.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sent == nil {
		b.sent = map[storage.QueueName][]storage.Message{}
	}
	b.sent[q] = append(b.sent[q], ms...)
}

// take takes all messages out of a queue.
func (b *mailbox) take(q storage.QueueName) []storage.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	ms := b.sent[q]
	delete(b.sent, q)
	return ms
}

// headers returns the headers of the messages that are in a queue.
func (b *mailbox) headers(t *testing.T, q storage.QueueName) (hs []message.Header) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.sent[q] {
		h, _, err := message.Read(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		hs = append(hs, h)
	}
	return hs
}

// events returns the events that are in the queue.
func (b *mailbox) events(t *testing.T) (es []provider.Event) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.sent[storage.EventsQueue] {
		_, got, err := message.Read(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range got {
			es = append(es, a.Event)
		}
	}
	return es
}

// upstream is a provider whose callbacks mean what the test says.
type upstream struct {
	reading    provider.Reading
	unreadable error
	verify     func(*provider.Callback, provider.Credentials) error // nil: all are genuine
}

func (u *upstream) Verify(cb *provider.Callback, c provider.Credentials) error {
	if u.verify == nil {
		return nil
	}
	return u.verify(cb, c)
}

func (u *upstream) Parse(*provider.Callback) (provider.Reading, error) {
	return u.reading, u.unreadable
}

func (u *upstream) Reply(err error) provider.Reply { return provider.ReplyFor(err) }

func (u *upstream) Data(e *provider.Event) (json.RawMessage, error) {
	return e.Payload, u.unreadable
}

func (u *upstream) Parameters(e *provider.Event) (json.RawMessage, error) {
	if e.Query == "" {
		return nil, nil
	}
	return json.RawMessage(`{"query":"` + e.Query + `"}`), nil
}

func (u *upstream) Raw(e *provider.Event, token string, _ time.Time) provider.RawRequest {
	return provider.RawRequest{Query: "token=" + token, ContentType: e.ContentType, Body: append([]byte("raw "), e.Payload...)}
}

func (u *upstream) KeyKinds() []string               { return []string{"group", "bot"} }
func (u *upstream) EventTypes() []provider.EventType { return nil }
func (u *upstream) DefaultEventTypes() []string      { return []string{"*"} }
func (u *upstream) Decides(string) bool              { return false }

// endpoints are those of tenants.
type endpoints struct {
	mu    sync.Mutex
	posts []post
	code  int                                                   // 0: 200
	react func(*http.Request) (handled *http.Response, _ error) // before code; nil, nil: by code
}

// A post is a POST that an endpoint got.
type post struct {
	url    string
	header http.Header
	body   string
}

func (x *endpoints) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	x.posts = append(x.posts, post{r.URL.String(), arrived(r.Header), string(body)})
	code, react := max(x.code, 200), x.react
	x.mu.Unlock()
	if react != nil {
		if resp, err := react(r); resp != nil || err != nil {
			return resp, err
		}
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("seen")), Request: r}, nil
}

// arrived returns h as a server reads it, under canonical names.
func arrived(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// last returns the last POST, and how many there were.
func (x *endpoints) last() (post, int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.posts) == 0 {
		return post{}, 0
	}
	return x.posts[len(x.posts)-1], len(x.posts)
}

// counts are what the gateway has counted.
type counts struct {
	mu  sync.Mutex
	sum map[Metric]float64
}

func (c *counts) Add(name Metric, v float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sum == nil {
		c.sum = map[Metric]float64{}
	}
	c.sum[name] += v
}

// of returns the sum of a metric.
func (c *counts) of(name Metric) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum[name]
}

// lines are those of the log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// with returns the lines of a message, as JSON objects.
func (l *lines) with(t *testing.T, message string) (out []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range strings.Split(strings.TrimSpace(l.text.String()), "\n") {
		if text == "" {
			continue
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line["msg"] == message {
			out = append(out, line)
		}
	}
	return out
}

const oldKey = "old 0123456789abcdef0123456789abcdef"

func keyRing(t testing.TB, text string) *keyring.Ring {
	t.Helper()
	r, err := keyring.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
