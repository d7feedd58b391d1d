package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"ringback/shared/message"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A fanOut is one event on its way to its registrations. It records their first attempts.
type fanOut struct {
	*provider.Event
	fs       *fanOuts
	standard func() ([]byte, error) // the body of all standard deliveries, written once
	inbound  message.InboundEvent   // zero for a chunk
	// thin: the source keeps a history of failures. A success leaves no row, and
	// the payload is stored when it is first needed.
	failuresOnly bool

	match       []string // the registrations that want it
	retainedFor []string // those for which it is kept since it was begun

	mu           sync.Mutex
	next, newest *retention // the one that more may share, and the last that was begun
}

// deliver makes the first attempt of f's event for r, or records why there is none now, and what follows from
// it. It was asked for at asked; over says that r's tenant has no more room in the process.
func (f *fanOut) deliver(ctx context.Context, r *Registration, asked time.Time, over bool) error {
	v, err := f.fs.matcher.Generation(ctx, f.Source)
	if err != nil {
		return err
	}
	t := task{e: f.Event, standard: f.standard, r: r, rev: v.Rev, d: newDelivery(f.Event, r, f.fs.Clock()), requestedAt: asked, overShare: over}
	t.d.Lane, t.d.retained = r.Ordered, slices.Contains(f.retainedFor, r.ID)
	return f.fs.attempter.attempt(ctx, &t, f)
}

// ineligible stores what is held. What is cancelled was never promised.
func (f *fanOut) ineligible(ctx context.Context, t *task, verdict Status, why string) error {
	if verdict == Cancelled {
		if t.d.retained {
			return f.fs.events.Release(ctx, f.ID, t.r.ID)
		}
		return nil
	}
	t.d = t.d.hold(why, f.fs.Clock())
	return f.record(ctx, &t.d, nil, false, false)
}

// proceed puts the delivery of an ordered registration into its lane.
func (f *fanOut) proceed(ctx context.Context, t *task) (bool, error) {
	if !t.r.Ordered {
		return true, nil
	}
	if !t.d.retained {
		if err := f.retain(ctx, &t.d); err != nil {
			return false, err
		}
	}
	return false, f.fs.lanes.queueInLane(ctx, f.Event, t.d)
}

func (f *fanOut) postponed(ctx context.Context, t *task, s permit) error {
	if s.circuitOpen {
		t.d = t.d.park(f.fs.Clock())
		if err := f.record(ctx, &t.d, nil, false, false); err != nil {
			return err
		}
		return f.fs.attempter.circuit.ensureProbe(ctx, t.d)
	}
	self := s.retryAt.Sub(f.fs.Clock()) <= maxSelfSendDelay
	t.d = t.d.waitUntil(s.retryAt, self)
	t.d.RateGranted = s.rateGranted
	return f.record(ctx, &t.d, nil, self, s.viaSlowQueue)
}

// unwritable leaves the delivery to the retry queue, where it is counted.
func (f *fanOut) unwritable(ctx context.Context, t *task) error {
	t.d = t.d.waitUntil(f.fs.Clock().Add(schedule.SlowDownWait), false)
	return f.record(ctx, &t.d, nil, false, false)
}

func (f *fanOut) attempted(ctx context.Context, t *task, a Attempt) error {
	if a.Inline = a.Succeeded(); a.Inline { // at once: the answer is kept only so far
		f.fs.count(DeliveryLatency, float64(a.At.Add(a.Took).Sub(f.Received).Milliseconds()))
	}
	self := t.apply(a, f.fs.Random())
	return f.record(ctx, &t.d, &a, self, false)
}

// A retention is one write that keeps an event for deliveries.
type retention struct {
	ids  []string // registrations
	done chan struct{}
	err  error // once done is closed
}

// retain keeps f's event for d, before the row of d is written. Those that come
// while one is written share the next write.
func (f *fanOut) retain(ctx context.Context, d *Delivery) error {
	f.mu.Lock()
	k, before := f.next, f.newest
	first := k == nil
	if first {
		k = &retention{done: make(chan struct{})}
		f.next, f.newest = k, k
	}
	k.ids = append(k.ids, d.Registration)
	f.mu.Unlock()
	if first {
		defer close(k.done)
		if before != nil {
			<-before.done
		}
		f.mu.Lock()
		f.next = nil
		f.mu.Unlock()
		k.err = f.fs.events.retain(ctx, f.ID, f.fillEvent(), k.ids...)
	} else {
		<-k.done
	}
	d.retained = k.err == nil
	return k.err
}

// fillEvent returns what stores a thin event whole, nil if f's is not thin.
func (f *fanOut) fillEvent() func(*EventRow, *storage.Row) bool {
	if !f.failuresOnly {
		return nil
	}
	return func(er *EventRow, r *storage.Row) bool {
		if er.ID != "" && len(r.Body) == len(f.Payload) {
			return false
		}
		if er.ID == "" {
			*er = newEventRow(f.inbound, f.match, false, "", f.fs.Clock())
			r.Expires = f.fs.events.newRow(r.Key, f.inbound, *er).Expires
		}
		r.Body = f.Payload
		return true
	}
}

// record stores a delivery whose first attempt was made, or was not to be made now. If it exists already, a
// success closes it and anything else changes nothing. self says that the next attempt is the caller's to
// send, slow that it goes to the slow queue whatever its endpoint's pace.
func (f *fanOut) record(ctx context.Context, d *Delivery, a *Attempt, self, slow bool) error {
	fs := f.fs
	var err error
	switch {
	case f.failuresOnly && d.Status == Succeeded:
		return nil // history of failures: it is nowhere, and needs to be nowhere
	case d.unfinished():
		err = f.retain(ctx, d)
	case f.failuresOnly:
		err = fs.events.release(ctx, f.ID, f.fillEvent(), d.Registration, time.Time{})
	}
	if err != nil {
		return err
	}
	if a != nil && !a.Succeeded() {
		if err := fs.deliveries.putAttempt(ctx, d.ID, *a); err != nil {
			return err
		}
	}
	err = fs.deliveries.putDelivery(ctx, d, "")
	switch {
	case errors.Is(err, storage.ErrConflict) && a != nil && a.Succeeded():
		return fs.deliveries.recordLateSuccess(ctx, d.ID, a)
	case err != nil:
		return superseded(err)
	}
	if self {
		fs.deliveries.sendRetry(ctx, d, 1, slow)
	}
	return nil
}

// recordLateSuccess closes a delivery that another run recorded. It stands apart so that the
// stack of what succeeds stays small.
func (ds *deliveries) recordLateSuccess(ctx context.Context, id string, a *Attempt) error {
	_, err := ds.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) {
		if d.Status == Succeeded {
			return d, storage.ErrUnchanged
		}
		return d.succeededLate(*a), nil
	})
	return err
}
