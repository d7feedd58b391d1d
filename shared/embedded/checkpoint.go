package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
)

// The log (SQLite's write-ahead log) is moved into the file when so many of its pages
// are to be; it is looked at after every few commits. Commits wait while what was moved
// is synced, a tenth of a millisecond for each page where a disk does 10,000 writes a
// second. So little is moved at once, but when a crowd writes: that costs throughput.
const (
	logPages       = 60   // 0.5 MiB
	crowdPages     = 2000 // 16 MiB, while a crowd writes live
	lookAtLogEvery = 8    // commits
)

// A checkpoint moves the log into the file. To do so between two commits would
// hold up all writes for tens of milliseconds. So a goroutine does it beside them, on a
// connection of its own. Once the log has crowdPages the writer moves what came
// meanwhile, after which it begins anew.
type checkpoint struct {
	conn *conn
	move *stmt
	due  chan struct{} // holds one token if the log is long
}

const moveLogText, measureLogText = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(NOOP)"

func openCheckpoint(ctx context.Context, path string) (*checkpoint, error) {
	c, err := openConn(ctx, path, checkpointCache, "busy_timeout = 5000", "synchronous = NORMAL")
	if err != nil {
		return nil, err
	}
	p := &checkpoint{conn: c, due: make(chan struct{}, 1)}
	if p.move, err = c.prepare(moveLogText); err != nil {
		c.close()
		return nil, err
	}
	return p, nil
}

// keepLogShort moves the log whenever it is long, until the DB closes.
func (db *DB) keepLogShort() {
	for {
		select {
		case <-db.checkpoint.due:
		case <-db.closing:
			return
		}
		pages, _, err := logSize(db.checkpoint.move)
		if err != nil {
			slog.Error("checkpoint", "error", err)
		}
		if pages > crowdPages {
			db.writer.moveRest.Store(true)
			wakeUp(db.writer.wake)
		}
	}
}

// logSize executes s, which is one of the statements above, and returns how many
// pages the log has, and how many of them are to be moved.
func logSize(s *stmt) (pages, left int, err error) {
	if err = s.row(func(v []driver.Value) { pages, left = int(integer(v[1])), int(integer(v[1])-integer(v[2])) }); err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return pages, left, nil
}

// tendLog is called between two transactions. It has no log moved in the middle of what
// is live while something waits behind, and what cannot be moved tried again.
func (w *writer) tendLog() error {
	if w.moveRest.CompareAndSwap(true, false) {
		_, _, err := logSize(w.stmts.moveLog)
		return err
	}
	if w.commits++; w.commits < lookAtLogEvery || w.first == 0 && w.hasBehind() {
		return nil
	}
	w.commits = 0
	_, left, err := logSize(w.stmts.measureLog)
	if left > crowdPages || left > logPages && !w.crowded {
		wakeUp(w.logIsLong)
	}
	return err
}
