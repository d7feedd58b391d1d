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
	arrival  message.Arrival        // zero for a chunk
	// thin: the source keeps a history of failures. A success leaves no row, and
	// the payload is stored when it is first needed.
	thin bool

	match []string // the registrations that want it
	open  []string // those for which it is kept since it was begun

	mu           sync.Mutex
	next, newest *keeping // the one that more may share, and the last that was begun
}

// deliver makes the first attempt of f's event for r, or records why there is none now, and what follows from
// it. It was asked for at asked; over says that r's tenant has no more room in the process.
func (f *fanOut) deliver(ctx context.Context, r *Registration, asked time.Time, over bool) error {
	v, err := f.fs.find.VersionOf(ctx, f.Source)
	if err != nil {
		return err
	}
	t := try{e: f.Event, standard: f.standard, r: r, rev: v.Rev, d: newDelivery(f.Event, r, f.fs.Clock()), asked: asked, over: over}
	t.d.Lane, t.d.kept = r.Ordered, slices.Contains(f.open, r.ID)
	return f.fs.attempts.attempt(ctx, &t, f)
}

// notWanted stores what is held. What is cancelled was never promised.
func (f *fanOut) notWanted(ctx context.Context, t *try, verdict Status, why string) error {
	if verdict == Cancelled {
		if t.d.kept {
			return f.fs.events.Finish(ctx, f.ID, t.r.ID)
		}
		return nil
	}
	t.d = t.d.hold(why, f.fs.Clock())
	return f.record(ctx, &t.d, nil, false, false)
}

// turn puts the delivery of an ordered registration into its lane.
func (f *fanOut) turn(ctx context.Context, t *try) (bool, error) {
	if !t.r.Ordered {
		return true, nil
	}
	if !t.d.kept {
		if err := f.keep(ctx, &t.d); err != nil {
			return false, err
		}
	}
	return false, f.fs.lanes.queueInLane(ctx, f.Event, t.d)
}

func (f *fanOut) notNow(ctx context.Context, t *try, s start) error {
	if s.open {
		t.d = t.d.park(f.fs.Clock())
		if err := f.record(ctx, &t.d, nil, false, false); err != nil {
			return err
		}
		return f.fs.attempts.circuit.wasParked(ctx, t.d)
	}
	self := s.at.Sub(f.fs.Clock()) <= maxSelfSend
	t.d = t.d.wait(s.at, self)
	t.d.Paced = s.paced
	return f.record(ctx, &t.d, nil, self, s.slow)
}

// notWritten leaves the delivery to the retry queue, where it is counted.
func (f *fanOut) notWritten(ctx context.Context, t *try) error {
	t.d = t.d.wait(f.fs.Clock().Add(schedule.SlowDown), false)
	return f.record(ctx, &t.d, nil, false, false)
}

func (f *fanOut) attempted(ctx context.Context, t *try, a Attempt) error {
	if a.Alone = a.Accepted(); a.Alone { // at once: the answer is kept only so far
		f.fs.count(Latency, float64(a.At.Add(a.Took).Sub(f.Received).Milliseconds()))
	}
	self := t.after(a, f.fs.Random())
	return f.record(ctx, &t.d, &a, self, false)
}

// A keeping is one write that keeps an event for deliveries.
type keeping struct {
	ids  []string // registrations
	done chan struct{}
	err  error // once done is closed
}

// keep keeps f's event for d, before the row of d is written. Those that come
// while one is written share the next write.
func (f *fanOut) keep(ctx context.Context, d *Delivery) error {
	f.mu.Lock()
	k, before := f.next, f.newest
	first := k == nil
	if first {
		k = &keeping{done: make(chan struct{})}
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
		k.err = f.fs.events.open(ctx, f.ID, f.filler(), k.ids...)
	} else {
		<-k.done
	}
	d.kept = k.err == nil
	return k.err
}

// filler returns what stores a thin event whole, nil if f's is not thin.
func (f *fanOut) filler() func(*EventRow, *storage.Row) bool {
	if !f.thin {
		return nil
	}
	return func(er *EventRow, r *storage.Row) bool {
		if er.ID != "" && len(r.Body) == len(f.Payload) {
			return false
		}
		if er.ID == "" {
			*er = newEventRow(f.arrival, f.match, false, "", f.fs.Clock())
			r.Expires = f.fs.events.eventRowOf(r.Key, f.arrival, *er).Expires
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
	case f.thin && d.Status == Succeeded:
		return nil // history of failures: it is nowhere, and needs to be nowhere
	case d.unfinished():
		err = f.keep(ctx, d)
	case f.thin:
		err = fs.events.finish(ctx, f.ID, f.filler(), d.Registration, time.Time{})
	}
	if err != nil {
		return err
	}
	if a != nil && !a.Accepted() {
		if err := fs.deliveries.putAttempt(ctx, d.ID, *a); err != nil {
			return err
		}
	}
	err = fs.deliveries.putDelivery(ctx, d, "")
	switch {
	case errors.Is(err, storage.ErrConflict) && a != nil && a.Accepted():
		return fs.deliveries.acceptLate(ctx, d.ID, a)
	case err != nil:
		return superseded(err)
	}
	if self {
		fs.deliveries.sendRetry(ctx, d, 1, slow)
	}
	return nil
}

// acceptLate closes a delivery that another run recorded. It stands apart so that the
// stack of what succeeds stays small.
func (ds *deliveries) acceptLate(ctx context.Context, id string, a *Attempt) error {
	_, err := ds.ChangeDelivery(ctx, id, func(d Delivery) (Delivery, error) {
		if d.Status == Succeeded {
			return d, storage.ErrUnchanged
		}
		return d.acceptedLate(*a), nil
	})
	return err
}
