// Package gateway takes providers' callbacks, delivers each event to every registration that wants it and may have
// it, and retries what failed. It knows no AWS, no database and no provider.
//
// # One event, file by file
//
//  1. ingest.go: Ingest authenticates the callback, splits it into events and sends them to the events queue
//  2. sourcecache.go, source.go: the source's credentials, cached
//  3. send.go: messages, packed by package message
//  4. fanout.go: FanOut receives a message and fans its events out
//  5. matcher.go, match.go, registration.go: registrations that want an event, by an inverted index
//  6. eligibility.go, tenant.go: whether a registration may have it, by grants and groups
//  7. eventclaim.go: the event is stored and its fan-out claimed; a duplicate ends here
//  8. firstattempt.go: a first attempt for each registration
//  9. attempt.go: may it start now, POST, record, apply the outcome
//  10. request.go: the signed request, sent by package egress
//  11. delivery.go: the delivery's next state, as pure functions
//  12. deliveries.go: the delivery's row is written
//  13. circuit.go: the outcome's consequences for the registration
//
// What was not delivered at once: retry.go claims what falls due, redeliver.go attempts it again, park.go holds
// deliveries behind an open circuit and wakes them, lanes.go keeps the order of ordered registrations, retention.go
// keeps payloads as long as they are needed. job.go and jobs.go do long work in chunks, notify.go sends operational
// events, metrics.go counts, failure.go and refusal.go turn errors into log lines and replies, core.go is what all
// share, errors.go has the error of unreadable messages. Everything stored is a row, and rows.go lists all of them.
//
// # Terms
//
//   - generation: the revision of a source's registrations; caches are valid for one
//   - posting: the registrations that one index entry (routing key, event type pattern) lists
//   - claim: a fencing token; only its holder may POST or store, and each record consumes it
//   - lease: a claim on an event's fan-out that ends by itself
//   - lookahead: how far ahead of its due time a row is claimed, so that its message can be delayed to the second
//   - self-send: a message that a worker sends for its own next attempt, without the due index
//   - parked: pending behind an open circuit, outside the due index
//   - lane: the queue of one group's deliveries to an ordered registration
package gateway

import (
	"errors"
	"time"

	"ringback/shared/limit"
	"ringback/shared/limiter"
	"ringback/shared/storage"
)

// A Gateway is made by New and safe for concurrent use. Each part uses only those before it in this list.
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

// New returns a gateway for c with c's defaults filled in. The error names what is missing.
func New(c Config) (*Gateway, error) {
	if c.Store == nil || c.Queue == nil {
		return nil, errors.New("gateway: want a Store and a Queue")
	}
	all := &core{Config: c.withDefaults(), process: storage.NewRev(), limiter: limiter.New()}
	if all.FirstAttempt > 0 {
		all.speeds, all.limiter.Shared = limiter.NewSpeedStore(c.Store, SpeedsKey, all.Clock), true
	}
	all.limits = limit.New(c.Store, all.Clock)
	all.clockSteady() // start the clock watch
	find, events, notifier := newMatcher(all), &events{all}, &notifier{all, newCache[struct{}](notifiedCacheSize)}
	deliveries := &deliveries{all, events}
	circuit := &circuits{core: all, matcher: find, deliveries: deliveries, notifier: notifier, healths: newCache[*cachedHealth](limiter.MaxEndpoints)}
	attempts := newAttempter(all, find, events, circuit)
	lanes := &lanes{all, find, events, deliveries, attempts, newCache[struct{}](registrationCacheSize)}
	jobs := &jobs{core: all, matcher: find, events: events, deliveries: deliveries, lanes: lanes, circuit: circuit}
	circuit.startJob = jobs.StartJob
	g := &Gateway{
		all, &ingester{core: all, known: newCache[account](sourceCacheSize), unknown: newCache[time.Time](unknownCacheSize)},
		find, events, deliveries, notifier, circuit, attempts, lanes, jobs,
		&fanOuts{all, find, events, deliveries, attempts, lanes, notifier, limiter.NewShares(maxFirstAttempts, all.SingleProcess)},
		&redeliveries{all, events, deliveries, attempts, lanes, jobs},
		&retries{core: all},
	}
	return g, nil
}

// Handlers returns the handler of each queue.
func (g *Gateway) Handlers() map[storage.QueueName]storage.Handler {
	return map[storage.QueueName]storage.Handler{storage.EventsQueue: g.FanOut, storage.RetryQueue: g.Redeliver, storage.SlowQueue: g.RedeliverSlow}
}
