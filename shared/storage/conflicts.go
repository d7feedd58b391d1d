package storage

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// A compare-and-swap is tried up to maxSwaps times. Before the next try it pauses for a random time up to firstPause,
// doubled for each try up to maxPause.
const (
	maxSwaps   = 20
	firstPause = 2 * time.Millisecond
	maxPause   = 128 * time.Millisecond
)

// CompareAndSwap calls f, which reads a row and writes it over the revision that it read, again as long as it returns
// a ConflictError because another writer was faster. It returns f's last error, or ctx's if ctx ends during a pause.
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

// pauseAfter returns the pause after so many lost tries. It is random by the instant and the stored row alone, so that
// a simulation, which controls both, repeats by its seed.
func pauseAfter(losses int, stored Row) time.Duration {
	limit := min(firstPause<<min(losses-1, 10), maxPause)
	h := fnv.New64a()
	fmt.Fprint(h, time.Now().UnixNano(), stored.PK, stored.SK, losses)
	return time.Duration(h.Sum64() % uint64(limit))
}
