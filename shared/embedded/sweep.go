package embedded

import (
	"log/slog"
	"time"
)

const (
	sweepEvery = time.Minute
	sweepChunk = 200 // rows a commit, so that no other write waits long

	// deadFor is how long a dead letter is kept, as on SQS ("Amazon SQS message
	// quotas": message retention, at most 14 days).
	deadFor = 14 * 24 * time.Hour
)

// sweep removes what has expired, so that its place in the file is used again.
func (db *DB) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-db.closing:
			return
		}
		if err := db.sweepOnce(time.Now()); err != nil {
			slog.Error("sweep", "error", err)
		}
	}
}

// sweepOnce removes all that has expired at now. It leaves two thirds of the
// time to others: a file in which as much expires as comes would else be slow
// for a part of every minute.
func (db *DB) sweepOnce(now time.Time) error {
	for {
		begun := time.Now()
		s := &sweeping{settled: make(settled, 1), now: now}
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
	removed int
}

func (s *sweeping) apply(w *writer) error {
	n, err := w.stmts.sweep.do(s.now.Unix(), int64(sweepChunk))
	if err != nil {
		return err
	}
	s.removed = n
	for _, q := range w.queues {
		n, err := q.stmts.sweepDead.do(s.now.Add(-deadFor).Unix(), int64(sweepChunk))
		if err != nil {
			return err
		}
		q.now.dead -= n
		s.removed += n
	}
	return nil
}
