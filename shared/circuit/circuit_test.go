package circuit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// healthAfter plays outcomes, by the time after a start, on a Health, and
// returns it with how often it was written.
func healthAfter(start time.Time, outcomes []outcomeAt) (h Health, writes int) {
	for _, o := range outcomes {
		after := h.AfterFailure(start.Add(o.after), start.Add(o.after), 1, false)
		if o.accepted {
			after = h.AfterSuccess(start.Add(o.after))
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
		if got := h.ShouldDisable(start.Add(tt.outcomes[len(tt.outcomes)-1].after)); got != tt.hopeless {
			t.Errorf("%s: hopeless %v, want %v", tt.name, got, tt.hopeless)
		}
	}
}

// TestCircuitKeepsItsPromises plays attempts of several processes that share a
// Health and each count what they see. No write is lost, as compare-and-set sees
// to; what a process knows when it decides to attempt may be stale.
func TestCircuitKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &played{t: t, failures: make([]int, rapid.IntRange(1, 4).Draw(t, "processes"))}
		now := noon
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.OneOf(
				rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, int64(8*time.Hour)),
			).Draw(t, "later")))
			p.step(now)
		}
	})
}

// played is the history of one registration's endpoint.
type played struct {
	t        *rapid.T
	h        Health
	failures []int     // in a row, by process
	ok       time.Time // the last acceptance
	first    time.Time // failure since then; zero: none
	noted    time.Time // the first failure since then that must be written; zero: none
	last     time.Time // failure
	probed   time.Time // the last probe of the open circuit
	doubted  time.Time // a process first saw enough in a row since the last acceptance; zero: none
}

func (p *played) step(now time.Time) {
	before, who := p.h, rapid.IntRange(0, len(p.failures)-1).Draw(p.t, "process")
	probe := false
	if p.h.Open {
		if now.Before(p.h.ProbeAt) && rapid.IntRange(0, 9).Draw(p.t, "under way") > 0 {
			return // nothing is attempted; what was under way when it opened may still end
		}
		if probe = !now.Before(p.h.ProbeAt); probe {
			p.h = p.h.ProbeTaken(now)
			if !p.h.ProbeAt.After(now) {
				p.t.Fatalf("who probes at %v leaves the probe of %v to others", now, p.h.ProbeAt)
			}
			if least := FirstInterval; !p.probed.IsZero() && now.Sub(p.probed) < least {
				p.t.Fatalf("two probes within %v", now.Sub(p.probed))
			}
			p.probed = now
		}
	}
	if rapid.IntRange(0, 5).Draw(p.t, "accepted") == 0 {
		p.accept(who, now)
		return
	}
	p.refuse(who, now, probe, before)
}

func (p *played) accept(who int, now time.Time) {
	p.failures[who] = 0
	p.h = p.h.AfterSuccess(now)
	p.ok, p.first, p.noted, p.probed, p.doubted = now, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if p.h.Open || p.h.Failing() || p.h.ShouldDisable(now.Add(365*24*time.Hour)) {
		p.t.Fatalf("after an acceptance: %+v; want it closed, well and not hopeless", p.h)
	}
	if again := p.h.AfterSuccess(now.Add(time.Hour)); again != p.h {
		p.t.Fatalf("a further acceptance is written, %+v over %+v: a hot key", again, p.h)
	}
}

func (p *played) refuse(who int, now time.Time, probe bool, before Health) {
	p.failures[who]++
	opens := p.failures[who] >= OpenAfter && !p.doubted.IsZero() && now.Sub(p.doubted) >= SuspectFor
	if p.failures[who] >= SuspectAfter && p.doubted.IsZero() {
		p.doubted = now
	}
	if p.first.IsZero() {
		p.first = now
	}
	if p.noted.IsZero() && (opens || now.Sub(p.ok) >= WriteInterval) {
		p.noted = now
	}
	p.last = now
	p.h = p.h.AfterFailure(now, now, p.failures[who], probe)
	switch {
	case !before.Open && p.h.Open != opens:
		p.t.Fatalf("after %d failures in a row, %v after some process saw %d, the circuit is open: %v", p.failures[who], now.Sub(p.doubted), SuspectAfter, p.h.Open)
	case before.Open && !p.h.Open:
		p.t.Fatal("a refusal closed the circuit")
	case !before.Open && p.h.Open && (p.h.Interval != FirstInterval || !p.h.ProbeAt.Equal(now.Add(FirstInterval))):
		p.t.Fatalf("opened with %+v, want a probe in %v", p.h, FirstInterval)
	case probe && (p.h.Interval != min(2*before.Interval, MaxInterval) || !p.h.ProbeAt.Equal(now.Add(p.h.Interval))):
		p.t.Fatalf("a probe that failed after %v makes %+v, want twice the interval, up to %v", before.Interval, p.h, MaxInterval)
	case before.Open && !probe && (p.h.Interval != before.Interval || !p.h.ProbeAt.Equal(before.ProbeAt)):
		p.t.Fatalf("what was under way moves the probe from %v to %v", before.ProbeAt, p.h.ProbeAt)
	}
	p.judge(now)
}

// judge compares hopeless with all that happened. BadLast is written every
// Noted only, so the last failure may be known that much too early; and a
// failure so soon after an acceptance need not be written at all.
func (p *played) judge(now time.Time) {
	switch got := p.h.ShouldDisable(now); {
	case got && (now.Sub(p.first) < DisableAfter || p.last.Sub(p.first) < MinFailureSpan):
		p.t.Fatalf("disabled %v after the first failure, the last one %v after it; want %v and %v",
			now.Sub(p.first), p.last.Sub(p.first), DisableAfter, MinFailureSpan)
	case !got && !p.noted.IsZero() && now.Sub(p.noted) >= DisableAfter && p.last.Sub(p.noted) >= MinFailureSpan+WriteInterval:
		p.t.Fatalf("not disabled %v after the first failure, the last one %v after it", now.Sub(p.noted), p.last.Sub(p.noted))
	}
}

// TestHealthIsWrittenWhereItChanges looks at each transition that a refusal can
// make, at its edges.
func TestHealthIsWrittenWhereItChanges(t *testing.T) {
	well := Health{LastSuccess: noon.Add(-WriteInterval)}
	failing := Health{FirstFailure: noon.Add(-time.Hour), LastFailure: noon.Add(-WriteInterval)}
	soon := Health{LastSuccess: well.LastSuccess.Add(1)}
	since := func(ago time.Duration) Health {
		return Health{LastSuccess: soon.LastSuccess, SuspectSince: noon.Add(-ago)}
	}
	open := Health{Open: true, Since: noon, Interval: 40 * time.Minute, ProbeAt: noon, FirstFailure: noon.Add(-time.Hour), LastFailure: noon}
	for _, tt := range []struct {
		name   string
		h      Health
		inARow int
		ago    time.Duration // it failed
		probe  bool
		want   Health
	}{
		{"the first failure ever", Health{}, 1, 0, false, Health{FirstFailure: noon, LastFailure: noon}},
		{"a failure ten minutes after an acceptance", well, 1, 0, false, Health{LastSuccess: well.LastSuccess, FirstFailure: noon, LastFailure: noon}},
		{"one a moment sooner", soon, SuspectAfter - 1, 0, false, soon},
		{"the second of a process", soon, SuspectAfter, time.Second, false, since(time.Second)},
		{"one five seconds after it", since(SuspectFor), OpenAfter, 0, false, Health{
			LastSuccess: soon.LastSuccess, SuspectSince: noon.Add(-SuspectFor), FirstFailure: noon, LastFailure: noon, Open: true, Since: noon, Interval: FirstInterval, ProbeAt: noon.Add(FirstInterval)}},
		{"a moment sooner", since(SuspectFor - 1), OpenAfter, 0, false, since(SuspectFor - 1)},
		{"a timeout that began a moment sooner", since(SuspectFor + time.Second), OpenAfter, time.Second + 1, false, since(SuspectFor + time.Second)},
		{"by a process that saw two", since(time.Minute), OpenAfter - 1, 0, false, since(time.Minute)},
		{"after what a wrong clock wrote", since(-time.Hour), OpenAfter, 0, false, since(0)},
		{"another ten minutes after it was noted", failing, 1, 0, false, Health{FirstFailure: failing.FirstFailure, LastFailure: noon}},
		{"another a moment sooner", Health{FirstFailure: failing.FirstFailure, LastFailure: failing.LastFailure.Add(1)}, 1, 0, false,
			Health{FirstFailure: failing.FirstFailure, LastFailure: failing.LastFailure.Add(1)}},
		{"of a probe", open, 1, 0, true, Health{Open: true, Since: noon, Interval: time.Hour, ProbeAt: noon.Add(time.Hour), ProbeFailed: noon, FirstFailure: open.FirstFailure, LastFailure: noon}},
		{"under way when it opened", open, OpenAfter, 0, false, open},
		{"a probe that was not one", Health{FirstFailure: noon, LastFailure: noon}, 1, 0, true, Health{FirstFailure: noon, LastFailure: noon}},
	} {
		if got := tt.h.AfterFailure(noon, noon.Add(-tt.ago), tt.inARow, tt.probe); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
	closed := Health{LastSuccess: noon.Add(time.Second)}
	if got := open.AfterSuccess(noon.Add(time.Second)); got != closed {
		t.Errorf("accepted: %+v, want %+v", got, closed)
	}
	if got := (Health{Open: true, LastSuccess: noon.Add(-1)}).AfterSuccess(noon); got != (Health{LastSuccess: noon}) {
		t.Errorf("accepted though nothing was failing: %+v, want it closed", got)
	}
}

func TestFailingIsWithoutAnAcceptanceSince(t *testing.T) {
	for _, tt := range []struct {
		h    Health
		want bool
	}{
		{Health{}, false}, {Health{FirstFailure: noon}, true}, {Health{FirstFailure: noon, LastSuccess: noon.Add(-1)}, true},
		{Health{FirstFailure: noon, LastSuccess: noon}, false}, {Health{FirstFailure: noon, LastSuccess: noon.Add(1)}, false}, {Health{LastSuccess: noon}, false},
	} {
		if got := tt.h.Failing(); got != tt.want {
			t.Errorf("%+v is failing: %v, want %v", tt.h, got, tt.want)
		}
	}
}

func TestClosedCircuitHoldsUpForItsInterval(t *testing.T) {
	for _, tt := range []struct {
		name            string
		interval, probe time.Duration
		jitter          float64
		want            time.Duration
	}{
		{"its interval", time.Minute, 0, 0, time.Minute},
		{"a probe after it", time.Minute, 2 * time.Minute, 0, 2 * time.Minute},
		{"up to a fifth more", 100 * time.Second, 0, 0.5, 110 * time.Second},
		{"a probe after it, and more", time.Minute, 2 * time.Minute, 0.5, 126 * time.Second},
		{"a probe by a clock that was wrong", time.Minute, 50 * time.Hour, 0, time.Minute},
	} {
		h := Health{Open: true, Interval: tt.interval, ProbeAt: noon.Add(tt.probe)}
		if got := h.RecheckAt(noon, tt.jitter).Sub(noon); got != tt.want {
			t.Errorf("%s: looked at in %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestAcceptanceTakesAllBack has an acceptance follow each kind of doubt.
func TestAcceptanceTakesAllBack(t *testing.T) {
	for _, h := range []Health{{SuspectSince: noon}, {FirstFailure: noon}, {Open: true}} {
		if after := h.AfterSuccess(noon); !h.Suspected() || after.Suspected() {
			t.Errorf("%+v becomes %+v by an acceptance, want nothing said", h, after)
		}
	}
	if h := (Health{LastSuccess: noon}); h.Suspected() {
		t.Errorf("%+v: want nothing to take back", h)
	}
}
