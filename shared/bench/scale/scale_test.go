package main

import (
	"bytes"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/test/proofs"
)

// small is a load that is played within a second.
func small() Assumptions {
	a := Sized("medium")
	a.Concurrency, a.Batch, a.Slow, a.Memory, a.WarmWrites, a.Throttle = 50, 10, 10, 256, 0, 2000 // so that each assumption counts
	a.Rate, a.For, a.Sample = 100, 2*time.Minute, 10
	a.Neighbours = 20
	return a
}

// played plays a and wants that nothing is lost.
func played(t *testing.T, a Assumptions) *world {
	t.Helper()
	w, err := play(t, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.m.conserved(w); err != nil {
		t.Errorf("not conserved: %v", err)
	}
	if w.m.cutOff > 0 {
		t.Errorf("%d of %d runs of Retry ended with an error", w.m.cutOff, w.m.ticks)
	}
	return w
}

func TestSmallLoadIsCarried(t *testing.T) {
	proofs.Long(t)
	w := played(t, small())
	if why := w.overloaded(); why != "" {
		t.Errorf("%.0f callbacks/s: %s", w.a.Rate, why)
	}
	all, done, waiting := w.m.count(w, underWay, refused, throttledCallback, failedCallback, acknowledged, pending, succeeded, failed),
		w.m.count(w, succeeded), w.m.count(w, pending)
	if want := w.a.Rate * w.a.For.Seconds(); all < 0.9*want || all > 1.1*want {
		t.Errorf("%.0f callbacks came, want about %.0f", all, want)
	}
	if dead := (1 - w.a.Noisy) * w.a.Dead; waiting < dead/2*all || waiting > 2*dead*all || done+waiting < 0.95*all {
		t.Errorf("of %.0f callbacks %.0f succeeded and %.0f are pending, want about %.1f %% pending and hardly any else", all, done, waiting, 100*dead)
	}
	if got := w.tables.writeUnits / 1e6 / w.millions(); got < 1.9 || got > 4 {
		t.Errorf("%.2f write units a callback; shared/bench/bill counts 2 where nothing fails", got)
	}
}

func TestSameSeedIsTheSameReport(t *testing.T) {
	proofs.Long(t)
	text := func(seed uint64) string {
		a := small()
		a.Seed, a.For = seed, time.Minute
		var b bytes.Buffer
		if err := report(t, a, time.Second, &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := text(7)
	if diff := cmp.Diff(strings.Split(first, "\n"), strings.Split(text(7), "\n")); diff != "" {
		t.Errorf("the same seed makes another report (-first +again):\n%s", diff)
	}
	if other := text(8); other[strings.Index(other, "minute"):] == first[strings.Index(first, "minute"):] {
		t.Error("another seed makes the same report")
	}
}

// TestFiguresMoveWithTheAssumptions changes one assumption at a time.
func TestFiguresMoveWithTheAssumptions(t *testing.T) {
	if !proofs.Full() {
		t.Skip("plays the model fourteen times, for RINGBACK_PROOFS=full")
	}
	base := played(t, small())
	waiting := func(w *world) float64 { return w.m.points[len(w.m.points)-1].waiting }
	for _, tt := range []struct {
		name   string
		change func(*Assumptions)
		figure func(*world) float64
		grows  bool
	}{
		{"slower endpoints get less done", func(a *Assumptions) { a.Answer, a.NoisyAnswer = 10*time.Second, 10*time.Second },
			func(w *world) float64 { return w.m.count(w, succeeded) }, false},
		{"fewer workers leave a backlog", func(a *Assumptions) { a.Concurrency, a.Rate = 10, 250 }, waiting, true},
		{"a lower throttle refuses", func(a *Assumptions) { a.Throttle, a.Burst = 50, 50 },
			func(w *world) float64 { return w.m.count(w, refused) }, true},
		{"a lower account rate refuses", func(a *Assumptions) { a.AccountRate = 50 },
			func(w *world) float64 { return w.m.count(w, refused) }, true},
		{"a small account leaves no environment", func(a *Assumptions) { a.Account = 10 },
			func(w *world) float64 { return w.m.count(w, throttledCallback) }, true},
		{"more dead endpoints leave more pending", func(a *Assumptions) { a.Dead = 0.25 },
			func(w *world) float64 { return w.m.count(w, pending) }, true},
		{"a louder tenant heats its keys", func(a *Assumptions) { a.Noisy = 0.8 },
			func(w *world) float64 { return heatOf(w, "deliveries E#"+noisyID) }, true},
		{"fewer hanging endpoints pin fewer workers", func(a *Assumptions) { a.Hangs = 0 },
			func(w *world) float64 { return w.worker.gbSeconds }, false},
		{"more memory costs more", func(a *Assumptions) { a.Memory = 1769 }, func(w *world) float64 { return w.perMillion() }, true},
		{"less CPU keeps workers for longer", func(a *Assumptions) { a.Memory = 64 },
			func(w *world) float64 { return w.worker.gbSeconds / w.a.Memory }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := small()
			tt.change(&a)
			got, before := tt.figure(played(t, a)), tt.figure(base)
			if tt.grows && got <= before || !tt.grows && got >= before {
				t.Errorf("%v, and %v before; want it to grow: %v", got, before, tt.grows)
			}
		})
	}
}

// heatOf returns the most that a key whose name begins so was used.
func heatOf(w *world, prefix string) float64 {
	most := 0.0
	for k, h := range w.tables.heats {
		if strings.HasPrefix(k.of, prefix) {
			most = max(most, h.peak)
		}
	}
	return most
}

// TestHangingEndpointsAreFoundByAllWorkersTogether has so many environments
// that none sees three timeouts of one endpoint in a row.
func TestHangingEndpointsAreFoundByAllWorkersTogether(t *testing.T) {
	proofs.Long(t)
	a := Sized("medium")
	a.Batch = 10
	a.Rate, a.For, a.Concurrency, a.Sample = 2000, 4*time.Minute, 1000, 100
	a.Hangs, a.Neighbours, a.Account = 1, 0, 4000
	w := played(t, a)
	dead := 0.0
	for _, r := range w.registrations {
		if r.kind.dead() {
			dead++
		}
	}
	// A minute until it is sure, the length of an attempt, and what other
	// environments believed for ten seconds more: of half a callback a second,
	// with a retry after a minute.
	if each := w.m.attempts[hanging] / w.n / dead; each > 90 {
		t.Errorf("%.0f attempts at each endpoint that hangs, want at most 90", each)
	}
}

func TestThrottledTableHoldsUpWritesAndGrows(t *testing.T) {
	w := &world{n: 1, smooth: 1}
	s := newSpace(w, 100)
	for range 45 {
		s.use(60 * 90)
		s.tick()
	}
	if s.rate != 180 {
		t.Errorf("after 45 minutes at 90 units/s it takes %v/s, want twice as much", s.rate)
	}
	b := newBucket(10, 10)
	now, taken := time.Now(), 0
	for range 100 {
		if b.take(1, now) {
			taken++
		}
	}
	if taken != 10 {
		t.Errorf("%d of 100 units at once, want 10", taken)
	}
	if now = now.Add(time.Second / 2); !b.take(5, now) || b.take(1, now) {
		t.Error("half a second later there are not 5 more")
	}
}

// TestSizesAreTheTemplates compares Sized with template.yaml.
func TestSizesAreTheTemplates(t *testing.T) {
	b, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []string{"small", "medium", "large"} {
		a := Sized(size)
		mapped := `    ` + size + `: .*\b`
		for _, tt := range []struct {
			pattern string
			want    float64
		}{
			{mapped + `Callbacks: (\d+)`, a.Throttle},
			{mapped + `Burst: (\d+)`, a.Burst},
			{mapped + `Workers: (\d+)`, a.Concurrency},
			{mapped + `Slow: (\d+)`, a.Slow},
			{mapped + `Batch: (\d+)`, float64(a.Batch)},
			{mapped + `Memory: (\d+)`, a.Memory},
			{`(?s)FromSlow:.*BatchSize: (\d+)\n            MaximumBatchingWindowInSeconds: 1\n`, slowBatch},
			{`FIRST_ATTEMPT: (\d+)s`, firstAttempt.Seconds()},
			{`VisibilityTimeout: (\d+)`, visibility.Seconds()},
			{`CodeUri: functions/worker/\n      Timeout: (\d+)`, workerTime.Seconds()},
			{`CodeUri: functions/retry/\n      Timeout: (\d+)`, retryTime.Seconds()},
		} {
			found := regexp.MustCompile(tt.pattern).FindSubmatch(b)
			if found == nil {
				t.Errorf("template.yaml: no %s", tt.pattern)
				continue
			}
			if got, _ := strconv.ParseFloat(string(found[1]), 64); got != tt.want {
				t.Errorf("template.yaml: %s is %v, want %v as in Sized(%q)", tt.pattern, got, tt.want, size)
			}
		}
	}
}
