package simulation

import (
	"context"
	"errors"
	"time"

	"ringback/shared/storage"
)

// An outage is what a backend does to all calls for a while.
type outage int

const (
	works     outage = iota
	throttles        // it refuses them
	timesOut         // it does what it is asked to, and nobody learns of it
	diskFull         // it takes nothing in; what is there can be read
)

var errOutage = errors.New("the backend does not answer")

// someOutage has Store, Queue or both fail for a while.
func (w *world) someOutage() {
	kind := pick(w.rng, throttles, timesOut, diskFull)
	store, queue := &w.storeIs, &w.queueIs
	failing := pick(w.rng, []*outage{store}, []*outage{queue}, []*outage{store, queue})
	for _, of := range failing {
		*of = kind
	}
	w.say("an outage begins: %d, %d", *store, *queue)
	w.after(pick(w.rng, 10*time.Second, 2*time.Minute, 20*time.Minute), func() {
		for _, of := range failing {
			*of = works
		}
		w.say("an outage ends")
	})
}

// answer is what becomes of a call that writes, or does not.
func (o outage) answer(writes bool, do func() error) error {
	switch {
	case o == works || o == diskFull && !writes:
		return do()
	case o == timesOut && writes:
		do()
	}
	return errOutage
}

// outageStore is a Store that fails while w says so.
type outageStore struct {
	storage.Store
	w *world
}

func (s outageStore) Get(ctx context.Context, keys ...storage.Key) (out []storage.Row, err error) {
	err = s.w.storeIs.answer(false, func() (err error) {
		out, err = s.Store.Get(ctx, keys...)
		return err
	})
	return out, err
}

func (s outageStore) Put(ctx context.Context, r storage.Row, was string) error {
	return s.w.storeIs.answer(true, func() error { return s.Store.Put(ctx, r, was) })
}

func (s outageStore) Delete(ctx context.Context, k storage.Key, was string) error {
	return s.w.storeIs.answer(true, func() error { return s.Store.Delete(ctx, k, was) })
}

func (s outageStore) List(ctx context.Context, q storage.Query) (p storage.Page, err error) {
	err = s.w.storeIs.answer(false, func() (err error) {
		p, err = s.Store.List(ctx, q)
		return err
	})
	return p, err
}

func (s outageStore) Due(ctx context.Context, shard int, until time.Time, after string, limit int) (out []storage.DueRow, next string, err error) {
	err = s.w.storeIs.answer(false, func() (err error) {
		out, next, err = s.Store.Due(ctx, shard, until, after, limit)
		return err
	})
	return out, next, err
}

// outageQueue is a Queue that fails while w says so.
type outageQueue struct {
	storage.Queue
	w *world
}

func (q outageQueue) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) (errs []error) {
	err := q.w.queueIs.answer(true, func() error {
		errs = q.Queue.Send(ctx, name, ms)
		return nil
	})
	if err != nil {
		errs = make([]error, len(ms))
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

func (q outageQueue) Depth(ctx context.Context, name storage.QueueName) (d storage.Depth, err error) {
	err = q.w.queueIs.answer(false, func() (err error) {
		d, err = q.Queue.Depth(ctx, name)
		return err
	})
	return d, err
}

func (q outageQueue) Redrive(ctx context.Context, name storage.QueueName) error {
	return q.w.queueIs.answer(true, func() error { return q.Queue.Redrive(ctx, name) })
}
