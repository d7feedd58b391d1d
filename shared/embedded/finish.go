package embedded

import (
	"slices"
	"time"
)

// A finish deletes the messages that a handler finished and returns the others to the queue, where they are received
// again after their visibility timeout. Nobody waits for it: if a crash loses it, all of them are received again.
type finish struct {
	q          *queue
	done       []int64
	unfinished []message
	visible    time.Time // when unfinished ones can be received again
	returned   bool      // some were
}

func (db *DB) finish(q *queue, f *inFlightBatch, c Consumer, unfinished []message) {
	x := &finish{q: q, unfinished: unfinished, visible: f.deadline}
	for _, m := range f.messages {
		if !slices.ContainsFunc(unfinished, func(u message) bool { return u.id == m.id }) {
			x.done = append(x.done, m.id)
		}
	}
	if q.endBatch(f, c.Batch) {
		x.unfinished = nil // expireBatches has returned them
	}
	if q.isBackground() {
		db.writer.submitBackground(x)
	} else {
		db.writer.submitLazy(x)
	}
}

// endBatch ends f and frees its handler. It reports whether f had expired.
func (q *queue) endBatch(f *inFlightBatch, batch int) (expired bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.idleCapacity += batch
	if q.perGroup != nil {
		q.release(f.messages)
	}
	if !f.expired {
		q.inFlightBatches.Remove(f.element)
		q.inFlight -= len(f.messages)
	}
	if q.mustTake(time.Now()) {
		wakeUp(q.loader)
	}
	return f.expired
}

// expireBatches returns batches to the queue whose handlers are past the visibility timeout.
func (q *queue) expireBatches(now time.Time) (expired []*finish) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.inFlightBatches.Front(); e != nil; e = q.inFlightBatches.Front() {
		f := e.Value.(*inFlightBatch)
		if f.deadline.After(now) {
			break
		}
		f.expired = true
		q.inFlightBatches.Remove(e)
		q.inFlight -= len(f.messages)
		expired = append(expired, &finish{q: q, unfinished: f.messages, visible: now})
	}
	return expired
}

// takeFailed removes and returns the writes that failed, or none before it is time to repeat them.
func (q *queue) takeFailed() []*finish {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Now().Before(q.retryAt) {
		return nil
	}
	failed := q.failed
	q.failed = nil
	return failed
}

func (x *finish) apply(*writer) error {
	for _, id := range x.done {
		if err := x.q.delete(id); err != nil {
			return err
		}
	}
	for _, m := range x.unfinished {
		n, err := x.q.stmts.mark.do(m.id, int64(m.receives), x.visible.UnixMilli())
		if err != nil {
			return err
		}
		x.returned = x.returned || n > 0
	}
	return nil
}

func (x *finish) settle(err error) waiter {
	if err == nil {
		if x.returned {
			x.q.add(nil, x.visible)
		}
		return nil
	}
	x.q.mu.Lock()
	defer x.q.mu.Unlock()
	if len(x.q.failed) == 0 {
		x.q.retryAt = time.Now().Add(readRetryWait) // at once it would only fail again
	}
	x.q.failed = append(x.q.failed, x)
	wakeUp(x.q.loader)
	return nil
}
