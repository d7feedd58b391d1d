package gateway

import (
	"ringback/shared/limiter"
	"testing"
)

func TestHalfOfAProcessIsLeftToOtherRegistrations(t *testing.T) {
	for _, tt := range []struct{ own, tenant, process, want int }{
		{0, 0, 256, 50}, {0, 1000, 256, 128}, {1000, 1000, 256, 128}, {7, 1000, 256, 7}, {0, 0, 1, 1},
	} {
		r := Registration{Concurrency: tt.own}
		if got := r.allowance(Limits{Concurrency: tt.tenant}, tt.process).Concurrency; got != tt.want {
			t.Errorf("limits of %d and %d in a process of %d: %d at once, want %d", tt.own, tt.tenant, tt.process, got, tt.want)
		}
	}
}

func TestAllowanceIsTheLeastOfAllLimits(t *testing.T) {
	for _, tt := range []struct {
		r      Registration
		l      Limits
		atOnce int
		rate   float64
	}{
		{Registration{}, Limits{}, 50, 0},
		{Registration{Rate: 2}, Limits{}, 50, 2},
		{Registration{}, Limits{DeliveriesPerSecond: 3}, 50, 3},
		{Registration{Rate: 2}, Limits{DeliveriesPerSecond: 3}, 50, 2},
		{Registration{Rate: 4}, Limits{DeliveriesPerSecond: 3}, 50, 3},
		{Registration{Concurrency: 1}, Limits{}, 1, 0},
		{Registration{Concurrency: 60}, Limits{}, 50, 0},
		{Registration{}, Limits{Concurrency: 200}, 100, 0},
	} {
		if got := tt.r.allowance(tt.l, 200); got != (limiter.Allowance{Concurrency: tt.atOnce, Rate: tt.rate}) {
			t.Errorf("rate %v and %d at once, within %+v: %+v; want %d at once, rate %v", tt.r.Rate, tt.r.Concurrency, tt.l, got, tt.atOnce, tt.rate)
		}
	}
	if got := (&Registration{}).allowance(Limits{}, 3); got.Concurrency != 1 {
		t.Errorf("of 3 POSTs at once a registration may have %d, want half", got.Concurrency)
	}
}
