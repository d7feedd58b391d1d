package isolation

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/app"
	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
)

// A house is what serves the queues.
type house struct {
	name      string
	processes int
	batch     int           // messages that a process takes at once
	first     time.Duration // FIRST_ATTEMPT
}

var (
	one = house{"one process", 1, 1, 0}
	ten = house{"ten processes, batches of ten", 10, 10, time.Second}
)

// How many handlers the one process has for each queue; functions/local says the
// same. Each of the ten takes a batch of a queue.
var handlers = map[storage.QueueName]int{storage.EventsQueue: 512, storage.RetryQueue: 256, storage.SlowQueue: 256}

// A neighbour says how the endpoints of others respond. Each is asked with how long
// ago the bad time began and how often its host was called before.
type neighbour struct {
	name  string
	anew  bool // its registrations are made anew all the time, as fast as they may be
	does  func(since time.Duration, before int) (after time.Duration, status int)
	drips bool // a byte a second
	turns bool // from fast to slow
}

func always(after time.Duration, status int) func(time.Duration, int) (time.Duration, int) {
	return func(time.Duration, int) (time.Duration, int) { return after, status }
}

var (
	atOnce     = neighbour{name: "responds at once", does: always(0, 200)}
	neighbours = []neighbour{
		{name: "hangs", does: always(time.Hour, 0)},
		{name: "200 after 14 s", does: always(14*time.Second, 200)},
		{name: "one byte a second", does: always(0, 200), drips: true},
		{name: "500", does: always(20*time.Millisecond, 500)},
		{name: "made anew, fast three times", anew: true, turns: true, does: func(_ time.Duration, before int) (time.Duration, int) {
			if before < 3 {
				return 30 * time.Millisecond, 200
			}
			return 14 * time.Second, 200
		}},
		{name: "fast for a minute, then slow", turns: true, does: func(since time.Duration, _ int) (time.Duration, int) {
			if since < time.Minute {
				return 50 * time.Millisecond, 200
			}
			return 14 * time.Second, 200
		}},
	}
)

// A crowd is who is there beside the healthy tenants.
type crowd struct {
	name    string
	tenants int           // bad ones
	each    int           // registrations of one on each of two sources
	healthy int           // tenants
	every   time.Duration // a healthy tenant gets an event; a bad one ten times as many
	turning time.Duration // the bound of healthy tenants' p99 while the bad turn slow
}

var (
	single = crowd{"1 bad tenant, 50 registrations on each of two sources", 1, 50, 1, time.Second, 600 * time.Millisecond}
	many   = crowd{"20 bad of 200 tenants", 20, 1, 180, 10 * time.Second, time.Second}
)

// A result is how long healthy tenants' events took from their callback, and those
// of an honest endpoint that takes 3 s.
type result struct{ p50, p99, max, honest50, honest99 time.Duration }

// A world is a gateway on one Store, and the network.
type world struct {
	*testing.T
	control  *control.Control
	front    *gateway.Gateway
	source   [2]string // ids
	path     [2]string // of callbacks
	begun    time.Time // the bad time
	bad      neighbour
	responds func(body string) int // to all; nil: as healthy, honest and bad endpoints do

	mu     sync.Mutex
	rng    *rand.Rand
	sent   map[string]time.Time
	came   map[string]bool // texts of events that were sent, not of those of bad tenants
	called map[string]int
	took   map[string][]time.Duration // by kind of host
}

// measure has a crowd be served for so long, and returns what healthy tenants felt.
func measure(t *testing.T, h house, c crowd, n neighbour, long time.Duration) (r result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T: t, bad: n, rng: rand.New(rand.NewPCG(1, 2)),
			sent: map[string]time.Time{}, came: map[string]bool{}, called: map[string]int{}, took: map[string][]time.Duration{},
		}
		stop := w.start(h)
		defer stop()
		w.live(c, long)
		r = w.result()
	})
	return r
}

// start opens the Store and serves its queues.
func (w *world) start(h house) (stop func()) {
	db := gatewaytest.Open(w)
	keys := gatewaytest.Keys(w, gatewaytest.KeyRing)
	cfg := gatewaytest.Config(w)
	cfg.FirstAttempt = h.first
	process := func() *gateway.Gateway {
		g := gatewaytest.Must(app.New(cfg, app.Parts{
			Store: db, Queue: db, SingleProcess: h.processes == 1, Keys: keys, Providers: all.Providers(),
			Log: slog.New(slog.DiscardHandler),
		}))(w)
		g.Egress.Transport = w
		return g
	}
	w.front = process()
	w.control = control.New(w.front)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for q := range handlers {
		free := make(chan *gateway.Gateway, max(h.processes, handlers[q]))
		c := embedded.Consumer{Batch: h.batch, Concurrency: h.processes, Timeout: time.Minute}
		if h.processes == 1 {
			c.Concurrency = handlers[q]
			for range handlers[q] {
				free <- w.front
			}
		} else {
			perProcess := 1
			if q == storage.SlowQueue && h.batch > 1 {
				perProcess = 5 // batches of 50, of which a Consumer takes 10
			}
			for range h.processes {
				p := process()
				for range perProcess {
					free <- p
				}
			}
			c.Concurrency = h.processes * perProcess
		}
		c.Handler = func(ctx context.Context, ms []storage.Received) ([]string, error) {
			for range w.upTo(len(free)) { // Lambda hands messages to any of its environments
				free <- <-free
			}
			p := <-free
			defer func() { free <- p }()
			return p.Handlers()[q](ctx, ms)
		}
		running.Go(func() { db.Serve(ctx, q, c) })
	}
	tick := process()
	if h.processes == 1 {
		tick = w.front
	}
	running.Go(func() { gatewaytest.Schedule(ctx, tick, time.Minute) })
	return func() { cancel(); running.Wait() }
}

// upTo returns a random number below n, or 0.
func (w *world) upTo(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(max(n, 1))
}

// tenant makes one that may have all of both sources.
func (w *world) tenant() control.Caller {
	id := ident.New("ten", time.Now())
	gatewaytest.MustPage(w.control.CreateTenant(w.Context(), id, "a tenant", gateway.Limits{}))(w)
	for _, s := range w.source {
		gatewaytest.Must(w.control.CreateGrant(w.Context(), ident.New("grt", time.Now()), s, id, nil))(w)
	}
	return control.Caller{Scope: control.ScopeFull, Tenant: id}
}

func (w *world) register(c control.Caller, source, host string, m gateway.Match) string {
	ch := control.RegistrationChange{URL: new("https://" + host + "/hook"), EventTypes: &[]string{"*"}}
	if m != nil {
		ch.Match = &m
	}
	for {
		r, _, err := w.control.CreateRegistration(w.Context(), c, ident.New("reg", time.Now()), source, ch)
		if !errors.Is(err, control.ErrLimit) {
			return gatewaytest.Must(r, err)(w).ID
		}
		time.Sleep(2 * time.Second)
	}
}

// sources makes both.
func (w *world) sources() {
	for i := range w.source {
		w.source[i] = ident.NewSource()
		gatewaytest.Must(w.control.CreateSource(w.Context(), w.source[i], control.SourceChange{Provider: "smartbots", Name: new("bots")}))(w)
		const key = "0123456789abcdef0123456789abcdef"
		gatewaytest.Must(w.control.PutCallbackKey(w.Context(), ident.New("cbk", time.Now()), w.source[i], "", key))(w)
		w.path[i] = "/callbacks/smartbots/" + w.source[i] + "/" + key
	}
}

// live has healthy tenants be served for a while alone, so that their endpoints are
// known, and then so long beside the crowd.
func (w *world) live(c crowd, long time.Duration) {
	w.sources()
	match := func(group string) gateway.Match { return gateway.Match{"group": {group}} }
	honest := w.tenant()
	w.register(honest, w.source[0], "honest.example", match(group(1_000_000)))
	for n := range c.healthy {
		w.register(w.tenant(), w.source[0], fmt.Sprintf("healthy%d.example", n), match(group(n)))
	}
	for range 20 {
		for n := range c.healthy {
			w.chat(0, group(n), "before")
		}
		w.chat(0, group(1_000_000), "before")
		time.Sleep(4 * time.Second)
	}
	w.begun = time.Now()
	var bad []control.Caller
	var ids []string
	var sources []int
	for n := range c.tenants {
		bad = append(bad, w.tenant())
		for i := range w.source {
			for range c.each {
				sources = append(sources, i)
				ids = append(ids, w.register(bad[n], w.source[i], w.host(), w.wants(c, n)))
			}
		}
	}
	var clients sync.WaitGroup
	clients.Go(func() { w.events(long, c.every, func(i int) { w.chat(0, group(1_000_000), "honest"+fmt.Sprint(i)) }) })
	for n := range c.healthy {
		clients.Go(func() {
			time.Sleep(time.Duration(n) * c.every / time.Duration(c.healthy))
			w.events(long, c.every, func(i int) { w.chat(0, group(n), fmt.Sprintf("healthy%d-%d", n, i)) })
		})
	}
	for n := range c.tenants {
		clients.Go(func() {
			time.Sleep(time.Duration(n) * time.Millisecond)
			w.events(long, c.every/10, func(i int) { w.chat(i%2, group(2_000_000+n), "bad") })
		})
	}
	if w.bad.anew {
		clients.Go(func() { // a hundred at once, and then one in 2 s, as they may be
			for i := 0; time.Since(w.begun) < long; i++ {
				if i >= 100 {
					time.Sleep(2 * time.Second)
				}
				of := i % len(ids)
				tenant := of / (2 * c.each)
				if err := w.control.DeleteRegistration(w.Context(), bad[tenant], ids[of]); err != nil {
					w.Error(err)
				}
				ids[of] = w.register(bad[tenant], w.source[sources[of]], w.host(), w.wants(c, tenant))
			}
		})
	}
	clients.Wait()
	for range 60 { // what is late
		if w.allCame() {
			break
		}
		time.Sleep(time.Second)
	}
}

// allCame reports whether the events of all healthy and honest endpoints arrived.
func (w *world) allCame() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for text := range w.sent {
		if kind := strings.TrimRight(text, "-0123456789"); kind != "before" && kind != "bad" && !w.came[text] {
			return false
		}
	}
	return true
}

// wants returns the match of the n-th bad tenant: a single one has all.
func (w *world) wants(c crowd, n int) gateway.Match {
	if c.tenants == 1 {
		return nil
	}
	return gateway.Match{"group": {group(2_000_000 + n)}}
}

// host returns a new name of a bad endpoint.
func (w *world) host() string { return "bad" + strings.ToLower(storage.NewRev()) + ".example" }

func group(n int) string { return fmt.Sprintf("%08d-0a5e-4a0c-9a5a-1f6d2f0e7c11", n) }

// events calls f every so often for so long.
func (w *world) events(long, every time.Duration, f func(i int)) {
	for i := range int(long / every) {
		f(i)
		time.Sleep(every)
	}
}

// chat sends a group chat, whose text says when it was.
func (w *world) chat(source int, group, text string) {
	w.mu.Lock()
	w.sent[text] = time.Now()
	w.mu.Unlock()
	body := url.Values{"action": {"group_chat"}, "group_uuid": {group}, "message": {text}}.Encode()
	r := httptest.NewRequest(http.MethodPost, w.path[source], strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	app.Callback(w.front, "smartbots").ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.Errorf("callback: %d %s", rec.Code, rec.Body)
	}
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	kind := strings.TrimRight(strings.TrimSuffix(r.URL.Host, ".example"), "0123456789")
	after, status := time.Duration(0), http.StatusOK
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	switch {
	case w.responds != nil:
		after, status = 20*time.Millisecond, w.responds(string(body))
	case kind == "healthy":
		after = healthy(textOf(string(body)))
	case kind == "honest":
		after = 3 * time.Second
	default:
		kind = "bad"
		after, status = w.bad.does(time.Since(w.begun), w.called[r.URL.Host])
		w.called[r.URL.Host]++
	}
	w.mu.Unlock()
	select {
	case <-time.After(after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if kind != "bad" {
		w.note(kind, string(body))
	}
	out := io.ReadCloser(http.NoBody)
	if kind == "bad" && w.bad.drips {
		out = &drip{r.Context()}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: out, Request: r}, nil
}

// healthy returns how long a healthy endpoint takes for an event: 20 to 120 ms, and as
// long in each run, so that two of them compare what the gateway adds.
func healthy(text string) time.Duration {
	return (20 + time.Duration(crc32.ChecksumIEEE([]byte(text))%100)) * time.Millisecond
}

// note notes how long an event took, from its callback to its endpoint's response.
func (w *world) note(kind, body string) {
	text := textOf(body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if sent, ok := w.sent[text]; ok && text != "before" {
		w.took[kind] = append(w.took[kind], time.Since(sent))
		w.came[text] = true
	}
}

// A drip is a body of a byte a second.
type drip struct{ ctx context.Context }

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		p[0] = '.'
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (d *drip) Close() error { return nil }

func (w *world) result() result {
	at := func(kind string, part int) time.Duration {
		all := w.took[kind]
		slices.Sort(all)
		if len(all) == 0 {
			w.Fatalf("no event of %s arrived", kind)
		}
		return all[min(len(all)*part/100, len(all)-1)]
	}
	return result{at("healthy", 50), at("healthy", 99), at("healthy", 100), at("honest", 50), at("honest", 99)}
}
