package simulation

import (
	"context"
	"time"

	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

// weakQueue does to a Queue what storagetest.Weakness does, but draws from the
// world's seed: Weakness decides by the bodies of messages, whose maps are
// written in another order each time.
type weakQueue struct {
	storage.Queue
	w *world
}

func (q weakQueue) under(rate float64) bool { return q.w.rng.Float64() < rate }

func (q weakQueue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	weak := q.w.plan.weakness
	errs := make([]error, len(ms))
	refused, lost := q.under(weak.Refused), q.under(weak.Lost)
	for i, m := range ms {
		if refused || q.under(weak.Partial/2) {
			errs[i] = storagetest.ErrWeak
			continue
		}
		if errs[i] = q.Queue.Send(ctx, name, []storage.Message{q.late(m)})[0]; errs[i] != nil {
			continue
		}
		if q.under(weak.Duplicates) {
			q.Queue.Send(ctx, name, []storage.Message{q.late(m)})
		}
		if lost || q.under(weak.Partial/2) {
			errs[i] = storagetest.ErrWeak
		}
	}
	return errs
}

// late returns m with a delay that may be longer.
func (q weakQueue) late(m storage.Message) storage.Message {
	if q.under(q.w.plan.weakness.Delayed) {
		m.Delay = min(storage.MaxDelay, m.Delay+time.Duration(q.w.rng.Int64N(int64(q.w.plan.weakness.Lag)+1)))
	}
	return m
}

func (q weakQueue) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	if q.under(q.w.plan.weakness.Refused) {
		return storage.Depth{}, storagetest.ErrWeak
	}
	return q.Queue.Depth(ctx, name)
}

func (q weakQueue) Redrive(ctx context.Context, name storage.QueueName) error {
	if q.under(q.w.plan.weakness.Refused) {
		return storagetest.ErrWeak
	}
	err := q.Queue.Redrive(ctx, name)
	if err == nil && q.under(q.w.plan.weakness.Lost) {
		return storagetest.ErrWeak
	}
	return err
}
