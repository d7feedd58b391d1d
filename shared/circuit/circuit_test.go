package circuit

import (
	"testing"
	"time"
)

// healthAfter plays outcomes, by the time after a start, on a Health, and
// returns it with how often it was written.
func healthAfter(start time.Time, outcomes []outcomeAt) (h Health, writes int) {
	for _, o := range outcomes {
		after := h.Refused(start.Add(o.after), false, false)
		if o.accepted {
			after = h.Accepted(start.Add(o.after))
		}
		if after != h {
			writes++
		}
		h = after
	}
	return h, writes
}

type outcomeAt struct {
	after    time.Duration
	accepted bool
}

func TestFlakyEndpointIsSeldomWrittenOf(t *testing.T) {
	var outcomes []outcomeAt
	for n := range 6 * 60 {
		outcomes = append(outcomes, outcomeAt{time.Duration(n) * 10 * time.Second, n%2 == 1})
	}
	h, writes := healthAfter(time.Now(), outcomes)
	if writes > 2*6+2 || h.Failing() {
		t.Errorf("an hour of every other attempt refused: %d writes, failing %v; want about 2 in 10 minutes, and not failing", writes, h.Failing())
	}
}

func TestFiveDaysOfNothingButFailuresAreHopeless(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		outcomes []outcomeAt
		hopeless bool // at the last outcome
	}{
		{"two failures", []outcomeAt{{0, false}, {5 * day, false}}, true},
		{"two failures, an hour too early", []outcomeAt{{0, false}, {5*day - time.Hour, false}}, false},
		{"accepted before them", []outcomeAt{{-time.Second, true}, {0, false}, {5 * day, false}}, true},
		{"accepted between", []outcomeAt{{0, false}, {time.Second, true}, {5 * day, false}}, false},
		{"accepted between, and failing ever since",
			[]outcomeAt{{0, false}, {time.Second, true}, {2 * time.Second, false}, {time.Hour, false}, {5*day + time.Hour, false}}, true},
		{"accepted between, and failing for less than five days since",
			[]outcomeAt{{0, false}, {time.Second, true}, {2 * time.Second, false}, {time.Hour, false}, {5 * day, false}}, false},
	} {
		start := time.Now()
		h, _ := healthAfter(start, tt.outcomes)
		if got := h.Hopeless(start.Add(tt.outcomes[len(tt.outcomes)-1].after)); got != tt.hopeless {
			t.Errorf("%s: hopeless %v, want %v", tt.name, got, tt.hopeless)
		}
	}
}
