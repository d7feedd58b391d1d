package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringback/shared/circuit"
	"ringback/shared/egress"
	"ringback/shared/pace"
)

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

func TestFailuresInARowAreCounted(t *testing.T) {
	const id, none = "reg_x", egress.Class("none was made")
	rapid.Check(t, func(t *rapid.T) {
		p := pace.New()
		failures := 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			leave, _ := p.Enter(t.Context(), pace.Turn{Registration: id, Allowance: pace.Allowance{AtOnce: 1}})
			if leave == nil {
				t.Fatal("no attempt is under way, and none may begin")
			}
			c := rapid.SampledFrom([]egress.Class{egress.OK, egress.Timeout, egress.Status5xx, egress.DNS, egress.Internal, none}).Draw(t, "outcome")
			switch c {
			case egress.OK:
				failures = 0
			case egress.Internal, none: // ours, not the endpoint's
			default:
				failures++
			}
			if c == none {
				leave(pace.Outcome{})
			} else {
				leave(Attempt{At: noon, Class: c}.outcome(false))
			}
			if m := p.Look(id); m.Failures != failures {
				t.Fatalf("counted %d failures in a row, want %d", m.Failures, failures)
			}
		}
	})
}
