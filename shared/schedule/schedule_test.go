package schedule

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStandardScheduleIsTheDocumentedOne(t *testing.T) {
	var sum time.Duration
	for n := range (Schedule{}).Len() {
		sum += Schedule{}.Wait(n)
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; sum != want || (Schedule{}).Len() != 9 {
		t.Errorf("standard: %d waits, %v in all; want 9, %v", Schedule{}.Len(), sum, want)
	}
	if every := (Schedule{Name: "every-5-minutes"}); every.Len() != 288 || every.Wait(287) != 5*time.Minute {
		t.Errorf("every-5-minutes: %d waits, the last %v; want 288 of 5m", every.Len(), every.Wait(287))
	}
}

func TestAfterKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule(t)
		made := rapid.IntRange(1, s.Len()+3).Draw(t, "made")
		jitter := rapid.Float64Range(0, 0.999).Draw(t, "jitter")
		slow := rapid.Bool().Draw(t, "slow")
		hint := time.Duration(rapid.Int64Range(0, int64(MaxWait)).Draw(t, "hint"))
		wait, more := s.After(made, jitter, slow, hint)
		if more != (made <= s.Len()) {
			t.Fatalf("After(%d) of %d waits: more %v; a hint must not add an attempt", made, s.Len(), more)
		}
		if !more {
			return
		}
		least := time.Duration(float64(s.Wait(made-1)) * 0.8)
		most := max(time.Duration(float64(s.Wait(made-1))*1.2), SlowDownWait, hint)
		if wait < least || wait > most || slow && wait < SlowDownWait || wait < hint {
			t.Fatalf("After(%d, %v, %v, %v) = %v; want %v to %v", made, jitter, slow, hint, wait, least, most)
		}
	})
}

func TestAfterAResendTheFirstAttemptIsStillToBeMade(t *testing.T) {
	for _, s := range []Schedule{{}, {Name: "every-5-minutes"}, {Waits: []time.Duration{}}, {Waits: []time.Duration{time.Minute}}} {
		if wait, more := s.After(0, 0.5, true, 0); !more || wait < SlowDownWait {
			t.Errorf("%d waits: After(0) = %v, %v; want at least a minute after a timeout", s.Len(), wait, more)
		}
	}
}

func anySchedule(t *rapid.T) Schedule {
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return Schedule{}
	case 1:
		return Schedule{Name: "every-5-minutes"}
	}
	waits := rapid.SliceOfN(rapid.Int64Range(int64(MinWait), int64(3*time.Hour)), 1, MaxWaits).Draw(t, "waits")
	s := Schedule{Waits: make([]time.Duration, len(waits))}
	for i, w := range waits {
		s.Waits[i] = time.Duration(w)
	}
	return s
}

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"":                               0,
		"120":                            2 * time.Minute,
		" 120 ":                          2 * time.Minute,
		"0":                              0,
		"-5":                             0,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"99999999999999999999":           24 * time.Hour,
		"-99999999999999999999":          0,
		"soon":                           0,
		"1.5":                            0,
		"Sun, 01 Mar 2026 12:05:00 GMT":  5 * time.Minute,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Wed, 01 Apr 2026 11:00:00 GMT":  24 * time.Hour,
		"Sunday, 01-Mar-26 12:05:00 GMT": 5 * time.Minute,
		"Sun Mar  1 12:05:00 2026":       5 * time.Minute,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("Retry-After: %q = %v, want %v", text, got, want)
		}
	}
}

// TestRetryAfterMeansTheSameInBothForms draws waits and times and writes both
// forms of the header, in each of the three ways to write a date (RFC 9110,
// section 5.6.7).
func TestRetryAfterMeansTheSameInBothForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "now"), 0).UTC()
		seconds := rapid.OneOf(rapid.Int64Range(-10, 100), rapid.Int64Range(86_390, 86_410), rapid.Int64Range(-1<<31, 1<<31-1)).Draw(t, "seconds")
		want := time.Duration(seconds) * time.Second
		want = min(max(want, 0), MaxWait)
		at := now.Add(time.Duration(seconds) * time.Second)
		forms := []string{strconv.FormatInt(seconds, 10)}
		if at.Year() >= 1970 && at.Year() < 2069 { // of two digits are those up to 50 years ahead
			forms = append(forms, at.Format(http.TimeFormat), at.Format("Monday, 02-Jan-06 15:04:05 GMT"), at.Format(time.ANSIC))
		}
		for _, text := range forms {
			space := rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "space")
			if got := RetryAfter(http.Header{"Retry-After": {space + text + space}}, now); got != want {
				t.Fatalf("at %v, Retry-After: %q = %v, want %v", now, text, got, want)
			}
		}
		s, slow := anySchedule(t), rapid.Bool().Draw(t, "slow")
		made := rapid.IntRange(1, s.Len()).Draw(t, "made")
		wait, _ := s.After(made, 0, slow, want)
		if wait < want {
			t.Fatalf("attempt %d of %d waits %v after a hint of %v, want at least that", made, s.Len(), wait, want)
		}
	})
}

// TestMoreAskedIsNeverLessWaited draws two numbers of seconds, of any length.
func TestMoreAskedIsNeverLessWaited(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`[1-9][0-9]{0,25}`)
		less, more := digits.Draw(t, "seconds"), digits.Draw(t, "others")
		if len(less) > len(more) || len(less) == len(more) && less > more {
			less, more = more, less
		}
		s, slow := anySchedule(t), rapid.Bool().Draw(t, "slow")
		made := rapid.IntRange(0, s.Len()).Draw(t, "made")
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		waited := func(text string) time.Duration {
			wait, _ := s.After(made, 0.5, slow, RetryAfter(http.Header{"Retry-After": {text}}, now))
			return wait
		}
		if waited(less) > waited(more) {
			t.Fatalf("attempt %d of %d waits %v after Retry-After: %s, but %v after %s", made, s.Len(), waited(less), less, waited(more), more)
		}
	})
}

func TestScheduleIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		`"standard"`:        `"standard"`,
		`"every-5-minutes"`: `"every-5-minutes"`,
		`["30s","5m"]`:      `["30s","5m0s"]`,
		`[]`:                `[]`,
		`"hourly"`:          "",
		`["4s"]`:            "",
		`["25h"]`:           "",
		`["soon"]`:          "",
		`[5]`:               "",
		`{"waits":["5s"]}`:  "",
		`["24h","24h","24h","24h","24h","24h","24h","5s"]`: "",
	} {
		var s Schedule
		err := json.Unmarshal([]byte(text), &s)
		if (err != nil) != (want == "") {
			t.Errorf("schedule %s: error %v, want one: %v", text, err, want == "")
			continue
		}
		if b, _ := json.Marshal(s); want != "" && string(b) != want {
			t.Errorf("schedule %s is written %s, want %s", text, b, want)
		}
	}
}
