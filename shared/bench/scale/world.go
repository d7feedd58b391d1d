package main

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

// retry is the name of Retry's environment.
const retry = "retry"

// A world is the gateway on AWS and all around it, in virtual time.
type world struct {
	s    setup
	n    float64 // one of so many is played
	cfg  config.Config
	keys *keyring.Ring

	mu             sync.Mutex
	rows           map[storage.Key]storage.Row
	lists          map[string][]string // of the registrations table: PK → SKs in order
	due            map[storage.Key]time.Time
	limits         map[string]*limit // by name
	queues         map[storage.QueueName]*queue
	ingest, worker *function
	registrations  int
	sent           int     // messages
	lacked         float64 // executions, over those of the account
	started, over  bool    // the set-up is done; nothing begins any more
	running        sync.WaitGroup
	ledger
}

// play runs s in virtual time and returns what was seen, or an error if something was lost.
func play(t *testing.T, s setup) (w *world, err error) {
	synctest.Test(t, func(*testing.T) {
		if w, err = newWorld(s); err == nil {
			w.run()
			err = w.conserved()
		}
	})
	return w, err
}

func newWorld(s setup) (*world, error) {
	w := &world{
		s: s, n: float64(s.Sample), rows: map[storage.Key]storage.Row{}, lists: map[string][]string{}, due: map[storage.Key]time.Time{},
		limits: map[string]*limit{}, queues: map[storage.QueueName]*queue{}, ledger: ledger{events: map[string]int{}},
	}
	cfg, err := config.Load(func(name string) string { return map[string]string{"PUBLIC_URL": "https://ringback.example"}[name] })
	keys, err2 := keyring.Parse("1 a key ring of no fewer than 32 characters")
	w.cfg, w.keys, w.cfg.FirstAttempt = cfg, keys, firstAttempt
	for name, q := range map[storage.QueueName]queue{
		storage.EventsQueue: {handler: (*gateway.Gateway).FanOut, workers: int(s.Workers), batch: s.Batch},
		storage.RetryQueue:  {handler: (*gateway.Gateway).Redeliver, workers: int(s.Workers), batch: s.Batch},
		storage.SlowQueue:   {handler: (*gateway.Gateway).RedeliverSlow, workers: int(s.Slow), batch: slowBatch},
	} {
		q.w, q.workers, q.held = w, int(float64(q.workers)/w.n+0.5), map[*message]bool{}
		w.queues[name] = &q
	}
	w.ingest = &function{w: w, name: "callbacks", gateways: map[int]*gateway.Gateway{}}
	w.worker = &function{w: w, name: "workers", gateways: map[int]*gateway.Gateway{}}
	err = errors.Join(err, err2, w.populate())
	w.started = true
	return w, err
}

func (w *world) newGateway(name string) *gateway.Gateway {
	c := client{w: w, name: name}
	g, err := app.New(w.cfg, app.Parts{Steps: transfer.Steps, Store: c, Queue: c, Keys: w.keys, Providers: all.Providers(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err) // unreachable: it has a Store and a Queue
	}
	g.Egress.Transport = endpoints{w}
	g.Random = func() float64 { return w.random("gateway" + c.name).Float64() }
	return g
}

// random returns numbers that follow from the seed, the instant and what they are for: so it does not matter which of
// two goroutines asks first.
func (w *world) random(what string) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, what)
	return rand.New(rand.NewPCG(h.Sum64(), w.s.Seed*0x9e3779b97f4a7c15^uint64(time.Now().UnixNano())))
}

// run lets callbacks come at random instants for as long as they are to, and ends when nothing is under way any more.
// Retry begins each minute anywhere within the next: Scheduler's precision is 60 s ("Schedule types on EventBridge
// Scheduler").
func (w *world) run() {
	random, g := rand.New(rand.NewPCG(w.s.Seed, 0)), w.newGateway(retry)
	next := time.Duration(0) // until a callback
	for second := range int(w.s.For.Seconds()) {
		w.mu.Lock()
		for ; next < time.Second; next += time.Duration(random.ExpFloat64() / (w.s.Rate / w.n) * float64(time.Second)) {
			r := registration(0)
			if random.Float64() >= busyShare {
				r = registration(1 + random.IntN(w.registrations-1))
			}
			number, in := len(w.callbacks), next
			w.callbacks = append(w.callbacks, callback{sent: time.Now().Add(in), settled: second >= int(w.s.For.Seconds())/2})
			w.running.Go(func() {
				time.Sleep(in)
				w.callBack(number, r)
			})
		}
		if second%60 == 59 {
			w.running.Go(func() {
				time.Sleep(time.Duration(w.random("retry").Float64() * float64(time.Minute)))
				ctx, cancel := context.WithTimeout(context.Background(), retryTime)
				defer cancel()
				err := g.Retry(ctx)
				w.mu.Lock()
				defer w.mu.Unlock()
				w.retries = append(w.retries, err)
			})
		}
		for _, name := range []storage.QueueName{storage.EventsQueue, storage.RetryQueue, storage.SlowQueue} {
			w.queues[name].pump()
		}
		w.mu.Unlock()
		next -= time.Second
		time.Sleep(time.Second)
	}
	w.mu.Lock()
	w.verdict, w.over = w.judge(), true
	w.mu.Unlock()
	w.running.Wait()
}

// callBack is one callback, from API Gateway on.
func (w *world) callBack(number int, r registration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slot, ok := w.ingest.begin()
	if !ok {
		w.callbacks[number].state = noEnvironment
		return
	}
	g, start := w.ingest.environment(slot, number, r == 0), time.Now()
	w.mu.Unlock()
	time.Sleep(w.cpu(ingestCPU))
	ctx, cancel := context.WithTimeout(context.Background(), ingestTime)
	defer cancel()
	reply := g.Ingest(ctx, "tencent-chat", sourceID(r.source()), callbackKey(r.source()), request(number, r))
	w.mu.Lock()
	w.callbacks[number].state = acknowledged
	if reply.StatusCode != http.StatusOK {
		w.callbacks[number].state = unavailable
	}
	w.ingest.end(slot, start)
}
