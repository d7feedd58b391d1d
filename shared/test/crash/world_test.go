package crash

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ringback/shared/app"
	"ringback/shared/config"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
	"ringback/shared/transfer"
)

// A backend keeps rows and messages over the lives of processes.
type backend interface {
	// begin is called when a process starts, end when it has ended.
	begin(t *testing.T) (storage.Store, storage.Queue)
	end(t *testing.T)

	// serve hands the messages of a queue to h until ctx ends.
	serve(ctx context.Context, q storage.QueueName, h storage.Handler)

	// alone says that a process knows those before to have ended.
	alone() bool
}

// A world is one run: a scenario, played by as many processes as it takes.
type world struct {
	t   *testing.T
	out *outside
	on  backend
	dir string // for a real exit; empty: exits are played

	store   storage.Store // what the process of the moment works on, without its mortality
	queue   storage.Queue
	process *process
	g       *gateway.Gateway
	cancel  context.CancelFunc
	running sync.WaitGroup
	log     lines
}

// start starts the next process.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	w.process = &process{out: w.out, ended: make(chan struct{})}
	if w.dir != "" {
		w.process.exit = func() { w.out.exit(w.dir) }
	}
	w.store, w.queue = w.on.begin(w.t)
	w.g = newGateway(w.t, app.Parts{Steps: transfer.Steps,
		Store: mortalStore{w.store, w.process}, Queue: mortalQueue{w.queue, w.process}, Providers: all.Providers(),
		SingleProcess: w.on.alone(), Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	w.g.Egress.Transport = mortalTransport{w.process}
	for q, h := range w.g.Handlers() {
		w.running.Go(func() { w.on.serve(ctx, q, w.process.handler(q, h)) })
	}
	w.running.Go(func() { schedule(ctx, w.g) })
}

func newGateway(t *testing.T, parts app.Parts) *gateway.Gateway {
	t.Helper()
	cfg, err := config.Load(func(name string) string { return map[string]string{"PUBLIC_URL": "https://ringback.example"}[name] })
	if err != nil {
		t.Fatal(err)
	}
	if parts.Keys, err = keyring.Parse("1 a key ring of no fewer than 32 characters"); err != nil {
		t.Fatal(err)
	}
	g, err := app.New(cfg, parts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// schedule is the minute's tick.
func schedule(ctx context.Context, g *gateway.Gateway) {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		tick, cancel := context.WithTimeout(ctx, time.Minute)
		g.Retry(tick)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// stop ends the process, unless it has ended, and waits until all of it is gone.
func (w *world) stop() {
	w.process.once.Do(func() { close(w.process.ended) })
	w.cancel()
	w.running.Wait()
	w.on.end(w.t)
}

// revive starts another process if the last one has ended.
func (w *world) revive() {
	if w.process.dead() {
		w.stop()
		w.start()
	}
}

// call lets somebody call the gateway, and again as long as there is no answer
// because the process ended meanwhile.
func (w *world) call(what string, f func(ctx context.Context, g *gateway.Gateway) error) {
	w.t.Helper()
	for {
		w.revive()
		answered, err := false, error(nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			err = f(w.t.Context(), w.g)
			answered = true
		})
		wg.Wait()
		switch {
		case w.process.dead():
		case !answered || err != nil:
			w.t.Fatalf("%s: answered %v: %v\n%s", what, answered, err, w.log.String())
		default:
			return
		}
	}
}

// within waits up to d for is to hold, while processes come and go.
func (w *world) within(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(d / 200) { // virtual: the bubble jumps to the next timer
		w.revive()
		if is() {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("not within %v: %s\n%s%s", d, what, w.log.String(), w.unfinished())
		}
	}
}

// handlerTime is how long a batch of messages may take, as on AWS.
const handlerTime = 30 * time.Second

// inFile is the embedded backend. Processes follow each other on the file, or
// one takes over from the other while the file stays open, as on AWS: then
// only time tells that a process has ended.
type inFile struct {
	dir        string
	takeOver   bool
	visibility time.Duration // of messages; default: the backend's
	db         *embedded.DB
}

func (b *inFile) alone() bool { return !b.takeOver }

func (b *inFile) begin(t *testing.T) (storage.Store, storage.Queue) {
	t.Helper()
	if b.db == nil {
		var err error
		if b.db, err = embedded.Open(context.Background(), b.dir, embedded.Options{Relaxed: true, Visibility: b.visibility}); err != nil {
			t.Fatal(err)
		}
	}
	return b.db, b.db
}

func (b *inFile) end(t *testing.T) {
	t.Helper()
	if !b.takeOver {
		b.closed(t)
	}
}

// closed makes sure that the file is closed.
func (b *inFile) closed(t *testing.T) {
	t.Helper()
	if b.db == nil {
		return
	}
	if err := b.db.Close(); err != nil {
		t.Error(err)
	}
	b.db = nil
}

func (b *inFile) serve(ctx context.Context, q storage.QueueName, h storage.Handler) {
	b.db.Serve(ctx, q, embedded.Consumer{Handler: h, Concurrency: 8, Timeout: handlerTime})
}

// lines keeps the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
