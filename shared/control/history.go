package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// MaxMerged is how many registrations' deliveries one list merges.
const MaxMerged = 25

// A HistoryQuery names events or deliveries; what is empty does not matter.
type HistoryQuery struct {
	Tenant       string // of the operator's calls
	Registration string
	Source       string
	Event        string // deliveries of one event
	Status       gateway.Status
	Type         string // event type, or a beginning and *
	Since, Until time.Time
	Cursor       string
	Limit        int // of a page; 1 to MaxPageRows, default 50
}

func (q HistoryQuery) limit() int {
	if q.Limit <= 0 {
		return 50
	}
	return min(q.Limit, storage.MaxPageRows)
}

func (q HistoryQuery) wants(typ string, received time.Time) bool {
	return (q.Type == "" || gateway.MatchesType(q.Type, typ)) && !received.Before(q.Since) &&
		(q.Until.IsZero() || received.Before(q.Until))
}

// A ListedDelivery is a delivery as lists show it.
type ListedDelivery struct {
	gateway.Delivery
	Shown gateway.Status // Status; Held for a pending one of a disabled registration, Cancelled for an unfinished one of a removed one
}

// Deliveries returns a page of deliveries, newest first, and the cursor of the
// next page. Pages may be short, or empty with a cursor. Without a registration
// or event those of at most MaxMerged registrations are merged; for more the
// error wraps ControlErrUnreadable. Expired ones are left out.
func (hs *history) Deliveries(ctx context.Context, c Caller, q HistoryQuery) ([]ListedDelivery, string, error) {
	rs, err := hs.registrationsFor(ctx, c, q)
	if err != nil {
		return nil, "", err
	}
	if q.Event != "" {
		out, err := hs.deliveriesOf(ctx, rs, q)
		return out, "", err
	}
	var parts []part
	for _, r := range rs {
		for shard := range gateway.HistoryShards {
			parts = append(parts, part{
				Query: storage.Query{Table: storage.Deliveries, PK: gateway.DeliveryPK(r.ID, shard), Open: q.open()},
				id:    r.ID, source: r.Source,
			})
		}
	}
	rows, next, err := hs.merge(ctx, parts, q)
	if err != nil {
		return nil, "", err
	}
	out, err := hs.listDeliveries(ctx, rows, rs, q)
	return out, next, err
}

// open reports whether the open index holds all that is asked for.
func (q HistoryQuery) open() bool { return q.Status != "" && q.Status != gateway.Succeeded }

// registrationsFor returns the registrations of c's that q is about. Removed
// ones are among them only if they are named, or an event is. The error wraps
// ControlErrUnreadable if there are more than can be merged.
func (hs *history) registrationsFor(ctx context.Context, c Caller, q HistoryQuery) ([]gateway.Registration, error) {
	if q.Registration != "" {
		r, err := hs.Registration(ctx, c, q.Registration)
		return []gateway.Registration{r}, err
	}
	tenant, err := c.tenantIn(q.Tenant)
	if err != nil {
		return nil, err
	}
	if q.Event != "" {
		source, err := gateway.SourceOf(q.Event)
		if err != nil {
			return nil, fmt.Errorf("event: %w", storage.ErrNotFound)
		}
		q.Source = source
	}
	switch {
	case tenant != "":
		return hs.registrationsOfTenant(ctx, tenant, q.Source, q.Event != "")
	case q.Event != "":
		return hs.registrationsOfEvent(ctx, q.Event)
	}
	return nil, fmt.Errorf("registration: %w: name one, a tenant, or an event", ErrUnreadable)
}

func (hs *history) registrationsOfTenant(ctx context.Context, tenant, source string, removed bool) ([]gateway.Registration, error) {
	var ids []string
	err := hs.eachRegistrationOf(ctx, tenant, func(id string, of TenantRegistration) {
		if (source == "" || of.Source == source) && (removed || !of.Removed) {
			ids = append(ids, id)
		}
	})
	if err != nil {
		return nil, err
	}
	if !removed && len(ids) > MaxMerged {
		return nil, fmt.Errorf("registration: %w: there are more than %d; name one, a source, or an event", ErrUnreadable, MaxMerged)
	}
	return hs.readRegistrations(ctx, ids)
}

// registrationsOfEvent returns the registrations that an event was for, as far
// as its own row names them.
func (hs *history) registrationsOfEvent(ctx context.Context, event string) ([]gateway.Registration, error) {
	_, er, err := hs.gw.LoadEvent(ctx, event)
	if err != nil {
		return nil, err
	}
	return hs.readRegistrations(ctx, er.Match)
}

func (hs *history) readRegistrations(ctx context.Context, ids []string) ([]gateway.Registration, error) {
	var out []gateway.Registration
	for part := range slices.Chunk(ids, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		for i, id := range part {
			keys[i] = gateway.RegistrationKey(id)
		}
		rows, err := hs.gw.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("get registrations: %w", err)
		}
		for _, row := range rows {
			r, err := storage.Decoded[gateway.Registration](row)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// deliveriesOf returns the deliveries of one event for rs.
func (hs *history) deliveriesOf(ctx context.Context, rs []gateway.Registration, q HistoryQuery) ([]ListedDelivery, error) {
	if _, err := gateway.DecodeEventID(q.Event); err != nil {
		return nil, fmt.Errorf("event: %w", storage.ErrNotFound)
	}
	var rows []storage.Row
	for part := range slices.Chunk(rs, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		for i, r := range part {
			keys[i] = gateway.DeliveryKey(r.ID, q.Event)
		}
		got, err := hs.gw.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("deliveries of %s: %w", q.Event, err)
		}
		rows = append(rows, got...)
	}
	slices.SortFunc(rows, func(a, b storage.Row) int { return strings.Compare(a.PK, b.PK) })
	return hs.listDeliveries(ctx, rows, rs, q)
}

// listDeliveries turns rows, which may hold keys alone, into what is listed.
func (hs *history) listDeliveries(ctx context.Context, rows []storage.Row, rs []gateway.Registration, q HistoryQuery) ([]ListedDelivery, error) {
	rows, err := hs.filled(ctx, rows)
	if err != nil {
		return nil, err
	}
	of := make(map[string]gateway.Registration, len(rs))
	for _, r := range rs {
		of[r.ID] = r
	}
	now := hs.gw.Clock()
	out := make([]ListedDelivery, 0, len(rows))
	for _, row := range rows {
		d, err := gateway.ReadDelivery(row)
		if err != nil {
			return nil, err
		}
		l := ListedDelivery{d, d.Shown(of[d.Registration])}
		if row.Expired(now) || !q.wants(d.EventType, d.Received) || q.Status != "" && l.Shown != q.Status {
			continue
		}
		out = append(out, l)
	}
	return out, nil
}

// filled returns rows with their data, in their order; those that are gone are
// left out.
func (hs *history) filled(ctx context.Context, rows []storage.Row) ([]storage.Row, error) {
	place := map[storage.Key]int{}
	var keys []storage.Key
	for i, r := range rows {
		if place[r.Key] = i; r.Data == nil {
			keys = append(keys, r.Key)
		}
	}
	for part := range slices.Chunk(keys, storage.MaxPageRows) {
		got, err := hs.gw.Store.Get(ctx, part...)
		if err != nil {
			return nil, fmt.Errorf("get deliveries: %w", err)
		}
		for _, r := range got {
			rows[place[r.Key]] = r
		}
	}
	return slices.DeleteFunc(rows, func(r storage.Row) bool { return r.Data == nil }), nil
}

// DeliveryOf returns one delivery of c's.
func (hs *history) DeliveryOf(ctx context.Context, c Caller, id string) (ListedDelivery, gateway.Registration, error) {
	d, err := hs.gw.LoadDelivery(ctx, id)
	if err != nil {
		return ListedDelivery{}, gateway.Registration{}, err
	}
	if err := c.owns(d.Tenant); err != nil {
		return ListedDelivery{}, gateway.Registration{}, fmt.Errorf("delivery: %w", err)
	}
	r, _, err := storage.Load[gateway.Registration](ctx, hs.gw.Store, gateway.RegistrationKey(d.Registration))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return ListedDelivery{}, r, err
	}
	return ListedDelivery{d, d.Shown(r)}, r, nil
}

// Attempts returns a page of d's attempts, oldest first.
func (hs *history) Attempts(ctx context.Context, d gateway.Delivery, at storage.Place) ([]gateway.Attempt, string, error) {
	q := at.Query(storage.Query{Table: storage.Deliveries, PK: "A#" + d.ID}, "")
	out, next, err := storage.Listed(ctx, hs.gw.Store, q, func(r storage.Row) (gateway.Attempt, error) {
		a, err := storage.Decoded[gateway.Attempt](r)
		a.Answer = r.Body
		return a, err
	})
	switch {
	case err != nil || next != "" || d.Last == nil || !d.Last.Alone || slices.ContainsFunc(out, d.Tells):
		return out, next, err
	case len(out) > 0 && len(out) >= q.Limit && q.Limit > 0:
		return out, gateway.AttemptID(d.ID, out[len(out)-1]), nil // the one that d tells of comes on a page of its own
	}
	return append(out, d.Last.Attempt(d.LastAnswer())), "", nil
}

// ResendDelivery makes one more attempt of a delivery of c's, at once. The error
// wraps ErrForbidden if no grant covers its event any more, storage.ErrConflict if the
// registration takes no deliveries.
func (hs *history) ResendDelivery(ctx context.Context, c Caller, id string) (gateway.Delivery, error) {
	d, r, err := hs.DeliveryOf(ctx, c, id)
	if err != nil {
		return d.Delivery, err
	}
	if r.State != gateway.Enabled {
		return d.Delivery, fmt.Errorf("resend: %w: the registration is not enabled", storage.ErrConflict)
	}
	e, er, err := hs.gw.LoadEvent(ctx, d.Event)
	switch {
	case errors.Is(err, storage.ErrNotFound) || er.Erased:
		return d.Delivery, fmt.Errorf("resend: %w: the event is not kept any more", storage.ErrConflict)
	case err != nil:
		return d.Delivery, err
	}
	ok, err := hs.gw.Visible(ctx, &r, e)
	switch {
	case err != nil:
		return d.Delivery, err
	case !ok:
		return d.Delivery, fmt.Errorf("resend: %w: no grant covers the event any more", ErrForbidden)
	}
	return hs.gw.Resend(ctx, id)
}
