package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/history"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

var writeFormat = flag.Bool("write-format", false, "write testdata/format-<n>.jsonl for the current format, unless it is there")

// Names of what a gateway of a former release had. The file of a format is
// never written anew, so they stay.
const (
	formatPlain   = "src-f0rmat01"
	formatSigned  = "src-f0rmat02"
	formatKey     = "format0not0a0secret0000000000000"
	formatToken   = "a token of the console"
	formatTenant  = "ten_0000000000000000000000form"
	formatGroup   = "grp_0000000000000000000000form"
	formatUUID    = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
	formatWell    = "reg_0000000000000000000000well"
	formatRefused = "reg_00000000000000000000refuse"
	formatOrdered = "reg_00000000000000000000order0"
	formatHeld    = "reg_0000000000000000000000held"
)

// A written row or message, and what of a format nobody can tell from it.
type written struct {
	Row     *storage.Row      `json:"row,omitempty"`
	Queue   storage.QueueName `json:"queue,omitempty"`
	Message string            `json:"message,omitempty"`
	Secret  string            `json:"secret,omitempty"` // of formatWell
	APIKey  string            `json:"api_key,omitempty"`
	End     time.Time         `json:"end,omitzero"` // when the gateway of that release stopped
}

// TestWhatTheFormatBeforeWroteIsRead goes on with rows and messages that were
// written, and committed, when a format was new: with this release's own and
// with the one before. They hold every kind of row and of message.
func TestWhatTheFormatBeforeWroteIsRead(t *testing.T) {
	if *writeFormat {
		synctest.Test(t, writeFormatFile)
	}
	for v := max(1, storage.RowFormat-1); v <= storage.RowFormat; v++ {
		lines := readFormatFile(t, v)
		t.Run(fmt.Sprint("format ", v), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { goOnWith(t, v, lines) })
		})
	}
}

func formatFile(v int) string { return fmt.Sprintf("testdata/format-%d.jsonl", v) }

func readFormatFile(t *testing.T, v int) []written {
	t.Helper()
	b, err := os.ReadFile(formatFile(v))
	if err != nil {
		t.Fatalf("%v: a new format needs go test ./shared/gateway -run FormatBefore -write-format", err)
	}
	var out []written
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var w written
		if err := json.Unmarshal(s.Bytes(), &w); err != nil {
			t.Fatal(err)
		}
		out = append(out, w)
	}
	return out
}

func goOnWith(t *testing.T, v int, lines []written) {
	kinds := map[string]bool{}
	g := newGateway(t, 0)
	var last written
	for _, w := range lines {
		if w.Row == nil {
			last = w
			continue
		}
		if want := fmt.Sprintf(`{"v":%d,`, v); !bytes.HasPrefix(w.Row.Data, []byte(want)) {
			t.Fatalf("row %s %s begins with %.10q, want %q", w.Row.PK, w.Row.SK, w.Row.Data, want)
		}
		if err := g.Store.Put(t.Context(), *w.Row, ""); err != nil {
			t.Fatal(err)
		}
		kinds[kindOfRow(w.Row.Key)] = true
	}
	for _, kind := range strings.Fields("S/S S/V S/C S/G S/R T/T T/R T/K T/G T/J K/K R/R R/H M G/G G/A N/N W/W L I/I E D A J/J L/L L/W") {
		if !kinds[kind] {
			t.Errorf("no row of kind %s is committed", kind)
		}
	}
	time.Sleep(time.Until(last.End))
	for _, w := range lines {
		if w.Secret != "" {
			proveGoesOn(t, g, lines, w)
		}
	}
}

// kindOfRow names the kind of row that k is of.
func kindOfRow(k storage.Key) string {
	pk, _, _ := strings.Cut(k.PK, "#")
	sk, _, _ := strings.Cut(k.SK, "#")
	if len(sk) == 1 {
		return pk + "/" + sk
	}
	return pk
}

// proveGoesOn does with the rows and messages what the next release would.
func proveGoesOn(t *testing.T, g *gateway.Gateway, lines []written, told written) {
	t.Helper()
	ctx, out := t.Context(), &outbox{}
	tenants := &accepting{}
	next := processOf(t, g, out, http.StatusOK)
	next.Egress.Transport = tenants
	c := control.Caller{Scope: control.ScopeFull, Tenant: formatTenant}

	kinds := map[string]bool{}
	for n, w := range lines {
		if w.Message == "" {
			continue
		}
		var h struct{ K string }
		head, _, _ := strings.Cut(w.Message, "\n")
		if err := json.Unmarshal([]byte(head), &h); err != nil {
			t.Fatal(err)
		}
		kinds[h.K] = true
		work := next.FanOut
		if w.Queue == storage.RetryQueue {
			work = next.Redeliver
		}
		again, err := work(ctx, []storage.Received{{Body: w.Message, Receipt: "1", Receives: 1}})
		if err != nil || len(again) > 0 {
			t.Errorf("line %d, a message of kind %s, comes again, %v", n+1, h.K, err)
		}
	}
	for _, kind := range []string{"events", "retry", "job", "lane"} {
		if !kinds[kind] {
			t.Errorf("no message of kind %s is committed", kind)
		}
	}
	for _, text := range []string{"refused, to be retried", "a message in the queue", "the head of a lane"} {
		if !tenants.got(text) {
			t.Errorf("%q was not delivered", text)
		}
	}
	if _, err := control.New(next).Registration(ctx, c, formatHeld); err != nil {
		t.Errorf("the disabled registration: %v", err)
	}
	out.pass(t, next, callbackPath{formatPlain, formatKey})
	wh, err := standardwebhooks.NewWebhook(told.Secret)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(tenants.posts, func(p tenantsPost) bool {
		return p.host == "well.example" && strings.Contains(p.body, `"hello"`) && wh.Verify([]byte(p.body), p.header) == nil
	}) {
		t.Error("a callback to a source of before is not delivered with the signature of before")
	}
	if _, err := groups.New(control.New(next), "").SetHTTPCallback(ctx, c, groups.CallbackRequest{
		Group: "a group", Secret: "a code", AppName: "App", AppUUID: formatUUID, URL: "https://app.example/",
	}); err != nil {
		t.Errorf("set_http_callback with the code of before: %v", err)
	}
	ds, _, err := history.New(control.New(next)).Deliveries(ctx, c, history.Query{Registration: formatRefused})
	if err != nil || len(ds) == 0 || ds[0].Attempts == 0 {
		t.Errorf("deliveries of before: %+v, %v", ds, err)
	}
}

// accepting is every endpoint of tenants.
type accepting struct {
	mu    sync.Mutex
	posts []tenantsPost
	code  func(host string) int // nil: 200
}

type tenantsPost struct {
	host, body string
	header     http.Header
}

func (a *accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	arrived := http.Header{} // as a server reads it
	for name, values := range r.Header {
		arrived[http.CanonicalHeaderKey(name)] = values
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.posts = append(a.posts, tenantsPost{r.URL.Host, string(body), arrived})
	code := http.StatusOK
	if a.code != nil {
		code = a.code(r.URL.Host)
	}
	return answers(code).RoundTrip(r)
}

func (a *accepting) got(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.posts, func(p tenantsPost) bool { return strings.Contains(p.body, text) })
}

// writeFormatFile lets a gateway of this release have every kind of row and
// message, and writes them down.
func writeFormatFile(t *testing.T) {
	if _, err := os.Stat(formatFile(storage.RowFormat)); err == nil {
		t.Fatal(formatFile(storage.RowFormat), "is there, and stays as it was written")
	}
	ctx, g := t.Context(), newGateway(t, 0)
	rows := &recorder{Store: g.Store, rows: map[storage.Key]storage.Row{}}
	g.Store = rows
	q := &keeper{Queue: g.Queue}
	p := processOf(t, g, &outbox{}, http.StatusOK)
	p.Queue = q
	tenants := &accepting{code: func(host string) int {
		if host == "refuses.example" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}}
	p.Egress.Transport = tenants
	c := control.Caller{Key: "key", Scope: control.ScopeFull, Tenant: formatTenant}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	name, appID, token := "a source", uint64(1400000001), formatToken
	_, err := control.New(p).CreateSource(ctx, formatPlain, control.SourceChange{Provider: "smartbots", Name: &name})
	must(err)
	_, err = control.New(p).CreateSource(ctx, formatSigned, control.SourceChange{Provider: "tencent-chat", Name: &name, SDKAppID: &appID, Token: &token})
	must(err)
	_, err = control.New(p).PutCallbackKey(ctx, "cbk_0000000000000000000000form", formatPlain, "", formatKey)
	must(err)
	_, _, err = control.New(p).CreateTenant(ctx, formatTenant, "a tenant", gateway.Limits{})
	must(err)
	_, err = control.New(p).CreateGrant(ctx, "grt_0000000000000000000000form", formatPlain, formatTenant, nil)
	must(err)
	_, apiKey, err := control.New(p).CreateAPIKey(ctx, control.Operator(), ident.New("key", time.Now()), control.APIKey{Name: "a key", Scope: control.ScopeFull, Tenant: formatTenant})
	must(err)
	_, _, err = groups.New(control.New(p), "").CreateGroup(ctx, formatGroup, groups.GroupChange{Source: formatPlain, Name: "A group", UUID: formatUUID, Code: "a code"})
	must(err)
	_, err = groups.New(control.New(p), "").SetHTTPCallback(ctx, c, groups.CallbackRequest{Group: "a group", Secret: "a code", AppName: "App", AppUUID: formatUUID, URL: "https://app.example/"})
	must(err)
	_, _, err = control.New(p).Idempotent(ctx, c, control.Create{Key: "a create", Body: "a body", Prefix: "reg"}, func(string) error { return nil })
	must(err)
	all, yes, secret := []string{"group_chat"}, true, ""
	for id, ch := range map[string]control.RegistrationChange{
		formatWell:    {URL: new("https://well.example/"), EventTypes: &all},
		formatRefused: {URL: new("https://refuses.example/"), EventTypes: &all, Headers: map[string]string{"X-A": "b"}},
		formatOrdered: {URL: new("https://orders.example/"), EventTypes: &all, Ordered: &yes},
		formatHeld:    {URL: new("https://held.example/"), EventTypes: &all},
	} {
		_, s, err := control.New(p).CreateRegistration(ctx, c, id, formatPlain, ch)
		must(err)
		if id == formatWell {
			secret = s
		}
	}
	_, err = control.New(p).DisableRegistration(ctx, c, formatHeld)
	must(err)
	chat := func(text string) []storage.Message {
		t.Helper()
		reply := p.Ingest(ctx, "smartbots", formatPlain, formatKey, &provider.Callback{
			Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Received: time.Now(),
			Body: []byte(url.Values{"action": {"group_chat"}, "group_uuid": {formatUUID}, "message": {text}}.Encode()),
		})
		if reply.StatusCode != http.StatusOK {
			t.Fatalf("callback: %d %s", reply.StatusCode, reply.Body)
		}
		return q.take(storage.EventsQueue)
	}
	for _, text := range []string{"refused, to be retried", "the head of a lane"} {
		for _, m := range chat(text) {
			if again, err := p.FanOut(ctx, []storage.Received{{Body: m.Body, Receipt: "1", Receives: 1}}); err != nil || len(again) > 0 {
				t.Fatal(again, err)
			}
		}
	}
	_, err = control.New(p).StartRecover(ctx, c, ident.New("job", time.Now()), formatRefused, control.Span{Since: time.Now().Add(-time.Hour)})
	must(err)
	waiting := chat("a message in the queue")
	rows.write(t, append(q.all(waiting), written{Secret: secret, APIKey: apiKey, End: time.Now().Add(3 * time.Second)}))
}

// recorder keeps what is stored.
type recorder struct {
	storage.Store
	mu   sync.Mutex
	rows map[storage.Key]storage.Row
}

func (r *recorder) Put(ctx context.Context, row storage.Row, was string) error {
	err := r.Store.Put(ctx, row, was)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.rows[row.Key] = row
	}
	return err
}

func (r *recorder) Delete(ctx context.Context, k storage.Key, was string) error {
	err := r.Store.Delete(ctx, k, was)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.rows, k)
	}
	return err
}

func (r *recorder) write(t *testing.T, more []written) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	rows := make([]storage.Row, 0, len(r.rows))
	for _, row := range r.rows {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b storage.Row) int { return strings.Compare(a.PK+" "+a.SK, b.PK+" "+b.SK) })
	for _, row := range rows {
		more = append([]written{{Row: &row}}, more...)
	}
	for _, w := range more {
		if err := enc.Encode(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(formatFile(storage.RowFormat), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// keeper keeps what is sent.
type keeper struct {
	storage.Queue
	mu   sync.Mutex
	sent map[storage.QueueName][]storage.Message
}

func (k *keeper) Send(_ context.Context, q storage.QueueName, ms []storage.Message) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sent == nil {
		k.sent = map[storage.QueueName][]storage.Message{}
	}
	k.sent[q] = append(k.sent[q], ms...)
	return make([]error, len(ms))
}

func (k *keeper) take(q storage.QueueName) []storage.Message {
	k.mu.Lock()
	defer k.mu.Unlock()
	ms := k.sent[q]
	delete(k.sent, q)
	return ms
}

func (k *keeper) all(events []storage.Message) (out []written) {
	for _, m := range events {
		out = append(out, written{Queue: storage.EventsQueue, Message: m.Body})
	}
	for _, m := range k.take(storage.RetryQueue) {
		out = append(out, written{Queue: storage.RetryQueue, Message: m.Body})
	}
	return out
}
