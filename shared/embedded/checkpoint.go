package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
)

// The log (SQLite's write-ahead log) is moved into the file when it has this
// many pages; it is looked at after every few commits. While what was moved is synced
// commits take longer, by more than it takes to sync little often; but each page that
// all write is then moved more often, which costs throughput.
const (
	logPages       = 200  // 1.6 MiB
	crowdPages     = 2000 // 16 MiB, after a commit of a crowd
	lookAtLogEvery = 8    // commits
)

// A checkpoint moves the log into the file. To do so between two commits would
// hold up all writes for tens of milliseconds. So a goroutine moves what there
// is beside them, on a connection of its own; then the writer moves the few
// pages that came meanwhile, after which the log begins anew.
type checkpoint struct {
	conn *conn
	move *stmt
	due  chan struct{} // holds one token if the log is long
}

const (
	moveLogText    = "PRAGMA wal_checkpoint(PASSIVE)"
	measureLogText = "PRAGMA wal_checkpoint(NOOP)"
)

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
		if _, err := logSize(db.checkpoint.move); err != nil {
			slog.Error("checkpoint", "error", err)
			continue
		}
		db.writer.moveRest.Store(true)
		wakeUp(db.writer.wake)
	}
}

// logSize executes s, which is one of the statements above, and returns how
// many pages the log has.
func logSize(s *stmt) (pages int, err error) {
	if err = s.row(func(v []driver.Value) { pages = int(integer(v[1])) }); err != nil {
		return 0, fmt.Errorf("checkpoint: %w", err)
	}
	return pages, nil
}

// tendLog is called between two transactions. A log that cannot be moved stays where
// it is, and is tried again.
func (w *writer) tendLog() error {
	if w.moveRest.CompareAndSwap(true, false) {
		_, err := logSize(w.stmts.moveLog)
		return err
	}
	if w.commits++; w.commits%lookAtLogEvery != 0 {
		return nil
	}
	pages, err := logSize(w.stmts.measureLog)
	if pages > crowdPages || pages > logPages && (w.first > 0 || len(w.batch) < crowd) {
		wakeUp(w.logIsLong)
	}
	return err
}
