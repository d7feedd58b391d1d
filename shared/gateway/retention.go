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

// Whatever an unfinished delivery needs has no expiry, so that neither downtime nor a clock that jumps ends it:
// its own row and the event's row with the payload. An event starts with an expiry, since most are delivered at
// once. The first unfinished delivery removes it by entering its registration in Unfinished; the last one to
// finish sets it again. Held deliveries last for Retention.Held, and so do their events. An event with more
// unfinished deliveries than Unfinished can list lasts for maxUnfinished after the last attempt.

// maxUnfinished is the longest time that a delivery's schedule, circuit and hold can take together.
func (k Retention) maxUnfinished() time.Duration {
	return schedule.MaxWaitsSum*12/10 + 2*circuit.MaxInterval + k.Held + k.History
}

// markUnfinished records that the deliveries to ids are unfinished and reports whether the row changed.
func (er *EventRow) markUnfinished(r *storage.Row, k Retention, now time.Time, ids ...string) (changed bool) {
	for _, id := range ids {
		if !er.ManyUnfinished && !slices.Contains(er.Unfinished, id) {
			er.Unfinished, changed = append(er.Unfinished, id), true
		}
	}
	if er.Chunked || len(er.Unfinished) > maxInlineRegistrations {
		er.ManyUnfinished, er.Unfinished = true, nil
	}
	switch until := now.Add(k.maxUnfinished()); {
	case er.ManyUnfinished && until.Sub(r.Expires) > 24*time.Hour:
		r.Expires, changed = until, true
	case !er.ManyUnfinished && !r.Expires.IsZero():
		r.Expires, changed = time.Time{}, true
	}
	return changed
}

// markFinished records that the delivery to id is finished, or held until then, and reports whether the row changed.
func (er *EventRow) markFinished(r *storage.Row, k Retention, now time.Time, id string, until time.Time) (changed bool) {
	expires := r.Expires
	if i := slices.Index(er.Unfinished, id); i >= 0 {
		er.Unfinished, changed = slices.Delete(er.Unfinished, i, i+1), true
		expires = now.Add(k.History)
	}
	if until.After(er.HeldUntil) {
		er.HeldUntil, changed = until, true
	}
	if len(er.Unfinished) == 0 {
		r.Expires = later(expires, er.HeldUntil)
	}
	return changed
}

// lastsFor reports whether er, as read, outlasts the delivery to id. Waits that an endpoint asks for may exceed
// what maxUnfinished counts.
func (er *EventRow) lastsFor(id string, k Retention, now time.Time) bool {
	return slices.Contains(er.Unfinished, id) || er.ManyUnfinished && now.Add(k.maxUnfinished()).Sub(er.expires) <= 24*time.Hour
}

// retain keeps an event without expiry for deliveries to ids, before their rows are written. fill, unless nil,
// completes the row. The error wraps storage.ErrNotFound.
func (es *events) retain(ctx context.Context, id string, fill func(*EventRow, *storage.Row) bool, ids ...string) error {
	return es.change(ctx, id, func(er *EventRow, r *storage.Row) bool {
		filled := fill != nil && fill(er, r)
		return er.ID != "" && er.markUnfinished(r, es.Retention, es.Clock(), ids...) || filled
	})
}

// Release undoes retain for one registration, once its delivery's row is finished or gone.
func (es *events) Release(ctx context.Context, id, registration string) error {
	return es.release(ctx, id, nil, registration, time.Time{})
}

func (es *events) release(ctx context.Context, id string, fill func(*EventRow, *storage.Row) bool, registration string, until time.Time) error {
	return ignoring(es.change(ctx, id, func(er *EventRow, r *storage.Row) bool {
		filled := fill != nil && fill(er, r)
		return er.markFinished(r, es.Retention, es.Clock(), registration, until) || filled
	}), storage.ErrNotFound)
}

// heldUntil returns when a hold of now ends, rounded up to a day so that holds of one day share one write.
func (k Retention) heldUntil(now time.Time) time.Time {
	const day = 24 * time.Hour
	return now.Add(k.Held).Truncate(day).Add(day)
}

// change applies f to the row of event id. The error wraps storage.ErrNotFound if there is no such event.
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
