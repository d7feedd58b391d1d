package schedule

import (
	"errors"
	"slices"
	"testing"
	"time"

	"ringback/shared/storage"
)

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
