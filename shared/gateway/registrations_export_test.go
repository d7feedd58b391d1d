package gateway

import (
	"context"
	"time"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

// Hints returns the keys of the match index entries that r needs.
func Hints(r Registration) []storage.Key {
	var keys []storage.Key
	for _, h := range r.PublishedEntries() {
		keys = append(keys, IndexKey(r.Source, h.RoutingKey, h.Pattern, r.ID))
	}
	return keys
}

// Crowd has a registration's attempts, which take so long each, fill g.
func Crowd(g *Gateway, registration string, took time.Duration) {
	turn := limiter.Request{Registration: registration, Slow: true, Allowance: limiter.Allowance{Concurrency: g.MaxConcurrency}}
	enter := func() func(limiter.Outcome) {
		leave, _ := g.attempter.limiter.Acquire(context.Background(), turn)
		return leave
	}
	leave := enter()
	if leave == nil {
		return // they fill it already
	}
	leave(limiter.Outcome{Attempted: true, Succeeded: true, Took: 8 * took}) // of the first one an eighth is believed
	for range g.MaxConcurrency {
		enter()
	}
	time.Sleep(took)
}
