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

// A fanOut is one event's fan-out, and the recorder of its first attempts.
type fanOut struct {
	*provider.Event
	fs       *fanOuts
	standard func() ([]byte, error) // the body of its standard deliveries, encoded once
	inbound  message.InboundEvent   // zero for a chunk
	// The source has FailureHistory: a success leaves no row, and the payload is stored only when needed.
	failuresOnly bool

	match       []string // ids of the matched registrations
	retainedFor []string // ids that claimEvent retained the event for

	mu           sync.Mutex
	next, newest *retention // the write that more deliveries may join; the last one begun
}

// deliver makes the first attempt of f's event for r, or stores why there is none now. The attempt was requested
// at requested; over says that r's tenant is over its share of this process.
func (f *fanOut) deliver(ctx context.Context, r *Registration, requested time.Time, over bool) error {
	v, err := f.fs.matcher.Generation(ctx, f.Source)
	if err != nil {
		return err
	}
	t := task{e: f.Event, standard: f.standard, r: r, rev: v.Rev, d: newDelivery(f.Event, r, f.fs.Clock()), requestedAt: requested, overShare: over}
	t.d.Lane, t.d.retained = r.Ordered, slices.Contains(f.retainedFor, r.ID)
	return f.fs.attempter.attempt(ctx, &t, f)
}

// ineligible stores a held delivery. A cancelled one leaves no row: nothing was promised.
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

// proceed queues the delivery of an ordered registration in its lane instead.
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

// unwritable leaves the delivery to the retry queue, which counts lost claims.
func (f *fanOut) unwritable(ctx context.Context, t *task) error {
	t.d = t.d.waitUntil(f.fs.Clock().Add(schedule.SlowDownWait), false)
	return f.record(ctx, &t.d, nil, false, false)
}

func (f *fanOut) attempted(ctx context.Context, t *task, a Attempt) error {
	if a.Inline = a.Succeeded(); a.Inline { // a first success stores as much of the response as fits inline
		f.fs.count(DeliveryLatency, float64(a.At.Add(a.Took).Sub(f.Received).Milliseconds()))
	}
	self := t.apply(a, f.fs.Random())
	return f.record(ctx, &t.d, &a, self, false)
}

// A retention is one write that retains an event for several deliveries.
type retention struct {
	ids  []string // registrations
	done chan struct{}
	err  error // once done is closed
}

// retain retains f's event for d, before d's row is written. Callers that come during a write share the next one.
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

// fillEvent returns the function that completes an event's row under FailureHistory; nil with full history.
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

// record stores a delivery after its first attempt a, or with a nil without one. If the row exists already, a
// success ends it and anything else changes nothing. With self it sends the message for the next attempt, with
// slow through the slow queue.
func (f *fanOut) record(ctx context.Context, d *Delivery, a *Attempt, self, slow bool) error {
	fs := f.fs
	var err error
	switch {
	case f.failuresOnly && d.Status == Succeeded:
		return nil // failures only: a success has no row
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

// recordLateSuccess ends a delivery that another run recorded. It is a function of its own to keep the stack of
// the common case small.
func (ds *deliveries) recordLateSuccess(ctx context.Context, id string, a *Attempt) error {
	_, err := ds.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) {
		if d.Status == Succeeded {
			return d, storage.ErrUnchanged
		}
		return d.succeededLate(*a), nil
	})
	return err
}
