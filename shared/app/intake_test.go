package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/transfer"
)

// An intake is one provider's handler over a gateway whose queue is worked off
// by call, with a tenant that is registered for everything in both formats.
type intake struct {
	name    string
	p       provider.Provider
	now     time.Time // by the gateway's clock, which stands
	g       *gateway.Gateway
	handler http.Handler
	queue   *heldQueue
	log     *gatewaytest.Lines
	tally   *tally
	tenant  *recordingTenant
	seen    map[string]bool // ids of events
	idle    bool            // nobody works, and what is queued is dropped
}

// faults change parts of an intake, so that a test sees what is found then.
type faults struct {
	provider func(provider.Provider) provider.Provider
	handler  func(http.Handler, *intake) http.Handler
	metric   func(gateway.Metric) gateway.Metric
	message  func(*storage.Message)
	loses    bool     // the queue loses what is sent
	types    []string // of events, that are registered for; nil: all
}

func newIntake(tb testing.TB, name string, f faults) *intake {
	tb.Helper()
	db, cfg := gatewaytest.Open(tb), gatewaytest.Config(tb)
	in := &intake{
		name: name, p: all.Providers()[name], now: time.Now(), log: &gatewaytest.Lines{}, seen: map[string]bool{},
		queue: &heldQueue{Queue: db, faults: f}, tally: &tally{faults: f}, tenant: &recordingTenant{posts: map[string][]tenantPost{}},
	}
	providers := all.Providers()
	if f.provider != nil {
		providers[name] = f.provider(providers[name])
	}
	in.g = gatewaytest.Must(app.New(cfg, app.Parts{Steps: transfer.Steps, Store: db, Queue: in.queue, Keys: gatewaytest.Keys(tb, gatewaytest.KeyRing), Providers: providers,
		Metrics: in.tally, SingleProcess: true, Log: slog.New(slog.NewJSONHandler(in.log, nil))}))(tb)
	in.g.Egress.Transport, in.g.Now = in.tenant, func() time.Time { return in.now }
	if in.handler = app.Callback(in.g, name); f.handler != nil {
		in.handler = f.handler(in.handler, in)
	}
	if f.types == nil {
		f.types = []string{"*"}
	}
	if err := in.setUp(f.types); err != nil {
		tb.Fatal(err)
	}
	return in
}

// setUp makes the source, and the tenant with its two registrations.
func (in *intake) setUp(types []string) error {
	ctx, c, tenant := context.Background(), control.New(in.g), ident.New("ten", in.now)
	ch := control.SourceChange{Provider: in.name, Name: &in.name}
	switch in.name {
	case "tencent-chat":
		ch.SDKAppID, ch.Token = new(uint64(hostileAppID)), new(hostileToken)
	case "direct":
		ch.Basic = &provider.Login{Name: "tenant-7", Password: hostilePassword}
	}
	_, errSource := c.CreateSource(ctx, hostileSource, ch)
	_, errKey := c.PutCallbackKey(ctx, ident.New("cbk", in.now), hostileSource, hostileLabel, hostileKey)
	_, _, errTenant := c.CreateTenant(ctx, tenant, "a tenant", gateway.Limits{})
	_, errGrant := c.CreateGrant(ctx, ident.New("grt", in.now), hostileSource, tenant, nil)
	err := errors.Join(errSource, errKey, errTenant, errGrant)
	for _, format := range []gateway.Format{gateway.Standard, gateway.Raw} {
		ch := control.RegistrationChange{URL: new("https://tenant.example/" + string(format)), EventTypes: &types, Format: &format}
		_, _, errRegistration := c.CreateRegistration(ctx, control.Caller{Scope: control.ScopeFull, Tenant: tenant}, ident.New("reg", in.now), hostileSource, ch)
		err = errors.Join(err, errRegistration)
	}
	return err
}

// check sends r twice and returns what is wrong with what became of it. A
// request that net/http refuses reaches no handler, so nothing is.
func (in *intake) check(r hostileRequest) error {
	first, err := in.send(r)
	if err != nil || first == nil {
		return err
	}
	again, err := in.send(r)
	if err != nil {
		return fmt.Errorf("sent again: %w", err)
	}
	if len(again) != len(first) {
		return fmt.Errorf("sent again: %d events, want %d", len(again), len(first))
	}
	for i, e := range first {
		switch same := e.event.ID == again[i].event.ID; {
		case same && !e.repeatable:
			return errors.New("sent again: the same id, though a fact may occur twice")
		case !same && e.repeatable:
			return errors.New("sent again: another id")
		}
	}
	return nil
}

// A taken is an event that a callback brought.
type taken struct {
	event      provider.Event
	repeatable bool // a repeat of it can be recognised
}

// send sends r once, has the worker do all that follows, and returns the
// events; nil if the request was refused.
func (in *intake) send(r hostileRequest) ([]taken, error) {
	wire := r.wire(in.name, in.now)
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return nil, nil
	}
	req.RemoteAddr = "192.0.2.1:4711"
	in.tally.clear()
	rec := httptest.NewRecorder()
	in.handler.ServeHTTP(rec, req)
	if !in.documented(rec) {
		return nil, fmt.Errorf("status %d with %.200q, which is none of the provider's", rec.Code, rec.Body)
	}
	if err := in.checkTrace(rec.Code); err != nil || rec.Code != http.StatusOK {
		return nil, err
	}
	copied, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(copied.Body)
	if err != nil {
		return nil, fmt.Errorf("accepted, though the body ends with %w", err)
	}
	events, err := in.events(&provider.Callback{Method: req.Method, Query: req.URL.RawQuery, Header: req.Header, Body: body})
	if err != nil {
		return nil, err
	}
	if in.idle {
		in.queue.held = nil
		return events, nil
	}
	return events, in.work(events)
}

// documented reports whether rec is one of the provider's replies. None of those
// for what the caller did has a status of 500 or more, except 508 for a loop.
func (in *intake) documented(rec *httptest.ResponseRecorder) bool {
	for _, err := range []error{
		nil, provider.ErrNotFound, provider.ErrMethod, provider.ErrSignature, provider.ErrUnauthorized, provider.ErrForbidden,
		provider.ErrTooLarge, provider.ErrUnreadable, provider.ErrCoding, provider.ErrLoop,
	} {
		if r := in.p.Reply(err); rec.Code == r.StatusCode && bytes.Equal(rec.Body.Bytes(), r.Body) && rec.Header().Get("Content-Type") == r.ContentType {
			return true
		}
	}
	return false
}

// checkTrace wants one line and one count of a refusal, nothing queued, and no
// line of what was accepted.
func (in *intake) checkTrace(status int) error {
	text, refused, accepted := in.log.Take(), in.tally.of(gateway.RefusedCallbacks), in.tally.of(gateway.Callbacks)
	want, queued := 0, len(in.queue.held)
	if status != http.StatusOK {
		want = 1
	}
	switch n := strings.Count(text, "\n"); {
	case holdsSecret(text):
		return fmt.Errorf("the log holds a secret: %s", text)
	case n != want || want == 1 && !strings.Contains(text, `"outcome":"refused"`) || len(text) > 2<<10:
		return fmt.Errorf("status %d leaves %d lines, want %d: %.3000s", status, n, want, text)
	case refused != float64(want) || accepted != float64(1-want):
		return fmt.Errorf("status %d counts %v refused and %v accepted", status, refused, accepted)
	case want == 1 && queued > 0:
		return fmt.Errorf("status %d, and yet %d messages were sent", status, queued)
	}
	return nil
}

func holdsSecret(text string) bool {
	return slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) })
}

// events returns what the messages carry: each part that encoding/json finds
// in the body is an item, byte for byte, and each item that repeats no other is
// an event.
func (in *intake) events(cb *provider.Callback) ([]taken, error) {
	reading, err := in.g.Providers[in.name].Parse(cb)
	if err != nil {
		return nil, fmt.Errorf("accepted, but Parse: %w", err)
	}
	if parts := partsOf(in.name, cb.Body); !slices.ContainsFunc(parts, func(p [][]byte) bool { return areItems(p, reading.Items) }) {
		return nil, fmt.Errorf("%d items, which are not the %d parts of the body", len(reading.Items), len(parts[0]))
	}
	var got []provider.Event
	for _, h := range in.queue.held {
		_, as, err := message.Read(h.m.Body)
		if err != nil {
			return nil, err
		}
		for _, a := range as {
			got = append(got, a.Event)
		}
	}
	items := in.distinct(reading.Items)
	if len(items) != len(got) {
		return nil, fmt.Errorf("%d events in the messages, want %d", len(got), len(items))
	}
	out := []taken{}
	for i, it := range items {
		e := got[i]
		if !bytes.Equal(e.Payload, it.Payload) || e.Type != it.Type || e.Unreadable != it.Unreadable || e.ContentType != reading.ContentType ||
			e.Query != reading.Query || !e.Time.Equal(it.Time.Truncate(time.Millisecond)) || !sameKeys(e.Keys, it.Keys) {
			return nil, fmt.Errorf("event %d came out of the message as %.2000v, want %.2000v", i, e, it)
		}
		out = append(out, taken{e, in.name != "smartbots" && in.repeatable(it)})
	}
	return out, nil
}

// sameKeys reports whether an event's routing keys are those of its item and
// the label of its callback's key.
func sameKeys(event, item map[string][]string) bool {
	for kind, values := range item {
		if !slices.Equal(event[kind], values) {
			return false
		}
	}
	return len(event) == len(item)+1 && slices.Equal(event["label"], []string{hostileLabel})
}

// distinct leaves out the items that repeat another of the same callback.
func (in *intake) distinct(items []provider.Item) (out []provider.Item) {
	seen := map[string]bool{}
	for _, it := range items {
		key := it.Type + "\x00" + it.NaturalKey
		if !in.repeatable(it) || !seen[key] {
			out = append(out, it)
		}
		seen[key] = true
	}
	return out
}

// repeatable reports whether a repeat of it is recognised: it has a natural key
// and a time, of the last week, that belongs to it.
func (in *intake) repeatable(it provider.Item) bool {
	age := in.now.Sub(it.StableTime)
	return it.NaturalKey != "" && age > -time.Hour && age < 7*24*time.Hour
}

// work has the worker do what waits, and wants each event delivered once in
// each format, however often it came.
func (in *intake) work(events []taken) error {
	for range 10 {
		if len(in.queue.held) == 0 {
			break
		}
		held := in.queue.held
		in.queue.held = nil
		for _, h := range held {
			again, err := in.g.Handlers()[h.q](context.Background(), []storage.Received{{Body: h.m.Body, Receipt: "r", Receives: 1}})
			if err != nil || len(again) > 0 {
				return fmt.Errorf("the worker wants a message of %s again: %w: %.2000s", h.q, err, in.log.Take())
			}
		}
	}
	if text := in.log.Take(); holdsSecret(text) || strings.Contains(text, `"level":"ERROR"`) {
		return fmt.Errorf("the worker logs %.2000s", text)
	}
	for _, t := range events {
		if err := in.checkDelivered(&t.event); err != nil {
			return err
		}
		in.seen[t.event.ID] = true
	}
	return nil
}

func (in *intake) checkDelivered(e *provider.Event) error {
	posts, want := in.tenant.posts[e.ID], 2
	if e.Unreadable {
		want = 0
	}
	if len(posts) != want {
		return fmt.Errorf("an event was delivered %d times, want %d, once in each format", len(posts), want)
	}
	for _, p := range posts {
		switch raw := in.p.Raw(e, "", in.now).Body; {
		case p.format == gateway.Standard && !json.Valid(p.body):
			return fmt.Errorf("a standard delivery is no JSON: %.200q", p.body)
		case p.format == gateway.Raw && !in.seen[e.ID] && !bytes.Equal(p.body, raw): // a repeat may have another payload
			return fmt.Errorf("a raw delivery is %.200q, want %.200q", p.body, raw)
		}
	}
	return nil
}

// partsOf returns the parts that a callback's body may be split into, by
// encoding/json.
func partsOf(name string, body []byte) [][][]byte {
	trimmed := bytes.Trim(bytes.TrimPrefix(body, []byte("\uFEFF")), " \t\r\n") // RFC 8259, sections 2 and 8.1
	switch name {
	case "direct":
		return [][][]byte{elementsOf(trimmed)}
	case "tencent-chat":
		var object map[string]json.RawMessage
		if json.Unmarshal(trimmed, &object) == nil && len(object) == 0 {
			return [][][]byte{nil}
		}
		return [][][]byte{{body}, elementsOf(object["Events"])}
	}
	return [][][]byte{{body}}
}

// elementsOf returns the elements of an array, or what is no array alone.
func elementsOf(b []byte) [][]byte {
	var elements []json.RawMessage
	if len(b) == 0 || b[0] != '[' || json.Unmarshal(b, &elements) != nil {
		return [][]byte{b}
	}
	out := make([][]byte, len(elements))
	for i, e := range elements {
		out[i] = e
	}
	return out
}

// areItems reports whether the parts are the items, in order. A last item may
// say how many more could not be read.
func areItems(parts [][]byte, items []provider.Item) bool {
	left := 0
	if n := len(items) - 1; n >= provider.MaxUnreadable && items[n].Unreadable {
		if _, err := fmt.Sscanf(string(items[n].Payload), "%d more items could not be read", &left); err == nil {
			items = items[:n]
		}
	}
	for _, part := range parts {
		if len(items) > 0 && items[0].Unreadable {
			part = part[:min(len(part), provider.MaxUnreadableBytes)]
		}
		if len(items) > 0 && bytes.Equal(part, items[0].Payload) {
			items = items[1:]
		} else {
			left--
		}
	}
	return len(items) == 0 && left == 0
}

// A heldQueue holds what is sent until it is worked off.
type heldQueue struct {
	storage.Queue
	faults faults
	mu     sync.Mutex
	held   []heldMessage
}

type heldMessage struct {
	q storage.QueueName
	m storage.Message
}

func (q *heldQueue) Send(_ context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range ms {
		if q.faults.message != nil {
			q.faults.message(&m)
		}
		if errs[i] == nil && !q.faults.loses {
			q.held = append(q.held, heldMessage{name, m})
		}
	}
	return errs
}

// A tally counts what one request is counted for.
type tally struct {
	faults faults
	mu     sync.Mutex
	counts map[gateway.Metric]float64
}

func (c *tally) Add(name gateway.Metric, v float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults.metric != nil {
		name = c.faults.metric(name)
	}
	c.counts[name] += v
}

func (c *tally) of(name gateway.Metric) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[name]
}

func (c *tally) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = map[gateway.Metric]float64{}
}

// A recordingTenant accepts every delivery, by its event's id.
type recordingTenant struct {
	mu    sync.Mutex
	posts map[string][]tenantPost
}

type tenantPost struct {
	format gateway.Format
	body   []byte
}

func (t *recordingTenant) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	id := gatewaytest.Canonical(r.Header).Get("Webhook-Id")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.posts[id] = append(t.posts[id], tenantPost{gateway.Format(strings.TrimPrefix(r.URL.Path, "/")), body})
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, err
}
