// Package gatewaytest is what the tests of several packages build their gateway
// from: the gateway over the embedded backend (New), the loop of its worker and
// schedule (Run), endpoints that record what they receive (Endpoints), the log
// (Lines) and a client of the HTTP API (API).
//
// A Still is all of it for a test that calls one operation after the other: its
// clock stands, and its queue is handled by call.
//
// It imports nothing that stands above the gateway, such as shared/control, so the
// tests inside those packages can use it too.
package gatewaytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"ringback/shared/config"
	"ringback/shared/embedded"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider/all"
	"ringback/shared/storage"
)

// KeyRing is the text of the key ring that gateways have unless a test says otherwise.
const KeyRing = "1 a key ring of no fewer than 32 characters"

// PublicURL is where gateways are reached unless a test says otherwise.
const PublicURL = "https://ringback.example"

// OperatorKey is the operator's key of an API.
const OperatorKey = "an operator key of no fewer than 32 characters"

// Keys returns the key ring of a text.
func Keys(t testing.TB, text string) *keyring.Ring {
	t.Helper()
	return Must(keyring.Parse(text))(t)
}

// Config returns the default settings, with PublicURL.
func Config(t testing.TB) config.Config {
	t.Helper()
	return Must(config.Load(func(name string) string { return map[string]string{"PUBLIC_URL": PublicURL}[name] }))(t)
}

// Open opens the embedded backend in a folder of the test's, until the test ends. It
// does not wait for the disk.
func Open(t testing.TB) *embedded.DB {
	t.Helper()
	return OpenWith(t, embedded.Options{Relaxed: true})
}

// OpenWith is Open with other options.
func OpenWith(t testing.TB, o embedded.Options) *embedded.DB {
	t.Helper()
	db := Must(embedded.Open(t.Context(), t.TempDir(), o))(t)
	t.Cleanup(func() { db.Close() })
	return db
}

// New returns the gateway of c. Where c has no key ring, no providers or no public
// URL, it has KeyRing, all and PublicURL.
func New(t testing.TB, c gateway.Config) *gateway.Gateway {
	t.Helper()
	if c.Keys == nil {
		c.Keys = Keys(t, KeyRing)
	}
	if c.Providers == nil {
		c.Providers = all.Providers()
	}
	if c.PublicURL == "" {
		c.PublicURL = PublicURL
	}
	return Must(gateway.New(c))(t)
}

// A Serve hands the messages of a queue to a handler until ctx ends.
type Serve func(ctx context.Context, q storage.QueueName, h storage.Handler)

// On returns the Serve of an embedded backend, which gives each handler the messages
// of one batch of c.
func On(db *embedded.DB, c embedded.Consumer) Serve {
	return func(ctx context.Context, q storage.QueueName, h storage.Handler) {
		c := c
		c.Handler = h
		db.Serve(ctx, q, c)
	}
}

// Run runs the worker of g, and its schedule every so often unless that is 0, until
// stop is called, which waits for their end.
func Run(g *gateway.Gateway, serve Serve, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for q, h := range g.Handlers() {
		running.Go(func() { serve(ctx, q, h) })
	}
	if every > 0 {
		running.Go(func() { Schedule(ctx, g, every) })
	}
	return func() { cancel(); running.Wait() }
}

// Schedule runs the schedule of g now and every so often, until ctx ends. As on AWS,
// a run has a minute.
func Schedule(ctx context.Context, g *gateway.Gateway, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		run, cancel := context.WithTimeout(ctx, time.Minute)
		g.Retry(run)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// Await waits until done returns true, and fails the test if that takes two minutes
// of real time.
func Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.After(2 * time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}
