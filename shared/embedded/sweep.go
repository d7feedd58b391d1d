package embedded

import (
	"errors"
	"log/slog"
	"time"

	"ringback/shared/storage"
)

const (
	sweepEvery = time.Minute
	// calmFor is how long a process runs, and how long ago its wall clock was set, before it removes anything: after a
	// long stop, from a backup or by a wrong clock all may have expired, and an operator needs time to see it.
	calmFor   = time.Hour
	mostDrift = time.Minute // of the wall clock from the monotonic one
	// farAhead is further than a message is ever delayed, or with a handler.
	farAhead   = storage.MaxDelay + DefaultVisibility + time.Minute
	sweepChunk = 200 // rows a commit, so that no other write waits long

	// deadFor is how long a dead letter is kept, as on SQS ("Amazon SQS message quotas": message retention,
	// at most 14 days), and how long the process runs and its clock is right before one goes: a stop takes
	// nobody's time to see it.
	deadFor = 14 * 24 * time.Hour
)

// sweep removes what has expired, so that its place in the file is used again, and recalls messages that a
// wrong clock put off.
func (db *DB) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	begun, clock := time.Now(), calm{}
	for {
		select {
		case <-tick.C:
		case <-db.closing:
			return
		}
		now := time.Now()
		err := db.recall(now)
		if clock.lasts(now.Round(0), now.Sub(begun)) {
			died := time.Time{}
			if now.Sub(begun)-clock.set >= deadFor {
				died = now.Add(-deadFor)
			}
			err = errors.Join(err, db.sweepOnce(now, died))
		}
		if err != nil && !errors.Is(err, ErrMoved) {
			slog.Error("sweep", "error", err)
		}
	}
}

// calm tells whether the wall clock goes evenly.
type calm struct {
	lead time.Time     // of the wall clock, less the monotonic one
	set  time.Duration // by the monotonic clock: when the wall clock was last set
}

// lasts reports whether the process runs for calmFor, and its wall clock was not set meanwhile. It is called
// each minute, with the wall clock and the time that the process runs for by the monotonic one.
func (c *calm) lasts(wall time.Time, up time.Duration) bool {
	lead := wall.Add(-up)
	if !c.lead.IsZero() && lead.Sub(c.lead).Abs() > mostDrift {
		c.set = up
	}
	c.lead = lead
	return up-c.set >= calmFor
}

// A recalling makes visible what is delayed for longer than anything can be.
type recalling struct {
	settled
	now      time.Time
	recalled []*queue
}

func (db *DB) recall(now time.Time) error {
	x := &recalling{settled: make(settled, 1), now: now}
	db.writer.startAtLeisure(x)
	return <-x.settled
}

func (x *recalling) apply(w *writer) error {
	for _, q := range w.queues {
		n, err := q.stmts.recall.do(x.now.UnixMilli(), x.now.Add(farAhead).UnixMilli(), received)
		if err != nil {
			return err
		}
		if n > 0 {
			x.recalled = append(x.recalled, q)
		}
	}
	return nil
}

func (x *recalling) settle(err error) settled {
	if err == nil {
		for _, q := range x.recalled {
			q.add(nil, x.now)
		}
	}
	return x.settled
}

// sweepOnce removes all that has expired at now, and letters dead since before died. It leaves two thirds of
// the time to others: a file in which as much expires as comes would else be slow for a part of every minute.
func (db *DB) sweepOnce(now, died time.Time) error {
	for {
		begun := time.Now()
		s := &sweeping{settled: make(settled, 1), now: now, died: died}
		db.writer.start(s)
		if err := <-s.settled; err != nil {
			return err
		}
		if s.removed == 0 {
			return nil
		}
		select {
		case <-time.After(2 * time.Since(begun)):
		case <-db.closing:
			return nil
		}
	}
}

// A sweeping removes a chunk of each kind.
type sweeping struct {
	settled
	now     time.Time
	died    time.Time // letters died before; zero: none goes
	removed int
}

func (s *sweeping) apply(w *writer) error {
	n, err := w.stmts.sweep.do(s.now.Unix(), int64(sweepChunk))
	if err != nil {
		return err
	}
	s.removed = n
	for _, q := range w.queues {
		n, err := q.stmts.sweepDead.do(s.died.Unix(), int64(sweepChunk))
		if err != nil {
			return err
		}
		q.now.dead -= n
		s.removed += n
	}
	return nil
}
