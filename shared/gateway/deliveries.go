package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/shared/ident"
	"ringback/shared/message"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// deliveries stores deliveries and their attempts.
type deliveries struct {
	*core
	events *events
}

// putDelivery writes d if its stored revision is was. Its event is kept from before d is unfinished until after.
func (ds *deliveries) putDelivery(ctx context.Context, d *Delivery, was string) error {
	if !d.retained && d.unfinished() {
		if err := ds.events.retain(ctx, d.Event, nil, d.Registration); err != nil {
			return err
		}
		d.retained = true
	}
	if d.Status == Held && !d.Manual && (d.retained || was == "") {
		if err := ds.events.release(ctx, d.Event, nil, d.Registration, ds.Retention.heldUntil(d.Since)); err != nil {
			return err
		}
		d.retained = false
	}
	row, err := d.row(ds.Retention)
	if err != nil {
		return err
	}
	row.Rev = storage.NewRev()
	err = storage.Retry(ctx, func() error { return ds.Store.Put(ctx, row, was) })
	if d.retained && (err == nil && !d.unfinished() || finishedByAnother(err)) {
		err = errors.Join(err, ds.events.Release(ctx, d.Event, d.Registration))
	}
	if err != nil {
		return fmt.Errorf("put delivery %s: %w", d.ID, err)
	}
	d.rev = row.Rev
	return nil
}

// finishedByAnother stands apart so that the stack of what succeeds stays small.
func finishedByAnother(err error) bool {
	lost, conflict := errors.AsType[*storage.ConflictError](err)
	if !conflict {
		return false
	}
	stored, err := ReadDelivery(lost.Stored)
	return err == nil && !stored.unfinished()
}

// repairEvent makes up for a process that ended between a delivery's last write and its event's.
func (ds *deliveries) repairEvent(ctx context.Context, d Delivery) error {
	if d.unfinished() || d.Status == Held {
		return nil
	}
	return ds.events.Release(ctx, d.Event, d.Registration)
}

// save writes a delivery whose claim the caller holds. Another's write in
// between means that the claim is gone, which is no error.
func (ds *deliveries) save(ctx context.Context, d Delivery, was string) error {
	return superseded(ds.putDelivery(ctx, &d, was))
}

// superseded returns err, unless it says that another wrote the delivery. If that one parked it, the caller's message
// must come again all the same: it may be the only one by which somebody makes sure of what is parked.
func superseded(err error) error {
	lost, conflict := errors.AsType[*storage.ConflictError](err)
	if !conflict {
		return err
	}
	if stored, bad := ReadDelivery(lost.Stored); bad == nil && stored.Parked() {
		return err
	}
	return nil
}

// ignoring returns err, unless that is what.
func ignoring(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// LoadDelivery returns a delivery as it is now. The error wraps storage.ErrNotFound.
func (ds *deliveries) LoadDelivery(ctx context.Context, id string) (Delivery, error) {
	registration, event, err := ident.SplitDelivery(id)
	if err != nil {
		return Delivery{}, fmt.Errorf("%w: %v", storage.ErrNotFound, err)
	}
	rows, err := ds.Store.Get(ctx, DeliveryKey(registration, event))
	if err != nil {
		return Delivery{}, fmt.Errorf("get delivery %s: %w", id, err)
	}
	if len(rows) == 0 {
		return Delivery{}, fmt.Errorf("delivery %s: %w", id, storage.ErrNotFound)
	}
	return ReadDelivery(rows[0])
}

// ChangeDelivery reads delivery id, lets f decide, and writes what f returns,
// again if another was faster. f returns storage.ErrUnchanged to end without a write.
func (ds *deliveries) ChangeDelivery(ctx context.Context, id string, f func(Delivery) (Delivery, error)) (Delivery, error) {
	d, err := ds.LoadDelivery(ctx, id)
	if err != nil {
		return d, err
	}
	return ds.changeDeliveryFrom(ctx, d, f)
}

// changeDeliveryFrom is ChangeDelivery for one that was read already.
func (ds *deliveries) changeDeliveryFrom(ctx context.Context, d Delivery, f func(Delivery) (Delivery, error)) (Delivery, error) {
	tries := 0
	err := storage.CompareAndSwap(ctx, func() (err error) {
		if tries++; tries > 1 {
			if d, err = ds.LoadDelivery(ctx, d.ID); err != nil {
				return err
			}
		}
		after, err := f(d)
		if err != nil {
			return ignoring(err, storage.ErrUnchanged)
		}
		if err = ds.putDelivery(ctx, &after, d.rev); err == nil {
			d = after
		}
		return err
	})
	return d, err
}

// putAttempt stores one attempt of a delivery, in a row of its own. Written
// again under the same claim and start it is the same row.
func (ds *deliveries) putAttempt(ctx context.Context, delivery string, a Attempt) error {
	row := storage.Row{
		Key:     storage.Key{Table: storage.Deliveries, PK: "A#" + delivery, SK: AttemptID(delivery, a)},
		Body:    a.Response,
		Expires: a.At.Add(ds.Retention.History + schedule.MaxWaitsSum),
	}
	return storage.PutRow(ctx, ds.Store, row, a, storage.AnyRev)
}

func AttemptID(delivery string, a Attempt) string {
	return ident.From("att", a.At, fmt.Sprintf("%s %d %d", delivery, a.Claim, a.At.UnixNano()))
}

// sendRetry sends the message for d's next attempt, whose claim the caller holds: to the slow queue if slow is set
// or the endpoint is not fast.
func (ds *deliveries) sendRetry(ctx context.Context, d *Delivery, selfSends int, slow bool) {
	ds.sendSelf(ctx, ds.retryPath(ctx, slow, d.Registration, d.Tenant), d.header(), selfSends, d.NextAttempt.Sub(ds.Clock()))
}

// sendRetries is sendRetry for all of many that have a claim. They are of one registration.
func (ds *deliveries) sendRetries(ctx context.Context, many []*Delivery, selfSends int, slow bool) {
	var ms []storage.Message
	var to path
	for _, d := range many {
		if d != nil && d.Unacked > 0 {
			if len(ms) == 0 {
				to = ds.retryPath(ctx, slow, d.Registration, d.Tenant)
			}
			h := d.header()
			h.SelfSends = selfSends
			m, _ := to.message(h, d.NextAttempt.Sub(ds.Clock())) // encoding a header cannot fail
			ms = append(ms, m)
		}
	}
	if err := ds.send(ctx, to.queue, ms); err != nil {
		ds.Log.Warn("retry", "messages", len(ms), "outcome", "not sent", "why", err.Error())
		if ds.SingleProcess { // as in sendSelf
			ds.keepUnsent(to.queue, ms...)
		}
	}
}

func (d *Delivery) header() message.Header {
	return message.Header{Kind: message.Retry, ID: d.ID, Claim: d.Claim}
}

// endIneligible ends the claim of a delivery whose registration may not have the event.
func (ds *deliveries) endIneligible(ctx context.Context, d Delivery, verdict Status, why string) error {
	switch {
	case verdict == Cancelled:
		return ds.save(ctx, d.Cancel(why, ds.Clock()), d.rev)
	case d.Manual:
		return ds.save(ctx, d.dropManual(), d.rev)
	}
	return ds.save(ctx, d.hold(why, ds.Clock()), d.rev)
}

// recordAttempt records a in d as it was read before the attempt, or in the row that is stored by now, and returns
// that. self says that the caller can send the next attempt itself; the second result, that it must.
//
// A success is stored inside the delivery's row, without a row of its own, if its whole response fits there. A
// resend moves it into a row of its own before it replaces it.
func (ds *deliveries) recordAttempt(ctx context.Context, d Delivery, a Attempt, s schedule.Schedule, jitter float64, self bool) (Delivery, bool, error) {
	if a.Inline = a.Succeeded() && len(a.Response) <= inlineResponseBytes; !a.Inline {
		if err := ds.putAttempt(ctx, d.ID, a); err != nil {
			return d, false, err
		}
	}
	mustSend := false
	after, err := ds.changeDeliveryFrom(ctx, d, func(d Delivery) (next Delivery, err error) {
		if next, mustSend = d.record(a, s, jitter, self); next.Claim == d.Claim && next.Status == d.Status {
			return d, storage.ErrUnchanged // superseded: only the attempt is stored
		}
		if d.Last != nil && d.Last.Inline {
			err = ds.putAttempt(ctx, d.ID, d.Last.Attempt(d.body))
		}
		return next, err
	})
	if err == nil && a.Inline && !after.LastIs(a) {
		err = ds.putAttempt(ctx, d.ID, a)
	}
	return after, mustSend, err
}

// reschedule puts a delivery that cannot be attempted now on the queue again, or leaves it to the next retry run
// after maxSelfSends in a row.
func (ds *deliveries) reschedule(ctx context.Context, d Delivery, start time.Time, selfSends int, slow bool) error {
	if selfSends >= maxSelfSends || start.Sub(ds.Clock()) > maxSelfSendDelay {
		return ds.save(ctx, d.postpone(start), d.rev)
	}
	after := d.newClaim(start)
	after.Unacked = d.Unacked // it waits; no claim was lost
	if err := ds.putDelivery(ctx, &after, d.rev); err != nil {
		return superseded(err)
	}
	ds.sendRetry(ctx, &after, selfSends+1, slow)
	return nil
}
