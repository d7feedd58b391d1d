package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"ringback/shared/storage"
)

// readRetryWait is how long the loader waits after a read or write of the file failed.
const readRetryWait = time.Second

// load brings messages from the file into memory until the DB closes: delayed ones whose time has come, those of an
// earlier process, and those for which there was no room. It also expires the batches of slow handlers.
func (q *queue) load(db *DB) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		err := q.loadOnce(db)
		if err != nil && !errors.Is(err, storage.ErrUnavailable) {
			slog.Error("load messages", "queue", q.name, "error", err)
		}
		timer.Reset(q.pause(err))
		select {
		case <-q.loader:
		case <-timer.C:
		case <-db.closing:
			return
		}
	}
}

// loadOnce does what can be done now.
func (q *queue) loadOnce(db *DB) error {
	for _, x := range append(q.expireBatches(time.Now()), q.takeFailed()...) {
		db.writer.submitAs(q.isBackground(), x)
	}
	if want := q.takeable(); want > 0 {
		t := &take{waiter: make(waiter, 1), q: q, want: want, oldAfter: q.oldAfter}
		db.writer.submitAs(q.isBackground(), t)
		if err := <-t.waiter; err != nil {
			return err
		}
	}
	q.mu.Lock()
	must := q.mustRead()
	q.mu.Unlock()
	if must {
		return q.read(db)
	}
	return nil
}

// takeable returns how many messages a take should mark for waiting handlers; 0: no take is needed.
func (q *queue) takeable() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.mustTake(time.Now()) {
		return 0
	}
	if q.perGroup != nil {
		q.changed = false
		return q.idleCapacity - len(q.marked) // all of it, since shares are measured by it
	}
	return min(q.idleCapacity-len(q.marked), maxReady/4)
}

func (q *queue) mustTake(now time.Time) bool {
	due := !q.nextDue.IsZero() && !q.nextDue.After(now)
	return q.idleCapacity > len(q.marked) && (due || q.oldAfter < q.oldUntil || q.moreInFile && q.changed)
}

// mustRead reports whether fresh messages lie in the file alone and at least half of ready is free.
func (q *queue) mustRead() bool {
	return q.loaded < q.tail && len(q.ready) <= maxReady/2 && q.readySize <= maxReadyBytes/2
}

// read fills ready with the fresh messages after loaded.
func (q *queue) read(db *DB) error {
	r, err := db.reader(context.Background())
	if err != nil {
		return err
	}
	defer r.release()
	q.mu.Lock()
	after, tail := q.loaded, q.tail
	q.mu.Unlock()
	found, full := 0, false
	err = r.queues[q.name].fresh.each(func(v []driver.Value) error {
		found++
		m := message{id: integer(v[0]), body: text(v[1])}
		q.mu.Lock()
		defer q.mu.Unlock()
		if full = !q.fits(m); full {
			return io.EOF
		}
		q.push(m)
		return nil
	}, after, int64(maxReady))
	if err != nil {
		return fmt.Errorf("read %s: %w", q.name, err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !full && found < maxReady {
		q.loaded = max(q.loaded, tail)
	}
	q.wakeConsumers()
	return nil
}

// pause returns how long the loader may sleep unless it is woken.
func (q *queue) pause(err error) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil || len(q.failed) > 0 {
		return readRetryWait
	}
	now := time.Now()
	if q.mustTake(now) || q.mustRead() {
		return 0
	}
	var next time.Time
	if q.nextDue.After(now) {
		next = q.nextDue
	}
	if f := q.inFlightBatches.Front(); f != nil {
		next = earlier(next, f.Value.(*inFlightBatch).deadline)
	}
	if next.IsZero() {
		return 24 * time.Hour
	}
	return next.Sub(now)
}
