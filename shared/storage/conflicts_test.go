package storage

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestLostSwapWaitsBeforeItTriesAgain has a write lose some times, or for ever.
func TestLostSwapWaitsBeforeItTriesAgain(t *testing.T) {
	refused := fmt.Errorf("name: %w: another has it", ErrConflict)
	for _, tt := range []struct {
		name   string
		losses int // then the write succeeds, or
		err    error
		calls  int
		want   error
	}{
		{"none", 0, nil, 1, nil},
		{"three", 3, nil, 4, nil},
		{"all", 1000, nil, maxSwaps, ErrConflict},
		{"a conflict that is no lost write", 2, refused, 3, refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls int
				var least, most time.Duration
				start, last := time.Now(), time.Now()
				err := CompareAndSwap(t.Context(), func() error {
					if calls++; calls > 1 {
						if time.Since(last) > maxPause {
							t.Errorf("call %d after %v, want %v at most", calls, time.Since(last), maxPause)
						}
						most += maxPause
					}
					last = time.Now()
					if calls <= tt.losses {
						return fmt.Errorf("put: %w", &ConflictError{Stored: Row{Key: Key{PK: "a", SK: fmt.Sprint(calls)}}})
					}
					return tt.err
				})
				if took := time.Since(start); calls != tt.calls || !errors.Is(err, tt.want) || took > most || tt.calls > 1 && took <= least {
					t.Errorf("%d calls in %v, %v; want %d with a pause before all but the first, %v", calls, took, err, tt.calls, tt.want)
				}
			})
		})
	}
}

func TestLostSwapEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		defer cancel()
		err := CompareAndSwap(ctx, func() error { return &ConflictError{} })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

// TestPausesDiffer draws pauses of callers that lost to different writes at the
// same instant.
func TestPausesDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for n := range 100 {
			seen[pauseAfter(1, Row{Key: Key{PK: fmt.Sprint(n)}})] = true
		}
		if len(seen) < 90 {
			t.Errorf("%d pauses of 100 differ, want nearly all", len(seen))
		}
	})
}
