// Package circuit is the circuit breaker of an endpoint: when its circuit opens, is probed and closes, and when its
// registration is disabled.
package circuit

import "time"

const (
	// A process that sees SuspectAfter failures in a row records since when the endpoint fails. The circuit opens at a
	// failure SuspectFor later, if that process saw OpenAfter in a row and no process a success meanwhile. (Counting
	// in each process alone would open the circuit of an endpoint that fails half of all attempts, and that of a dead
	// one only after OpenAfter failures in each process.)
	SuspectAfter = 2
	OpenAfter    = 3
	SuspectFor   = 5 * time.Second

	FirstInterval = 5 * time.Second // between probes; doubled by each that fails
	MaxInterval   = time.Hour
	WriteInterval = 10 * time.Minute // at most so often LastFailure and LastSuccess are written

	// A registration is disabled if nothing succeeded for DisableAfter, with two failures MinFailureSpan apart.
	DisableAfter   = 5 * 24 * time.Hour
	MinFailureSpan = 12 * time.Hour
)

// Health is what all workers know of a registration's endpoint. It is written at transitions only: a counter of every
// outcome would make its row a hot key.
type Health struct {
	Open        bool          `json:"open,omitempty"`     // the circuit: only probes are attempted
	Since       time.Time     `json:"since,omitzero"`     // when it opened
	Interval    time.Duration `json:"interval,omitempty"` // between probes
	ProbeAt     time.Time     `json:"probe_at,omitzero"`  // of the next probe; whoever moves it on may make the probe
	ProbeFailed time.Time     `json:"probed,omitzero"`    // the last failed probe

	FirstFailure time.Time `json:"bad_since,omitzero"` // since the last success
	LastFailure  time.Time `json:"bad_last,omitzero"`  // accurate to WriteInterval
	LastSuccess  time.Time `json:"ok_at,omitzero"`     // after a failure; accurate to WriteInterval

	SuspectSince time.Time `json:"failing_since,omitzero"` // a process saw two failures in a row, and none a success since

	// Parked says that deliveries may be parked behind the circuit, so that Health is due (Due); the next three fields
	// describe them. It stays set after the circuit closed until they are woken.
	Parked       bool   `json:"parked,omitempty"`
	OldestParked string `json:"from,omitempty"` // about the oldest one's event
	Source       string `json:"source,omitempty"`
	Tenant       string `json:"tenant,omitempty"`
	Probing      string `json:"probing,omitempty"` // the event that is probed; past its time: of a probe that did not end
}

// Due returns when a retry run must look at h; zero for never. Early probes, and the waking after the circuit closed,
// are started by messages that others send; inFlight is how long such a message may take before a run steps in.
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

// ProbeSlack is by how much the next probe may be late.
func (h Health) ProbeSlack() time.Duration { return h.Interval / 16 }

// EarlyProbe reports whether the next probe is one of the first three.
func (h Health) EarlyProbe() bool { return h.Interval < 8*FirstInterval }

// Failing reports whether nothing succeeded since the first failure.
func (h Health) Failing() bool {
	return !h.FirstFailure.IsZero() && h.LastSuccess.Before(h.FirstFailure)
}

// ShouldDisable reports whether the registration must be disabled at now.
func (h Health) ShouldDisable(now time.Time) bool {
	return h.Failing() && h.LastFailure.Sub(h.FirstFailure) >= MinFailureSpan && now.Sub(h.FirstFailure) >= DisableAfter
}

// ProbeDue reports whether the next probe may be made at now. A ProbeAt beyond any interval was set by a wrong clock.
func (h Health) ProbeDue(now time.Time) bool {
	return !now.Before(h.ProbeAt) || h.ProbeAt.Sub(now) > 2*MaxInterval
}

// ProbeTaken returns h after a worker took the next probe at now.
func (h Health) ProbeTaken(now time.Time) Health {
	h.ProbeAt = now.Add(h.Interval)
	return h
}

// ProbeEnded returns h after the probe of event, if that is the current one.
func (h Health) ProbeEnded(event string) Health {
	if h.Probing == event {
		h.Probing = ""
	}
	return h
}

// AfterFailure returns h after a failed attempt, of which its process saw so many failures in a row; failed is when it
// failed, for a timeout its start. h is unchanged if nothing needs to be written: an endpoint that fails every tenth
// attempt would otherwise cost two writes each time, one to suspect it and one to take that back.
func (h Health) AfterFailure(now, failed time.Time, failures int, probe bool) Health {
	switch {
	case h.Open && probe:
		h.Interval = min(2*h.Interval, MaxInterval)
		h.ProbeAt, h.ProbeFailed = now.Add(h.Interval), now
	case h.Open || failures < SuspectAfter:
	case h.SuspectSince.IsZero() || h.SuspectSince.After(now): // the latter by a wrong clock
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

// Suspected reports whether a success changes h.
func (h Health) Suspected() bool { return h.Failing() || h.Open || !h.SuspectSince.IsZero() }

// AfterSuccess returns h after an attempt that succeeded.
func (h Health) AfterSuccess(now time.Time) Health {
	after := Health{LastSuccess: h.LastSuccess, Parked: h.Parked, OldestParked: h.OldestParked, Source: h.Source, Tenant: h.Tenant, Probing: h.Probing}
	if h.Failing() || h.Open {
		after.LastSuccess = now
	}
	return after
}

// RecheckAt returns when a lane that waits for the circuit looks at it again: at the next probe or after its interval,
// whichever is later, plus up to a fifth of the interval, chosen by jitter in [0,1).
func (h Health) RecheckAt(now time.Time, jitter float64) time.Time {
	at := now.Add(h.Interval)
	if !h.ProbeDue(now) && h.ProbeAt.After(at) {
		at = h.ProbeAt
	}
	return at.Add(time.Duration(jitter * float64(h.Interval) / 5))
}
