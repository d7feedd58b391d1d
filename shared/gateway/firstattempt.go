package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A fanOut is one event on its way to its registrations. It records their first
// attempts.
type fanOut struct {
	*provider.Event
	fs       *fanOuts
	standard func() ([]byte, error) // the body of all standard deliveries, written once
	arrival  arrival                // zero for a chunk
	// thin: the source keeps a history of failures. A success leaves no row, and
	// the payload is stored when it is first needed.
	thin bool

	match []string // the registrations that want it

	mu   sync.Mutex
	kept bool
}

// deliver makes the first attempt of f's event for r, or records why there is
// none now, and what follows from it.
func (f *fanOut) deliver(ctx context.Context, r *Registration) error {
	v, err := f.fs.find.VersionOf(ctx, f.Source)
	if err != nil {
		return err
	}
	t := try{e: f.Event, standard: f.standard, r: r, rev: v.Rev, d: newDelivery(f.Event, r, f.fs.Clock()), first: true}
	t.d.Lane = r.Ordered
	return f.fs.attempts.attempt(ctx, &t, f)
}

// notWanted stores what is held. What is cancelled was never promised.
func (f *fanOut) notWanted(ctx context.Context, t *try, verdict Status, why string) error {
	if verdict == Cancelled {
		return nil
	}
	t.d = t.d.hold(why, f.fs.Clock())
	return f.record(ctx, &t.d, nil, false)
}

// turn puts the delivery of an ordered registration into its lane.
func (f *fanOut) turn(ctx context.Context, t *try) (bool, error) {
	if !t.r.Ordered {
		return true, nil
	}
	if f.thin {
		if err := f.keepPayload(ctx); err != nil {
			return false, err
		}
	}
	return false, f.fs.lanes.queueInLane(ctx, f.Event, t.d)
}

func (f *fanOut) notNow(ctx context.Context, t *try, s start) error {
	self := !s.open && s.at.Sub(f.fs.Clock()) <= maxSelfSend
	t.d = t.d.wait(s.at, self)
	t.d.Paced = s.paced
	return f.record(ctx, &t.d, nil, self)
}

// notWritten leaves the delivery to the retry queue, where it is counted.
func (f *fanOut) notWritten(ctx context.Context, t *try) error {
	t.d = t.d.wait(f.fs.Clock().Add(slowDown), false)
	return f.record(ctx, &t.d, nil, false)
}

func (f *fanOut) attempted(ctx context.Context, t *try, a Attempt) error {
	if a.Alone = a.Accepted(); a.Alone { // at once: the answer is kept only so far
		f.fs.count(Latency, float64(a.At.Add(a.Took).Sub(f.Received).Milliseconds()))
	}
	self := t.after(a, f.fs.Random())
	return f.record(ctx, &t.d, &a, self)
}

// keepPayload stores f's event whole, before a row that needs it is written.
func (f *fanOut) keepPayload(ctx context.Context) error {
	fs := f.fs
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept {
		return nil
	}
	key, err := EventKey(f.ID)
	if err != nil {
		return err
	}
	whole := fs.events.eventRowOf(key, f.arrival)
	if f.arrival.unique { // nobody began it before
		err = storage.PutRow(ctx, fs.Store, whole, f.arrival.row(f.match, false, "", fs.Clock()), "")
		if err == nil {
			f.kept = true
			return nil
		}
	}
	_, err = storage.Change(ctx, fs.Store, key, func(er *EventRow, r *storage.Row) error {
		if len(r.Body) == len(whole.Body) && er.ID != "" {
			return storage.ErrUnchanged
		}
		if er.ID == "" {
			*er = f.arrival.row(f.match, false, "", fs.Clock())
			r.Expires = whole.Expires
		}
		r.Body = whole.Body
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the payload of %s: %w", f.ID, err)
	}
	f.kept = true
	return nil
}

// record stores a delivery whose first attempt was made, or was not to be
// made now. If it exists already, a success closes it and anything else changes
// nothing. self says that the next attempt is the caller's to send.
func (f *fanOut) record(ctx context.Context, d *Delivery, a *Attempt, self bool) error {
	fs := f.fs
	if f.thin {
		if d.Status == Succeeded {
			return nil // history of failures: it is nowhere, and needs to be nowhere
		}
		if err := f.keepPayload(ctx); err != nil {
			return err
		}
	}
	if a != nil && !a.Accepted() {
		if err := fs.deliveries.putAttempt(ctx, d.ID, *a); err != nil {
			return err
		}
	}
	if d.Status == Held {
		if err := fs.events.keepHeld(ctx, d.Event, d.Since); err != nil {
			return err
		}
	}
	err := fs.deliveries.putDelivery(ctx, d, "")
	switch {
	case errors.Is(err, storage.ErrConflict) && a != nil && a.Accepted():
		_, err = fs.deliveries.ChangeDelivery(ctx, d.ID, func(d Delivery) (Delivery, error) {
			if d.Status == Succeeded {
				return d, storage.ErrUnchanged
			}
			return d.acceptedLate(*a), nil
		})
		return err
	case errors.Is(err, storage.ErrConflict):
		return nil
	case err != nil:
		return err
	}
	if self {
		fs.deliveries.sendRetry(ctx, d, 1)
	}
	return nil
}
