package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/pace"
)

// TestCircuitKeepsItsPromises plays attempts of several processes that share a
// circuit.Health and each count what they see. No write is lost, as compare-and-set sees
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
	h        circuit.Health
	failures []int     // in a row, by process
	ok       time.Time // the last acceptance
	first    time.Time // failure since then; zero: none
	noted    time.Time // the first failure since then that must be written; zero: none
	last     time.Time // failure
	probed   time.Time // the last probe of the open circuit
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
			if least := circuit.FirstInterval; !p.probed.IsZero() && now.Sub(p.probed) < least {
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
	p.h = p.h.Accepted(now)
	p.ok, p.first, p.noted, p.probed = now, time.Time{}, time.Time{}, time.Time{}
	if p.h.Open || p.h.Failing() || p.h.Hopeless(now.Add(365*24*time.Hour)) {
		p.t.Fatalf("after an acceptance: %+v; want it closed, well and not hopeless", p.h)
	}
	if again := p.h.Accepted(now.Add(time.Hour)); again != p.h {
		p.t.Fatalf("a further acceptance is written, %+v over %+v: a hot key", again, p.h)
	}
}

func (p *played) refuse(who int, now time.Time, probe bool, before circuit.Health) {
	p.failures[who]++
	tripped := p.failures[who] >= circuit.OpenAfterFailures
	if p.first.IsZero() {
		p.first = now
	}
	if p.noted.IsZero() && (tripped || now.Sub(p.ok) >= circuit.Noted) {
		p.noted = now
	}
	p.last = now
	p.h = p.h.Refused(now, tripped, probe)
	switch {
	case !before.Open && p.h.Open != tripped:
		p.t.Fatalf("after %d failures in a row the circuit is open: %v", p.failures[who], p.h.Open)
	case before.Open && !p.h.Open:
		p.t.Fatal("a refusal closed the circuit")
	case !before.Open && p.h.Open && (p.h.Interval != circuit.FirstInterval || !p.h.ProbeAt.Equal(now.Add(circuit.FirstInterval))):
		p.t.Fatalf("opened with %+v, want a probe in %v", p.h, circuit.FirstInterval)
	case probe && (p.h.Interval != min(2*before.Interval, circuit.LongestInterval) || !p.h.ProbeAt.Equal(now.Add(p.h.Interval))):
		p.t.Fatalf("a probe that failed after %v makes %+v, want twice the interval, up to %v", before.Interval, p.h, circuit.LongestInterval)
	case before.Open && !probe && (p.h.Interval != before.Interval || !p.h.ProbeAt.Equal(before.ProbeAt)):
		p.t.Fatalf("what was under way moves the probe from %v to %v", before.ProbeAt, p.h.ProbeAt)
	}
	p.judge(now)
}

// judge compares hopeless with all that happened. BadLast is written every
// circuit.Noted only, so the last failure may be known that much too early; and a
// failure so soon after an acceptance need not be written at all.
func (p *played) judge(now time.Time) {
	switch got := p.h.Hopeless(now); {
	case got && (now.Sub(p.first) < circuit.BadFor || p.last.Sub(p.first) < circuit.BadApart):
		p.t.Fatalf("disabled %v after the first failure, the last one %v after it; want %v and %v",
			now.Sub(p.first), p.last.Sub(p.first), circuit.BadFor, circuit.BadApart)
	case !got && !p.noted.IsZero() && now.Sub(p.noted) >= circuit.BadFor && p.last.Sub(p.noted) >= circuit.BadApart+circuit.Noted:
		p.t.Fatalf("not disabled %v after the first failure, the last one %v after it", now.Sub(p.noted), p.last.Sub(p.noted))
	}
}

func TestOpenCircuitLetsEachDeliveryWaitItsTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySchedule(t)
		interval := time.Second * time.Duration(rapid.Int64Range(int64(circuit.FirstInterval/time.Second), int64(circuit.LongestInterval/time.Second)).Draw(t, "interval"))
		probe := time.Second * time.Duration(rapid.Int64Range(-3600, int64(interval/time.Second)).Draw(t, "probe in"))
		h := circuit.Health{Open: true, Interval: interval, ProbeAt: noon.Add(probe)}
		d := Delivery{Status: Pending, Created: noon, Made: rapid.IntRange(0, s.Len()).Draw(t, "made")}
		made, now, moves := d.Made, noon, 0
		for ; now.Before(d.overtime(s)); moves++ {
			d = d.postpone(h.ClosedFor(now, s.WaitAfter(d.Made), rapid.Float64Range(0, 0.999).Draw(t, "jitter")))
			if wait := d.due.Sub(now); wait < max(s.WaitAfter(d.Made), interval).Truncate(time.Millisecond) { // as it is stored
				t.Fatalf("moved by %v, want at least its wait %v and the circuit's %v", wait, s.WaitAfter(d.Made), interval)
			}
			if d.Made != made || d.Status != Pending {
				t.Fatalf("made %d, %s after it was moved; want %d, pending: it used up an attempt", d.Made, d.Status, made)
			}
			now = d.due
		}
		var sum time.Duration
		for n := range s.Len() {
			sum += s.Wait(n)
		}
		if took := now.Sub(noon); took < sum || took > 2*sum+4*max(circuit.LongestInterval, s.Longest()) {
			t.Fatalf("ended %v after it began, in %d moves; the schedule lasts %v", took, moves, sum)
		}
	})
}

func TestTripsAreCountedByFailuresAndTimeouts(t *testing.T) {
	const id, none = "reg_x", egress.Class("none was made")
	attempt := func(c egress.Class) Attempt { return Attempt{At: noon, Class: c} }
	rapid.Check(t, func(t *rapid.T) {
		p := pace.New()
		failures, timeouts := 0, 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			leave, _ := p.Enter(t.Context(), pace.Turn{Registration: id, Allowance: pace.Allowance{AtOnce: 1}})
			if leave == nil {
				t.Fatal("no attempt is under way, and none may begin")
			}
			switch c := rapid.SampledFrom([]egress.Class{egress.OK, egress.Timeout, egress.Status5xx, egress.DNS, egress.Internal, none}).Draw(t, "outcome"); c {
			case egress.OK:
				failures, timeouts = 0, 0
				leave(attempt(c).outcome())
			case egress.Timeout:
				failures++
				timeouts++
				leave(attempt(c).outcome())
			case egress.Internal:
				leave(attempt(c).outcome()) // ours, not the endpoint's
			case none:
				leave(pace.Outcome{})
			default:
				failures++
				timeouts = 0
				leave(attempt(c).outcome())
			}
			if m := p.Look(id); m.Failures != failures || m.Timeouts != timeouts {
				t.Fatalf("counted %d failures and %d timeouts in a row, want %d and %d", m.Failures, m.Timeouts, failures, timeouts)
			}
		}
	})
}

func TestEndpointHangsIfNothingWasAcceptedForAMinute(t *testing.T) {
	for _, tt := range []struct {
		name string
		h    circuit.Health
		want bool
	}{
		{"nothing failed", circuit.Health{}, false},
		{"failed a moment ago", circuit.Health{BadSince: noon.Add(-59 * time.Second)}, false},
		{"failed a minute ago", circuit.Health{BadSince: noon.Add(-time.Minute)}, true},
		{"accepted since", circuit.Health{BadSince: noon.Add(-time.Hour), OKAt: noon.Add(-time.Second)}, false},
		{"accepted before", circuit.Health{BadSince: noon.Add(-time.Hour), OKAt: noon.Add(-2 * time.Hour)}, true},
	} {
		if got := tt.h.Hangs(noon); got != tt.want {
			t.Errorf("%s: hangs = %v, want %v", tt.name, got, tt.want)
		}
	}
}
