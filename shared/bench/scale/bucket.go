package main

import "time"

// A bucket lets through rate units a second, and as many at once as it is deep.
// Who finds any takes what is needed, so that a request may be larger than what
// is left.
type bucket struct {
	rate, depth float64
	left        float64
	at          time.Time
}

func newBucket(rate, depth float64) *bucket { return &bucket{rate: rate, depth: depth, left: depth} }

func (b *bucket) take(units float64, now time.Time) bool {
	if !b.at.IsZero() {
		b.left = min(b.left+b.rate*now.Sub(b.at).Seconds(), b.depth)
	}
	b.at = now
	if b.left <= 0 {
		return false
	}
	b.left -= units
	return true
}
