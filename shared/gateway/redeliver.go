package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Redeliver is the Handler of the retry queue: later attempts, resends, and
// the chunks of jobs. A message whose claim was superseded is dropped; the row
// that it was for tells what happens next.
func (g *Gateway) Redeliver(ctx context.Context, ms []Received) ([]string, error) {
	return g.eachMessage(ctx, "retry", ms, func(ctx context.Context, m Received) error {
		h, _, err := readMessage(m.Body)
		switch {
		case err != nil:
		case h.Kind == retryMessage:
			err = g.redeliver(ctx, h)
		case h.Kind == jobMessage:
			err = g.runJob(ctx, h)
		case h.Kind == laneMessage:
			err = g.runLane(ctx, h)
		default:
			err = fmt.Errorf("message of kind %q on the retry queue: %w", h.Kind, ErrUnreadable)
		}
		return err
	})
}

// redeliver makes the attempt for which h was sent, if that is still wanted.
func (g *Gateway) redeliver(ctx context.Context, h header) error {
	d, err := g.loadDelivery(ctx, h.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !d.mine(h.Claim):
		return nil
	}
	e, r, rev, err := g.subject(ctx, d)
	switch {
	case errors.Is(err, ErrNotFound):
		return g.save(ctx, d.cancel(whyDeleted, g.now()), d.rev)
	case err != nil:
		return err
	}
	return g.attempt(ctx, try{e: e, r: r, rev: rev, d: d, hops: h.Hops}, &redelivery{g, h})
}

// A redelivery is the recorder of what a message of the retry queue asks for,
// whose claim it has.
type redelivery struct {
	g *Gateway
	h header
}

func (re *redelivery) notWanted(ctx context.Context, d Delivery, verdict Status, why string) error {
	return re.g.endUnwanted(ctx, d, verdict, why)
}

// turn reports whether the claim still gives the right to POST.
func (re *redelivery) turn(ctx context.Context, d Delivery, r *Registration) (bool, error) {
	now := re.g.now()
	if d.mayPost(re.h.Claim, now, r.limit()) {
		return true, nil
	}
	return false, re.g.handOutAgain(ctx, d, now, re.h.Hops)
}

func (re *redelivery) notNow(ctx context.Context, d Delivery, s start) error {
	if s.open {
		return re.g.save(ctx, d.postpone(s.at), d.rev)
	}
	d.Paced = s.paced
	return re.g.handOutAgain(ctx, d, s.at, re.h.Hops)
}

// notWritten stores nothing: the row falls due again, later each time.
func (re *redelivery) notWritten(context.Context, Delivery) error { return nil }

func (re *redelivery) attempted(ctx context.Context, d Delivery, r *Registration, a Attempt) (Delivery, error) {
	return re.g.recordAttempt(ctx, d, a, r, re.h.Hops)
}

// subject returns what d is about, and the source's version under which the
// registration was read. The error wraps ErrNotFound if the event or the
// registration is gone for good.
func (g *Gateway) subject(ctx context.Context, d Delivery) (*Event, *Registration, string, error) {
	r, rev, err := g.registration(ctx, d.Source, d.Registration)
	if err != nil {
		return nil, r, rev, err
	}
	e, er, err := g.loadEvent(ctx, d.Event)
	if er.Erased {
		return nil, r, rev, ErrNotFound
	}
	return e, r, rev, err
}

// endUnwanted ends the claim of a delivery that its registration is not to have.
func (g *Gateway) endUnwanted(ctx context.Context, d Delivery, verdict Status, why string) error {
	switch {
	case verdict == Cancelled:
		return g.save(ctx, d.cancel(why, g.now()), d.rev)
	case d.Manual:
		return g.save(ctx, d.dropManual(), d.rev)
	}
	if err := g.keepHeld(ctx, d.Event, g.now()); err != nil {
		return err
	}
	return g.save(ctx, d.hold(why, g.now()), d.rev)
}

// save writes a delivery whose claim the caller holds. Another's write in
// between means that the claim is gone, which is no error.
func (g *Gateway) save(ctx context.Context, d Delivery, was string) error {
	if err := g.putDelivery(ctx, d, was); !errors.Is(err, ErrConflict) {
		return err
	}
	return nil
}

// handOutAgain gives a delivery that could not be attempted now to a later
// message, or to the tick if messages were sent often enough in a row.
func (g *Gateway) handOutAgain(ctx context.Context, d Delivery, start time.Time, hops int) error {
	if hops >= maxHops || start.Sub(g.now()) > maxSelfSend {
		return g.save(ctx, d.postpone(start), d.rev)
	}
	after := d.handOut(start)
	after.Lost = d.Lost // it waits; nothing was lost
	switch err := g.putDelivery(ctx, after, d.rev); {
	case errors.Is(err, ErrConflict):
		return nil
	case err != nil:
		return err
	}
	g.sendRetry(ctx, after, hops+1)
	return nil
}

// recordAttempt stores a, and what follows from it if the claim under which it
// was made is still the current one.
func (g *Gateway) recordAttempt(ctx context.Context, d Delivery, a Attempt, r *Registration, hops int) (Delivery, error) {
	after, self, err := g.recordOver(ctx, d, a, r.Schedule, g.Random(), hops < maxHops)
	switch {
	case errors.Is(err, ErrNotFound):
		return d, nil
	case err != nil:
		return d, err
	}
	if self {
		g.sendRetry(ctx, after, hops+1)
	}
	return after, nil
}

// recordOver records a over d as it was read before the attempt, or over what
// is stored by now, and returns what is stored then. self tells whether the
// caller can send the next attempt itself; then the second result says that it
// must.
//
// An accepted attempt stands in the delivery alone, without a row of its own,
// if that keeps all of its answer. A resend puts it into one before it takes its
// place.
func (g *Gateway) recordOver(ctx context.Context, d Delivery, a Attempt, s Schedule, jitter float64, self bool) (Delivery, bool, error) {
	if a.Alone = a.Accepted() && len(a.Answer) <= keptAnswer; !a.Alone {
		if err := g.putAttempt(ctx, d.ID, a); err != nil {
			return d, false, err
		}
	}
	mustSend := false
	after, err := g.changeDeliveryFrom(ctx, d, func(d Delivery) (next Delivery, err error) {
		if next, mustSend = d.record(a, s, jitter, self); next.Claim == d.Claim && next.Status == d.Status {
			return d, errUnchanged // superseded: only the attempt is stored
		}
		if d.Last != nil && d.Last.Alone {
			err = g.putAttempt(ctx, d.ID, d.Last.attempt(d.body))
		}
		return next, err
	})
	if err == nil && a.Alone && !after.tells(a) {
		err = g.putAttempt(ctx, d.ID, a)
	}
	return after, mustSend, err
}

// disable disables a registration if its revision is still rev. That others do
// not learn of it is no error: they ask the endpoint, and hear the same.
func (g *Gateway) disable(ctx context.Context, id string, rev int, why string) error {
	r, err := change(ctx, g.Store, registrationKey(id), func(r *Registration, _ *Row) error {
		if r.Rev != rev || r.State != Enabled {
			return errUnchanged
		}
		r.Rev++
		r.State, r.Why, r.Since = Disabled, why, g.now()
		return nil
	})
	if err != nil {
		return fmt.Errorf("disable %s: %w", id, err)
	}
	if r.Source == "" {
		return nil
	}
	if err := g.publish(ctx, r.Source); err != nil {
		g.Log.Warn("registration", "registration", id, "outcome", "disabled, not published", "why", err.Error())
	}
	return nil
}

// Resend hands out one more attempt of a delivery in any status, at once. It
// does not count for the schedule. The error wraps ErrNotFound.
func (g *Gateway) Resend(ctx context.Context, id string) (Delivery, error) {
	d, err := g.loadDelivery(ctx, id)
	if err != nil {
		return d, err
	}
	now := g.now()
	if err := g.keepForSchedule(ctx, d.Event, now); err != nil {
		return d, fmt.Errorf("resend %s: %w", id, err)
	}
	d, err = g.changeDelivery(ctx, id, func(d Delivery) (Delivery, error) { return d.resend(now), nil })
	if err != nil {
		return d, err
	}
	g.sendRetry(ctx, d, 1)
	return d, nil
}
