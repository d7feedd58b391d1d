package simulation

import (
	"math/rand/v2"
	"time"

	"ringback/shared/storage/storagetest"
)

// A plan is what a seed chooses before a run begins.
type plan struct {
	seed     uint64
	embedded bool // on the embedded backend

	alone      bool // one process does everything, as on one machine; else one a role, as on Lambda
	workers    int  // processes that handle messages
	concurrent int  // handlers at once in a worker
	atOnce     int  // POSTs at once in a process

	active   time.Duration // until everything becomes calm
	things   int           // callbacks while active
	deeds    int           // what tenants and operator do meanwhile
	crowd    int           // registrations more than one event's row can name
	lanes    bool          // all are ordered, and things come thick and fast
	releases bool          // all that is done is to disable each registration, and to release what was held while things come thick and fast
	byCode   bool          // a group with apps made by set_http_callback
	failures bool          // sources keep a history of failures

	script string  // what happens, from scripts; empty: what the seed chooses
	ends   []point // where processes end, in a run of a script
	hasty  bool    // what a process that ended had received comes again at once, before its leases are over
	exits  string  // the folder of the file, where the simulation exits as the process ends
	finds  string  // the folder that it left, which the next process opens

	clean    bool          // nothing goes wrong but tenants' endpoints, and the queues if twins
	twins    bool          // messages are received twice: of the events queue at once, of the retry queue when the first is over
	skew     time.Duration // most that a clock is wrong
	jumps    int           // of all clocks
	outages  int           // of Store, Queue or both
	crashes  int           // processes that end at a call
	slow     float64       // share of calls that take long
	twice    float64       // share of messages that are received twice at once
	lost     float64       // share of answers of endpoints that do not come back
	weakness storagetest.Weakness
}

// newPlan returns the plan of a seed.
func newPlan(seed uint64, rng *rand.Rand) plan {
	p := plan{
		seed: seed, alone: rng.IntN(4) == 0, workers: 1 + rng.IntN(3), concurrent: 1, atOnce: pick(rng, 256, 256, 256, 2),
		active: pick(rng, time.Minute, 20*time.Minute, 3*time.Hour, 3*time.Hour, 30*time.Hour),
		things: 1 + rng.IntN(12), deeds: rng.IntN(14), byCode: rng.IntN(8) == 0, failures: rng.IntN(6) == 0,
		clean: rng.IntN(5) == 0,
	}
	if onFile(seed) {
		p.embedded, p.alone, p.active = true, true, min(p.active, 20*time.Minute)
	}
	if rng.IntN(50) == 0 {
		p.crowd, p.things = 42+rng.IntN(20), 1+rng.IntN(3)
	}
	if rng.IntN(10) == 0 {
		p.lanes, p.active, p.things, p.deeds, p.slow = true, time.Minute, 12+rng.IntN(24), 4+rng.IntN(14), 0.3
	}
	if p.releases = seed%16 == 11; p.releases {
		p.active, p.deeds = time.Minute, 0
	}
	if p.alone {
		p.workers, p.concurrent = 1, 1+rng.IntN(8)
	}
	if p.clean {
		p.twins = rng.IntN(2) == 0
		return p
	}
	p.skew = pick(rng, 0, 2*time.Second)
	p.jumps, p.outages = rng.IntN(4), pick(rng, 0, 0, 0, 1, 3)
	p.crashes = rng.IntN(5)
	p.slow = max(p.slow, pick(rng, 0, 0.01, 0.1))
	p.twice = pick(rng, 0, 0.05, 0.3)
	p.lost = pick(rng, 0, 0.05, 0.2)
	p.weakness = storagetest.Weak(seed)
	switch rng.IntN(4) {
	case 0:
		p.weakness = storagetest.Weakness{Seed: seed}
	case 1:
		p.weakness.Refused, p.weakness.Lost, p.weakness.Partial = 0.1, 0.1, 0.1
	}
	return p
}

// pick returns one of vs.
func pick[T any](rng *rand.Rand, vs ...T) T { return vs[rng.IntN(len(vs))] }
