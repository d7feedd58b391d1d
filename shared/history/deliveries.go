package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// MaxMerged is how many registrations' deliveries one list merges.
const MaxMerged = 25

// A Query selects events or deliveries. An empty field does not restrict.
type Query struct {
	Tenant       string // for the operator's calls
	Registration string
	Source       string
	Event        string // deliveries of one event
	Status       gateway.Status
	Type         string // event type, or a prefix followed by *
	Since, Until time.Time
	Cursor       string
	Limit        int // of a page; 1 to MaxPageRows, default 50

	wide bool // reads more rows at a time, since nothing was found yet
}

func (q Query) limit() int {
	if q.Limit <= 0 {
		return 50
	}
	return min(q.Limit, storage.MaxPageRows)
}

// rows returns how many rows to read at a time.
func (q Query) rows() int {
	if q.wide {
		return wideRows
	}
	return q.limit()
}

func (q Query) wants(typ string, received time.Time) bool {
	return (q.Type == "" || gateway.MatchesType(q.Type, typ)) && !received.Before(q.Since) &&
		(q.Until.IsZero() || received.Before(q.Until))
}

// A Delivery is a delivery as lists return it.
type Delivery struct {
	gateway.Delivery
	ListedStatus gateway.Status // Status; Held for a pending one of a disabled registration, Cancelled for an unfinished one of a removed one
}

// Deliveries returns a page of deliveries, newest first, and the cursor of the next page. A page may be short, or empty
// with a cursor if one call's scan found nothing. Without a registration or event it merges the deliveries of up to
// MaxMerged registrations; for more the error wraps control.ErrUnreadable. Expired deliveries are left out.
func (h *History) Deliveries(ctx context.Context, c control.Caller, q Query) ([]Delivery, string, error) {
	rs, err := h.registrationsFor(ctx, c, q)
	if err != nil {
		return nil, "", err
	}
	if q.Event != "" {
		out, err := h.deliveriesOf(ctx, rs, q)
		return out, "", err
	}
	var out []Delivery
	next, err := h.scan(ctx, deliveryParts(rs, q.open()), q, func(rows []storage.Row) (_ int, err error) {
		out, err = h.listDeliveries(ctx, rows, rs, q)
		return len(out), err
	}, func(n int) cursor {
		out = out[:n]
		return cursor{out[n-1].Event[idNumberChars:], out[n-1].Registration}
	})
	return out, next, err
}

// open reports whether the open index holds every delivery that q selects.
func (q Query) open() bool { return q.Status != "" && q.Status != gateway.Succeeded }

// registrationsFor returns c's registrations that q is about. Removed ones are included only if q names them, or
// an event. The error wraps control.ErrUnreadable if there are more than MaxMerged.
func (h *History) registrationsFor(ctx context.Context, c control.Caller, q Query) ([]gateway.Registration, error) {
	if q.Registration != "" {
		r, err := h.control.Registration(ctx, c, q.Registration)
		return []gateway.Registration{r}, err
	}
	tenant, err := c.TenantIn(q.Tenant)
	if err != nil {
		return nil, err
	}
	if q.Event != "" {
		source, err := ident.SourceOf(q.Event)
		if err != nil {
			return nil, fmt.Errorf("event: %w", storage.ErrNotFound)
		}
		q.Source = source
	}
	switch {
	case tenant != "":
		return h.registrationsOfTenant(ctx, tenant, q.Source, q.Event != "")
	case q.Event == "":
		return nil, fmt.Errorf("registration: %w: name one, a tenant, or an event", control.ErrUnreadable)
	}
	_, er, err := h.gw.LoadEvent(ctx, q.Event)
	if err != nil {
		return nil, err
	}
	return h.control.ReadRegistrations(ctx, er.Match) // as far as the event's row lists them
}

func (h *History) registrationsOfTenant(ctx context.Context, tenant, source string, removed bool) ([]gateway.Registration, error) {
	var ids []string
	err := h.control.EachRegistrationOf(ctx, tenant, func(id string, listed control.TenantRegistration) {
		if (source == "" || listed.Source == source) && (removed || !listed.Removed) {
			ids = append(ids, id)
		}
	})
	if err != nil {
		return nil, err
	}
	if !removed && len(ids) > MaxMerged {
		return nil, fmt.Errorf("registration: %w: there are more than %d; name one, a source, or an event", control.ErrUnreadable, MaxMerged)
	}
	return h.control.ReadRegistrations(ctx, ids)
}

func (h *History) deliveriesOf(ctx context.Context, rs []gateway.Registration, q Query) ([]Delivery, error) {
	if _, err := ident.DecodeEvent(q.Event); err != nil {
		return nil, fmt.Errorf("event: %w", storage.ErrNotFound)
	}
	keys := make([]storage.Key, len(rs))
	for i, r := range rs {
		keys[i] = gateway.DeliveryKey(r.ID, q.Event)
	}
	rows, err := storage.GetAll(ctx, h.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", q.Event, err)
	}
	slices.SortFunc(rows, func(a, b storage.Row) int { return strings.Compare(a.PK, b.PK) })
	return h.listDeliveries(ctx, rows, rs, q)
}

// listDeliveries returns the deliveries of rows, which may hold keys only.
func (h *History) listDeliveries(ctx context.Context, rows []storage.Row, rs []gateway.Registration, q Query) ([]Delivery, error) {
	rows, err := h.filled(ctx, rows)
	if err != nil {
		return nil, err
	}
	byRegistration := byID(rs)
	now := h.gw.Clock()
	out := make([]Delivery, 0, len(rows))
	for _, row := range rows {
		d, err := gateway.ReadDelivery(row)
		if err != nil {
			return nil, err
		}
		l := Delivery{d, d.VisibleStatus(byRegistration[d.Registration])}
		if row.Expired(now) || !q.wants(d.EventType, d.Received) || q.Status != "" && l.ListedStatus != q.Status {
			continue
		}
		out = append(out, l)
	}
	return out, nil
}

// filled returns rows with their data, in order, without those deleted since.
func (h *History) filled(ctx context.Context, rows []storage.Row) ([]storage.Row, error) {
	index := map[storage.Key]int{}
	var keys []storage.Key
	for i, r := range rows {
		if index[r.Key] = i; r.Data == nil {
			keys = append(keys, r.Key)
		}
	}
	got, err := storage.GetAll(ctx, h.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("get deliveries: %w", err)
	}
	for _, r := range got {
		rows[index[r.Key]] = r
	}
	return slices.DeleteFunc(rows, func(r storage.Row) bool { return r.Data == nil }), nil
}

// DeliveryOf returns one delivery of c's.
func (h *History) DeliveryOf(ctx context.Context, c control.Caller, id string) (Delivery, gateway.Registration, error) {
	d, err := h.gw.LoadDelivery(ctx, id)
	if err != nil {
		return Delivery{}, gateway.Registration{}, err
	}
	if err := c.Owns(d.Tenant); err != nil {
		return Delivery{}, gateway.Registration{}, fmt.Errorf("delivery: %w", err)
	}
	r, _, err := storage.Load[gateway.Registration](ctx, h.gw.Store, gateway.RegistrationKey(d.Registration))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return Delivery{}, r, err
	}
	return Delivery{d, d.VisibleStatus(r)}, r, nil
}

// Attempts returns a page of d's attempts, oldest first.
func (h *History) Attempts(ctx context.Context, d gateway.Delivery, at storage.PageRequest) ([]gateway.Attempt, string, error) {
	q := at.Query(storage.Query{Table: storage.Deliveries, PK: "A#" + d.ID}, "")
	out, next, err := storage.ListPage(ctx, h.gw.Store, q, func(r storage.Row) (gateway.Attempt, error) {
		a, err := storage.Decoded[gateway.Attempt](r)
		a.Response = r.Body
		return a, err
	})
	switch {
	case err != nil || next != "" || d.Last == nil || !d.Last.Inline || slices.ContainsFunc(out, d.LastIs):
		return out, next, err
	case len(out) > 0 && len(out) >= q.Limit && q.Limit > 0:
		return out, gateway.AttemptID(d.ID, out[len(out)-1]), nil // the inline attempt comes on a page of its own
	}
	return append(out, d.Last.Attempt(d.LastResponse())), "", nil
}

// ResendDelivery makes one more attempt of a delivery of c's, at once. The error wraps control.ErrForbidden if no
// grant covers its event any more, and storage.ErrConflict if the registration is not enabled.
func (h *History) ResendDelivery(ctx context.Context, c control.Caller, id string) (gateway.Delivery, error) {
	d, r, err := h.DeliveryOf(ctx, c, id)
	if err != nil {
		return d.Delivery, err
	}
	if r.State != gateway.Enabled {
		return d.Delivery, fmt.Errorf("resend: %w: the registration is not enabled", storage.ErrConflict)
	}
	e, er, err := h.gw.LoadEvent(ctx, d.Event)
	switch {
	case errors.Is(err, storage.ErrNotFound) || er.Erased:
		return d.Delivery, fmt.Errorf("resend: %w: the event has expired", storage.ErrConflict)
	case err != nil:
		return d.Delivery, err
	}
	ok, err := h.gw.Visible(ctx, &r, e)
	switch {
	case err != nil:
		return d.Delivery, err
	case !ok:
		return d.Delivery, fmt.Errorf("resend: %w: no grant covers the event any more", control.ErrForbidden)
	}
	return h.gw.Resend(ctx, id)
}
