package gateway

import (
	"time"

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

// FillRoom takes all the room that g has for first attempts until it is left.
func FillRoom(g *Gateway) (leave func()) {
	g.room.TryAcquire(roomFor)
	return func() { g.room.Release(roomFor) }
}

// Crowd has a registration's attempts, which take so long each, fill g.
func Crowd(g *Gateway, registration string, took time.Duration) {
	m := g.attempter.pace.mood(registration)
	m.posting, m.took, m.moved = g.AtOnce, took, time.Now().Add(-took)
}
