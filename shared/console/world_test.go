package console_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/console"
	"ringback/shared/console/browsertest"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/transfer"
)

const operatorKey = "an operator key of no fewer than 32 characters"

// A world is a console over a gateway on the embedded backend, served on the
// loopback interface, with a worker.
type world struct {
	t   testing.TB
	g   *gateway.Gateway
	db  *embedded.DB
	api http.Handler
	*httptest.Server
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return openWorld(t, embedded.Options{Relaxed: true})
}

func openWorld(t testing.TB, o embedded.Options) *world {
	t.Helper()
	browsertest.SkipShort(t) // each world is for a browser
	w := &world{t: t}
	var err error
	if w.db, err = embedded.Open(t.Context(), t.TempDir(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.g, err = gateway.New(gateway.Config{
		Store: w.db, Queue: w.db, Keys: keyRing(t), Providers: all.Providers(), SingleProcess: true,
		Egress: &egress.Client{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.g.Steps = transfer.Steps(w.g)
	w.api = apitest.New(t, w.g, api.Config{OperatorKey: operatorKey})
	page := console.New(w.api, console.Config{Keys: w.g.Keys})
	mux := http.NewServeMux()
	mux.HandleFunc("/callbacks/{provider}/{source}/{key}", w.ingest)
	mux.Handle("/console", page)
	mux.Handle("/console/", page)
	mux.Handle("/", w.api)
	w.Server = httptest.NewUnstartedServer(mux)
	w.g.PublicURL = "http://" + w.Listener.Addr().String()
	w.Start()
	t.Cleanup(w.Close)
	w.work()
	return w
}

func keyRing(t testing.TB) *keyring.Ring {
	t.Helper()
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// work runs the worker, and the schedule more often than every minute, until
// the test ends.
func (w *world) work() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for q, h := range w.g.Handlers() {
		running.Go(func() { w.db.Serve(ctx, q, embedded.Consumer{Handler: h, Concurrency: 4}) })
	}
	running.Go(func() {
		for tick := time.NewTicker(500 * time.Millisecond); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
				tick.Stop()
			case <-tick.C:
				w.g.Retry(ctx)
			}
		}
	})
	w.t.Cleanup(func() { cancel(); running.Wait(); w.g.Egress.CloseIdle() })
}

func (w *world) ingest(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	cb := &provider.Callback{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Received: time.Now().UTC()}
	reply := w.g.Ingest(r.Context(), r.PathValue("provider"), r.PathValue("source"), r.PathValue("key"), cb)
	rw.WriteHeader(reply.StatusCode)
	rw.Write(reply.Body)
}

// An object is a JSON object.
type object map[string]any

func (o object) text(name string) string { s, _ := o[name].(string); return s }

// call makes one call of the API and fails the test unless it is a success.
func (w *world) call(key, method, path string, body any) object {
	w.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest(method, path, strings.NewReader(string(data)))
	if body == nil {
		r = httptest.NewRequest(method, path, nil)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	if rec.Code >= 300 {
		w.t.Fatalf("%s %s with %v: %d %s, want a success", method, path, body, rec.Code, rec.Body)
	}
	var o object
	json.Unmarshal(rec.Body.Bytes(), &o)
	return o
}

// rows returns the first page of a list.
func (w *world) rows(key, path string) []object {
	w.t.Helper()
	var out []object
	data, _ := w.call(key, "GET", path, nil)["data"].([]any)
	for _, row := range data {
		out = append(out, row.(map[string]any))
	}
	return out
}

// form sends a SmartBots callback to a source.
func (w *world) form(source string, values url.Values) {
	w.t.Helper()
	at := w.call(operatorKey, "GET", "/v1/sources/"+source, nil).text("callback_url")
	resp, err := http.PostForm(at, values)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("callback: %s, want 200", resp.Status)
	}
}

// An endpoint is a tenant's, on the loopback interface.
type endpoint struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	said   string
	got    int
}

func newEndpoint(t testing.TB) *endpoint {
	e := &endpoint{status: http.StatusOK, said: "thank you"}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		e.mu.Lock()
		defer e.mu.Unlock()
		e.got++
		w.WriteHeader(e.status)
		io.WriteString(w, e.said)
	}))
	t.Cleanup(e.Close)
	return e
}

// answer sets what the endpoint answers from now on.
func (e *endpoint) answer(status int, said string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.said = status, said
}

func (e *endpoint) received() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.got
}

// await waits until done returns true, and fails the test if that takes two minutes.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.After(2 * time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}
