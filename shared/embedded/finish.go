package embedded

import (
	"slices"
	"time"
)

// A finish deletes what a handler finished and gives back the rest, which comes again when its visibility
// timeout runs out. Nobody waits for it: if it is lost in a crash, the messages come again.
type finish struct {
	q       *queue
	done    []int64
	again   []message
	visible time.Time // when those come again
	given   bool
}

func (db *DB) finish(q *queue, f *flight, c Consumer, again []message) {
	x := &finish{q: q, again: again, visible: f.deadline}
	for _, m := range f.ms {
		if !slices.ContainsFunc(again, func(a message) bool { return a.id == m.id }) {
			x.done = append(x.done, m.id)
		}
	}
	if q.land(f, c.Batch) {
		x.again = nil // others have them now
	}
	if q.goesBehind() {
		db.writer.startBehind(x)
	} else {
		db.writer.startAtLeisure(x)
	}
}

// land ends f and frees its handler. It reports whether f's messages had become visible before.
func (q *queue) land(f *flight, batch int) (over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free += batch
	if q.shares != nil {
		q.release(f.ms)
	}
	if !f.over {
		q.flights.Remove(f.place)
		q.inFlight -= len(f.ms)
	}
	if q.mustTake(time.Now()) {
		wakeUp(q.loader)
	}
	return f.over
}

// slow makes batches visible again whose handlers take too long.
func (q *queue) slow(now time.Time) (given []*finish) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := q.flights.Front(); e != nil; e = q.flights.Front() {
		f := e.Value.(*flight)
		if f.deadline.After(now) {
			break
		}
		f.over = true
		q.flights.Remove(e)
		q.inFlight -= len(f.ms)
		given = append(given, &finish{q: q, again: f.ms, visible: now})
	}
	return given
}

// refused returns the writes that failed and leaves none, if it is time to try them again.
func (q *queue) refused() []*finish {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Now().Before(q.retry) {
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
	for _, m := range x.again {
		n, err := x.q.stmts.mark.do(m.id, int64(m.receives), x.visible.UnixMilli())
		if err != nil {
			return err
		}
		x.given = x.given || n > 0
	}
	return nil
}

func (x *finish) settle(err error) settled {
	if err == nil {
		if x.given {
			x.q.add(nil, x.visible)
		}
		return nil
	}
	x.q.mu.Lock()
	defer x.q.mu.Unlock()
	if len(x.q.failed) == 0 {
		x.q.retry = time.Now().Add(readPause) // at once it would fail again, and again
	}
	x.q.failed = append(x.q.failed, x)
	wakeUp(x.q.loader)
	return nil
}
