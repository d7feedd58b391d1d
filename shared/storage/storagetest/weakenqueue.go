package storagetest

import (
	"context"
	"time"

	"ringback/shared/storage"
)

// A weakQueue is a Queue that keeps its contract and no more.
type weakQueue struct {
	storage.Queue
	w    Weakness
	dice *dice
}

func (q *weakQueue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	if len(ms) == 0 || q.dice.under(q.w.Refused, "send", ms[0].Body) {
		return weakErrors(errs)
	}
	var sent []storage.Message
	var places []int
	for i, m := range ms {
		if errs[i] != nil {
			continue
		}
		if q.dice.under(q.w.Partial/2, "partial", m.Body) {
			errs[i] = ErrWeak // not sent
			continue
		}
		sent, places = append(sent, q.late(m)), append(places, i)
	}
	for i, err := range q.Queue.Send(ctx, name, sent) {
		errs[places[i]] = err
	}
	if err := q.twice(ctx, name, sent); err != nil {
		return weakErrors(errs)
	}
	for i, m := range ms {
		if errs[i] == nil && q.dice.under(q.w.Partial/2, "partial, sent", m.Body) {
			errs[i] = ErrWeak
		}
	}
	if q.dice.under(q.w.Lost, "lost", ms[0].Body) {
		return weakErrors(errs)
	}
	return errs
}

// weakErrors gives ErrWeak to each message that has no error.
func weakErrors(errs []error) []error {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = ErrWeak
		}
	}
	return errs
}

// late returns m with a longer delay, perhaps.
func (q *weakQueue) late(m storage.Message) storage.Message {
	if q.dice.under(q.w.Delayed, "delayed", m.Body) {
		more := time.Duration(q.dice.roll("delay", m.Body) * float64(q.w.Lag))
		m.Delay = min(storage.MaxDelay, m.Delay+more)
	}
	return m
}

// twice sends some messages a second time.
func (q *weakQueue) twice(ctx context.Context, name storage.QueueName, ms []storage.Message) error {
	for _, m := range ms {
		if !q.dice.under(q.w.Duplicates, "duplicate", m.Body) {
			continue
		}
		if err := q.Queue.Send(ctx, name, []storage.Message{q.late(m)})[0]; err != nil {
			return err
		}
	}
	return nil
}

func (q *weakQueue) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	if q.dice.under(q.w.Refused, "depth", string(name)) {
		return storage.Depth{}, ErrWeak
	}
	return q.Queue.Depth(ctx, name)
}

func (q *weakQueue) Redrive(ctx context.Context, name storage.QueueName) error {
	if q.dice.under(q.w.Refused, "redrive", string(name)) {
		return ErrWeak
	}
	err := q.Queue.Redrive(ctx, name)
	if err == nil && q.dice.under(q.w.Lost, "redriven", string(name)) {
		return ErrWeak
	}
	return err
}
