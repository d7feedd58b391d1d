// Package circuit is the rule by which the circuit of an endpoint opens, is probed,
// and closes, and its registration is disabled.
package circuit

import "time"

const (
	// A circuit opens after so many attempts in a row that were not accepted, as
	// one process sees them.
	OpenAfterFailures = 10
	OpenAfterTimeouts = 3
	// It opens as well at a timeout after so long without an acceptance anywhere:
	// of many processes, none may see three.
	HangsAfter = time.Minute

	FirstInterval   = time.Minute // between probes; doubled by each that fails
	LongestInterval = time.Hour
	Noted           = 10 * time.Minute // how often "failing" and "well again" are written, and looked for

	// A registration is disabled if nothing was accepted for BadFor, with two
	// failures at least BadApart from each other.
	BadFor   = 5 * 24 * time.Hour
	BadApart = 12 * time.Hour
)

// Health is what all workers know of a registration's endpoint. It is written
// at transitions only: a counter of every outcome would be a hot key.
type Health struct {
	Open     bool          `json:"open,omitempty"`     // the circuit: nothing is attempted but probes
	Since    time.Time     `json:"since,omitzero"`     // it opened
	Interval time.Duration `json:"interval,omitempty"` // between probes
	ProbeAt  time.Time     `json:"probe_at,omitzero"`  // the next probe; who moves it on may make it
	Probed   time.Time     `json:"probed,omitzero"`    // the last probe that failed

	BadSince time.Time `json:"bad_since,omitzero"` // the first failure since something was accepted
	BadLast  time.Time `json:"bad_last,omitzero"`  // about the last one
	OKAt     time.Time `json:"ok_at,omitzero"`     // about the last acceptance after a failure

	FailingSince time.Time `json:"failing_since,omitzero"` // a process saw three failures in a row, and nobody an acceptance since
	Slow         bool      `json:"slow,omitempty"`         // the endpoint is not known to be fast
}

// Failing reports whether nothing was accepted since the first failure.
func (h Health) Failing() bool { return !h.BadSince.IsZero() && h.OKAt.Before(h.BadSince) }

// Hangs reports whether a timeout at now shows that the endpoint hangs: no
// process had anything accepted for a minute.
func (h Health) Hangs(now time.Time) bool { return h.Failing() && now.Sub(h.BadSince) >= HangsAfter }

// Hopeless reports whether the registration is to be disabled at now.
func (h Health) Hopeless(now time.Time) bool {
	return h.Failing() && h.BadLast.Sub(h.BadSince) >= BadApart && now.Sub(h.BadSince) >= BadFor
}

// ProbeDue reports whether the next probe may be made at now. One that is further
// ahead than any interval was set by a clock that was wrong.
func (h Health) ProbeDue(now time.Time) bool {
	return !now.Before(h.ProbeAt) || h.ProbeAt.Sub(now) > 2*LongestInterval
}

// ProbeTaken returns h after somebody took the probe at now.
func (h Health) ProbeTaken(now time.Time) Health {
	h.ProbeAt = now.Add(h.Interval)
	return h
}

// Refused returns h after an attempt that was not accepted; tripped says that
// the process saw enough of them in a row. It is unchanged if there is nothing
// to write: an endpoint that refuses every tenth attempt would else cost two
// writes for each, one to say so and one to take it back.
func (h Health) Refused(now time.Time, tripped, probe bool) Health {
	switch {
	case h.Failing() && now.Sub(h.BadLast) >= Noted:
		h.BadLast = now
	case !h.Failing() && (tripped || now.Sub(h.OKAt) >= Noted):
		h.BadSince, h.BadLast = now, now
	}
	switch {
	case h.Open && probe:
		h.Interval = min(2*h.Interval, LongestInterval)
		h.ProbeAt, h.Probed = now.Add(h.Interval), now
	case !h.Open && tripped:
		h.Open, h.Since, h.Interval, h.ProbeAt = true, now, FirstInterval, now.Add(FirstInterval)
	}
	return h
}

// Accepted returns h after an attempt that was accepted.
func (h Health) Accepted(now time.Time) Health {
	if h.Failing() || h.Open {
		h.OKAt = now
	}
	h.BadSince, h.BadLast = time.Time{}, time.Time{}
	h.Open, h.Since, h.Interval, h.ProbeAt, h.Probed = false, time.Time{}, 0, time.Time{}, time.Time{}
	return h
}

// ClosedFor returns when a delivery that an open circuit holds up is looked at
// again: after its own wait, or the circuit's interval if that is longer, and up
// to a fifth more, of which jitter in [0,1) chooses.
func (h Health) ClosedFor(now time.Time, wait time.Duration, jitter float64) time.Time {
	wait = max(wait, h.Interval)
	at := now.Add(wait)
	if !h.ProbeDue(now) {
		at = later(at, h.ProbeAt)
	}
	return at.Add(time.Duration(jitter * float64(wait) / 5))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
