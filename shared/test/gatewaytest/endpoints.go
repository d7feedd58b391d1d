package gatewaytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Endpoints is the tenants' side of a network without sockets, by host. The zero
// value has none.
type Endpoints struct {
	mu sync.Mutex
	At map[string]*Endpoint
}

// A Response says how an endpoint responds to a request, before which n POSTs came.
// Status 0: never.
type Response func(n int, r *http.Request) (status int, header http.Header)

// Always responds with a status.
func Always(status int) Response {
	return func(int, *http.Request) (int, http.Header) { return status, http.Header{} }
}

// Hangs never responds.
func Hangs(int, *http.Request) (int, http.Header) { return 0, nil }

// An Endpoint records its POSTs. It responds with 200 at once unless a test says otherwise.
type Endpoint struct {
	mu         sync.Mutex
	Secret     string        // that verifies signatures
	ClockAhead time.Duration // of the gateway's clock, by which it signs
	Takes      time.Duration // to respond
	Challenges int           // requests with OPTIONS

	respond Response // nil: 200
	origin  string   // that it consents to
	posts   []Post
	active  int // POSTs
	most    int // of them at once
}

// A Post is a delivery that came, and the response.
type Post struct {
	At     time.Time
	ID     string // of the event
	Header http.Header
	Body   []byte
	Query  string
	Status int
	Valid  bool // the signature is that of Standard Webhooks
}

// Add makes an endpoint at a host.
func (e *Endpoints) Add(host, secret string) *Endpoint {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.At == nil {
		e.At = map[string]*Endpoint{}
	}
	e.At[host] = &Endpoint{Secret: secret}
	return e.At[host]
}

// RoundTrip implements http.RoundTripper.
func (e *Endpoints) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	at := e.At[r.URL.Host]
	e.mu.Unlock()
	if at == nil {
		return nil, fmt.Errorf("no endpoint at %s", r.URL.Host)
	}
	if r.Method == http.MethodOptions {
		return &http.Response{StatusCode: http.StatusNoContent, Header: at.consent(), Body: http.NoBody, Request: r}, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if err := at.wait(r.Context()); err != nil {
		return nil, err
	}
	r.Header = Canonical(r.Header)
	status, header := at.record(r, body)
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("seen")), Request: r}, nil
}

// Canonical returns h as a server reads it, under canonical names.
func Canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// wait takes the time that the endpoint takes.
func (e *Endpoint) wait(ctx context.Context) error {
	e.mu.Lock()
	takes := e.Takes
	e.active++
	e.most = max(e.most, e.active)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.active--
	}()
	if takes == 0 {
		return nil
	}
	select {
	case <-time.After(takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Endpoint) consent() http.Header {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Challenges++
	h := http.Header{}
	if e.origin != "" {
		h.Set("WebHook-Allowed-Origin", e.origin)
	}
	return h
}

func (e *Endpoint) record(r *http.Request, body []byte) (int, http.Header) {
	e.mu.Lock()
	defer e.mu.Unlock()
	status, header := http.StatusOK, http.Header{}
	if e.respond != nil {
		status, header = e.respond(len(e.posts), r)
	}
	e.posts = append(e.posts, Post{
		At: time.Now(), ID: r.Header.Get("webhook-id"), Header: r.Header, Body: body, Query: r.URL.RawQuery, Status: status, Valid: e.valid(r.Header, body),
	})
	return status, header
}

func (e *Endpoint) valid(h http.Header, body []byte) bool {
	wh, err := standardwebhooks.NewWebhook(e.Secret)
	if err != nil {
		return false
	}
	if n, err := strconv.ParseInt(h.Get("Webhook-Timestamp"), 10, 64); err == nil && e.ClockAhead != 0 {
		return time.Unix(n, 0).Add(-e.ClockAhead-time.Minute).Before(time.Now()) && wh.VerifyIgnoringTimestamp(body, h) == nil
	}
	return wh.Verify(body, h) == nil
}

// RespondWith sets how the endpoint responds from now on.
func (e *Endpoint) RespondWith(f Response) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.respond = f
}

// ConsentTo has the endpoint consent to an origin from now on, when it is challenged.
func (e *Endpoint) ConsentTo(origin string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.origin = origin
}

// Posts returns the POSTs so far.
func (e *Endpoint) Posts() []Post {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.posts)
}

// Forget forgets the POSTs so far.
func (e *Endpoint) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.posts, e.most = nil, 0
}

// MaxActive returns how many POSTs there were at the same time.
func (e *Endpoint) MaxActive() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.most
}

// Succeeded returns how often each event was delivered with success, by webhook-id.
func (e *Endpoint) Succeeded() map[string]int {
	out := map[string]int{}
	for _, p := range e.Posts() {
		if p.Status >= 200 && p.Status < 300 {
			out[p.ID]++
		}
	}
	return out
}

// OfType returns the webhook-ids of the POSTs whose event has a type, in the standard form.
func (e *Endpoint) OfType(typ string) map[string]bool {
	ids := map[string]bool{}
	for _, p := range e.Posts() {
		var body struct{ Type string }
		if json.Unmarshal(p.Body, &body) == nil && body.Type == typ {
			ids[p.ID] = true
		}
	}
	return ids
}

// Text returns a member of the standard body's data.
func (p Post) Text(t testing.TB, name string) string {
	t.Helper()
	var body struct {
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(p.Body, &body); err != nil {
		t.Fatalf("body of a standard delivery: %v: %s", err, p.Body)
	}
	s, _ := body.Data[name].(string)
	return s
}
