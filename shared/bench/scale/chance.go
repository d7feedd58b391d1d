package main

import (
	"math"
	"time"
)

// chance returns a number in [0,1) that follows from the seed, the instant and
// what it is for: so it does not matter which of two goroutines asks first.
func (w *world) chance(what, about string) float64 {
	const prime = 1099511628211 // FNV-1a, 64 bits
	x := uint64(14695981039346656037) ^ w.a.Seed*0x9e3779b97f4a7c15 ^ uint64(time.Now().UnixNano())
	for _, s := range [...]string{what, about} {
		for i := range len(s) {
			x = (x ^ uint64(s[i])) * prime
		}
	}
	for range 3 { // the finalizer of MurmurHash3
		x = (x ^ x>>33) * 0xff51afd7ed558ccd
	}
	return float64((x^x>>32)>>11) / (1 << 53)
}

// exponential is the same, distributed so, with a mean of 1.
func (w *world) exponential(what, about string) float64 { return -math.Log(1 - w.chance(what, about)) }

// normal is chance, distributed normally (Box and Muller).
func (w *world) normal(about string) float64 {
	return math.Sqrt(-2*math.Log(1-w.chance("normal, radius", about))) * math.Cos(2*math.Pi*w.chance("normal, angle", about))
}
