package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ringback/shared/embedded"
	"ringback/shared/storage"
)

// A process is ready if it consumes all queues, retry succeeded lately, and a row can be written.
const (
	consumers     = 3               // one of each queue
	retryLate     = 3 * time.Minute // since retry last succeeded
	writeLimit    = 2 * time.Second
	readyLifetime = time.Second // of a result, since each check writes a row
)

// readyRow is written to check that the database takes writes. It is the only row that is not the gateway's.
var readyRow = storage.Key{Table: storage.Deliveries, PK: "readyz", SK: "readyz"}

var (
	errNoWorker = errors.New("the worker does not run")
	errNoRetry  = errors.New("the schedule has not succeeded for 3 minutes")
	errNoWrite  = errors.New("the database takes no writes")
)

// A readiness checks whether this process does its work. It is safe for concurrent use.
type readiness struct {
	store   storage.Store
	paused  bool         // the process consumes no queue and does not run retry
	running atomic.Int32 // consumers
	retried atomic.Int64 // when retry last succeeded; Unix milliseconds

	mu  sync.Mutex
	at  time.Time // of the last check
	err error     // its result
}

// consuming runs f and counts it as a consumer meanwhile.
func (r *readiness) consuming(f func() error) error {
	r.running.Add(1)
	defer r.running.Add(-1)
	return f()
}

func (r *readiness) retryRan(now time.Time) { r.retried.Store(now.UnixMilli()) }

// check returns nil if the process is ready, otherwise the reason.
func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.at) >= readyLifetime {
		r.err = r.checkNow(ctx, now)
		r.at = now
	}
	return r.err
}

func (r *readiness) checkNow(ctx context.Context, now time.Time) error {
	switch {
	case r.paused:
	case r.running.Load() < consumers:
		return errNoWorker
	case now.Sub(time.UnixMilli(r.retried.Load())) > retryLate:
		return errNoRetry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	row := storage.Row{Key: readyRow, Rev: storage.NewRev(), Data: []byte("{}"), Expires: now.Add(time.Hour)}
	if err := r.store.Put(ctx, row, storage.AnyRev); err != nil {
		if errors.Is(err, embedded.ErrMoved) {
			return embedded.ErrMoved // the store has logged it
		}
		slog.Error("ready", "outcome", "failed", "why", err.Error())
		return errNoWrite
	}
	return nil
}
