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

// A Status is where a delivery stands.
type Status string

const (
	Pending   Status = "pending"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Held      Status = "held"      // the registration is disabled
	Cancelled Status = "cancelled" // registration, grant or tenant gone
)

// Why a delivery is held, cancelled or failed.
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

// Timing of hand-outs, the same for all workers.
const (
	Lookahead           = 2 * time.Minute // how far ahead the tick hands out; the right to POST ends so long before due
	claimTTL            = 2*time.Minute + Lookahead
	maxClaimTTL         = time.Hour
	maxLostClaims       = 10               // claims that were taken up and not recorded, then the delivery is failed
	maxSelfSendDelay    = 15 * time.Minute // a longer wait is handed out by the tick
	maxSelfSends        = 3                // self-sends in a row: Lambda stops a chain of 16
	inlineResponseBytes = 256              // bytes of an answer that the delivery row keeps
)

// A Delivery is one event for one registration. Its row is written whole, only
// over the revision that was read, so that the decisions below are pure.
type Delivery struct {
	ID           string    `json:"-"` // these four stand in the row's key
	Registration string    `json:"-"`
	Event        string    `json:"-"`
	Source       string    `json:"-"`
	Tenant       string    `json:"tenant"`
	EventType    string    `json:"event_type"`
	Received     time.Time `json:"received"` // the event's
	Created      time.Time `json:"created"`

	Status        Status        `json:"status"`
	Reason        string        `json:"why,omitempty"`     // failed, held or cancelled because of
	Attempts      int           `json:"made"`              // attempts recorded, manual ones excepted
	RestartedAt   time.Time     `json:"anew,omitzero"`     // when a job began its schedule anew; zero: it runs since Created
	RetryAfterSum time.Duration `json:"asked,omitempty"`   // by its endpoint, beyond the waits of the schedule
	Claim         int           `json:"claim"`             // hand-outs and records so far; the fence
	Unacked       int           `json:"lost,omitempty"`    // hand-outs since the last record
	LostClaims    int           `json:"crashes,omitempty"` // of those, which workers took up and did not record
	Manual        bool          `json:"manual,omitempty"`  // the current claim is a resend
	NextAttempt   time.Time     `json:"start,omitzero"`    // of the next attempt
	Since         time.Time     `json:"since,omitzero"`    // of Held, or of the final status
	Last          *Last         `json:"last,omitempty"`
	Replay        bool          `json:"replay,omitempty"` // made by a replay, not by the event's arrival
	RateGranted   bool          `json:"paced,omitempty"`  // Start is a place or turn that the rate gave
	Lane          bool          `json:"lane,omitempty"`   // of an ordered registration: its lane is due, not it
	OutOfOrder    bool          `json:"late,omitempty"`   // a later one of its lane was attempted before it

	due      time.Time // of the due index; when the tick looks at it
	rev      string    // of the row as read
	body     []byte    // of the row: start of the last answer
	retained bool      // the event is kept for it
}

// Last is the outcome of a delivery's last attempt.
type Last struct {
	At         time.Time     `json:"at"`
	Took       time.Duration `json:"took"`
	StatusCode int           `json:"status_code,omitempty"`
	Class      egress.Class  `json:"class,omitempty"`
	Error      string        `json:"error,omitempty"`
	Inline     bool          `json:"alone,omitempty"` // no row of its own tells of the attempt; the rest of it follows
	Manual     bool          `json:"manual,omitempty"`
	Claim      int           `json:"claim,omitempty"`
}

// Attempt returns the attempt that stands in a delivery alone, whose answer began with body.
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
	Error      string        `json:"error,omitempty"` // why it was not accepted; holds no URL but where a redirect leads, and no secret
	Manual     bool          `json:"manual,omitempty"`
	Claim      int           `json:"claim"`          // that it was made under
	Response   []byte        `json:"-"`              // its first 4 KiB; the row's Body
	RetryAfter time.Duration `json:"hint,omitempty"` // what the endpoint asked for
	Total      time.Duration `json:"-"`              // until the response was read, which may drip
	Inline     bool          `json:"-"`              // accepted, and all that is kept of it fits the delivery: no row of its own
}

// Succeeded reports whether the endpoint took the event.
func (a Attempt) Succeeded() bool { return a.Class == egress.OK }

// outcome returns what the pace of the endpoint goes by.
func (a Attempt) outcome(cut bool) limiter.Outcome {
	made := !a.At.IsZero() && a.Class != egress.Internal
	return limiter.Outcome{Attempted: made, Succeeded: a.Succeeded(), Cut: cut, Took: max(a.Took, a.Total)}
}

// Gone reports whether the endpoint wants no more events (410).
func (a Attempt) Gone() bool { return a.StatusCode == 410 }

// slow reports whether the next wait must be a minute at least.
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

// Final reports whether nothing will be done about d by itself.
func (d *Delivery) Final() bool {
	return d.Status == Succeeded || d.Status == Failed || d.Status == Cancelled
}

// unfinished reports whether d's payload may still be sent without a decision of people.
func (d *Delivery) unfinished() bool { return d.Status == Pending || d.Manual }

// newClaim gives the caller, for the new claim, the sole right to POST from start until Horizon before d's new due time.
func (d Delivery) newClaim(start time.Time) Delivery {
	hold := claimTTLAfter(d.Unacked)
	d.Claim++
	d.Unacked++
	d.NextAttempt = start
	d.due = start.Add(hold)
	return d
}

// claimTTLAfter returns how long a claim holds after so many that were lost.
func claimTTLAfter(lost int) time.Duration {
	hold := claimTTL
	for n := 0; n < lost && hold < maxClaimTTL; n++ {
		hold *= 2
	}
	return min(hold, maxClaimTTL)
}

// mayPost reports whether the holder of claim may begin a POST that takes up to limit at now.
func (d Delivery) mayPost(claim int, now time.Time, limit time.Duration) bool {
	return d.holdsClaim(claim) && !now.Add(limit).After(d.due.Add(-Lookahead))
}

// holdsClaim reports whether claim is the one that counts.
func (d Delivery) holdsClaim(claim int) bool {
	return d.Claim == claim && (d.Status == Pending || d.Manual)
}

// record returns d after attempt a, made under a.Claim. The first attempt of a new delivery has claim 0. self
// tells whether the caller can send the next attempt itself; then the second result says that it must.
//
// If the claim is not the current one, a failure changes nothing, and a success
// closes the delivery all the same; a resend that waits is still made. One that
// was made ends its claim whatever the status, which stays unless it was accepted.
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

// succeededLate closes d by an attempt whose claim is not the current one.
func (d Delivery) succeededLate(a Attempt) Delivery {
	after := d.end(Succeeded, "", a.At.Add(a.Took))
	after.Last, after.body = a.last(), truncate(a.Response)
	if d.Manual {
		after.Manual, after.Unacked, after.NextAttempt, after.due = true, d.Unacked, d.NextAttempt, d.due
	}
	return after
}

// waitUntil leaves d pending until start. If the caller sends the attempt itself the
// right to POST is its; else the tick hands out.
func (d Delivery) waitUntil(start time.Time, self bool) Delivery {
	start = storage.UTC(start)
	d.Status, d.NextAttempt, d.due = Pending, start, start
	if self {
		d.Unacked = 1
		d.due = start.Add(claimTTL)
	}
	return d
}

// postpone ends the claim without an attempt; nothing is used up. A resend is still to be made, whatever the status.
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

// park ends the claim without an attempt until the circuit closes, or d is its probe;
// nothing is used up. What is parked is not due.
func (d Delivery) park(now time.Time) Delivery {
	d = d.postpone(now)
	d.RateGranted, d.due = false, time.Time{}
	return d
}

// Parked reports whether d waits behind a circuit, and at least until Start.
func (d *Delivery) Parked() bool {
	return d.Status == Pending && d.Claim > 0 && !d.Lane && d.due.IsZero()
}

// hold ends the claim without an attempt until the registration is enabled.
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

// resend hands out one manual attempt, whatever the status; a pending one is
// superseded and goes on by the schedule afterwards.
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

// Cancel ends d because what it was for is gone. Of what is final, that is the resend alone.
func (d Delivery) Cancel(why string, now time.Time) Delivery {
	if d.Final() {
		return d.dropManual()
	}
	d.Claim++
	return d.end(Cancelled, why, now)
}

func truncate(answer []byte) []byte { return answer[:min(len(answer), inlineResponseBytes)] }

// Retention is how long rows last.
type Retention struct {
	History time.Duration // finished deliveries, their attempts and events; default 14 days, at least 9
	Held    time.Duration // held deliveries, from the hold on; default 30 days
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

// ReadDelivery undoes row.
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

// fail ends what can never be attempted: a resend of what is final, or the delivery.
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

// LastResponse returns the beginning of the last answer to d, as d's row keeps it.
func (d Delivery) LastResponse() []byte { return d.body }

// VisibleStatus returns d's status as people see it: what is pending for a disabled registration is held as soon as
// it falls due, and nothing goes to a removed one any more but the news of its end.
func (d Delivery) VisibleStatus(r Registration) Status {
	switch {
	case r.State == Removed && !d.Final() && d.EventType != CallbackRemoved:
		return Cancelled
	case r.State == Disabled && d.Status == Pending:
		return Held
	}
	return d.Status
}

// WithoutResponse returns d without the beginning of the last answer.
func (d Delivery) WithoutResponse() Delivery {
	d.body = nil
	return d
}
