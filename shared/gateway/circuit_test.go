package gateway

import (
	"testing"

	"pgregory.net/rapid"

	"ringback/shared/egress"
	"ringback/shared/limiter"
)

func TestFailuresInARowAreCounted(t *testing.T) {
	const id, none = "reg_x", egress.Class("none was made")
	rapid.Check(t, func(t *rapid.T) {
		p := limiter.New()
		failures := 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			leave, _ := p.Acquire(t.Context(), limiter.Request{Registration: id, Allowance: limiter.Allowance{Concurrency: 1}})
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
				leave(limiter.Outcome{})
			} else {
				leave(Attempt{At: noon, Class: c}.outcome(false))
			}
			if m := p.Stats(id); m.Failures != failures {
				t.Fatalf("counted %d failures in a row, want %d", m.Failures, failures)
			}
		}
	})
}
