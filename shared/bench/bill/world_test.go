package bill

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/cloud"
	"ringback/shared/cloud/sqstest"
	"ringback/shared/config"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"

	"github.com/aws/aws-lambda-go/events"
)

const (
	sourceID = "src-tencent0"
	keyText  = "bill0tencent0not0a0secret0000000"
	tenantID = "ten_0000000000000000000000bill"

	tencentChat = "tencent-chat" // its events have a natural key
	smartBots   = "smartbots"    // its have none
)

// A world is the gateway on AWS in virtual time, with a meter at everything
// that AWS bills.
type world struct {
	t      *testing.T
	meters meters
	client *http.Client
	tables [2]string

	ingest, worker, retry *function
	aside                 *cloud.Backend // not metered
	endpoint              endpoint

	mu   sync.Mutex
	dice *rand.Rand

	provider string // of the source
	usage    Usage
	seq      int // of the last callback
}

// A function is one Lambda function, in one environment that stays warm.
type function struct {
	gateway *gateway.Gateway
	metrics *cloud.Metrics
	log     *atomic.Int64 // bytes
	memory  float64       // GB
	meter   *Function
}

func newWorld(t *testing.T, dynamoDB string) *world {
	t.Helper()
	w := &world{t: t, meters: newMeters(t, dynamoDB), client: &http.Client{}, endpoint: endpoint{posts: map[string]int{}}, dice: rand.New(rand.NewPCG(1, 2))}
	w.tables = [2]string{"r-" + storage.NewRev(), "d-" + storage.NewRev()}
	w.ingest = w.function(ingestMemory, &w.usage.Ingest)
	w.worker = w.function(workerMemory, &w.usage.Worker)
	w.retry = w.function(retryMemory, &w.usage.Retry)
	cfg, err := config.Load(w.environment)
	must(t, err)
	cfg.AWS.Endpoints.DynamoDB, cfg.AWS.Endpoints.SQS = dynamoDB, "http://"+queuesHost
	w.aside, err = cloud.OpenOver(cfg, w.client)
	must(t, err)
	must(t, w.aside.Store.CreateTables(t.Context()))
	queues := sqstest.Connect("http://"+queuesHost, w.client)
	must(t, sqstest.CreateQueues(t.Context(), queues, 200*time.Second, storage.MaxReceives, "events", "retry", "slow"))
	return w
}

func (w *world) function(megabytes int, meter *Function) *function {
	w.t.Helper()
	cfg, err := config.Load(w.environment)
	must(w.t, err)
	b, err := cloud.OpenOver(cfg, w.client)
	must(w.t, err)
	f := &function{metrics: b.Metrics, log: new(atomic.Int64), memory: float64(megabytes) / 1024, meter: meter}
	b.Metrics.Out, b.Metrics.Units = f, gateway.Units()
	keys, err := keyring.Parse("1 a key ring of no fewer than 32 characters")
	must(w.t, err)
	f.gateway, err = app.New(cfg, app.Parts{Steps: transfer.Steps,
		Store: b.Store, Queue: b.Queue, Metrics: b.Metrics, Keys: keys, Providers: all.Providers(),
		Log: slog.New(slog.NewJSONHandler(f, &slog.HandlerOptions{Level: cfg.LogLevel})),
	})
	must(w.t, err)
	f.gateway.Egress.Transport = &w.endpoint
	f.gateway.Random = w.random
	return f
}

func (w *world) environment(name string) string {
	queue := func(name string) string { return sqstest.URL("http://"+sqsHost, name) }
	return map[string]string{
		"PUBLIC_URL": "https://ringback.example", "REGISTRATIONS_TABLE": w.tables[0], "DELIVERIES_TABLE": w.tables[1],
		"EVENTS_QUEUE_URL": queue("events"), "RETRY_QUEUE_URL": queue("retry"), "SLOW_QUEUE_URL": queue("slow"),
		"FIRST_ATTEMPT": "1s",
		"AWS_REGION":    "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL_DYNAMODB": "http://" + dynamoHost, "AWS_ENDPOINT_URL_SQS": "http://" + sqsHost,
	}[name]
}

// random is the same from run to run, about: whose turn it is at an instant is
// not.
func (w *world) random() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dice.Float64()
}

// Write takes the function's log.
func (f *function) Write(p []byte) (int, error) {
	f.log.Add(int64(len(p)))
	return len(p), nil
}

// invoke runs work as an invocation of f. Lambda bills whole milliseconds.
func (f *function) invoke(work func()) {
	start := time.Now()
	work()
	f.metrics.Flush()
	billed := (time.Since(start) + ownTime + time.Millisecond - 1).Truncate(time.Millisecond)
	f.meter.Invocations++
	f.meter.GBSeconds += billed.Seconds() * f.memory
}

// callBack sends one callback of one event of 1 KiB, from API Gateway on.
func (w *world) callBack() {
	w.t.Helper()
	w.seq++
	w.usage.HTTPRequests++
	e := events.APIGatewayV2HTTPRequest{RawPath: "/callbacks/" + w.provider + "/" + sourceID + "/" + keyText}
	if w.provider == smartBots {
		e.Body = w.groupChat()
	} else {
		e.Body = w.groupMessage()
		e.RawQueryString = "SdkAppid=1400000001&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=192.0.2.7&OptPlatform=iOS"
	}
	e.Headers = map[string]string{"content-type": map[string]string{tencentChat: "application/json", smartBots: "application/x-www-form-urlencoded"}[w.provider]}
	e.RequestContext.HTTP.Method, e.RequestContext.Stage, e.RequestContext.HTTP.SourceIP = http.MethodPost, "$default", "192.0.2.7"
	w.ingest.invoke(func() {
		resp, err := cloud.HTTP(app.Callback(w.ingest.gateway, w.provider))(w.t.Context(), e)
		if err != nil || resp.StatusCode != http.StatusOK {
			w.t.Fatalf("callback: status %d, %v: %s", resp.StatusCode, err, resp.Body)
		}
	})
}

// groupMessage is a message in a group of Tencent Chat, of 1 KiB.
func (w *world) groupMessage() string {
	head := fmt.Sprintf(`{"CallbackCommand":"Group.CallbackAfterSendMsg","GroupId":"@TGS#2J4SZEAEL","Type":"Public","From_Account":"user-%04d",`+
		`"Operator_Account":"user-%04d","Random":%d,"MsgSeq":%d,"MsgTime":%d,"OnlineOnlyFlag":0,"MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":"`,
		rand.N(10_000), rand.N(10_000), rand.Uint32(), w.seq, time.Now().Unix())
	const tail = `"}}],"CloudCustomData":""}`
	return head + talk()[:1024-len(head)-len(tail)] + tail
}

// groupChat is a chat in a group of SmartBots, of about 1 KiB.
func (w *world) groupChat() string {
	return url.Values{
		"action": {"group_chat"}, "group_uuid": {"5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"}, "speaker_name": {"Resident"}, "message": {(talk() + talk())[:870]},
	}.Encode()
}

// talk returns more than 800 bytes of what people write.
func talk() string {
	text := ""
	for _, n := range rand.Perm(len(sentences)) {
		text += sentences[n] + " "
	}
	return text
}

// sentences are what people write, so that the text packs as theirs does.
var sentences = [...]string{
	"Hi all, the parcel that was promised for Tuesday still has not arrived, and the page has been saying the same for three days now.",
	"I called the number on the site twice this morning and waited for twenty minutes each time before I gave up.",
	"Could somebody please have a look at order 48213 and tell me whether it has left the warehouse at all?",
	"If it is lost I would rather have my money back than wait for another one, since the birthday is on Saturday.",
	"By the way, the last order came in a box that was far too large and half open on one side.",
	"Does anyone know if the shop downtown keeps a few of them, or do they only sell what they show in the window?",
	"My brother says that his took two weeks as well, although he had paid for the fast one and lives right next door to them.",
	"Thanks a lot, and sorry for writing so much, but I really do not know what else to do at this point.",
}

// An endpoint answers all POSTs of the world.
type endpoint struct {
	mu      sync.Mutex
	posts   map[string]int // by host and webhook-id
	refuses func(host string, id, before int) bool
	ids     map[string]int // webhook-id → in order of arrival
	egress  float64
	slow    bool
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	io.Copy(io.Discard, r.Body)
	e.mu.Lock()
	name := "webhook-id" // as it is sent
	id := r.Header[name][0]
	if e.ids == nil {
		e.ids = map[string]int{}
	}
	if _, ok := e.ids[id]; !ok {
		e.ids[id] = len(e.ids)
	}
	key := r.URL.Host + " " + id
	refused := e.refuses != nil && e.refuses(r.URL.Host, e.ids[id], e.posts[key])
	e.posts[key]++
	e.egress += EgressBytes
	e.mu.Unlock()
	status, took := http.StatusOK, AcceptTime
	if refused {
		status, took = http.StatusInternalServerError, RefuseTime
	}
	if e.slow {
		took = SlowTime
	}
	select {
	case <-time.After(took):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader([]byte("ok"))), Request: r}, nil
}

// A line is a queue that the worker is fed from.
type line struct {
	name  storage.QueueName
	h     storage.Handler
	batch int
	since time.Time // messages wait, as retryBatch saw; zero: none
}

// lines are the three queues: the events queue, then those of later attempts.
func (w *world) lines() [3]line {
	g := w.worker.gateway
	return [...]line{
		{name: storage.EventsQueue, h: g.FanOut, batch: Batch},
		{name: storage.RetryQueue, h: g.Redeliver, batch: Batch},
		{name: storage.SlowQueue, h: g.RedeliverSlow, batch: SlowBatch},
	}
}

// work lets the worker take one batch from a queue.
func (w *world) work(l line) int {
	m := &sqstest.Mapping{
		SQS: sqstest.Connect("http://"+sqsHost, w.client), QueueURL: sqstest.URL("http://"+sqsHost, string(l.name)), Batch: l.batch,
		Function: func(ctx context.Context, e events.SQSEvent) (resp events.SQSEventResponse, err error) {
			w.worker.invoke(func() { resp, err = cloud.SQS(l.h)(ctx, e) })
			return resp, err
		},
		Failed: func(err error) { w.t.Errorf("batch of %s: %v", l.name, err) },
	}
	return m.Once(w.t.Context(), 0)
}

// tick runs the retry function.
func (w *world) tick() {
	w.retry.invoke(func() {
		if err := w.retry.gateway.Retry(w.t.Context()); err != nil {
			w.t.Error(err)
		}
	})
}

// reset begins to count.
func (w *world) reset() {
	w.usage = Usage{}
	w.meters.reset()
	w.endpoint.egress = 0
	for _, f := range []*function{w.ingest, w.worker, w.retry} {
		f.log.Store(0)
	}
}

// counted returns what was used since the last reset.
func (w *world) counted() Usage {
	u := w.usage
	w.meters.add(&u)
	u.EgressBytes = w.endpoint.egress
	u.LogBytes = accessLog * u.HTTPRequests
	for _, f := range []*function{w.ingest, w.worker, w.retry} {
		u.LogBytes += float64(f.log.Load())
	}
	return u
}

// depth tells how many messages a queue has.
func (w *world) depth(queue storage.QueueName) storage.Depth {
	w.t.Helper()
	d, err := w.aside.Queue.Depth(w.t.Context(), queue)
	if err != nil || d.Dead > 0 {
		w.t.Fatalf("Depth(%s) = %+v, %v; want no dead letters", queue, d, err)
	}
	return d
}

// must ends the test if err is not nil.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
