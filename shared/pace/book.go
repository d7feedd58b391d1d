package pace

import (
	"maps"
	"slices"
	"time"
)

const (
	// A tenant with more cuts than mostCuts in cutsWithin keeps its proven endpoints alone in batches.
	mostCuts   = 5
	cutsWithin = 10 * time.Minute
	provenRun  = 100 // quick attempts that prove an endpoint, no run of slow ones between them
	// bookLimit bounds the row, to some 100 KB. An endpoint that is dropped is
	// unknown, and known again after its next attempt.
	bookLimit = 2_000
)

// A Book is what all processes know of a tenant's endpoints: whose attempts may be made in a batch of
// messages, which ends with its slowest one. The zero Book knows none.
type Book struct {
	Endpoints map[string]Entry `json:"endpoints,omitempty"` // by registration
	Cuts      []time.Time      `json:"cuts,omitempty"`      // of fast endpoints, the last ones
}

// An Entry is what a Book says of one endpoint. Without one it is unknown.
type Entry struct {
	URL    string `json:"u"`           // a digest: a new URL is unknown
	Fast   bool   `json:"f,omitempty"` // else it is slow
	Proven bool   `json:"p,omitempty"`
	Slowed int    `json:"s,omitempty"` // times that it turned slow, and was not proven since
}

// Batches reports whether attempts for a registration may be made in a batch at
// now. An empty url stands for the one that is known.
func (b Book) Batches(registration, url string, now time.Time) bool {
	e := b.Endpoints[registration]
	if !e.Fast || url != "" && e.URL != url {
		return false
	}
	return e.Proven || len(b.Cuts) <= mostCuts || now.Sub(b.Cuts[len(b.Cuts)-1-mostCuts]) > cutsWithin
}

// After returns b after an attempt for a registration that ended so, as its process
// saw it, and whether that changed it.
func (b Book) After(registration, url string, o Outcome, seen Seen, now time.Time) (Book, bool) {
	e, known := b.Endpoints[registration]
	if e.URL != url {
		e, known = Entry{URL: url}, false
	}
	was := e
	switch {
	case o.slow() && seen.Slow && e.Fast:
		e.Fast, e.Proven, e.Slowed = false, false, e.Slowed+1
	case !o.quick():
	case !known, !e.Fast && seen.Quick >= quickRun && now.Sub(seen.QuickSince) >= trial(e.Slowed):
		e.Fast = true
	case e.Fast && !e.Proven && seen.Quick >= provenRun:
		e.Proven, e.Slowed = true, max(e.Slowed-1, 0)
	}
	if e == was {
		return b, false
	}
	before := b.Endpoints
	b.Endpoints = make(map[string]Entry, len(before)+1)
	maps.Copy(b.Endpoints, before)
	if b.Endpoints[registration] = e; e.Slowed > was.Slowed {
		b.Cuts = append(slices.Clone(b.Cuts[max(0, len(b.Cuts)-mostCuts):]), now)
	}
	for other := range b.Endpoints {
		if len(b.Endpoints) <= bookLimit {
			break
		}
		if other != registration {
			delete(b.Endpoints, other)
		}
	}
	return b, true
}

// trial returns over how long quick attempts make an endpoint fast again that turned slow so often.
func trial(slowed int) time.Duration { return min(firstTrial<<min(max(slowed-1, 0), 10), longestTrial) }
