package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/egress"
	"ringback/shared/keyring"
	"ringback/shared/limit"
	"ringback/shared/pace"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A Config is what a Gateway works with. Store and Queue must be set; the schedule needs no more, who takes
// callbacks or makes attempts needs Providers, Keys and Egress besides.
type Config struct {
	Store     storage.Store
	Queue     storage.Queue
	Providers map[string]provider.Provider
	Keys      *keyring.Ring
	Egress    *egress.Client
	Log       *slog.Logger // default: slog.Default()
	Metrics   Metrics      // default: none are counted

	PublicURL  string // of this gateway, without a final slash; callback URLs begin with it
	Kept       Kept   // how long rows last
	FairQueues bool   // messages carry their source as message group; SQS bills them higher
	AtOnce     int    // POSTs at once in this process, beside those that the slow queue asks for; default 256
	Alone      bool   // no other process uses the Store: leases of former ones are void
	Brake      int    // messages waiting in the retry or the slow queue above which Retry hands out nothing to it, and of one registration in a tick; default 10,000

	// FirstAttempt bounds attempts outside the slow queue, where a batch of messages ends with its slowest attempt: one
	// that takes longer is cut off, and made again from the slow queue. Zero: they take as long as they may.
	FirstAttempt time.Duration

	// Now is the clock; default time.Now. Tests set it to skew one worker.
	Now func() time.Time

	// Random returns numbers in [0,1), which spread waits and hand-outs; default math/rand/v2's. It may be
	// called from many goroutines. Simulations set it so that a seed repeats.
	Random func() float64
}

func (c Config) withDefaults() Config {
	c.Log = cmp.Or(c.Log, slog.Default())
	c.AtOnce = cmp.Or(c.AtOnce, 256)
	c.Brake = cmp.Or(c.Brake, 10_000)
	c.Kept = c.Kept.orDefault()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Float64
	}
	return c
}

// A core is what all parts of a gateway share.
type core struct {
	Config
	run    string // names this process in leases
	pace   *pace.Pace
	limits *limit.Limits // of all processes
	books  *pace.Books   // nil: no batch ends with its slowest attempt
	unsent unsent
	watch  watch
}

// runs counts the invocations of this process.
var runs atomic.Int64

const (
	leaseMargin  = 5 * time.Second // a lease outlasts the invocation by so much
	answerMargin = 2 * time.Second // an attempt ends so long before the invocation does
	longRun      = time.Hour       // the lease of a handler whose context has no end
)

// ID names the gateway in Ringback-Via headers.
func (c *core) ID() string { return c.Keys.GatewayID() }

func (c *core) Clock() time.Time { return storage.UTC(c.Now()) }

// A watch compares the wall clock with the monotonic one.
type watch struct {
	mu     sync.Mutex
	begun  time.Time     // monotonic
	parted time.Duration // the wall clock's lead since then
	set    time.Time     // when the wall clock was last seen to have been set, or the process began
}

const steadyFor, mostDrift = time.Hour, time.Minute // between two looks more is no drift

// steady reports whether the wall clock goes evenly for an hour, on one machine
// since the start: only then does time end deliveries and registrations.
func (c *core) steady() bool {
	w, now := &c.watch, time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun.IsZero() {
		w.begun, w.parted = now, c.Clock().Sub(storage.UTC(now))
		if c.Alone {
			w.set = now
		}
	}
	parted := c.Clock().Sub(storage.UTC(w.begun)) - now.Sub(w.begun)
	if (parted - w.parted).Abs() > mostDrift {
		w.parted, w.set = parted, now
	}
	return now.Sub(w.set) >= steadyFor
}

// upTo returns a random part of d.
func (c *core) upTo(d time.Duration) time.Duration { return time.Duration(c.Random() * float64(d)) }

func (c *core) count(m Metric, v float64) {
	if c.Metrics != nil {
		c.Metrics.Add(m, v)
	}
}

// Origin is what the gateway is known as to endpoints that consent: the name of its public host.
func (c *core) Origin() string {
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return c.ID()
}

// newRun names one handler invocation: the process, a dot, a number.
func (c *core) newRun() string { return c.run + "." + strconv.FormatInt(runs.Add(1), 36) }

func (c *core) leaseEnd(ctx context.Context) time.Time {
	return c.Clock().Add(min(timeLeft(ctx), longRun) + leaseMargin)
}

// fairGroup is the message group of a source's messages if the queues are fair.
func (c *core) fairGroup(source string) string {
	if c.FairQueues {
		return source
	}
	return ""
}

// eachMessage runs f for all messages at once, and returns the receipts of those for which it returned an
// error or panicked. Each of these is one line of the log.
func (c *core) eachMessage(ctx context.Context, verb string, ms []storage.Received, f func(context.Context, storage.Received) error) ([]string, error) {
	errs := make([]error, len(ms))
	atOnce(len(ms), func(i int) { errs[i] = guarded(func() error { return f(ctx, ms[i]) }) })
	var again []string
	for i, err := range errs {
		if err != nil {
			again = append(again, ms[i].Receipt)
			c.logAgain(verb, ms[i], err)
		}
	}
	return again, nil
}

// atOnce calls f for each number below n at once, and returns when all have
// returned. A single call needs no goroutine, nor a stack that grows anew.
func atOnce(n int, f func(i int)) {
	if n == 1 {
		f(0)
		return
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// cache returns an LRU cache of so many entries.
func cache[V any](size int) *lru.Cache[string, V] {
	c, _ := lru.New[string, V](size) // fails only without a size
	return c
}

// timeLeft returns how long ctx lasts, an hour if it has no end.
func timeLeft(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end)
	}
	return time.Hour
}

func later(a, b time.Time) time.Time { return pace.Later(a, b) }

func utcOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return storage.UTC(t)
}
