package console_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
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
	"ringback/shared/test/gatewaytest"
	"ringback/shared/transfer"
)

const operatorKey = gatewaytest.OperatorKey

type object = gatewaytest.Object

// A world is a console over a gateway on the embedded backend, served on the
// loopback interface, with a worker.
type world struct {
	*gatewaytest.API
	*httptest.Server
	t  testing.TB
	g  *gateway.Gateway
	db *embedded.DB
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return openWorld(t, embedded.Options{Relaxed: true})
}

func openWorld(t testing.TB, o embedded.Options) *world {
	t.Helper()
	browsertest.SkipShort(t) // each world is for a browser
	w := &world{t: t, db: gatewaytest.OpenWith(t, o)}
	w.g = gatewaytest.New(t, gateway.Config{
		Store: w.db, Queue: w.db, SingleProcess: true,
		Egress: &egress.Client{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:    slog.New(slog.DiscardHandler),
	})
	w.g.Steps = transfer.Steps(w.g)
	w.API = &gatewaytest.API{T: t, Handler: apitest.New(t, w.g, api.Config{OperatorKey: operatorKey})}
	page := console.New(w.Handler, console.Config{Keys: w.g.Keys})
	mux := http.NewServeMux()
	mux.HandleFunc("/callbacks/{provider}/{source}/{key}", w.ingest)
	mux.Handle("/console", page)
	mux.Handle("/console/", page)
	mux.Handle("/", w.Handler)
	w.Server = httptest.NewUnstartedServer(mux)
	w.g.PublicURL = "http://" + w.Listener.Addr().String()
	w.Start()
	t.Cleanup(w.Close)
	// The schedule runs more often than every minute, since the browser waits for it.
	stop := gatewaytest.Run(w.g, gatewaytest.On(w.db, embedded.Consumer{Concurrency: 4}), 500*time.Millisecond)
	t.Cleanup(func() { stop(); w.g.Egress.CloseIdle() })
	return w
}

func keyRing(t testing.TB) *keyring.Ring { return gatewaytest.Keys(t, gatewaytest.KeyRing) }

func (w *world) ingest(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	cb := &provider.Callback{Method: r.Method, Query: r.URL.RawQuery, Header: r.Header, Body: body, Received: time.Now().UTC()}
	reply := w.g.Ingest(r.Context(), r.PathValue("provider"), r.PathValue("source"), r.PathValue("key"), cb)
	rw.WriteHeader(reply.StatusCode)
	rw.Write(reply.Body)
}

// form sends a SmartBots callback to a source.
func (w *world) form(source string, values url.Values) {
	w.t.Helper()
	at := w.OK(operatorKey, "GET", "/v1/sources/"+source, nil).Text("callback_url")
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
