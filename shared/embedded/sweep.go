package embedded

import (
	"errors"
	"log/slog"
	"time"

	"ringback/shared/storage"
)

const (
	sweepInterval = time.Minute
	// clockSteadyAfter is how long a process runs, and how long ago its wall clock was set, before it removes anything: after a
	// long stop, from a backup or by a wrong clock all may have expired, and an operator needs time to see it.
	clockSteadyAfter = time.Hour
	maxDrift         = time.Minute // of the wall clock from the monotonic one
	// maxAhead is further than a message is ever delayed, or with a handler.
	maxAhead   = storage.MaxDelay + DefaultVisibility + time.Minute
	sweepBatch = 200 // rows a commit, so that no other write waits long

	// deadLetterRetention is how long a dead letter is kept, as on SQS ("Amazon SQS message quotas": message retention,
	// at most 14 days), and how long the process runs and its clock is right before one goes: a stop takes
	// nobody's time to see it.
	deadLetterRetention = 14 * 24 * time.Hour
)

// sweep removes what has expired, so that its place in the file is used again, and recalls messages that a
// wrong clock put off.
func (db *DB) sweep() {
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	start, clock := time.Now(), clockWatch{}
	for {
		select {
		case <-ticker.C:
		case <-db.closing:
			return
		}
		now := time.Now()
		err := db.recall(now)
		if clock.steady(now.Round(0), now.Sub(start)) {
			died := time.Time{}
			if now.Sub(start)-clock.changedAt >= deadLetterRetention {
				died = now.Add(-deadLetterRetention)
			}
			err = errors.Join(err, db.sweepOnce(now, died))
		}
		if err != nil && !errors.Is(err, ErrMoved) {
			slog.Error("sweep", "error", err)
		}
	}
}

// clockWatch tells whether the wall clock goes evenly.
type clockWatch struct {
	offset    time.Time     // of the wall clock, less the monotonic one
	changedAt time.Duration // by the monotonic clock: when the wall clock was last set
}

// steady reports whether the process runs for calmFor, and its wall clock was not set meanwhile. It is called
// each minute, with the wall clock and the time that the process runs for by the monotonic one.
func (c *clockWatch) steady(wall time.Time, uptime time.Duration) bool {
	offset := wall.Add(-uptime)
	if !c.offset.IsZero() && offset.Sub(c.offset).Abs() > maxDrift {
		c.changedAt = uptime
	}
	c.offset = offset
	return uptime-c.changedAt >= clockSteadyAfter
}

// A recallWrite makes visible what is delayed for longer than anything can be.
type recallWrite struct {
	waiter
	now      time.Time
	recalled []*queue
}

func (db *DB) recall(now time.Time) error {
	x := &recallWrite{waiter: make(waiter, 1), now: now}
	db.writer.submitLazy(x)
	return <-x.waiter
}

func (x *recallWrite) apply(w *writer) error {
	for _, q := range w.queues {
		n, err := q.stmts.recall.do(x.now.UnixMilli(), x.now.Add(maxAhead).UnixMilli(), neverVisible)
		if err != nil {
			return err
		}
		if n > 0 {
			x.recalled = append(x.recalled, q)
		}
	}
	return nil
}

func (x *recallWrite) settle(err error) waiter {
	if err == nil {
		for _, q := range x.recalled {
			q.add(nil, x.now)
		}
	}
	return x.waiter
}

// sweepOnce removes all that has expired at now, and letters dead since before died. It leaves two thirds of
// the time to others: a file in which as much expires as comes would else be slow for a part of every minute.
func (db *DB) sweepOnce(now, died time.Time) error {
	for {
		start := time.Now()
		s := &sweepWrite{waiter: make(waiter, 1), now: now, died: died}
		db.writer.submit(s)
		if err := <-s.waiter; err != nil {
			return err
		}
		if s.removed == 0 {
			return nil
		}
		select {
		case <-time.After(2 * time.Since(start)):
		case <-db.closing:
			return nil
		}
	}
}

// A sweepWrite removes a chunk of each kind.
type sweepWrite struct {
	waiter
	now     time.Time
	died    time.Time // letters died before; zero: none goes
	removed int
}

func (s *sweepWrite) apply(w *writer) error {
	n, err := w.stmts.sweep.do(s.now.Unix(), int64(sweepBatch))
	if err != nil {
		return err
	}
	s.removed = n
	for _, q := range w.queues {
		n, err := q.stmts.sweepDead.do(s.died.Unix(), int64(sweepBatch))
		if err != nil {
			return err
		}
		q.now.dead -= n
		s.removed += n
	}
	return nil
}
