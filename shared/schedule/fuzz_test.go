package schedule

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// FuzzAnswerHeader reads what an endpoint's answer asks for in Retry-After.
func FuzzAnswerHeader(f *testing.F) {
	for _, text := range []string{"120", "Sun, 01 Mar 2026 12:05:00 GMT", "-1", "1e9", "\x00", "+5", "*", "https://ringback.example"} {
		f.Add(text, text)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, after, _ string) {
		got := RetryAfter(http.Header{"Retry-After": {after}}, now)
		if want := hinted(after, now); got != want || got < 0 || got > MaxWait {
			t.Errorf("Retry-After: %q = %v, want %v", after, got, want)
		}
	})
}

// hinted is Retry-After read without a look at RetryAfter: whole seconds with at
// most a sign before their digits, or one of the three forms of an HTTP date.
func hinted(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	digits := strings.TrimLeft(strings.TrimPrefix(text, "+"), "0")
	if text != "" && strings.Trim(text, "0123456789") == "" || strings.HasPrefix(text, "+") && digits != "" && strings.Trim(digits, "0123456789") == "" {
		if n, err := strconv.Atoi("0" + digits); err == nil && n <= 24*60*60 {
			return time.Duration(n) * time.Second
		}
		return MaxWait
	}
	at, err := http.ParseTime(text)
	switch d := at.Sub(now); {
	case err != nil || d < 0:
		return 0
	case d > MaxWait:
		return MaxWait
	default:
		return d
	}
}

// FuzzSchedule wants that a schedule that is taken keeps within the limits, is
// written as it is read, and that the error of another holds nothing of it.
func FuzzSchedule(f *testing.F) {
	for _, text := range []string{`"standard"`, `["30s","5m"]`, `[]`, `null`, `["5s",null]`, `"Zq7Xk"`, `["Zq7Xk"]`, `["+5s","1h1ns","9223372036.854775807s"]`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Schedule
		err := json.Unmarshal(text, &s)
		if err != nil {
			if strings.Contains(err.Error(), "Zq7Xk") {
				t.Errorf("schedule %q: the error %q repeats it", text, err)
			}
			return
		}
		if s.Len() > 288 || s.Check() != nil {
			t.Fatalf("schedule %q is taken: %+v, %v", text, s, s.Check())
		}
		var sum time.Duration
		for n := range s.Len() {
			if s.Wait(n) < MinWait || s.Wait(n) > MaxWait {
				t.Errorf("schedule %q has a wait of %v", text, s.Wait(n))
			}
			sum += s.Wait(n)
		}
		if sum > MaxWaitsSum {
			t.Errorf("schedule %q takes %v", text, sum)
		}
		b, err := json.Marshal(s)
		var back Schedule
		if err := errors.Join(err, json.Unmarshal(b, &back)); err != nil || !slices.Equal(back.waits(), s.waits()) {
			t.Errorf("schedule %q is written %s and read as %+v, %v", text, b, back, err)
		}
	})
}
