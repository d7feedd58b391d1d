package api

import (
	"time"

	"ringback/shared/circuit"
)

// An endpointHealth is what is known of a registration's endpoint.
type endpointHealth struct {
	Circuit      string    `json:"circuit" enum:"closed,open" doc:"open: nothing is attempted but probes; no attempt is used up"`
	Since        time.Time `json:"since,omitzero" doc:"the circuit opened"`
	NextProbe    time.Time `json:"next_probe,omitzero" doc:"the next attempt is made then or later, by a delivery that waits"`
	FailingSince time.Time `json:"failing_since,omitzero" doc:"the first failure since anything was accepted"`
}

func healthView(h circuit.Health) *endpointHealth {
	v := &endpointHealth{Circuit: "closed"}
	if h.Failing() {
		v.FailingSince = h.BadSince
	}
	if h.Open {
		v.Circuit, v.Since, v.NextProbe = "open", h.Since, h.ProbeAt
	}
	return v
}
