package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// An Event is an event as lists return it.
type Event struct {
	provider.Event
	Size   int  // bytes of the payload
	Hidden bool // no grant covers it any more: without routing keys, label and payload
	Erased bool // by an erasure; the payload is gone
}

// live returns the events of those rows that have not expired.
func (h *History) live(rows []storage.Row) ([]Event, error) {
	now := h.gw.Clock()
	out := make([]Event, 0, len(rows))
	for _, r := range rows {
		er, err := storage.Decoded[gateway.EventRow](r)
		if err != nil {
			return nil, err
		}
		source, err := ident.SourceOf(er.ID)
		if err != nil {
			return nil, err
		}
		if !r.Expired(now) {
			out = append(out, Event{Event: *er.Event(source, r.Body), Size: len(r.Body), Erased: er.Erased})
		}
	}
	return out, nil
}

// Events returns a page of events, newest first, and the cursor of the next page: for the operator all of a
// source, for a tenant those that it has deliveries of. A page may be short, or empty with a cursor.
func (h *History) Events(ctx context.Context, c control.Caller, q Query) ([]Event, string, error) {
	if c.Scope == control.ScopeOperator && q.Registration == "" && q.Tenant == "" {
		return h.eventsOfSource(ctx, q)
	}
	rs, err := h.registrationsFor(ctx, c, q)
	if err != nil {
		return nil, "", err
	}
	out, next, err := h.scanEvents(ctx, deliveryParts(rs, false), q, func(rows []storage.Row) ([]Event, error) {
		return h.eventsOf(ctx, c, rows, byID(rs), q)
	})
	return out, afterEvent(out, next), err
}

// scanEvents is scan for events, which read returns for rows.
func (h *History) scanEvents(ctx context.Context, parts []part, q Query, read func([]storage.Row) ([]Event, error)) (out []Event, next string, err error) {
	next, err = h.scan(ctx, parts, q, func(rows []storage.Row) (_ int, err error) {
		out, err = read(rows)
		return len(out), err
	}, func(n int) cursor {
		out = out[:n]
		return cursor{time: out[n-1].ID[idNumberChars:]}
	})
	return out, next, err
}

// afterEvent moves a cursor past further deliveries of the page's last event.
func afterEvent(page []Event, next string) string {
	at, err := parseCursor(next)
	if err != nil || len(page) == 0 || page[len(page)-1].ID[idNumberChars:] != at.time {
		return next
	}
	return cursor{time: at.time}.String()
}

func (h *History) eventsOfSource(ctx context.Context, q Query) ([]Event, string, error) {
	if q.Source == "" {
		return nil, "", fmt.Errorf("source: %w: name one", control.ErrUnreadable)
	}
	if _, err := ident.SourceNumber(q.Source); err != nil {
		return nil, "", nil
	}
	return h.scanEvents(ctx, eventParts(q.Source), q, func(rows []storage.Row) ([]Event, error) {
		out, err := h.live(rows)
		return slices.DeleteFunc(out, func(l Event) bool { return !q.wants(l.Type, l.Received) }), err
	})
}

func eventParts(source string) []part {
	var parts []part
	for shard := range gateway.HistoryShards {
		parts = append(parts, part{storage.Query{Table: storage.Deliveries, PK: gateway.EventPK(source, shard)}, source, source})
	}
	return parts
}

// eventsOf returns the events of deliveries in the order of rows, without duplicates.
func (h *History) eventsOf(ctx context.Context, c control.Caller, rows []storage.Row, visible map[string]gateway.Registration, q Query) ([]Event, error) {
	var order []string
	mine := map[string][]gateway.Registration{}
	for _, row := range rows {
		if mine[row.SK] == nil {
			order = append(order, row.SK)
		}
		registration, _, _ := strings.Cut(strings.TrimPrefix(row.PK, "D#"), "#")
		mine[row.SK] = append(mine[row.SK], visible[registration])
	}
	known, err := h.readEvents(ctx, order)
	if err != nil {
		return nil, err
	}
	out := make([]Event, 0, len(order))
	for _, id := range order {
		l, ok := known[id]
		if !ok || !q.wants(l.Type, l.Received) {
			continue
		}
		if l, err = h.asSeen(ctx, c, l, mine[id]); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

// readEvents returns those of the events that are stored.
func (h *History) readEvents(ctx context.Context, ids []string) (map[string]Event, error) {
	var keys []storage.Key
	for _, id := range ids {
		k, err := gateway.EventKey(id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	rows, err := storage.GetAll(ctx, h.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("get events: %w", err)
	}
	es, err := h.live(rows)
	out := make(map[string]Event, len(es))
	for _, l := range es {
		out[l.ID] = l
	}
	return out, err
}

// asSeen returns l as c may see it; c has deliveries of it for rs.
func (h *History) asSeen(ctx context.Context, c control.Caller, l Event, rs []gateway.Registration) (Event, error) {
	if c.Scope == control.ScopeOperator {
		return l, nil
	}
	for i := range rs {
		if ok, err := h.gw.Visible(ctx, &rs[i], &l.Event); err != nil || ok {
			return l, err
		}
	}
	l.Hidden, l.Size = true, 0
	l.Keys, l.Label, l.Payload, l.Query, l.ContentType = nil, "", nil, "", ""
	return l, nil
}

// EventOf returns an event with its payload, if c is the operator or has a delivery of it. Hidden events have none.
func (h *History) EventOf(ctx context.Context, c control.Caller, id string) (Event, error) {
	known, err := h.readEvents(ctx, []string{id})
	if errors.Is(err, storage.ErrInvalid) {
		err = nil
	}
	l, ok := known[id]
	if err != nil || !ok {
		return l, cmp.Or(err, errNoEvent)
	}
	if c.Scope == control.ScopeOperator {
		return l, nil
	}
	rs, err := h.registrationsFor(ctx, c, Query{Event: id})
	if err != nil {
		return Event{}, err
	}
	ds, err := h.deliveriesOf(ctx, rs, Query{Event: id})
	if err != nil || len(ds) == 0 {
		return Event{}, cmp.Or(err, errNoEvent)
	}
	mine := slices.DeleteFunc(rs, func(r gateway.Registration) bool {
		return !slices.ContainsFunc(ds, func(d Delivery) bool { return d.Registration == r.ID })
	})
	return h.asSeen(ctx, c, l, mine)
}

var errNoEvent = fmt.Errorf("event: %w", storage.ErrNotFound)

// DataOf returns e's payload as the JSON value data of a standard delivery, and its parameters.
func (h *History) DataOf(e *provider.Event) (data, parameters json.RawMessage, err error) {
	p := h.gw.Providers[e.Provider]
	if p == nil || e.Unreadable || gateway.OwnEvent(e) {
		if json.Valid(e.Payload) {
			return e.Payload, nil, nil
		}
		return nil, nil, nil
	}
	if data, err = p.Data(e); err != nil {
		return nil, nil, nil // only the raw bytes are available
	}
	parameters, err = p.Parameters(e)
	return data, parameters, err
}
