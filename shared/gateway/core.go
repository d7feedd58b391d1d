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

// A Config is what New takes. Store and Queue must be set. Retry needs no more; who takes callbacks or makes
// attempts also needs Providers, Keys and Egress.
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
	MaxConcurrency int       // POSTs in flight in this process, apart from those of the slow queue; default 256
	SingleProcess  bool      // no other process uses the Store: leases of earlier ones are void
	MaxBacklog     int       // messages in the retry or slow queue above which Retry sends nothing to it; and of one registration in a run; default 10,000

	// FirstAttempt limits attempts outside the slow queue, where a batch of messages ends with its slowest
	// attempt. One that takes longer is cut off and made again from the slow queue. Zero: no limit.
	FirstAttempt time.Duration

	// Now is the clock; default time.Now. Tests skew it for one worker.
	Now func() time.Time

	// Random returns numbers in [0,1) for jitter; default math/rand/v2's. It is called from many goroutines.
	// Simulations set it so that a seed repeats.
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

// A core is what all parts of a Gateway share.
type core struct {
	Config
	process    string // the process id in leases
	limiter    *limiter.Limiter
	limits     *limit.Limits       // over all processes
	speeds     *limiter.SpeedStore // nil: no batch waits for its slowest attempt
	unsent     unsent
	clockWatch clockWatch
}

// invocations numbers the invocations of this process.
var invocations atomic.Int64

const (
	leaseMargin    = 5 * time.Second // a lease ends this long after the invocation
	deadlineMargin = 2 * time.Second // an attempt ends this long before the invocation
	maxLease       = time.Hour       // of a handler whose context has no deadline
)

// ID is the gateway's name in ringback-via headers.
func (c *core) ID() string { return c.Keys.GatewayID() }

func (c *core) Clock() time.Time { return storage.UTC(c.Now()) }

// A clockWatch compares the wall clock with the monotonic clock.
type clockWatch struct {
	mu        sync.Mutex
	startedAt time.Time     // monotonic
	offset    time.Duration // of the wall clock, against startedAt
	changedAt time.Time     // when the wall clock was last found to be set, or the process started
}

const clockSteadyAfter, maxDrift = time.Hour, time.Minute // a larger change between two calls means that the clock was set

// clockSteady reports whether nobody set the wall clock in the last hour; on one machine, also not before an hour
// after the start. Only then may time end deliveries and disable registrations.
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

// randomUpTo returns a random duration in [0,d).
func (c *core) randomUpTo(d time.Duration) time.Duration {
	return time.Duration(c.Random() * float64(d))
}

func (c *core) count(m Metric, v float64) {
	if c.Metrics != nil {
		c.Metrics.Add(m, v)
	}
}

// Origin is the gateway's name in consent challenges: its public host.
func (c *core) Origin() string {
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	return c.ID()
}

// newRunID returns the id of one handler invocation: "<process>.<number>".
func (c *core) newRunID() string { return c.process + "." + strconv.FormatInt(invocations.Add(1), 36) }

func (c *core) leaseEnd(ctx context.Context) time.Time {
	return c.Clock().Add(min(timeLeft(ctx), maxLease) + leaseMargin)
}

// fairGroup returns the message group for a source's messages: empty unless the queues are fair.
func (c *core) fairGroup(source string) string {
	if c.FairQueues {
		return source
	}
	return ""
}

// eachMessage runs f for all messages in parallel and returns the receipts of those that failed or panicked, each
// with a log line, so that the queue delivers them again.
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

// parallel calls f(0) to f(n-1) in parallel and returns when all have returned. A single call runs on the caller's
// goroutine.
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

// newCache returns an LRU cache of that many entries.
func newCache[V any](size int) *lru.Cache[string, V] {
	c, _ := lru.New[string, V](size) // only size 0 fails
	return c
}

// timeLeft returns the time until ctx's deadline; an hour without one.
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
