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

// What is asked of a process that is ready.
const (
	consumers  = 3               // one of each queue
	retryLate  = 3 * time.Minute // without a tick that succeeded
	writeLimit = 2 * time.Second
	readyFresh = time.Second // an answer is given again for so long: asking writes a row
)

// readyRow is written to see that rows can be: the one row that is not the gateway's.
var readyRow = storage.Key{Table: storage.Deliveries, PK: "readyz", SK: "readyz"}

var (
	errNoWorker = errors.New("the worker does not run")
	errNoRetry  = errors.New("the schedule has not succeeded for 3 minutes")
	errNoWrite  = errors.New("the database takes no writes")
)

// A readiness knows whether this process does its work. It is safe for concurrent use.
type readiness struct {
	store   storage.Store
	paused  bool         // neither queues nor the schedule are worked on
	running atomic.Int32 // consumers
	ticked  atomic.Int64 // when a tick last succeeded; Unix milliseconds

	mu  sync.Mutex
	at  time.Time // when err was found
	err error
}

// consuming counts f among the consumers while it runs.
func (r *readiness) consuming(f func() error) error {
	r.running.Add(1)
	defer r.running.Add(-1)
	return f()
}

func (r *readiness) retryRan(now time.Time) { r.ticked.Store(now.UnixMilli()) }

// check returns nil if queues are worked on, the schedule runs and rows can be written.
func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.at) >= readyFresh {
		r.err = r.look(ctx, now)
		r.at = now
	}
	return r.err
}

func (r *readiness) look(ctx context.Context, now time.Time) error {
	switch {
	case r.paused:
	case r.running.Load() < consumers:
		return errNoWorker
	case now.Sub(time.UnixMilli(r.ticked.Load())) > retryLate:
		return errNoRetry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	row := storage.Row{Key: readyRow, Rev: storage.NewRev(), Data: []byte("{}"), Expires: now.Add(time.Hour)}
	if err := r.store.Put(ctx, row, storage.AnyRev); err != nil {
		if errors.Is(err, embedded.ErrMoved) {
			return embedded.ErrMoved // told by the store
		}
		slog.Error("ready", "outcome", "failed", "why", err.Error())
		return errNoWrite
	}
	return nil
}
