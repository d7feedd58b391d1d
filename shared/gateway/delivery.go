package gateway

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"ringback/shared/egress"
	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A Status is the state of a delivery.
type Status string

const (
	Pending   Status = "pending"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Held      Status = "held"      // the registration is disabled
	Cancelled Status = "cancelled" // registration, grant or tenant gone
)

// Reasons why a delivery is held, cancelled or failed.
const (
	reasonDisabled   = "registration_disabled"
	ReasonDeleted    = "registration_deleted"
	reasonNotGranted = "grant_revoked"
	ReasonCode       = "security_code_changed"
	reasonTenant     = "tenant_disabled"
	ReasonNoTenant   = "tenant_deleted"
	reasonExhausted  = "exhausted"
	reasonExpired    = "payload_expired"
	reasonInternal   = "internal"
	ReasonErased     = "erased"
)

// Timing of claims, the same for all workers.
const (
	Lookahead           = 2 * time.Minute // how far ahead a retry run claims; the right to POST ends this long before the delivery is due again
	claimTTL            = 2*time.Minute + Lookahead
	maxClaimTTL         = time.Hour
	maxLostClaims       = 10               // claims taken up and never recorded, after which the delivery fails
	maxSelfSendDelay    = 15 * time.Minute // a longer wait is left to the retry run
	maxSelfSends        = 3                // self-sends in a row: Lambda stops a chain at 16
	inlineResponseBytes = 256              // bytes of a response that the delivery's row holds
)

// A Delivery is one event for one registration. Its row is only written whole over the revision that was read, so
// the decisions below are pure functions.
type Delivery struct {
	ID           string    `json:"-"` // this and the next three are in the row's key
	Registration string    `json:"-"`
	Event        string    `json:"-"`
	Source       string    `json:"-"`
	Tenant       string    `json:"tenant"`
	EventType    string    `json:"event_type"`
	Received     time.Time `json:"received"` // when the event was received
	Created      time.Time `json:"created"`

	Status        Status        `json:"status"`
	Reason        string        `json:"why,omitempty"`     // why it is failed, held or cancelled
	Attempts      int           `json:"made"`              // attempts recorded, resends excepted
	RestartedAt   time.Time     `json:"anew,omitzero"`     // when a job restarted its schedule; zero: it began at Created
	RetryAfterSum time.Duration `json:"asked,omitempty"`   // waits that its endpoint asked for, beyond those of the schedule
	Claim         int           `json:"claim"`             // fencing token: the number of claims and records so far
	Unacked       int           `json:"lost,omitempty"`    // claims since the last record
	LostClaims    int           `json:"crashes,omitempty"` // of those, the ones that a worker took up and did not record
	Manual        bool          `json:"manual,omitempty"`  // the current claim is for a resend
	NextAttempt   time.Time     `json:"start,omitzero"`
	Since         time.Time     `json:"since,omitzero"` // when Held or the final status began
	Last          *Last         `json:"last,omitempty"`
	Replay        bool          `json:"replay,omitempty"` // a replay made it, not the event's arrival
	RateGranted   bool          `json:"paced,omitempty"`  // the rate limit gave NextAttempt
	Lane          bool          `json:"lane,omitempty"`   // of an ordered registration: the lane is in the due index, not the delivery
	OutOfOrder    bool          `json:"late,omitempty"`   // a later event of its lane was attempted before it

	due      time.Time // when it is claimed again unless it is recorded; of the due index
	rev      string    // the revision of the row that was read
	body     []byte    // the row's Body: the start of the last response
	retained bool      // its event is retained for it
}

// Last is the outcome of a delivery's last attempt.
type Last struct {
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"took"`
	StatusCode int           `json:"status_code,omitempty"`
	Class      egress.Class  `json:"class,omitempty"`
	Error      string        `json:"error,omitempty"`
	Inline     bool          `json:"alone,omitempty"` // the attempt has no row of its own; the fields below complete it
	Manual     bool          `json:"manual,omitempty"`
	Claim      int           `json:"claim,omitempty"`
}

// Attempt returns the attempt that is stored inside a delivery; body is the start of its response.
func (l Last) Attempt(body []byte) Attempt {
	return Attempt{
		At: l.At, Took: l.Took, StatusCode: l.StatusCode, Class: l.Class, Error: l.Error,
		Manual: l.Manual, Claim: l.Claim, Response: body, Inline: l.Inline,
	}
}

// An Attempt is one POST of a delivery.
type Attempt struct {
	At         time.Time     `json:"at"`   // start of the POST
	Took       time.Duration `json:"took"` // until the response header, or the failure
	StatusCode int           `json:"status_code,omitempty"`
	Class      egress.Class  `json:"class,omitempty"`
	Error      string        `json:"error,omitempty"` // why it failed; without secrets, and without URLs except a redirect's
	Manual     bool          `json:"manual,omitempty"`
	Claim      int           `json:"claim"`          // the claim that it was made under
	Response   []byte        `json:"-"`              // the first 4 KiB; the row's Body
	RetryAfter time.Duration `json:"hint,omitempty"` // what the endpoint asked for
	Total      time.Duration `json:"-"`              // until the response was read, which may drip
	Inline     bool          `json:"-"`              // it succeeded, and the delivery's row holds its whole response: no row of its own
}

// Succeeded reports whether the endpoint responded 2xx.
func (a Attempt) Succeeded() bool { return a.Class == egress.OK }

// outcome returns a as the limiter takes it.
func (a Attempt) outcome(cut bool) limiter.Outcome {
	made := !a.At.IsZero() && a.Class != egress.Internal
	return limiter.Outcome{Attempted: made, Succeeded: a.Succeeded(), Interrupted: cut, Took: max(a.Took, a.Total)}
}

// Gone reports whether the endpoint wants no more events (410).
func (a Attempt) Gone() bool { return a.StatusCode == 410 }

// slow reports whether the next wait must be at least a minute.
func (a Attempt) slow() bool { return a.StatusCode == 429 || a.Class == egress.Timeout }

func (a Attempt) last() *Last {
	l := &Last{At: a.At, Took: a.Took, StatusCode: a.StatusCode, Class: a.Class, Error: a.Error}
	if a.Inline {
		l.Inline, l.Manual, l.Claim = true, a.Manual, a.Claim
	}
	return l
}

// LastIs reports whether d's last attempt is a.
func (d Delivery) LastIs(a Attempt) bool {
	return d.Last != nil && d.Last.At.Equal(a.At) && (!d.Last.Inline || d.Last.Claim == a.Claim)
}

// newDelivery returns the delivery of e for r before its first attempt.
func newDelivery(e *provider.Event, r *Registration, now time.Time) Delivery {
	return Delivery{
		ID: ident.Delivery(r.ID, e.ID), Registration: r.ID, Event: e.ID, Tenant: r.Tenant, Source: e.Source,
		EventType: e.Type, Received: e.Received, Created: now, Status: Pending,
	}
}

// Final reports whether d will not change by itself.
func (d *Delivery) Final() bool {
	return d.Status == Succeeded || d.Status == Failed || d.Status == Cancelled
}

// unfinished reports whether d's payload may still be sent without anybody's decision.
func (d *Delivery) unfinished() bool { return d.Status == Pending || d.Manual }

// newClaim returns d with a new claim. Its holder alone may POST, from start until Lookahead before the new due
// time: claimed at 12:00 for 12:00, with no claim lost, d is due again at 12:04, and its holder may begin a POST
// that ends by 12:02.
func (d Delivery) newClaim(start time.Time) Delivery {
	hold := claimTTLAfter(d.Unacked)
	d.Claim++
	d.Unacked++
	d.NextAttempt = start
	d.due = start.Add(hold)
	return d
}

// claimTTLAfter returns how long a claim lasts when lost ones came before it in a row: doubled by each.
func claimTTLAfter(lost int) time.Duration {
	hold := claimTTL
	for n := 0; n < lost && hold < maxClaimTTL; n++ {
		hold *= 2
	}
	return min(hold, maxClaimTTL)
}

// mayPost reports whether the holder of claim may start a POST now that takes up to limit.
func (d Delivery) mayPost(claim int, now time.Time, limit time.Duration) bool {
	return d.holdsClaim(claim) && !now.Add(limit).After(d.due.Add(-Lookahead))
}

// holdsClaim reports whether claim is d's current one.
func (d Delivery) holdsClaim(claim int) bool {
	return d.Claim == claim && (d.Status == Pending || d.Manual)
}

// record returns d after attempt a, made under a.Claim; the first attempt of a new delivery has claim 0. self says
// that the caller can send the next attempt itself; the second result, that it must.
//
// Under a stale claim a failure changes nothing, and a success still ends the delivery as succeeded; a resend that
// waits is made all the same. A resend that was made ends its claim in any status, which it changes only by a success.
func (d Delivery) record(a Attempt, s schedule.Schedule, jitter float64, self bool) (Delivery, bool) {
	now := a.At.Add(a.Took)
	if d.Claim != a.Claim || d.Status == Succeeded && !d.Manual {
		if a.Succeeded() && d.Status != Succeeded {
			return d.succeededLate(a), false
		}
		return d, false
	}
	wasManual, wasParked := d.Manual, d.Parked()
	d.Claim++
	d.Unacked, d.LostClaims, d.Manual, d.RateGranted = 0, 0, false, false
	d.Last, d.body = a.last(), truncate(a.Response)
	if !wasManual {
		d.Attempts++
	}
	switch {
	case a.Succeeded():
		return d.end(Succeeded, "", now), false
	case wasManual && d.Status == Succeeded:
		d.due = time.Time{}
		return d, false
	case a.Gone():
		return d.end(Failed, "gone", now), false
	case wasManual && d.Status != Pending:
		d.due = time.Time{}
		return d, false
	}
	wait, more := s.After(d.Attempts, jitter, a.slow(), a.RetryAfter)
	if !more {
		return d.end(Failed, reasonExhausted, now), false
	}
	unasked, _ := s.After(d.Attempts, jitter, a.slow(), 0)
	d.RetryAfterSum += wait - unasked
	self = self && wait <= maxSelfSendDelay && !d.Lane && !wasParked
	if d = d.waitUntil(now.Add(wait), self); wasParked {
		d.due = time.Time{}
	}
	return d, self
}

// succeededLate returns d after a success under a stale claim.
func (d Delivery) succeededLate(a Attempt) Delivery {
	after := d.end(Succeeded, "", a.At.Add(a.Took))
	after.Last, after.body = a.last(), truncate(a.Response)
	if d.Manual {
		after.Manual, after.Unacked, after.NextAttempt, after.due = true, d.Unacked, d.NextAttempt, d.due
	}
	return after
}

// waitUntil leaves d pending until start. With self the caller holds the claim and sends the attempt; otherwise a
// retry run claims it.
func (d Delivery) waitUntil(start time.Time, self bool) Delivery {
	start = storage.UTC(start)
	d.Status, d.NextAttempt, d.due = Pending, start, start
	if self {
		d.Unacked = 1
		d.due = start.Add(claimTTL)
	}
	return d
}

// postpone ends the claim without an attempt, and none is used up. A resend stays to be made, in any status.
func (d Delivery) postpone(due time.Time) Delivery {
	d.Claim++
	d.Unacked = 0
	if d.Manual {
		d.NextAttempt = storage.UTC(due)
		d.due = d.NextAttempt
		return d
	}
	return d.waitUntil(due, false)
}

// park ends the claim until the circuit closes, or d is its probe. No attempt is used up, and d leaves the due index.
func (d Delivery) park(now time.Time) Delivery {
	d = d.postpone(now)
	d.RateGranted, d.due = false, time.Time{}
	return d
}

// Parked reports whether d waits for its circuit to close; also not before NextAttempt.
func (d *Delivery) Parked() bool {
	return d.Status == Pending && d.Claim > 0 && !d.Lane && d.due.IsZero()
}

// hold ends the claim until the registration is enabled.
func (d Delivery) hold(why string, now time.Time) Delivery {
	d.Claim++
	d.Unacked, d.Manual = 0, false
	d.Status, d.Reason, d.Since, d.NextAttempt, d.due = Held, why, storage.UTC(now), time.Time{}, time.Time{}
	return d
}

// release makes a held delivery due.
func (d Delivery) release(due time.Time) Delivery {
	d.Claim++
	d.Reason, d.Since = "", time.Time{}
	return d.waitUntil(due, false)
}

// resend claims one manual attempt, in any status. A pending delivery goes on with its schedule afterwards.
func (d Delivery) resend(now time.Time) Delivery {
	d.Manual = true
	return d.newClaim(storage.UTC(now))
}

// end ends d.
func (d Delivery) end(s Status, why string, now time.Time) Delivery {
	d.Claim, d.Manual, d.Unacked = max(d.Claim, 1), false, 0
	d.Status, d.Reason, d.Since, d.NextAttempt, d.due = s, why, storage.UTC(now), time.Time{}, time.Time{}
	return d
}

// Cancel ends d because its event, registration or tenant is gone. Of a final delivery it ends a waiting resend.
func (d Delivery) Cancel(why string, now time.Time) Delivery {
	if d.Final() {
		return d.dropManual()
	}
	d.Claim++
	return d.end(Cancelled, why, now)
}

func truncate(response []byte) []byte { return response[:min(len(response), inlineResponseBytes)] }

// Retention says how long rows last.
type Retention struct {
	History time.Duration // finished deliveries, their attempts and events; default 14 days, at least 9
	Held    time.Duration // held deliveries, from then on; default 30 days
}

func (k Retention) orDefault() Retention {
	return Retention{History: cmp.Or(k.History, 14*24*time.Hour), Held: cmp.Or(k.Held, 30*24*time.Hour)}
}

// row returns d as it is stored. Pending rows never expire.
func (d *Delivery) row(k Retention) (storage.Row, error) {
	data, err := storage.Encode(d)
	if err != nil {
		return storage.Row{}, err
	}
	r := storage.Row{Key: DeliveryKey(d.Registration, d.Event), Data: data, Body: d.body, Open: d.Status != Succeeded}
	switch {
	case d.Status == Held:
		r.Expires = d.Since.Add(k.Held)
	case d.Final() && !d.Manual:
		r.Expires = d.Since.Add(k.History)
	}
	if d.Status == Pending && !d.Lane || d.Manual {
		r.Due = d.due
	}
	return r, nil
}

// ReadDelivery decodes what row encodes.
func ReadDelivery(r storage.Row) (Delivery, error) {
	var d Delivery
	if err := storage.Decode(r, &d); err != nil {
		return d, fmt.Errorf("delivery: %w", err)
	}
	d.rev, d.due, d.body, d.retained = r.Rev, r.Due, r.Body, d.unfinished()
	d.Registration, _, _ = strings.Cut(strings.TrimPrefix(r.PK, "D#"), "#")
	d.Event = r.SK
	d.ID = ident.Delivery(d.Registration, d.Event)
	var err error
	if d.Source, err = ident.SourceOf(d.Event); err != nil {
		return d, fmt.Errorf("delivery: %w", err)
	}
	return d, nil
}

// fail ends a delivery, or the resend of a final one, that can never be attempted.
func (d Delivery) fail(why string, now time.Time) Delivery {
	if d.Manual && d.Status != Pending {
		return d.dropManual()
	}
	return d.end(Failed, why, now)
}

// dropManual ends a resend that may not be made.
func (d Delivery) dropManual() Delivery {
	d.Claim++
	d.Manual, d.Unacked, d.due = false, 0, time.Time{}
	if d.Status == Pending {
		return d.waitUntil(d.NextAttempt, false)
	}
	return d
}

// LastResponse returns the start of the last response, as d's row holds it.
func (d Delivery) LastResponse() []byte { return d.body }

// VisibleStatus returns d's status as people see it. Pending for a disabled registration counts as held, and for a
// removed one as cancelled, except callback_removed, which reports the removal.
func (d Delivery) VisibleStatus(r Registration) Status {
	switch {
	case r.State == Removed && !d.Final() && d.EventType != CallbackRemoved:
		return Cancelled
	case r.State == Disabled && d.Status == Pending:
		return Held
	}
	return d.Status
}

// WithoutResponse returns d without the start of the last response.
func (d Delivery) WithoutResponse() Delivery {
	d.body = nil
	return d
}
