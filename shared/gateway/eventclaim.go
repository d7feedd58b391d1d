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

// maxInlineRegistrations is how many registrations the event's own row names; more stand in rows of their own.
const maxInlineRegistrations = 40

// An EventRow is an Event as it is stored, but its payload, with what its fan-out needs.
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
	Erased      bool                `json:"erased,omitempty"`    // by request; the payload is gone
	ErasedBy    string              `json:"erased_by,omitempty"` // the job

	Token   string    `json:"token"`           // of the message that began it
	Run     string    `json:"run"`             // who fans it out
	Lease   time.Time `json:"lease"`           // until when; then another run may resume
	Match   []string  `json:"match,omitempty"` // registrations that want it, at most maxListed
	Chunked bool      `json:"long,omitempty"`  // there are more; they stand in fan-out rows

	// Retention: see retention.go.
	Unfinished     []string  `json:"open,omitempty"` // registrations whose deliveries of it are unfinished
	ManyUnfinished bool      `json:"wide,omitempty"` // there are, or were, too many to name
	HeldUntil      time.Time `json:"until,omitzero"` // it is needed by what is held

	expires time.Time // of the row as LoadEvent read it

	Headers map[string]string `json:"headers,omitempty"` // of the callback, that the provider names
}

func newEventRow(a message.InboundEvent, match []string, long bool, run string, lease time.Time) EventRow {
	return EventRow{
		ID: a.ID, Provider: a.Provider, Label: a.Label, Type: a.Type, Received: a.Received, Time: a.Time, Keys: a.Keys,
		ContentType: a.ContentType, Query: a.Query, Via: a.Via, Unreadable: a.Unreadable, Recipient: a.Recipient, Tenant: a.Tenant,
		Token: a.Token, Run: run, Lease: lease, Match: match, Chunked: long, ManyUnfinished: long,
	}
}

// Event returns the Event that is stored.
func (er EventRow) Event(source string, payload []byte) *provider.Event {
	return &provider.Event{
		ID: er.ID, Source: source, Provider: er.Provider, Label: er.Label, Type: er.Type, Received: er.Received,
		Time: er.Time, Keys: er.Keys, ContentType: er.ContentType, Query: er.Query, Payload: payload,
		Via: er.Via, Unreadable: er.Unreadable, Recipient: er.Recipient, Tenant: er.Tenant,
	}
}

// events stores events on their way to their registrations.
type events struct{ *core }

// claimResult is the answer to begin.
type claimResult int

const (
	newlyClaimed   claimResult = iota // stored now; this run has it
	resumed                           // the run before ended without finishing; this run has it
	claimedByOther                    // another run has it: never acknowledge, it may crash
	duplicate                         // the provider's: acknowledge, the owner's message is in the queue or its dead letters
)

// claimEvent stores the event as er, with its match, for er's run until its lease. If
// it is resumed, the row holds the match that was stored first.
func (es *events) claimEvent(ctx context.Context, a message.InboundEvent, er EventRow, thin bool) (claimResult, EventRow, error) {
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
	if thin {
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
	switch answer := stored.checkClaim(a.Token, er.Run, es.Clock(), es.SingleProcess); answer {
	case resumed:
		if !stored.Erased {
			lost.Stored.Body = a.Payload // a history of failures may not have kept it yet
		}
		return es.resumeClaim(ctx, lost.Stored, stored, er.Run, er.Lease)
	default:
		return answer, stored, nil
	}
}

func (es *events) newRow(key storage.Key, a message.InboundEvent, er EventRow) storage.Row {
	row := storage.Row{Key: key, Body: a.Payload}
	switch from := later(a.Received, es.Clock()); { // a message may be redriven after many days
	case er.ManyUnfinished:
		row.Expires = from.Add(es.Retention.maxUnfinished())
	case len(er.Unfinished) == 0:
		row.Expires = from.Add(es.Retention.History)
	}
	return row
}

// maxEventLease is the longest that a lease lasts; one that ends later was taken by a clock that was wrong, and is over.
const maxEventLease = 2 * time.Hour

// checkClaim says what begin answers when the event is stored already. alone says that runs of other processes are dead.
func (er EventRow) checkClaim(token, run string, now time.Time, alone bool) claimResult {
	process := func(run string) string { p, _, _ := strings.Cut(run, "."); return p }
	switch {
	case er.Token != token:
		return duplicate
	case now.Before(er.Lease) && er.Lease.Sub(now) <= maxEventLease && er.Run != run && !(alone && process(er.Run) != process(run)):
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

// naturalKeyRetention is how long a natural key without a time is remembered.
const naturalKeyRetention = 8 * 24 * time.Hour

// claimNaturalKey claims the natural key of a, which is unique for ever and comes without a time, for a's id. It
// reports false if another id has it: a is a repeat.
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

// LoadEvent returns an event that was begun, with its payload. The error wraps storage.ErrNotFound.
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
