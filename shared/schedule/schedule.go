package schedule

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/shared/storage"
)

// A Schedule is the waits between the attempts of a delivery: a named one or a list. The zero Schedule is the standard
// one.
type Schedule struct {
	Name  string          // "standard" or "every-5-minutes"; empty with Waits
	Waits []time.Duration // nil for a named one
}

// Limits of a list of waits.
const (
	MaxWaits    = 50
	MinWait     = 5 * time.Second
	MaxWait     = 24 * time.Hour
	MaxWaitsSum = 7 * 24 * time.Hour
)

// SlowDownWait is the shortest wait after status 429 or a timeout.
const SlowDownWait = time.Minute

var standardWaits = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// named are the schedules with a name.
var named = map[string][]time.Duration{
	"":                standardWaits,
	"standard":        standardWaits,
	"every-5-minutes": slices.Repeat([]time.Duration{5 * time.Minute}, 24*60/5), // for 24 h, as Direct does ("Receiving Callback", Expected response)
}

func (s Schedule) waits() []time.Duration {
	if s.Waits != nil {
		return s.Waits
	}
	return named[s.Name]
}

// Len returns the number of waits, one less than the number of attempts.
func (s Schedule) Len() int { return len(s.waits()) }

// Wait returns wait n, counted from 0, without jitter.
func (s Schedule) Wait(n int) time.Duration { return s.waits()[n] }

// After returns how long to wait after the given number of attempts, and false if that was the last. The wait is the
// schedule's × (0.8…1.2), chosen by jitter in [0,1); at least SlowDownWait if slowDown; and at least the endpoint's
// retryAfter, up to MaxWait, which never adds an attempt.
func (s Schedule) After(attempts int, jitter float64, slowDown bool, retryAfter time.Duration) (time.Duration, bool) {
	if attempts > s.Len() {
		return 0, false
	}
	var wait time.Duration
	if s.Len() > 0 {
		wait = time.Duration(float64(s.Wait(max(attempts, 1)-1)) * (0.8 + 0.4*jitter))
	}
	if slowDown {
		wait = max(wait, SlowDownWait)
	}
	return max(wait, min(retryAfter, MaxWait)), true
}

// RetryAfter returns the wait that a Retry-After header asks for (RFC 9110, section 10.2.3: seconds or a date), capped
// at MaxWait so that a longer one is never read as a shorter. It is 0 for one that is past, negative or malformed.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), MaxWait)
	}
	if strings.Trim(strings.TrimPrefix(text, "+"), "0123456789") != "" {
		return 0
	}
	n, _ := strconv.ParseInt(text, 10, 64) // with too many digits: the nearest int64
	return time.Duration(min(max(n, 0), int64(MaxWait/time.Second))) * time.Second
}

// Check returns an error wrapping storage.ErrInvalid if s is neither a named schedule nor a list within the limits.
func (s Schedule) Check() error {
	if s.Waits == nil {
		if named[s.Name] != nil {
			return nil
		}
		return fmt.Errorf(`schedule: %w: want "standard", "every-5-minutes" or a list of waits such as ["30s","5m"]`, storage.ErrInvalid)
	}
	if len(s.Waits) > MaxWaits {
		return fmt.Errorf("schedule: %w: want at most %d waits", storage.ErrInvalid, MaxWaits)
	}
	var sum time.Duration
	for _, w := range s.Waits {
		if w < MinWait || w > MaxWait {
			return fmt.Errorf("schedule: %w: want waits of 5s to 24h", storage.ErrInvalid)
		}
		sum += w
	}
	if sum > MaxWaitsSum {
		return fmt.Errorf("schedule: %w: want at most 7 days in all", storage.ErrInvalid)
	}
	return nil
}

// MarshalJSON writes the name, or the list as Go durations: ["30s","5m0s"].
func (s Schedule) MarshalJSON() ([]byte, error) {
	if s.Waits == nil {
		return json.Marshal(cmp.Or(s.Name, "standard"))
	}
	waits := make([]string, len(s.Waits))
	for i, w := range s.Waits {
		waits[i] = w.String()
	}
	return json.Marshal(waits)
}

// UnmarshalJSON reads what MarshalJSON writes, and calls Check. Its errors quote nothing of the input.
func (s *Schedule) UnmarshalJSON(b []byte) error {
	var name string
	if json.Unmarshal(b, &name) == nil {
		*s = Schedule{Name: name}
		return s.Check()
	}
	var texts []string
	if err := json.Unmarshal(b, &texts); err != nil {
		return fmt.Errorf(`schedule: %w: want a name or a list of waits such as ["30s","5m"]`, storage.ErrInvalid)
	}
	*s = Schedule{Waits: make([]time.Duration, len(texts))}
	for i, text := range texts {
		w, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("schedule: %w: want waits such as 30s, 5m or 24h", storage.ErrInvalid)
		}
		s.Waits[i] = w
	}
	return s.Check()
}
