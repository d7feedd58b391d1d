// Package gateway is the product: it takes providers' callbacks in, hands each
// event to every registration that wants it and may have it, and repeats what
// failed. It knows no AWS, no database and no provider.
//
// The tour follows one event. Ingest (ingest.go) proves who called, splits the
// callback into items and sends them to the events queue, packed by message.go.
// FanOut (fanout.go) takes a message out, finds registrations (find.go), begins
// the event (begin.go), and delivers each (deliver.go), recording the outcome
// by the rules of delivery.go. Retry (retry.go) runs every minute and hands out
// what falls due; Redeliver (redeliver.go) attempts it again. Everything that
// is kept is a row, and rows.go names them all.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"

	"ringback/shared/egress"
)

// A Config is what a Gateway works with. Store and Queue must be set; the
// schedule needs no more, who takes callbacks or makes attempts needs Providers,
// Keys and Egress besides.
type Config struct {
	Store     Store
	Queue     Queue
	Providers map[string]Provider
	Keys      *KeyRing
	Egress    *egress.Client
	Log       *slog.Logger // default: slog.Default()
	Metrics   Metrics      // default: none are counted

	PublicURL  string // of this gateway, without a final slash; callback URLs begin with it
	Kept       Kept   // how long rows last
	FairQueues bool   // messages carry their source as message group; SQS bills them higher
	AtOnce     int    // POSTs at once in this process; default 256
	Alone      bool   // no other process uses the Store: leases of former ones are void
	Brake      int    // messages waiting in the retry queue above which Retry hands out nothing; default 10,000

	// SmartBots is the address of SmartBots' own API for sources that name no
	// other; default https://api.mysmartbots.com/api/simple.html.
	SmartBots string

	// Now is the clock; default time.Now. Tests set it to skew one worker.
	Now func() time.Time

	// Random returns numbers in [0,1), which spread waits and hand-outs; default
	// math/rand/v2's. It may be called from many goroutines. Simulations set it so
	// that a seed repeats.
	Random func() float64
}

// A Gateway is made by New. It is safe for concurrent use.
type Gateway struct {
	Config

	run     string // names this process in leases
	posts   *semaphore.Weighted
	room    *semaphore.Weighted // of deliverAll
	targets *lru.Cache[string, target]
	told    *lru.Cache[string, struct{}] // ids of the operational events that were sent
	opened  *lru.Cache[string, struct{}] // ordered registrations whose lanes are open, each with what closed them
	healths *lru.Cache[string, knownHealth]
	pace    pace
	sources
	finder
}

// New returns the gateway of c, whose defaults it fills in. The error names what
// is missing.
func New(c Config) (*Gateway, error) {
	if c.Store == nil || c.Queue == nil {
		return nil, errors.New("gateway: want a Store and a Queue")
	}
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
	g := &Gateway{Config: c, run: NewRev()}
	g.posts = semaphore.NewWeighted(int64(c.AtOnce))
	g.room = semaphore.NewWeighted(roomFor)
	g.targets, _ = lru.New[string, target](registrationsKnown)
	g.told, _ = lru.New[string, struct{}](toldKnown)
	g.opened, _ = lru.New[string, struct{}](registrationsKnown)
	g.healths = newHealths()
	g.pace.init()
	g.sources.init()
	g.finder.init()
	return g, nil
}

// Metrics counts what happens. Names and units stand in metrics.go.
type Metrics interface {
	// Add counts v more of name. It may be called from many goroutines.
	Add(name Metric, v float64)
}

// A Metric is a name under which the gateway counts.
type Metric string

// The metrics of the gateway.
const (
	Callbacks        Metric = "Callbacks"        // taken in
	RefusedCallbacks Metric = "RefusedCallbacks" // answered with an error
	Events           Metric = "Events"           // begun by the worker
	Accepted         Metric = "AttemptsAccepted"
	Refused          Metric = "AttemptsRefused"
	Latency          Metric = "CallbackToDelivery" // milliseconds, of first attempts that were accepted
	DueAge           Metric = "OldestDue"          // seconds that the oldest due row is late
)

// ID names the gateway in Ringback-Via headers.
func (g *Gateway) ID() string { return g.Keys.GatewayID() }

func (g *Gateway) now() time.Time { return utc(g.Now()) }

// upTo returns a random part of d.
func (g *Gateway) upTo(d time.Duration) time.Duration {
	return time.Duration(g.Random() * float64(d))
}

func (g *Gateway) count(m Metric, v float64) {
	if g.Metrics != nil {
		g.Metrics.Add(m, v)
	}
}

// timeLeft returns how long ctx lasts, an hour if it has no end.
func timeLeft(ctx context.Context) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end)
	}
	return time.Hour
}
