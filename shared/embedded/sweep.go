package embedded

import (
	"errors"
	"log/slog"
	"time"

	"ringback/shared/storage"
)

const (
	sweepInterval = time.Minute
	// clockSteadyAfter is how long a process runs without a jump of its wall clock before it removes rows: after a
	// long stop, a restored backup or a wrong clock everything may look expired, and an operator needs time to see it.
	clockSteadyAfter = time.Hour
	maxDrift         = time.Minute // between wall clock and monotonic clock
	// maxAhead is longer than any message can be delayed or with a handler.
	maxAhead   = storage.MaxDelay + DefaultVisibility + time.Minute
	sweepBatch = 200 // rows a commit, so that no other write waits long

	// deadLetterRetention is SQS's ("Amazon SQS message quotas": message retention, at most 14 days). A dead letter
	// goes only after the process has run so long with a steady clock: downtime does not count against the operator.
	deadLetterRetention = 14 * 24 * time.Hour
)

// sweep removes expired rows, so that their place in the file is used again, and recalls messages that a wrong clock
// has delayed too far.
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

// A clockWatch notices when the wall clock is set.
type clockWatch struct {
	offset    time.Time     // wall clock minus process uptime
	changedAt time.Duration // process uptime when the wall clock was last set
}

// steady reports whether the process ran for clockSteadyAfter since its start or the last jump of the wall clock. It
// is called each minute with the wall clock and the uptime by the monotonic clock.
func (c *clockWatch) steady(wall time.Time, uptime time.Duration) bool {
	offset := wall.Add(-uptime)
	if !c.offset.IsZero() && offset.Sub(c.offset).Abs() > maxDrift {
		c.changedAt = uptime
	}
	c.offset = offset
	return uptime-c.changedAt >= clockSteadyAfter
}

// A recallWrite makes messages visible that are delayed for longer than any message can be.
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

// sweepOnce removes rows that expired by now and letters that died before died. It idles for two thirds of the time:
// otherwise a file in which as much expires as arrives would be slow for a part of every minute.
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

// A sweepWrite removes up to sweepBatch expired rows, and as many dead letters of each queue.
type sweepWrite struct {
	waiter
	now     time.Time
	died    time.Time // letters that died before it; zero: none
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
