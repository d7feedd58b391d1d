package gatewaytest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

// A Still is what surrounds a gateway whose clock stands until the test moves it:
// a Store whose calls can fail, a queue that is handled by call, and endpoints that
// are reached without a network.
type Still struct {
	*testing.T
	Store  *storagetest.Brittle
	Queue  *Outbox
	Now    time.Time
	Logged Lines

	Respond  func(*http.Request) (int, http.Header) // of endpoints; status 0: no connection; nil: 200
	mu       sync.Mutex                             // of Requests: endpoints are called concurrently
	Requests []*http.Request                        // to endpoints, in order

	gw *gateway.Gateway
}

// Start is the time at which a Still begins. It is far from the time by which the
// backend sweeps, so what has expired by the Still's clock is still there, as in a
// table that deletes late.
var Start = time.Date(2100, 3, 1, 12, 0, 0, 0, time.UTC)

// NewStill returns a Still and its gateway, over the embedded backend.
func NewStill(t *testing.T) (*Still, *gateway.Gateway) {
	t.Helper()
	db := Open(t)
	s := &Still{T: t, Store: &storagetest.Brittle{Store: db}, Now: Start}
	s.Queue = &Outbox{Queue: db, now: func() time.Time { return s.Now }}
	s.gw = New(t, gateway.Config{
		Store: s.Store, Queue: s.Queue, SingleProcess: true, Egress: &egress.Client{Transport: s},
		Log: slog.New(slog.NewTextHandler(&s.Logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: s.Queue.now, Random: func() float64 { return 0.5 },
	})
	return s, s.gw
}

// Pass lets time pass.
func (s *Still) Pass(d time.Duration) { s.Now = s.Now.Add(d) }

// ID returns a new id.
func (s *Still) ID(prefix string) string { return ident.New(prefix, s.Now) }

// RoundTrip implements http.RoundTripper.
func (s *Still) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.Requests = append(s.Requests, r)
	s.mu.Unlock()
	code, header := http.StatusOK, http.Header{}
	if s.Respond != nil {
		code, header = s.Respond(r)
	}
	if code == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: code, Header: header, Body: io.NopCloser(strings.NewReader("answered")), Request: r}, nil
}

// Fails is a Respond of an endpoint that fails.
func Fails(*http.Request) (int, http.Header) { return http.StatusInternalServerError, http.Header{} }

// OK ends the test if err is not nil.
func (s *Still) OK(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Put stores v under k, whatever is there.
func (s *Still) Put(k storage.Key, v any) {
	s.Helper()
	s.OK(storage.Put(s.Context(), s.Store, k, v, storage.AnyRev))
}

// PutNewer stores a row of a newer release, which this one cannot read.
func (s *Still) PutNewer(k storage.Key) {
	s.Helper()
	s.OK(s.Store.Put(s.Context(), storage.Row{Key: k, Rev: storage.NewRev(), Data: []byte(`{"v":99}`)}, storage.AnyRev))
}

// Row returns what is stored under k, if anything is.
func (s *Still) Row(k storage.Key) (storage.Row, bool) {
	s.Helper()
	rows := Must(s.Store.Get(s.Context(), k))(s)
	if len(rows) == 0 {
		return storage.Row{}, false
	}
	return rows[0], true
}

// Stored reports whether there is a row under k.
func (s *Still) Stored(k storage.Key) bool {
	s.Helper()
	_, ok := s.Row(k)
	return ok
}

// WantUnwritten fails the test if f writes a row or sends a message.
func (s *Still) WantUnwritten(what string, f func()) {
	s.Helper()
	writes, sent := s.Store.Writes(), len(s.Queue.Sent)
	if f(); s.Store.Writes() != writes || len(s.Queue.Sent) != sent {
		s.Errorf("%s: %d writes and %d messages, want none", what, s.Store.Writes()-writes, len(s.Queue.Sent)-sent)
	}
}

// WantErr fails the test unless err wraps want, or is nil if that is.
func (s *Still) WantErr(what string, err, want error) {
	s.Helper()
	WantErr(s, what, err, want)
}

// WantFaultsReported is storagetest.WantFaultsReported on the Store.
func (s *Still) WantFaultsReported(what string, prepare func() storagetest.Operation) {
	s.Helper()
	storagetest.WantFaultsReported(s.T, s.Store, what, prepare)
}

// Work handles what is in the queue and due, until nothing is.
func (s *Still) Work() {
	s.Helper()
	for range 1_000 {
		i := slices.IndexFunc(s.Queue.Sent, func(m Sent) bool { return !m.Due.After(s.Now) })
		if i < 0 {
			return
		}
		m := s.Queue.Sent[i]
		s.Queue.Sent = slices.Delete(s.Queue.Sent, i, i+1)
		again, err := s.gw.Handlers()[m.Queue](s.Context(), []storage.Received{{Body: m.Body, Receipt: "1", Receives: 1}})
		if err != nil || len(again) > 0 {
			s.Fatalf("message on %s: %v again, %v", m.Queue, again, err)
		}
	}
	s.Fatal("the queue does not become empty")
}

// Callback has a provider call one of a source's URLs. It must succeed.
func (s *Still) Callback(of gateway.Source, url, query, body string) {
	s.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if strings.HasPrefix(body, "{") {
		header.Set("Content-Type", "application/json")
	}
	reply := s.gw.Ingest(s.Context(), of.Provider, of.ID, url[strings.LastIndex(url, "/")+1:], &provider.Callback{
		Method: http.MethodPost, Query: query, Header: header, Body: []byte(body), Received: s.Now,
	})
	if reply.StatusCode/100 != 2 {
		s.Fatalf("callback: %d %s", reply.StatusCode, reply.Body)
	}
}

// DeliveredStatus is the body of a callback of direct: a message was delivered.
func DeliveredStatus(message string) string {
	return `{"message_uuid":"` + message + `","callback_event":"delivered","status":"delivered","channel_type":"SMS"}`
}

// An Outbox is a Queue that holds what is sent until the test handles it.
type Outbox struct {
	storage.Queue
	Sent   []Sent
	Fail   error // of each call
	Depths map[storage.QueueName]storage.Depth

	mu  sync.Mutex // of Send, which deliveries call concurrently
	now func() time.Time
}

// Sent is a message that was sent.
type Sent struct {
	Queue storage.QueueName
	Body  string
	Due   time.Time
}

// Send implements storage.Queue.
func (o *Outbox) Send(_ context.Context, q storage.QueueName, ms []storage.Message) []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	errs := make([]error, len(ms))
	for i, m := range ms {
		if errs[i] = o.Fail; o.Fail == nil {
			o.Sent = append(o.Sent, Sent{q, m.Body, o.now().Add(m.Delay)})
		}
	}
	return errs
}

// Depth implements storage.Queue.
func (o *Outbox) Depth(_ context.Context, q storage.QueueName) (storage.Depth, error) {
	return o.Depths[q], o.Fail
}
