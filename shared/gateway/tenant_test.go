package gateway

import "testing"

func TestLimitsHaveDefaults(t *testing.T) {
	for _, tt := range []struct{ l, want Limits }{
		{Limits{}, Limits{RegistrationsPerSource: 50, APICallsPerSecond: 20, Concurrency: 50, Jobs: 1}},
		{Limits{RegistrationsPerSource: 1}, Limits{RegistrationsPerSource: 1, APICallsPerSecond: 20, Concurrency: 50, Jobs: 1}},
		{
			Limits{RegistrationsPerSource: 2, APICallsPerSecond: 0.5, DeliveriesPerSecond: 3, Concurrency: 4, Jobs: 5, RequireChallenge: true},
			Limits{RegistrationsPerSource: 2, APICallsPerSecond: 0.5, DeliveriesPerSecond: 3, Concurrency: 4, Jobs: 5, RequireChallenge: true},
		},
	} {
		if got := tt.l.OrDefault(); got != tt.want {
			t.Errorf("%+v.OrDefault() = %+v, want %+v", tt.l, got, tt.want)
		}
	}
}
