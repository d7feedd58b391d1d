package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

const (
	ringback  = "https://ringback.example"
	keyRing   = "1 a key ring of no fewer than 32 characters"
	keptFinal = 20 * time.Minute // of rows that are final; messages come again within 15
)

// A world is the gateway on AWS and all around it, in virtual time.
type world struct {
	a      Assumptions
	n      float64 // one of so many is played
	smooth float64 // seconds that a scaled limit of DynamoDB is averaged over
	cfg    config.Config
	keys   *keyring.Ring

	mu                    sync.Mutex
	tables                *tables
	events, retries, slow *queue
	ingest, worker, retry *function
	stage, account        *bucket // API Gateway's throttles
	registrations         []registration
	hosts                 map[string]int // → registrations
	m                     measures
	sent                  int  // messages
	over                  bool // nothing begins any more
	running               sync.WaitGroup
	finals                [][]storage.Key // rows that became final, by minute
}

// play runs a in virtual time, and returns what was measured.
func play(t *testing.T, a Assumptions) (*world, error) {
	var w *world
	var err error
	synctest.Test(t, func(*testing.T) {
		if w, err = newWorld(a); err == nil {
			w.run()
		}
	})
	return w, err
}

func newWorld(a Assumptions) (*world, error) {
	w := &world{a: a, n: float64(a.Sample), smooth: math.Sqrt(float64(a.Sample)), hosts: map[string]int{}}
	var err error
	if w.cfg, err = config.Load(func(name string) string { return map[string]string{"PUBLIC_URL": ringback}[name] }); err != nil {
		return nil, err
	}
	w.cfg.MaxBacklog, w.cfg.FirstAttempt = a.Brake, firstAttempt
	if w.keys, err = keyring.Parse(keyRing); err != nil {
		return nil, err
	}
	w.tables = newTables(w)
	w.events = w.newQueue(storage.EventsQueue, a.Concurrency, a.Batch)
	w.retries = w.newQueue(storage.RetryQueue, a.Concurrency, a.Batch)
	w.slow = w.newQueue(storage.SlowQueue, a.Slow, slowBatch)
	w.ingest, w.worker, w.retry = w.newFunction(), w.newFunction(), w.newFunction()
	w.stage = newBucket(a.Throttle/w.n, a.Burst/w.n)
	w.account = newBucket(a.AccountRate/w.n, a.AccountRate/2/w.n) // "How do I increase and manage API Gateway throttling quotas?": 10,000/s, burst 5,000
	w.m, w.finals = newMeasures(), [][]storage.Key{nil}
	if err := w.populate(); err != nil {
		return nil, err
	}
	if a.warm {
		w.events.pollers = a.Concurrency
		for n := range int(2*a.Concurrency + a.Slow) { // all mappings'
			w.worker.free = append(w.worker.free, n)
			w.worker.slots++
		}
	}
	w.tables.metered = true
	return w, nil
}

func (w *world) newGateway(r role, name string) *gateway.Gateway {
	c := client{w, r, strconv.Itoa(int(r)) + "." + name + " ", new(float64)}
	g, err := app.New(w.cfg, app.Parts{Steps: transfer.Steps, Store: c, Queue: c, Keys: w.keys, Providers: all.Providers(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err) // unreachable: it has a Store and a Queue
	}
	g.Egress.Transport = tenants{w}
	g.Random = func() float64 { return w.chance("gateway", c.name) }
	if r == retry {
		g.Metrics = ledger{w}
	}
	return g
}

// now is the instant; nothing that is measured depends on another clock.
func (w *world) now() time.Time { return time.Now() }

func (w *world) queues() [3]*queue { return [...]*queue{w.events, w.retries, w.slow} }

func (w *world) queue(name storage.QueueName) *queue {
	for _, q := range w.queues() {
		if q.name == name {
			return q
		}
	}
	panic("queue " + name) // unreachable: storage.CheckSend knows the same
}

// run lets callbacks come for as long as they are to, and ends when nothing is
// under way any more.
func (w *world) run() {
	w.m.start = w.now()
	end := w.now().Add(w.a.For)
	stop := make(chan struct{})
	var clocks sync.WaitGroup
	clocks.Go(func() { w.clock(stop) })
	w.come(end)
	w.mu.Lock()
	w.m.sample(w) // as it is when the last one came
	w.over = true
	w.mu.Unlock()
	close(stop)
	clocks.Wait()
	w.running.Wait()
}

// clock does what is done each second and each minute.
func (w *world) clock(stop chan struct{}) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		w.mu.Lock()
		for _, q := range w.queues() {
			q.scale()
		}
		w.m.concurrency(w)
		if n%60 == 0 {
			w.minute()
		}
		w.mu.Unlock()
	}
}

// minute measures, and starts Retry anywhere within the minute that begins:
// Scheduler's precision is 60 s ("Schedule types on EventBridge Scheduler"). The
// caller holds w.mu.
func (w *world) minute() {
	for _, s := range w.tables.spaces() {
		s.tick()
	}
	w.m.sample(w)
	if len(w.finals) > int(keptFinal/time.Minute) {
		w.tables.forget(w.finals[0])
		w.finals = w.finals[1:]
	}
	w.finals = append(w.finals, nil)
	w.running.Add(1)
	time.AfterFunc(time.Duration(w.chance("tick", "")*float64(time.Minute)), w.tick)
}

// tick runs Retry. It is one environment of the whole and of the sample.
func (w *world) tick() {
	defer w.running.Done()
	w.mu.Lock()
	if w.over {
		w.mu.Unlock()
		return
	}
	g := w.retry.gateway[0]
	if g == nil {
		g = w.newGateway(retry, "")
		w.retry.gateway[0] = g
	}
	w.mu.Unlock()
	start := w.now()
	ctx, cancel := context.WithTimeout(context.Background(), retryTime-queueMargin)
	defer cancel()
	err := g.Retry(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m.ticked(err)
	w.retry.invocations++
	w.retry.gbSeconds += w.now().Sub(start).Seconds() * w.a.Memory / 1024
}

// come lets callbacks come at random instants until end.
func (w *world) come(end time.Time) {
	random := rand.New(rand.NewPCG(w.a.Seed, 0))
	var sums []float64
	sum := 0.0
	for _, r := range w.registrations {
		sum += r.weight
		sums = append(sums, sum)
	}
	for seq := 0; ; seq++ {
		time.Sleep(time.Duration(random.ExpFloat64() / (w.a.Rate / w.n * sum) * float64(time.Second)))
		if !w.now().Before(end) {
			return
		}
		at, chosen := random.Float64()*sum, 0
		for chosen < len(sums)-1 && sums[chosen] <= at {
			chosen++
		}
		w.mu.Lock()
		w.m.called(w.now(), w.registrations[chosen].kind)
		w.mu.Unlock()
		w.running.Go(func() { w.callBack(seq, w.registrations[chosen]) })
	}
}

// callBack is one callback, from API Gateway on.
func (w *world) callBack(seq int, r registration) {
	w.mu.Lock()
	if !w.account.take(1, w.now()) || !w.stage.take(1, w.now()) {
		w.m.state[seq] = refused
		w.mu.Unlock()
		return
	}
	slot, cold, ok := w.ingest.begin()
	if !ok {
		w.m.state[seq] = throttledCallback
		w.mu.Unlock()
		return
	}
	g := w.ingest.environment(slot, w.chance("ingest", strconv.Itoa(seq)), r.source == noisyID, ingest)
	w.mu.Unlock()
	start := w.now()
	if cold {
		time.Sleep(coldTime)
	}
	time.Sleep(w.cpu(ingestOwnCPU))
	ctx, cancel := context.WithTimeout(context.Background(), ingestTime-httpMargin)
	defer cancel()
	cb := &provider.Callback{
		Method: http.MethodPost, Received: w.now().UTC(), Body: payload(seq, r.group),
		Query:  fmt.Sprintf("SdkAppid=%d&CallbackCommand=Group.CallbackAfterSendMsg&contenttype=json&ClientIP=192.0.2.7&OptPlatform=iOS", r.app),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	reply := g.Ingest(ctx, "tencent-chat", r.source, callbackKey(r.source), cb)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.m.state[seq] = acknowledged
	if reply.StatusCode != http.StatusOK {
		w.m.state[seq] = failedCallback
	}
	w.ingest.end(slot, start)
}
