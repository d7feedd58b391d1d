package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"ringback/shared/api"
	"ringback/shared/api/apitest"
	"ringback/shared/cloud/cloudtest"
	"ringback/shared/cloud/dynamotest"
	"ringback/shared/egress"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

const operatorKey = "an operator key of no fewer than 32 characters"

// A world is an API over a gateway, without a worker unless it is started.
type world struct {
	t     testing.TB
	g     *gateway.Gateway
	serve func(context.Context, storage.QueueName, storage.Handler) // the queues
	api   http.Handler
	log   *lines
}

// newWorld returns one on the embedded backend.
func newWorld(t testing.TB) *world {
	t.Helper()
	db, err := embedded.Open(t.Context(), t.TempDir(), embedded.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := newWorldOver(t, db, db)
	w.g.SingleProcess = true
	w.serve = func(ctx context.Context, q storage.QueueName, h storage.Handler) {
		db.Serve(ctx, q, embedded.Consumer{Handler: h, Concurrency: 4})
	}
	return w
}

// newWorldOnAWS returns one on the cloud backend.
func newWorldOnAWS(t testing.TB) *world {
	t.Helper()
	out := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(out.CloseIdleConnections)
	b := cloudtest.Open(t, dynamotest.Endpoint(t), out)
	w := newWorldOver(t, b.Store, b.Queue)
	w.serve = b.Serve
	return w
}

// onBoth runs f on either backend.
func onBoth(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("embedded", func(t *testing.T) { f(t, newWorld(t)) })
	t.Run("on AWS", func(t *testing.T) { f(t, newWorldOnAWS(t)) })
}

func newWorldOver(t testing.TB, s storage.Store, q storage.Queue) *world {
	t.Helper()
	w := &world{t: t, log: &lines{}}
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	if err != nil {
		t.Fatal(err)
	}
	w.g, err = gateway.New(gateway.Config{
		Store: s, Queue: q, Keys: keys, Providers: all.Providers(), PublicURL: "https://ringback.example",
		Egress: &egress.Client{OwnHosts: []string{"ringback.example"}, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Log:    slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.g.Steps = transfer.Steps(w.g)
	w.api = apitest.New(t, w.g, api.Config{OperatorKey: operatorKey})
	return w
}

// work runs the worker until the test ends.
func (w *world) work() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for q, h := range w.g.Handlers() {
		running.Go(func() { w.serve(ctx, q, h) })
	}
	w.t.Cleanup(func() { cancel(); running.Wait(); w.g.Egress.CloseIdle() })
}

// An object is a JSON object of an answer.
type object map[string]any

// An answered is an answer of the API.
type answered struct {
	code   int
	header http.Header
	raw    string
	object object
}

func (a answered) id() string { s, _ := a.object["id"].(string); return s }

func (a answered) text(name string) string { s, _ := a.object[name].(string); return s }

func (a answered) list(t testing.TB) []object {
	t.Helper()
	data, ok := a.object["data"].([]any)
	if !ok {
		t.Fatalf("answer without data: %d %s", a.code, a.raw)
	}
	out := make([]object, len(data))
	for i, v := range data {
		out[i] = v.(map[string]any)
	}
	return out
}

// call makes one call with a key. body is nil, a string verbatim, or made JSON.
func (w *world) call(key, method, path string, body any, header ...string) answered {
	w.t.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		data, err := json.Marshal(b)
		if err != nil {
			w.t.Fatal(err)
		}
		in = bytes.NewReader(data)
	}
	r := httptest.NewRequest(method, path, in)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	a := answered{code: rec.Code, header: rec.Header(), raw: rec.Body.String()}
	json.Unmarshal(rec.Body.Bytes(), &a.object)
	return a
}

// want is call, and fails the test unless the answer has that status.
func (w *world) want(code int, key, method, path string, body any, header ...string) answered {
	w.t.Helper()
	a := w.call(key, method, path, body, header...)
	if a.code != code {
		w.t.Fatalf("%s %s with %v: %d %s, want %d\nlog:\n%s", method, path, body, a.code, a.raw, code, w.log.last(3))
	}
	return a
}

// lines keeps what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "")
}

func (l *lines) last(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all[max(0, len(l.all)-n):], "")
}

// A setting is a source of each provider and two tenants, the first with a
// grant of each source.
type setting struct {
	tencent, direct, smartbots string // sources
	tenant, key                string // with grants
	other, otherKey            string // without
}

func (w *world) setting() setting {
	w.t.Helper()
	op := operatorKey
	var s setting
	s.tencent = w.want(201, op, "POST", "/v1/sources", object{"provider": "tencent-chat", "name": "chat", "sdk_app_id": 1400000001, "token": "tencent-token"}).id()
	s.direct = w.want(201, op, "POST", "/v1/sources", object{"provider": "direct", "name": "sms", "basic": object{"login": "ringback", "password": "direct-password"}}).id()
	s.smartbots = w.want(201, op, "POST", "/v1/sources", object{"provider": "smartbots", "name": "bots"}).id()
	limits := object{"api_calls_per_second": 100000}
	a := w.want(201, op, "POST", "/v1/tenants", object{"name": "acme", "limits": limits})
	s.tenant, s.key = a.id(), a.text("api_key")
	b := w.want(201, op, "POST", "/v1/tenants", object{"name": "other", "limits": limits})
	s.other, s.otherKey = b.id(), b.text("api_key")
	for _, source := range []string{s.tencent, s.direct, s.smartbots} {
		w.want(201, op, "POST", "/v1/sources/"+source+"/grants", object{"tenant": s.tenant})
	}
	return s
}
