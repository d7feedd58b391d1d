package gateway

import (
	"context"
	"time"

	"ringback/shared/pace"
	"ringback/shared/storage"
)

// Hints returns the keys of the match index entries that r needs.
func Hints(r Registration) []storage.Key {
	var keys []storage.Key
	for _, h := range r.Published() {
		keys = append(keys, HintKey(r.Source, h.RoutingKey, h.Pattern, r.ID))
	}
	return keys
}

// Crowd has a registration's attempts, which take so long each, fill g.
func Crowd(g *Gateway, registration string, took time.Duration) {
	turn := pace.Turn{Registration: registration, Slow: true, Allowance: pace.Allowance{AtOnce: g.AtOnce}}
	enter := func() func(pace.Outcome) {
		leave, _ := g.attempter.pace.Enter(context.Background(), turn)
		return leave
	}
	leave := enter()
	if leave == nil {
		return // they fill it already
	}
	leave(pace.Outcome{Made: true, Accepted: true, Took: 8 * took}) // of the first one an eighth is believed
	for range g.AtOnce {
		enter()
	}
	time.Sleep(took)
}
