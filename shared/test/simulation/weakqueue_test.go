package simulation

import (
	"context"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/gateway/gatewaytest"
)

// weakQueue does to a Queue what gatewaytest.Weakness does, but draws from the
// world's seed: Weakness decides by the bodies of messages, whose maps are
// written in another order each time.
type weakQueue struct {
	gateway.Queue
	w *world
}

func (q weakQueue) under(rate float64) bool { return q.w.rng.Float64() < rate }

func (q weakQueue) Send(ctx context.Context, name gateway.QueueName, ms []gateway.Message) []error {
	weak := q.w.plan.weakness
	errs := make([]error, len(ms))
	refused, lost := q.under(weak.Refused), q.under(weak.Lost)
	for i, m := range ms {
		if refused || q.under(weak.Partial/2) {
			errs[i] = gatewaytest.ErrWeak
			continue
		}
		if errs[i] = q.Queue.Send(ctx, name, []gateway.Message{q.late(m)})[0]; errs[i] != nil {
			continue
		}
		if q.under(weak.Duplicates) {
			q.Queue.Send(ctx, name, []gateway.Message{q.late(m)})
		}
		if lost || q.under(weak.Partial/2) {
			errs[i] = gatewaytest.ErrWeak
		}
	}
	return errs
}

// late returns m with a delay that may be longer.
func (q weakQueue) late(m gateway.Message) gateway.Message {
	if q.under(q.w.plan.weakness.Delayed) {
		m.Delay = min(gateway.MaxDelay, m.Delay+time.Duration(q.w.rng.Int64N(int64(q.w.plan.weakness.Lag)+1)))
	}
	return m
}

func (q weakQueue) Depth(ctx context.Context, name gateway.QueueName) (gateway.Depth, error) {
	if q.under(q.w.plan.weakness.Refused) {
		return gateway.Depth{}, gatewaytest.ErrWeak
	}
	return q.Queue.Depth(ctx, name)
}

func (q weakQueue) Redrive(ctx context.Context, name gateway.QueueName) error {
	if q.under(q.w.plan.weakness.Refused) {
		return gatewaytest.ErrWeak
	}
	err := q.Queue.Redrive(ctx, name)
	if err == nil && q.under(q.w.plan.weakness.Lost) {
		return gatewaytest.ErrWeak
	}
	return err
}
