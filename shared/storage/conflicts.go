package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// A compare-and-swap that loses is tried so often at most, after a pause that is
// random up to firstPause, doubled by each up to longestPause.
const (
	maxSwaps   = 20
	firstPause = 2 * time.Millisecond
	maxPause   = 128 * time.Millisecond
)

// CompareAndSwap calls f, which reads a row, and writes it over the revision that it read, until another's write does
// not come in between. It returns f's error, of the last call if all lost, or ctx's if that ends in a pause.
func CompareAndSwap(ctx context.Context, f func() error) error {
	for n := 1; ; n++ {
		err := f()
		lost, conflict := errors.AsType[*ConflictError](err)
		if !conflict || n == maxSwaps {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pauseAfter(n, lost.Stored)):
		}
	}
}

// pauseAfter returns a random part of the pause after so many losses. What is random is the instant and the
// row that was there: simulations, in which each instant is known, so repeat by their seed.
func pauseAfter(losses int, stored Row) time.Duration {
	limit := min(firstPause<<min(losses-1, 10), maxPause)
	h := fnv.New64a()
	fmt.Fprint(h, time.Now().UnixNano(), stored.PK, stored.SK, losses)
	return time.Duration(h.Sum64() % uint64(limit))
}
