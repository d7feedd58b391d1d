package main

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/test/proofs"
)

// minute is a minute of small.
func minute() setup {
	s := sizes["small"]
	s.For, s.Seed = time.Minute, 1
	return s
}

func played(t *testing.T, s setup) *world {
	t.Helper()
	w, err := play(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestMinuteOfSmallIsCarriedAndConserved(t *testing.T) {
	w := played(t, minute())
	if w.verdict != carried || len(w.callbacks) < 1000 {
		t.Errorf("%d callbacks: %s; want 20 a second to be carried", len(w.callbacks), w.verdict)
	}
	if len(w.retries) != 1 || w.retries[0] != nil {
		t.Errorf("runs of Retry ended with %v, want one without error", w.retries)
	}
	states := map[string]int{}
	for _, c := range w.callbacks {
		states[c.state]++
	}
	if n := states[string(gateway.Pending)]; n < 10 || states[string(gateway.Succeeded)] < 9*n {
		t.Errorf("callbacks by state: %v; want those for one of 20 endpoints pending, and hardly any other", states)
	}
	for number, c := range w.callbacks[:60] { // whichever is lost, the check tells
		w.callbacks[number].arrived, w.callbacks[number].delivery.PK = false, "D#nobody#0"
		if err := w.conserved(); err == nil {
			t.Fatalf("callback %d, %s, is lost, and the check does not tell", number, c.state)
		}
		w.callbacks[number] = c
	}
}

func TestLowerLimitsAreReported(t *testing.T) {
	proofs.Long(t)
	const table, key = "deliveries, writes", "registrations, reads"
	if w := played(t, minute()); w.limits[table].throttled+w.limits[key].throttled+w.lacked > 0 {
		t.Errorf("small is limited: %+v, %+v, %.0f executions lacked", w.limits[table], w.limits[key], w.lacked)
	}
	for _, tt := range []struct {
		name    string
		lower   func(*setup)
		limited func(*world) float64
	}{
		{"writes", func(s *setup) { s.WarmWrites = 20 }, func(w *world) float64 { return w.limits[table].throttled }},
		{"reads", func(s *setup) { s.WarmReads = 10 }, func(w *world) float64 { return w.limits[key].throttled }},
		{"executions", func(s *setup) { s.Executions = 2 }, func(w *world) float64 { return w.lacked }},
	} {
		s := minute()
		tt.lower(&s)
		if w := played(t, s); tt.limited(w) == 0 || w.verdict == carried {
			t.Errorf("with too few %s: %.0f requests are throttled, %s; want some, and a load that is not carried", tt.name, tt.limited(w), w.verdict)
		}
	}
}

func TestSameSeedIsTheSameReport(t *testing.T) {
	proofs.Long(t)
	text := func(seed uint64) string {
		s, b := minute(), new(strings.Builder)
		s.Seed = seed
		played(t, s).print(b)
		return b.String()
	}
	if first, again := text(7), text(7); first != again || first == text(8) {
		t.Errorf("seed 7 makes\n%s and then\n%s; want the same, and another one of seed 8", first, again)
	}
}

// TestSizesAreTheTemplates compares sizes with template.yaml.
func TestSizesAreTheTemplates(t *testing.T) {
	b, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range sizes {
		mapped := `    ` + name + `: .*\b`
		for pattern, want := range map[string]float64{
			mapped + `Workers: (\d+)`: s.Workers, mapped + `Slow: (\d+)`: s.Slow, mapped + `Batch: (\d+)`: float64(s.Batch), mapped + `Memory: (\d+)`: s.Memory,
			`(?s)FromSlow:.*BatchSize: (\d+)\n            MaximumBatchingWindowInSeconds: 1\n`: slowBatch,
			`FIRST_ATTEMPT: (\d+)s`:                            firstAttempt.Seconds(),
			`VisibilityTimeout: (\d+)`:                         visibility.Seconds(),
			`CodeUri: functions/worker/\n      Timeout: (\d+)`: (workerTime + queueMargin).Seconds(),
			`CodeUri: functions/retry/\n      Timeout: (\d+)`:  (retryTime + queueMargin).Seconds(),
		} {
			found := regexp.MustCompile(pattern).FindSubmatch(b)
			if found == nil {
				t.Errorf("template.yaml: no %s", pattern)
				continue
			}
			if got, _ := strconv.ParseFloat(string(found[1]), 64); got != want {
				t.Errorf("template.yaml: %s is %v, want %v as in sizes[%q]", pattern, got, want, name)
			}
		}
	}
}
