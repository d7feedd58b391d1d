package gateway

import (
	"bytes"
	"context"
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
	"ringback/shared/provider/all"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A yard is a gateway on the embedded store with one source and one tenant, whose
// rows are written as they are. What it sends is kept, and received by the tests
// alone.
type yard struct {
	*testing.T
	*Gateway
	store   *watched
	out     *kept
	history History
	source  string
	tenant  string
	said    *said

	mu     sync.Mutex
	posts  []landed
	answer func(landed) int // nil: 200
	counts map[Metric]float64
}

// landed is what an endpoint got.
type landed struct {
	at    time.Time
	host  string
	event string
	late  bool
}

// newYard returns a yard whose source keeps a history. change alters the
// configuration of its gateway.
func newYard(t *testing.T, h History, change ...func(*Config)) *yard {
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
	y := &yard{T: t, history: h, store: &watched{Store: db}, out: &kept{}, said: &said{}, counts: map[Metric]float64{}}
	c := Config{
		Store: y.store, Queue: y.out, Keys: keys, Providers: all.Providers(), PublicURL: "https://ringback.example", Metrics: y,
		Egress: &egress.Client{Transport: y}, Log: slog.New(slog.NewJSONHandler(y.said, nil)), Random: func() float64 { return 0.5 },
	}
	for _, f := range change {
		f(&c)
	}
	if y.Gateway, err = New(c); err != nil {
		t.Fatal(err)
	}
	now := y.Clock()
	y.source, y.tenant = ident.NewSource(), ident.New("ten", now)
	grant := Grant{ID: ident.New("grt", now), Source: y.source, Tenant: y.tenant, Created: now}
	y.put(SourceKey(y.source), Source{ID: y.source, Provider: SmartBots, Name: "bots", Created: now, History: h})
	y.put(TenantKey(y.tenant), Tenant{ID: y.tenant, Name: "acme", Created: now})
	y.put(GrantKey(y.source, y.tenant, grant.ID), grant)
	return y
}

// as returns another process of y's gateway.
func (y *yard) as(change func(*Config)) *yard {
	y.Helper()
	c := y.Config
	change(&c)
	g, err := New(c)
	if err != nil {
		y.Fatal(err)
	}
	return &yard{T: y.T, Gateway: g, store: y.store, out: y.out, source: y.source, tenant: y.tenant, said: y.said, counts: y.counts}
}

func (y *yard) put(k storage.Key, v any) {
	y.Helper()
	if err := storage.Put(y.Context(), y.store, k, v, storage.AnyRev); err != nil {
		y.Fatal(err)
	}
}

// register makes a registration for all events, whose endpoint is the host.
func (y *yard) register(host string, change ...func(*Registration)) *Registration {
	y.Helper()
	id, now := ident.New("reg", y.Clock()), y.Clock()
	r := &Registration{
		ID: id, Tenant: y.tenant, Source: y.source, Created: now, State: Enabled, Since: now, Format: Standard, EventTypes: []string{"*"},
		Endpoint: Endpoint{URL: y.Keys.Seal(RegistrationKey(id).PK, "url", "https://"+host+"/"), RedactedURL: "https://" + host + "/"},
	}
	for _, f := range change {
		f(r)
	}
	for _, h := range r.IndexEntries() {
		if err := y.Publish(y.Context(), y.source, h); err != nil {
			y.Fatal(err)
		}
		y.put(IndexKey(y.source, h.RoutingKey, h.Pattern, id), Link{id})
	}
	y.alter(r)
	return r
}

// alter writes r as it is now, and makes that known.
func (y *yard) alter(r *Registration) {
	y.Helper()
	y.put(RegistrationKey(r.ID), r)
	if err := y.Publish(y.Context(), y.source); err != nil {
		y.Fatal(err)
	}
}

func inOrder(r *Registration) { r.Ordered = true }

func disabled(r *Registration) { r.State = Disabled }

// every makes waits the schedule of a registration.
func every(waits ...time.Duration) func(*Registration) {
	return func(r *Registration) { r.Schedule = schedule.Schedule{Waits: waits} }
}

// arrival returns an event that came now.
func (y *yard) arrival() message.InboundEvent {
	y.Helper()
	now := y.Clock()
	id, err := ident.Event(y.source, "", now, storage.NewRev())
	if err != nil {
		y.Fatal(err)
	}
	return message.InboundEvent{Token: storage.NewRev(), Event: provider.Event{
		ID: id, Source: y.source, Provider: SmartBots, Type: "group_chat", Received: now,
		ContentType: "application/x-www-form-urlencoded", Payload: []byte("action=group_chat&message=hello"),
	}}
}

// fanOut has g receive a message with as for the n-th time, and reports whether it
// is to come again.
func (y *yard) fanOut(n int, as ...message.InboundEvent) (again bool) {
	y.Helper()
	body, err := message.PackOne(as)
	if err != nil {
		y.Fatal(err)
	}
	return y.receive(y.FanOut, body, n)
}

func (y *yard) receive(h storage.Handler, body string, n int) (again bool) {
	y.Helper()
	receipts, err := h(y.Context(), []storage.Received{{Body: body, Receipt: "1", Receives: n}})
	if err != nil {
		y.Fatal(err)
	}
	return len(receipts) > 0
}

// redelivered has the message of a claim received for the n-th time.
func (y *yard) redelivered(d Delivery, n int) (again bool) {
	y.Helper()
	return y.receive(y.Redeliver, y.message(d.header()), n)
}

func (y *yard) message(h message.Header) string {
	y.Helper()
	body, err := h.Pack()
	if err != nil {
		y.Fatal(err)
	}
	return body
}

// delivered has an event come, and returns its delivery for r.
func (y *yard) delivered(r *Registration) Delivery {
	y.Helper()
	a := y.arrival()
	if y.fanOut(1, a) {
		y.Fatalf("the event comes again: %s", y.said.String())
	}
	return y.delivery(r, a.ID)
}

func (y *yard) delivery(r *Registration, event string) Delivery {
	y.Helper()
	d, err := y.LoadDelivery(y.Context(), ident.Delivery(r.ID, event))
	if err != nil {
		y.Fatal(err)
	}
	return d
}

// event returns an event's row. The test ends if there is none.
func (y *yard) event(id string) (EventRow, storage.Row) {
	y.Helper()
	key, err := EventKey(id)
	if err != nil {
		y.Fatal(err)
	}
	er, row, err := storage.Load[EventRow](y.Context(), y.store, key)
	if err != nil {
		y.Fatal(err)
	}
	return er, row
}

// exists reports whether there is a row.
func (y *yard) exists(k storage.Key) bool {
	y.Helper()
	rows, err := y.store.Get(y.Context(), k)
	if err != nil {
		y.Fatal(err)
	}
	return len(rows) > 0
}

// row returns the row of a delivery.
func (y *yard) row(d Delivery) storage.Row {
	y.Helper()
	rows, err := y.store.Get(y.Context(), DeliveryKey(d.Registration, d.Event))
	if err != nil || len(rows) != 1 {
		y.Fatalf("%d rows of %s, %v", len(rows), d.ID, err)
	}
	return rows[0]
}

// tick has the gateway hand out what is due, and returns the headers of what it
// sent.
func (y *yard) tick() []message.Header {
	y.Helper()
	y.out.take(storage.RetryQueue)
	y.out.take(storage.SlowQueue)
	if err := y.Retry(y.Context()); err != nil {
		y.Fatal(err)
	}
	return append(y.headers(storage.RetryQueue), y.headers(storage.SlowQueue)...)
}

// headers takes what was sent to a queue.
func (y *yard) headers(q storage.QueueName) []message.Header {
	y.Helper()
	var hs []message.Header
	for _, m := range y.out.take(q) {
		h, _, err := message.Read(m.Body)
		if err != nil {
			y.Fatal(err)
		}
		hs = append(hs, h)
	}
	return hs
}

func (y *yard) RoundTrip(r *http.Request) (*http.Response, error) {
	h := arrived(r.Header)
	p := landed{time.Now(), r.URL.Host, h.Get("webhook-id"), h.Get(LateHeader) != ""}
	y.mu.Lock()
	y.posts = append(y.posts, p)
	answer := y.answer
	y.mu.Unlock()
	status := http.StatusOK
	if answer != nil {
		status = answer(p)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// refuses answers all POSTs with 500.
func refuses(landed) int { return http.StatusInternalServerError }

// answersAfter answers all POSTs after a while, and returns how many were under way at
// once at most.
func (y *yard) answersAfter(d time.Duration, status int) (most func() int) {
	var mu sync.Mutex
	now, top := 0, 0
	y.answer = func(landed) int {
		mu.Lock()
		now++
		top = max(top, now)
		mu.Unlock()
		time.Sleep(d)
		mu.Lock()
		defer mu.Unlock()
		now--
		return status
	}
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return top
	}
}

// made returns how many POSTs were made.
func (y *yard) made() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.posts)
}

func (y *yard) Add(name Metric, v float64) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[name] += v
}

func (y *yard) counted(name Metric) float64 {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.counts[name]
}

// watched is a Store that tells what is written, and refuses some.
type watched struct {
	storage.Store
	mu     sync.Mutex
	wrote  []storage.Row
	before func(storage.Row) error // of a Put; nil: none is refused
}

func (w *watched) Put(ctx context.Context, r storage.Row, was string) error {
	w.mu.Lock()
	before := w.before
	w.mu.Unlock()
	if before != nil {
		if err := before(r); err != nil {
			return err
		}
	}
	err := w.Store.Put(ctx, r, was)
	if err == nil {
		w.mu.Lock()
		w.wrote = append(w.wrote, r)
		w.mu.Unlock()
	}
	return err
}

func (w *watched) set(before func(storage.Row) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = before
}

// written returns the rows that were written since it was called last, those
// whose PKs begin with one of prefixes.
func (w *watched) written(prefixes ...string) (rows []storage.Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.wrote {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.PK, p) }) {
			rows = append(rows, r)
		}
	}
	w.wrote = nil
	return rows
}

// refuse returns what refuses rows whose PKs, a space and SKs begin so.
func refuse(prefixes ...string) func(storage.Row) error {
	return func(r storage.Row) error {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.PK+" "+r.SK, p) }) {
			return storage.ErrUnavailable
		}
		return nil
	}
}

// kept is a Queue that keeps what is sent.
type kept struct {
	mu     sync.Mutex
	sent   map[storage.QueueName][]storage.Message
	depth  storage.Depth
	slow   storage.Depth // of the slow queue
	broken bool          // nothing can be sent
}

func (k *kept) Send(_ context.Context, q storage.QueueName, ms []storage.Message) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	errs := make([]error, len(ms))
	if k.broken {
		for i := range errs {
			errs[i] = storage.ErrUnavailable
		}
		return errs
	}
	if k.sent == nil {
		k.sent = map[storage.QueueName][]storage.Message{}
	}
	k.sent[q] = append(k.sent[q], ms...)
	return errs
}

func (k *kept) Depth(_ context.Context, q storage.QueueName) (storage.Depth, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if q == storage.SlowQueue {
		return k.slow, nil
	}
	return k.depth, nil
}

func (k *kept) Redrive(context.Context, storage.QueueName) error { return nil }

func (k *kept) take(q storage.QueueName) []storage.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	ms := k.sent[q]
	delete(k.sent, q)
	return ms
}

// said is a log.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
