package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/control"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// A bench is a gateway on the embedded backend behind real sockets, with the
// generator and the receiver in the same process: CPU figures hold all three.
type bench struct {
	b        testing.TB
	g        *gateway.Gateway
	server   *httptest.Server
	receiver *httptest.Server
	client   *http.Client
	arrived  chan time.Duration // from the time that the callback's message tells, if it does
	got      atomic.Int64
}

func newBench(b testing.TB, worker bool) *bench {
	db, cfg, stop := gatewaytest.OpenWith(b, embedded.Options{}), gatewaytest.Config(b), func() {}
	cfg.AllowEndpoints = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.PublicURL = "http://ringback.example"
	x := &bench{b: b, arrived: make(chan time.Duration, 1<<20)}
	x.g = gatewaytest.Must(app.New(cfg, app.Parts{Steps: transfer.Steps,
		Store: db, Queue: db, Keys: gatewaytest.Keys(b, gatewaytest.KeyRing), Providers: all.Providers(), SingleProcess: true,
		Log: slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}))(b)
	if worker {
		stop = gatewaytest.Run(x.g, gatewaytest.On(db, embedded.Consumer{Batch: 1, Concurrency: 256, Timeout: time.Minute}), 0)
	}
	mux := http.NewServeMux()
	for name := range x.g.Providers {
		mux.Handle("/callbacks/"+name+"/", app.Callback(x.g, name))
	}
	x.server = httptest.NewServer(mux)
	x.receiver = httptest.NewServer(http.HandlerFunc(x.receive))
	x.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, DialContext: (&net.Dialer{}).DialContext}}
	b.Cleanup(func() {
		x.client.CloseIdleConnections()
		x.server.Close()
		stop()
		x.receiver.Close()
	})
	return x
}

// receive counts a delivery, and how long it took since the callback was sent,
// which the sender put into the message.
func (x *bench) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if _, at, ok := strings.Cut(string(body), `"sent":"`); ok {
		at, _, _ = strings.Cut(at, `"`)
		if ns, err := strconv.ParseInt(at, 10, 64); err == nil {
			select {
			case x.arrived <- time.Since(time.Unix(0, ns)):
			default:
			}
		}
	}
	x.got.Add(1)
}

// source makes a SmartBots source with registrations at the receiver, and
// returns its callback path.
func (x *bench) source(registrations int) string {
	x.b.Helper()
	ctx := context.Background()
	s, err := control.New(x.g).CreateSource(ctx, ident.NewSource(), control.SourceChange{Provider: "smartbots", Name: ptr("bench")})
	if err != nil {
		x.b.Fatal(err)
	}
	tenant, _, err := control.New(x.g).CreateTenant(ctx, ident.New("ten", time.Now()), "bench", gateway.Limits{})
	if err != nil {
		x.b.Fatal(err)
	}
	if _, err := control.New(x.g).CreateGrant(ctx, ident.New("grt", time.Now()), s.ID, tenant.ID, nil); err != nil {
		x.b.Fatal(err)
	}
	c := control.Caller{Scope: control.ScopeFull, Tenant: tenant.ID, Limits: gateway.Limits{RegistrationsPerSource: 1 << 20}}
	for range registrations {
		ch := control.RegistrationChange{URL: ptr(x.receiver.URL + "/hook")}
		if _, _, err := control.New(x.g).CreateRegistration(ctx, c, ident.New("reg", time.Now()), s.ID, ch); err != nil {
			x.b.Fatal(err)
		}
	}
	text, err := control.New(x.g).FirstCallbackURL(ctx, s)
	if err != nil {
		x.b.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		x.b.Fatal(err)
	}
	return u.Path
}

// kib is a group chat of about 1 KiB.
func kib() string {
	return "action=group_chat&group_uuid=" + groupA + "&sent=" + strconv.FormatInt(time.Now().UnixNano(), 10) +
		"&speaker_name=Nadia+Quill&message=" + strings.Repeat("dock+is+open+", 64)
}

func (x *bench) post(path string) {
	resp, err := x.client.Post(x.server.URL+path, "application/x-www-form-urlencoded", strings.NewReader(kib()))
	if err != nil {
		x.b.Error(err)
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		x.b.Errorf("callback: %s", resp.Status)
	}
}

// BenchmarkIngest is the callback handler alone, warm, on a queue that takes
// everything at once: what it costs before the one call to SQS.
func BenchmarkIngest(b *testing.B) {
	for _, name := range []string{"smartbots", "tencent-chat", "direct"} {
		b.Run(name, func(b *testing.B) {
			ingest := newBench(b, false).ingest(name)
			b.ReportAllocs()
			for b.Loop() {
				ingest()
			}
		})
	}
}

// TestWarmIngestAllocatesLittle holds the budget of 60 allocations.
func TestWarmIngestAllocatesLittle(t *testing.T) {
	proofs.Long(t)
	for _, name := range []string{"smartbots", "tencent-chat", "direct"} {
		ingest := newBench(t, false).ingest(name)
		if n := testing.AllocsPerRun(200, ingest); n > 60 {
			t.Errorf("warm ingest of a 1 KiB callback of %s: %v allocations, want at most 60", name, n)
		}
	}
}

// ingest returns a function that has the handler take one callback of 1 KiB.
func (x *bench) ingest(provider string) func() {
	x.b.Helper()
	x.g.Queue = taking{}
	ch := control.SourceChange{Provider: provider, Name: ptr("bench")}
	query, contentType, text := "", "application/json", directKiB()
	switch provider {
	case "smartbots":
		contentType, text = "application/x-www-form-urlencoded", kib()
	case "tencent-chat":
		query, text = "SdkAppid=1400000001&CallbackCommand=Bot.OnGroupMessage&contenttype=json&ClientIP=127.0.0.1&OptPlatform=iOS", tencentKiB()
		ch.SDKAppID = ptr(uint64(1400000001))
	}
	s, err := control.New(x.g).CreateSource(context.Background(), ident.NewSource(), ch)
	if err != nil {
		x.b.Fatal(err)
	}
	at, err := control.New(x.g).FirstCallbackURL(context.Background(), s)
	if err != nil {
		x.b.Fatal(err)
	}
	body := strings.NewReader(text)
	r := httptest.NewRequest(http.MethodPost, at+"?"+query, body)
	r.Header.Set("Content-Type", contentType)
	h, w := app.Callback(x.g, provider), &discarding{header: http.Header{}}
	return func() {
		body.Reset(text)
		clear(w.header)
		if h.ServeHTTP(w, r); w.status != http.StatusOK {
			x.b.Fatal(w.status)
		}
	}
}

// taking is a queue that takes everything at once.
type taking struct{ storage.Queue }

func (taking) Send(_ context.Context, _ storage.QueueName, ms []storage.Message) []error {
	return make([]error, len(ms))
}

func tencentKiB() string {
	return `{"CallbackCommand":"Bot.OnGroupMessage","GroupId":"@TGS#2J4SZEAEL","Type":"Public","From_Account":"jared","Operator_Account":"admin",` +
		`"Random":123456,"MsgSeq":123,"MsgTime":1490686222,"OnlineOnlyFlag":1,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"@@RBT#001 ` +
		strings.Repeat("hello ", 110) + `"}}],"AtRobots_Account":["@RBT#001"],"CloudCustomData":"your cloud custom data","EventTime":1670574414123}`
}

// directKiB is an inbound message of 1 KiB.
func directKiB() string {
	return `[{"message_uuid":"3f0a7d0e-7a55-4d6d-9f6e-6e0f3a1c0003","channel_type":"WHATSAPP","callback_event":"inbound_sent",` +
		`"status":"inbound_sent","status_time":"2025-03-02T10:00:00Z","item":{"contentType":"text","text":"` + strings.Repeat("hello ", 130) + `"}}]`
}

// discarding keeps the status of an answer alone, so that the handler is all
// that is measured.
type discarding struct {
	header http.Header
	status int
}

func (d *discarding) Header() http.Header         { return d.header }
func (d *discarding) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarding) WriteHeader(status int)      { d.status = status }

// BenchmarkCallbacks is durable callbacks over HTTP from 64 connections; the
// worker does not run.
func BenchmarkCallbacks(b *testing.B) {
	x := newBench(b, false)
	path := x.source(0)
	x.measure(b, 64, func() { x.post(path) }, func(int64) int64 { return 0 }, 1)
}

// BenchmarkDeliveries is events from callback to delivered at fan-outs of 1, 10
// and 100: an operation is one delivery.
func BenchmarkDeliveries(b *testing.B) {
	for _, fanOut := range []int{1, 10, 100} {
		b.Run(strconv.Itoa(fanOut), func(b *testing.B) {
			x := newBench(b, true)
			path := x.source(fanOut)
			x.post(path)
			x.wait(int64(fanOut))
			x.measure(b, 64, func() { x.post(path) }, func(n int64) int64 { return n*int64(fanOut) + int64(fanOut) }, fanOut)
		})
	}
}

// measure calls do b.N times (a fan-out's share of it) from some goroutines,
// waits until as many deliveries arrived, and reports rates and CPU time.
func (x *bench) measure(b *testing.B, callers int, do func(), deliveries func(int64) int64, per int) {
	n := int64(max(b.N/per, 1))
	cpu := cpuTime()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for next.Add(1) <= n {
				do()
			}
		})
	}
	wg.Wait()
	x.wait(deliveries(n))
	b.StopTimer()
	operations := float64(n * int64(per))
	b.ReportMetric(operations/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric((cpuTime()-cpu).Seconds()/operations*1000, "cpu-s/1000")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MiB")
}

func (x *bench) wait(deliveries int64) {
	for x.got.Load() < deliveries {
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkLatency sends callbacks at a fixed rate and tells how long it took
// until each arrived.
func BenchmarkLatency(b *testing.B) {
	for _, rate := range []int{50, 500} {
		b.Run(fmt.Sprintf("%d-per-second", rate), func(b *testing.B) {
			x := newBench(b, true)
			path := x.source(1)
			x.post(path)
			x.wait(1)
			<-x.arrived
			n := max(b.N, rate*5)
			tick := time.NewTicker(time.Second / time.Duration(rate))
			defer tick.Stop()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range n {
				<-tick.C
				wg.Go(func() { x.post(path) })
			}
			wg.Wait()
			x.wait(int64(n) + 1)
			b.StopTimer()
			var took []time.Duration
			for range n {
				took = append(took, <-x.arrived)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[n/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[n*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
