package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ringback/shared/circuit"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// What an unfinished delivery needs has no expiry, so that neither a stop nor a clock that jumps ends it: its
// own row, and the event's, which holds the payload. An event begins with one, since most are delivered at
// once. The first delivery that is not takes it away, by its registration's place in Open; the last one to be
// finished brings it back. What is held lasts for Kept.Held, and so does its event. One of more deliveries
// than Open can name lasts for Kept.longest from the last attempt of one of them.

// longest is how long a delivery may be unfinished by its schedule, and then be looked at.
func (k Kept) longest() time.Duration {
	return schedule.MaxWaitsSum*12/10 + 2*circuit.LongestInterval + k.Held + k.History
}

// open notes that deliveries to ids are unfinished. It reports whether the row changed.
func (er *EventRow) open(r *storage.Row, k Kept, now time.Time, ids ...string) (changed bool) {
	for _, id := range ids {
		if !er.Wide && !slices.Contains(er.Open, id) {
			er.Open, changed = append(er.Open, id), true
		}
	}
	if er.Long || len(er.Open) > maxListed {
		er.Wide, er.Open = true, nil
	}
	switch until := now.Add(k.longest()); {
	case er.Wide && until.Sub(r.Expires) > 24*time.Hour:
		r.Expires, changed = until, true
	case !er.Wide && !r.Expires.IsZero():
		r.Expires, changed = time.Time{}, true
	}
	return changed
}

// finish notes that the delivery to id is finished at now, or held until a time. It reports whether the row changed.
func (er *EventRow) finish(r *storage.Row, k Kept, now time.Time, id string, until time.Time) (changed bool) {
	expires := r.Expires
	if i := slices.Index(er.Open, id); i >= 0 {
		er.Open, changed = slices.Delete(er.Open, i, i+1), true
		expires = now.Add(k.History)
	}
	if until.After(er.Until) {
		er.Until, changed = until, true
	}
	if len(er.Open) == 0 {
		r.Expires = later(expires, er.Until)
	}
	return changed
}

// needs reports whether er, which was read, lasts for the delivery to id: what its
// endpoint asked for may take longer than all that Kept.longest counts.
func (er *EventRow) needs(id string, k Kept, now time.Time) bool {
	return slices.Contains(er.Open, id) || er.Wide && now.Add(k.longest()).Sub(er.expires) <= 24*time.Hour
}

// open keeps an event for deliveries that are unfinished, before their rows are written. fill, unless it is
// nil, makes the row whole. The error wraps storage.ErrNotFound.
func (es *events) open(ctx context.Context, id string, fill func(*EventRow, *storage.Row) bool, ids ...string) error {
	return es.change(ctx, id, func(er *EventRow, r *storage.Row) bool {
		filled := fill != nil && fill(er, r)
		return er.ID != "" && er.open(r, es.Kept, es.Clock(), ids...) || filled
	})
}

// Finish ends what open began, once the delivery's row says so, or is gone.
func (es *events) Finish(ctx context.Context, id, registration string) error {
	return es.finish(ctx, id, nil, registration, time.Time{})
}

func (es *events) finish(ctx context.Context, id string, fill func(*EventRow, *storage.Row) bool, registration string, until time.Time) error {
	return ignoring(es.change(ctx, id, func(er *EventRow, r *storage.Row) bool {
		filled := fill != nil && fill(er, r)
		return er.finish(r, es.Kept, es.Clock(), registration, until) || filled
	}), storage.ErrNotFound)
}

// heldUntil is when what is held at now has ended. All that are held on one day are content with one write.
func (k Kept) heldUntil(now time.Time) time.Time {
	const day = 24 * time.Hour
	return now.Add(k.Held).Truncate(day).Add(day)
}

func (es *events) change(ctx context.Context, id string, f func(*EventRow, *storage.Row) (changed bool)) error {
	key, err := EventKey(id)
	if err != nil {
		return err
	}
	_, err = storage.Change(ctx, es.Store, key, func(er *EventRow, r *storage.Row) error {
		switch changed := f(er, r); {
		case er.ID == "":
			return storage.ErrNotFound
		case !changed:
			return storage.ErrUnchanged
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep event %s: %w", id, err)
	}
	return nil
}
