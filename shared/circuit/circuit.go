// Package circuit is the rule by which the circuit of an endpoint opens, is probed,
// and closes, and its registration is disabled.
package circuit

import "time"

const (
	// A process that sees Suspect failures in a row writes since when the endpoint fails. The circuit opens
	// at a failure Doubt later, if that process saw InARow in a row and nobody an acceptance meanwhile. (A
	// counter of each process would open that of an endpoint which fails half of all, and of one that is dead
	// only after InARow from each.)
	SuspectAfter = 2
	OpenAfter    = 3
	SuspectFor   = 5 * time.Second

	FirstInterval = 5 * time.Second // between probes; doubled by each that fails
	MaxInterval   = time.Hour
	WriteInterval = 10 * time.Minute // how often "failing" and "well again" are written, and looked for

	// A registration is disabled if nothing was accepted for BadFor, with two
	// failures at least BadApart from each other.
	DisableAfter   = 5 * 24 * time.Hour
	MinFailureSpan = 12 * time.Hour
)

// Health is what all workers know of a registration's endpoint. It is written
// at transitions only: a counter of every outcome would be a hot key.
type Health struct {
	Open        bool          `json:"open,omitempty"`     // the circuit: nothing is attempted but probes
	Since       time.Time     `json:"since,omitzero"`     // it opened
	Interval    time.Duration `json:"interval,omitempty"` // between probes
	ProbeAt     time.Time     `json:"probe_at,omitzero"`  // the next probe; who moves it on may make it
	ProbeFailed time.Time     `json:"probed,omitzero"`    // the last probe that failed

	FirstFailure time.Time `json:"bad_since,omitzero"` // the first failure since something was accepted
	LastFailure  time.Time `json:"bad_last,omitzero"`  // about the last one
	LastSuccess  time.Time `json:"ok_at,omitzero"`     // about the last acceptance after a failure

	SuspectSince time.Time `json:"failing_since,omitzero"` // a process saw two failures in a row, and nobody an acceptance since

	// Parked says that deliveries may be parked behind the circuit, so that Health is due (Due); the next
	// three of what they are. It outlasts the closing until somebody wakes them.
	Parked       bool   `json:"parked,omitempty"`
	OldestParked string `json:"from,omitempty"` // about the oldest one's event
	Source       string `json:"source,omitempty"`
	Tenant       string `json:"tenant,omitempty"`
	Probing      string `json:"probing,omitempty"` // the event of them that is probed; after its time: whose probe did not end
}

// Due returns when a worker is to look at h; zero for never. hold is how long a message may be under way: one
// is sent by whoever sets the next probe while it comes Soon, or closes the circuit.
func (h Health) Due(now time.Time, inFlight time.Duration) time.Time {
	switch {
	case !h.Parked:
		return time.Time{}
	case !h.Open:
		return now.Add(inFlight)
	case h.EarlyProbe():
		return h.ProbeAt.Add(inFlight)
	}
	return h.ProbeAt
}

// ProbeSlack is how much later than at its time the next probe may be made.
func (h Health) ProbeSlack() time.Duration { return h.Interval / 16 }

// EarlyProbe reports whether the next probe is one of the first three.
func (h Health) EarlyProbe() bool { return h.Interval < 8*FirstInterval }

// Failing reports whether nothing was accepted since the first failure.
func (h Health) Failing() bool {
	return !h.FirstFailure.IsZero() && h.LastSuccess.Before(h.FirstFailure)
}

// ShouldDisable reports whether the registration is to be disabled at now.
func (h Health) ShouldDisable(now time.Time) bool {
	return h.Failing() && h.LastFailure.Sub(h.FirstFailure) >= MinFailureSpan && now.Sub(h.FirstFailure) >= DisableAfter
}

// ProbeDue reports whether the next probe may be made at now. One that is further
// ahead than any interval was set by a clock that was wrong.
func (h Health) ProbeDue(now time.Time) bool {
	return !now.Before(h.ProbeAt) || h.ProbeAt.Sub(now) > 2*MaxInterval
}

// ProbeTaken returns h after somebody took the probe at now.
func (h Health) ProbeTaken(now time.Time) Health {
	h.ProbeAt = now.Add(h.Interval)
	return h
}

// ProbeEnded returns h after the probe of event, if that was the last one.
func (h Health) ProbeEnded(event string) Health {
	if h.Probing == event {
		h.Probing = ""
	}
	return h
}

// AfterFailure returns h after an attempt that was not accepted, the last of so many in a row that its process saw; it
// failed at a time, which for a timeout is its start. It is unchanged if there is nothing to write: an endpoint that
// refuses every tenth attempt would else cost two writes for each, one to say so and one to take it back.
func (h Health) AfterFailure(now, failed time.Time, failures int, probe bool) Health {
	switch {
	case h.Open && probe:
		h.Interval = min(2*h.Interval, MaxInterval)
		h.ProbeAt, h.ProbeFailed = now.Add(h.Interval), now
	case h.Open || failures < SuspectAfter:
	case h.SuspectSince.IsZero() || h.SuspectSince.After(now): // the latter by a clock that was wrong
		h.SuspectSince = failed
	case failures >= OpenAfter && failed.Sub(h.SuspectSince) >= SuspectFor:
		h.Open, h.Since, h.Interval, h.ProbeAt = true, now, FirstInterval, now.Add(FirstInterval)
	}
	switch {
	case h.Failing() && now.Sub(h.LastFailure) >= WriteInterval:
		h.LastFailure = now
	case !h.Failing() && (h.Open || now.Sub(h.LastSuccess) >= WriteInterval):
		h.FirstFailure, h.LastFailure = now, now
	}
	return h
}

// Suspected reports whether an acceptance has something to take back.
func (h Health) Suspected() bool { return h.Failing() || h.Open || !h.SuspectSince.IsZero() }

// AfterSuccess returns h after an attempt that was accepted.
func (h Health) AfterSuccess(now time.Time) Health {
	after := Health{LastSuccess: h.LastSuccess, Parked: h.Parked, OldestParked: h.OldestParked, Source: h.Source, Tenant: h.Tenant, Probing: h.Probing}
	if h.Failing() || h.Open {
		after.LastSuccess = now
	}
	return after
}

// RecheckAt returns when a lane that an open circuit holds up is looked at again: at the next probe or after
// its interval, and up to a fifth later, of which jitter in [0,1) chooses.
func (h Health) RecheckAt(now time.Time, jitter float64) time.Time {
	at := now.Add(h.Interval)
	if !h.ProbeDue(now) && h.ProbeAt.After(at) {
		at = h.ProbeAt
	}
	return at.Add(time.Duration(jitter * float64(h.Interval) / 5))
}
