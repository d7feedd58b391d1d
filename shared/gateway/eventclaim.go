package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// maxInlineRegistrations is how many registrations an event's own row lists; more go into chunk rows.
const maxInlineRegistrations = 40

// An EventRow is a stored Event without its payload, and the state of its fan-out.
type EventRow struct {
	ID          string              `json:"id"`
	Provider    string              `json:"provider"`
	Label       string              `json:"label,omitempty"`
	Type        string              `json:"type"`
	Received    time.Time           `json:"received"`
	Time        time.Time           `json:"time,omitzero"`
	Keys        map[string][]string `json:"keys,omitempty"`
	ContentType string              `json:"content_type,omitempty"`
	Query       string              `json:"query,omitempty"`
	Via         []string            `json:"via,omitempty"`
	Unreadable  bool                `json:"unreadable,omitempty"`
	Recipient   string              `json:"only,omitempty"`
	Tenant      string              `json:"tenant,omitempty"`
	Erased      bool                `json:"erased,omitempty"`    // by an erasure; the payload is gone
	ErasedBy    string              `json:"erased_by,omitempty"` // the job's id

	Token   string    `json:"token"`           // of the callback that claimed it; a duplicate has another
	Run     string    `json:"run"`             // the run that fans it out
	Lease   time.Time `json:"lease"`           // after it another run may resume
	Match   []string  `json:"match,omitempty"` // matched registrations, at most maxInlineRegistrations
	Chunked bool      `json:"long,omitempty"`  // more matched: FanOutRows list them

	// What it is retained for: see retention.go.
	Unfinished     []string  `json:"open,omitempty"` // registrations with unfinished deliveries of it
	ManyUnfinished bool      `json:"wide,omitempty"` // there are, or were, too many to list
	HeldUntil      time.Time `json:"until,omitzero"` // until then held deliveries need it

	expires time.Time // the row's expiry when LoadEvent read it

	Headers map[string]string `json:"headers,omitempty"` // of the callback, as far as the provider names them
}

func newEventRow(a message.InboundEvent, match []string, long bool, run string, lease time.Time) EventRow {
	return EventRow{
		ID: a.ID, Provider: a.Provider, Label: a.Label, Type: a.Type, Received: a.Received, Time: a.Time, Keys: a.Keys,
		ContentType: a.ContentType, Query: a.Query, Via: a.Via, Unreadable: a.Unreadable, Recipient: a.Recipient, Tenant: a.Tenant,
		Token: a.Token, Run: run, Lease: lease, Match: match, Chunked: long, ManyUnfinished: long,
	}
}

// Event returns the stored Event with its payload.
func (er EventRow) Event(source string, payload []byte) *provider.Event {
	return &provider.Event{
		ID: er.ID, Source: source, Provider: er.Provider, Label: er.Label, Type: er.Type, Received: er.Received,
		Time: er.Time, Keys: er.Keys, ContentType: er.ContentType, Query: er.Query, Payload: payload,
		Via: er.Via, Unreadable: er.Unreadable, Recipient: er.Recipient, Tenant: er.Tenant,
	}
}

// events stores events and claims them for a fan-out.
type events struct{ *core }

// claimResult says what claimEvent found.
type claimResult int

const (
	newlyClaimed   claimResult = iota // stored now; this run owns the fan-out
	resumed                           // an earlier run's lease ended; this run owns the fan-out now
	claimedByOther                    // another run owns it: do not acknowledge, that run may crash
	duplicate                         // a repeat by the provider: acknowledge; the owner's message is in the queue or its dead letters
)

// claimEvent stores the event as er and so claims its fan-out for er's run until er's lease. It is
// create-if-absent, deduplication and lease in one conditional write. For resumed, the row returned holds the
// registrations that were matched first.
//
// Example: token "a" claims and crashes. The same message again, after the lease: resumed. A repeat by the
// provider comes with token "b": duplicate.
func (es *events) claimEvent(ctx context.Context, a message.InboundEvent, er EventRow, failuresOnly bool) (claimResult, EventRow, error) {
	key, err := EventKey(a.ID)
	if err != nil {
		return 0, EventRow{}, err
	}
	if a.UniqueForever {
		if mine, err := es.claimNaturalKey(ctx, a); err != nil || !mine {
			return duplicate, EventRow{}, err
		}
	}
	row := es.newRow(key, a, er)
	if failuresOnly {
		row.Body = nil
	}
	var lost *storage.ConflictError
	switch err := storage.PutRow(ctx, es.Store, row, er, ""); {
	case err == nil:
		return newlyClaimed, er, nil
	case !errors.As(err, &lost):
		return 0, er, err
	}
	var stored EventRow
	if err := storage.Decode(lost.Stored, &stored); err != nil {
		return 0, er, err
	}
	switch claim := stored.checkClaim(a.Token, er.Run, es.Clock(), es.SingleProcess); claim {
	case resumed:
		if !stored.Erased {
			lost.Stored.Body = a.Payload // a source with FailureHistory may not have stored it yet
		}
		return es.resumeClaim(ctx, lost.Stored, stored, er.Run, er.Lease)
	default:
		return claim, stored, nil
	}
}

func (es *events) newRow(key storage.Key, a message.InboundEvent, er EventRow) storage.Row {
	row := storage.Row{Key: key, Body: a.Payload}
	switch from := later(a.Received, es.Clock()); { // a redrive may come many days after receipt
	case er.ManyUnfinished:
		row.Expires = from.Add(es.Retention.maxUnfinished())
	case len(er.Unfinished) == 0:
		row.Expires = from.Add(es.Retention.History)
	}
	return row
}

// maxEventLease is the longest lease. A later end was written by a wrong clock and counts as over.
const maxEventLease = 2 * time.Hour

// checkClaim decides what claimEvent returns for an event that is stored already. alone reports that this is the
// only process, so that runs of others are dead.
func (er EventRow) checkClaim(token, run string, now time.Time, singleProcess bool) claimResult {
	process := func(run string) string { p, _, _ := strings.Cut(run, "."); return p }
	switch {
	case er.Token != token:
		return duplicate
	case now.Before(er.Lease) && er.Lease.Sub(now) <= maxEventLease && er.Run != run && !(singleProcess && process(er.Run) != process(run)):
		return claimedByOther
	}
	return resumed
}

func (es *events) resumeClaim(ctx context.Context, row storage.Row, stored EventRow, run string, lease time.Time) (claimResult, EventRow, error) {
	stored.Run, stored.Lease = run, lease
	err := storage.PutRow(ctx, es.Store, row, stored, row.Rev)
	if errors.Is(err, storage.ErrConflict) {
		return claimedByOther, stored, nil
	}
	return resumed, stored, err
}

// naturalKeyRetention is how long a natural key that comes without a time is remembered.
const naturalKeyRetention = 8 * 24 * time.Hour

// claimNaturalKey claims a's natural key, which is unique forever and comes without a time, for a's id. It reports
// false if another event has it: a is a duplicate.
func (es *events) claimNaturalKey(ctx context.Context, a message.InboundEvent) (bool, error) {
	key, err := NaturalKeyKey(a.ID)
	if err != nil {
		return false, err
	}
	row := storage.Row{Key: key, Expires: es.Clock().Add(naturalKeyRetention)}
	var lost *storage.ConflictError
	err = storage.PutRow(ctx, es.Store, row, Link{a.ID}, "")
	if !errors.As(err, &lost) {
		return err == nil, err
	}
	first, err := storage.Decoded[Link](lost.Stored)
	return first.ID == a.ID, err
}

// LoadEvent returns a stored event with its payload. The error wraps storage.ErrNotFound.
func (es *events) LoadEvent(ctx context.Context, id string) (*provider.Event, EventRow, error) {
	key, err := EventKey(id)
	if err != nil {
		return nil, EventRow{}, err
	}
	er, row, err := storage.Load[EventRow](ctx, es.Store, key)
	if err != nil {
		return nil, er, fmt.Errorf("event %s: %w", id, err)
	}
	source, _ := ident.SourceOf(id)
	er.expires = row.Expires
	return er.Event(source, row.Body), er, nil
}
