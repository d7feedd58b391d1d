package main

import (
	"errors"
	"slices"
	"time"
)

// DynamoDB.
const (
	dynamoTime = 5 * time.Millisecond // of a call in the region
	keyWrites  = 1000                 // units a second of one partition key ("Best practices for designing partition keys")
	keyReads   = 3000
	newWrites  = 4000             // units a second of a new on-demand table or index ("Understanding DynamoDB warm throughput")
	newReads   = 12_000           //
	doubling   = 30 * time.Minute // traffic over twice the peak of so long ago may be throttled (the same)
	window     = 10 * time.Second // over which the use of keys is looked at
)

// errThrottled is ProvisionedThroughputExceededException, or
// ThrottlingException, after the SDK's retries.
var errThrottled = errors.New("throttled")

// A space is a table or an index as a whole: it grows with its use.
type space struct {
	*bucket
	warm   float64 // units a second that it takes from the beginning
	scale  float64 // units of the whole for one of the sample
	minute []float64
	throttled,
	used float64
}

func newSpace(w *world, warm float64) *space {
	return &space{bucket: newBucket(warm/w.n, warm/w.n*w.smooth), warm: warm, scale: w.n, minute: []float64{0}}
}

// tick is called each minute: a space takes twice its peak of 30 minutes ago.
func (s *space) tick() {
	peak := 0.0
	if past := len(s.minute) - int(doubling/time.Minute); past > 0 {
		peak = slices.Max(s.minute[:past]) / 60 * s.scale
	}
	s.rate = max(s.warm, 2*peak) / s.scale
	s.depth = max(s.depth, s.rate)
	s.minute = append(s.minute, 0)
}

func (s *space) use(units float64) {
	s.used += units * s.scale
	s.minute[len(s.minute)-1] += units
}

// A heat is how much a partition key was used.
type heat struct {
	*bucket
	limit     float64 // units a second
	scale     float64 // units of the whole for one of the sample
	since     time.Time
	used      float64 // in this window
	peak      float64 // units a second of the whole
	throttled float64
}

func (h *heat) use(units float64, now time.Time) {
	if now.Sub(h.since) >= window {
		h.since, h.used = now, 0
	}
	h.used += units
	h.peak = max(h.peak, h.used/window.Seconds()*h.scale)
}

// A heatKey is a partition key and what is done to it.
type heatKey struct {
	of   string // table or index, and the key
	unit string
}

// A demand is what one request needs of one limit.
type demand struct {
	space *space
	key   heatKey
	limit float64 // of the key
	scale float64 // units of the whole for one of the sample
	units float64
}

// grant takes all demands, or none. An index that is throttled holds up the
// write to its table. The caller holds w.mu.
func (t *tables) grant(ds ...demand) error {
	if !t.metered {
		return nil
	}
	now := t.w.now()
	for _, d := range ds {
		h := t.heat(d)
		if !h.take(0, now) {
			h.throttled += t.w.n
			return errThrottled
		}
		if !d.space.take(0, now) {
			d.space.throttled += t.w.n
			return errThrottled
		}
	}
	for _, d := range ds {
		h := t.heat(d)
		h.take(d.units, now)
		h.use(d.units, now)
		d.space.take(d.units, now)
		d.space.use(d.units)
	}
	return nil
}

func (t *tables) heat(d demand) *heat {
	h := t.heats[d.key]
	if h == nil {
		deep := 1.0
		if d.scale > 1 {
			deep = t.w.smooth
		}
		h = &heat{bucket: newBucket(d.limit/d.scale, d.limit/d.scale*deep), limit: d.limit, scale: d.scale, since: t.w.now()}
		t.heats[d.key] = h
	}
	return h
}
