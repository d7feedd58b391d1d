// Package gateway is the product: it takes providers' callbacks in, hands each event to every registration
// that wants it and may have it, and repeats what failed. It knows no AWS, no database and no provider.
//
// The tour follows one event. Ingest (ingest.go) proves who called, splits the callback into items and sends them to
// the events queue, packed by package message. FanOut (fanout.go) takes a message out, finds registrations (matcher.go),
// begins the event (eventclaim.go), and has each delivery attempted (attempt.go), recording the outcome by the rules of
// delivery.go. Retry (retry.go) runs every minute and hands out what falls due; Redeliver (redeliver.go) has it
// attempted again. Deliveries of ordered registrations wait in lanes (lanes.go), and long work is done by jobs
// (jobs.go). Everything that is kept is a row, and rows.go names them all.
package gateway

import (
	"errors"
	"time"

	"ringback/shared/limit"
	"ringback/shared/limiter"
	"ringback/shared/storage"
)

// A Gateway is made by New. It is safe for concurrent use. Its parts depend on
// each other in the order in which they stand here.
type Gateway struct {
	*core
	*ingester
	*matcher
	*events
	*deliveries
	*notifier
	*circuits
	*attempter
	*lanes
	*jobs
	*fanOuts
	*redeliveries
	*retries
}

// New returns the gateway of c, whose defaults it fills in. The error names what is missing.
func New(c Config) (*Gateway, error) {
	if c.Store == nil || c.Queue == nil {
		return nil, errors.New("gateway: want a Store and a Queue")
	}
	all := &core{Config: c.withDefaults(), process: storage.NewRev(), limiter: limiter.New()}
	if all.FirstAttempt > 0 {
		all.speeds, all.limiter.Shared = limiter.NewSpeedStore(c.Store, SpeedsKey, all.Clock), true
	}
	all.limits = limit.New(c.Store, all.Clock)
	all.clockSteady() // it counts from now
	find, events, tell := newMatcher(all), &events{all}, &notifier{all, newCache[struct{}](notifiedCacheSize)}
	deliveries := &deliveries{all, events}
	circuit := &circuits{core: all, matcher: find, deliveries: deliveries, notifier: tell, healths: newCache[*cachedHealth](limiter.MaxEndpoints)}
	attempts := newAttempter(all, find, events, circuit)
	lanes := &lanes{all, find, events, deliveries, attempts, newCache[struct{}](registrationCacheSize)}
	jobs := &jobs{core: all, matcher: find, events: events, deliveries: deliveries, lanes: lanes, circuit: circuit}
	circuit.startJob = jobs.StartJob
	g := &Gateway{
		all, &ingester{core: all, known: newCache[account](sourceCacheSize), unknown: newCache[time.Time](unknownCacheSize)},
		find, events, deliveries, tell, circuit, attempts, lanes, jobs,
		&fanOuts{all, find, events, deliveries, attempts, lanes, tell, limiter.NewShares(maxFirstAttempts, all.SingleProcess)},
		&redeliveries{all, events, deliveries, attempts, lanes, jobs},
		&retries{core: all},
	}
	return g, nil
}

// Handlers returns the handler of each queue.
func (g *Gateway) Handlers() map[storage.QueueName]storage.Handler {
	return map[storage.QueueName]storage.Handler{storage.EventsQueue: g.FanOut, storage.RetryQueue: g.Redeliver, storage.SlowQueue: g.RedeliverSlow}
}
