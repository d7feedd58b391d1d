package limiter

import (
	"maps"
	"slices"
	"time"
)

const (
	// After more than maxDemotions of a tenant's endpoints turned slow within demotionWindow, only its trusted ones
	// are attempted in batches.
	maxDemotions   = 5
	demotionWindow = 10 * time.Minute
	trustedRun     = 100 // quick attempts without a slow run between them that make an endpoint trusted
	// maxSpeeds bounds the row to some 100 KB. An endpoint that is dropped is known again after its next attempt.
	maxSpeeds = 2_000
)

// Speeds are what all processes know of a tenant's endpoints: which of them are so fast that their attempts may be
// made in a batch of messages, which ends with its slowest attempt. The zero Speeds know none.
type Speeds struct {
	Endpoints map[string]Speed `json:"endpoints,omitempty"` // by registration
	Demotions []time.Time      `json:"cuts,omitempty"`      // when fast endpoints turned slow, the last ones
}

// A Speed is what is known of one endpoint; without one it is unknown.
type Speed struct {
	URL         string `json:"u"`           // digest of it: a new URL makes the endpoint unknown
	Fast        bool   `json:"f,omitempty"` // otherwise slow
	Trusted     bool   `json:"p,omitempty"`
	TimesSlowed int    `json:"s,omitempty"` // times that it turned slow, less one each time that it became trusted
}

// AllowsBatch reports whether attempts for a registration may be made in a batch at now. An empty url means the known
// one.
func (b Speeds) AllowsBatch(registration, url string, now time.Time) bool {
	e := b.Endpoints[registration]
	if !e.Fast || url != "" && e.URL != url {
		return false
	}
	return e.Trusted || len(b.Demotions) <= maxDemotions || now.Sub(b.Demotions[len(b.Demotions)-1-maxDemotions]) > demotionWindow
}

// After returns b after an attempt of outcome o, where seen are its process's Stats, and whether that changed b.
func (b Speeds) After(registration, url string, o Outcome, seen Stats, now time.Time) (Speeds, bool) {
	e, known := b.Endpoints[registration]
	if e.URL != url {
		e, known = Speed{URL: url}, false
	}
	was := e
	switch {
	case o.slow() && seen.Slow && e.Fast:
		e.Fast, e.Trusted, e.TimesSlowed = false, false, e.TimesSlowed+1
	case !o.quick():
	case !known, !e.Fast && seen.Quick >= minQuickRun && now.Sub(seen.QuickSince) >= probation(e.TimesSlowed):
		e.Fast = true
	case e.Fast && !e.Trusted && seen.Quick >= trustedRun:
		e.Trusted, e.TimesSlowed = true, max(e.TimesSlowed-1, 0)
	}
	if e == was {
		return b, false
	}
	before := b.Endpoints
	b.Endpoints = make(map[string]Speed, len(before)+1)
	maps.Copy(b.Endpoints, before)
	if b.Endpoints[registration] = e; e.TimesSlowed > was.TimesSlowed {
		b.Demotions = append(slices.Clone(b.Demotions[max(0, len(b.Demotions)-maxDemotions):]), now)
	}
	for other := range b.Endpoints {
		if len(b.Endpoints) <= maxSpeeds {
			break
		}
		if other != registration {
			delete(b.Endpoints, other)
		}
	}
	return b, true
}

// probation returns over how long quick attempts make an endpoint fast again that turned slow slowed times.
func probation(slowed int) time.Duration {
	return min(firstProbation<<min(max(slowed-1, 0), 10), longestProbation)
}
