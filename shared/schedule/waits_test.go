package schedule

import (
	"errors"
	"slices"
	"testing"
	"time"

	"ringback/shared/storage"
)

func TestWaitAfterSomeAttempts(t *testing.T) {
	two := Schedule{Waits: []time.Duration{time.Minute, time.Hour}}
	for made, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 2: time.Hour, 3: time.Hour, 99: time.Hour} {
		if got := two.WaitAfter(made); got != want {
			t.Errorf("after %d attempts: %v, want %v", made, got, want)
		}
	}
	if got := (Schedule{Waits: []time.Duration{}}).WaitAfter(1); got != 0 {
		t.Errorf("of no waits: %v, want none", got)
	}
}

func TestScheduleIsTakenUpToItsLimits(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		waits []time.Duration
		ok    bool
	}{
		{"as many waits as may be", slices.Repeat([]time.Duration{MinWait}, MaxWaits), true},
		{"one more", slices.Repeat([]time.Duration{MinWait}, MaxWaits+1), false},
		{"a longer one", []time.Duration{MaxWait + 1}, false},
		{"the longest", []time.Duration{MaxWait}, true},
		{"a shorter one", []time.Duration{MinWait - 1}, false},
		{"seven days", slices.Repeat([]time.Duration{day}, 7), true},
		{"seven days and five seconds", append(slices.Repeat([]time.Duration{day}, 7), MinWait), false},
	} {
		if err := (Schedule{Waits: tt.waits}).Check(); (err == nil) != tt.ok || err != nil && !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("%s: %v, want it taken: %v", tt.name, err, tt.ok)
		}
	}
}
