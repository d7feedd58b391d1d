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
	"ringback/shared/limiter"
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

	PublicURL      string    // of this gateway, without a final slash; callback URLs begin with it
	Retention      Retention // how long rows last
	FairQueues     bool      // messages carry their source as message group; SQS bills them higher
	MaxConcurrency int       // POSTs at once in this process, beside those that the slow queue asks for; default 256
	SingleProcess  bool      // no other process uses the Store: leases of former ones are void
	MaxBacklog     int       // messages waiting in the retry or the slow queue above which Retry hands out nothing to it, and of one registration in a tick; default 10,000

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
	c.MaxConcurrency = cmp.Or(c.MaxConcurrency, 256)
	c.MaxBacklog = cmp.Or(c.MaxBacklog, 10_000)
	c.Retention = c.Retention.orDefault()
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
	process    string // names this process in leases
	limiter    *limiter.Limiter
	limits     *limit.Limits       // of all processes
	speeds     *limiter.SpeedStore // nil: no batch ends with its slowest attempt
	unsent     unsent
	clockWatch clockWatch
}

// invocations counts the invocations of this process.
var invocations atomic.Int64

const (
	leaseMargin    = 5 * time.Second // a lease outlasts the invocation by so much
	deadlineMargin = 2 * time.Second // an attempt ends so long before the invocation does
	maxLease       = time.Hour       // the lease of a handler whose context has no end
)

// ID names the gateway in Ringback-Via headers.
func (c *core) ID() string { return c.Keys.GatewayID() }

func (c *core) Clock() time.Time { return storage.UTC(c.Now()) }

// A clockWatch compares the wall clock with the monotonic one.
type clockWatch struct {
	mu        sync.Mutex
	startedAt time.Time     // monotonic
	offset    time.Duration // the wall clock's lead since then
	changedAt time.Time     // when the wall clock was last seen to have been set, or the process began
}

const clockSteadyAfter, maxDrift = time.Hour, time.Minute // between two looks more is no drift

// clockSteady reports whether the wall clock goes evenly for an hour, on one machine
// since the start: only then does time end deliveries and registrations.
func (c *core) clockSteady() bool {
	w, now := &c.clockWatch, time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.startedAt.IsZero() {
		w.startedAt, w.offset = now, c.Clock().Sub(storage.UTC(now))
		if c.SingleProcess {
			w.changedAt = now
		}
	}
	parted := c.Clock().Sub(storage.UTC(w.startedAt)) - now.Sub(w.startedAt)
	if (parted - w.offset).Abs() > maxDrift {
		w.offset, w.changedAt = parted, now
	}
	return now.Sub(w.changedAt) >= clockSteadyAfter
}

// randomUpTo returns a random part of d.
func (c *core) randomUpTo(d time.Duration) time.Duration {
	return time.Duration(c.Random() * float64(d))
}

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

// newRunID names one handler invocation: the process, a dot, a number.
func (c *core) newRunID() string { return c.process + "." + strconv.FormatInt(invocations.Add(1), 36) }

func (c *core) leaseEnd(ctx context.Context) time.Time {
	return c.Clock().Add(min(timeLeft(ctx), maxLease) + leaseMargin)
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
	parallel(len(ms), func(i int) { errs[i] = guarded(func() error { return f(ctx, ms[i]) }) })
	var again []string
	for i, err := range errs {
		if err != nil {
			again = append(again, ms[i].Receipt)
			c.logRetry(verb, ms[i], err)
		}
	}
	return again, nil
}

// parallel calls f for each number below n at once, and returns when all have
// returned. A single call needs no goroutine, nor a stack that grows anew.
func parallel(n int, f func(i int)) {
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

// newCache returns an LRU cache of so many entries.
func newCache[V any](size int) *lru.Cache[string, V] {
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

func later(a, b time.Time) time.Time { return limiter.Later(a, b) }

func utcOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return storage.UTC(t)
}
