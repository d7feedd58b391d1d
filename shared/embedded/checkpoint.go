package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"os"
)

// A checkpoint moves pages from SQLite's write-ahead log (WAL) into the database file. It begins once so many pages
// are in the log but not in the file, which is measured after every few commits. A page written often is moved once,
// so a longer log moves less in all. But commits wait while moved pages are synced, a tenth of a millisecond for each
// scattered page on a disk of 10,000 writes a second, and background writes scatter widely.
const (
	maxWALPages        = 2000     // 16 MiB
	maxWALBytes        = 32 << 20 // size its file is truncated to when the log starts over; a long read may have made it longer
	backgroundWALPages = 60       // after a background commit, unless live commits are large
	checkWALEvery      = 8        // commits
)

// A checkpoint runs on a connection and goroutine of its own: between two commits of the writer it would hold up all
// writes for tens of milliseconds. Once the log has maxWALPages the writer itself moves the pages that came meanwhile,
// so that the log starts over.
type checkpoint struct {
	conn *conn
	move *stmt
	due  chan struct{} // holds one token if the log is long
}

const checkpointText, walSizeText = "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(NOOP)"

func openCheckpoint(ctx context.Context, path string) (*checkpoint, error) {
	c, err := openConn(ctx, path, checkpointCache, "busy_timeout = 5000", "synchronous = NORMAL")
	if err != nil {
		return nil, err
	}
	p := &checkpoint{conn: c, due: make(chan struct{}, 1)}
	if p.move, err = c.prepare(checkpointText); err != nil {
		c.close()
		return nil, err
	}
	return p, nil
}

// checkpointLoop runs a checkpoint whenever the log is long, until the DB closes.
func (db *DB) checkpointLoop() {
	for {
		select {
		case <-db.checkpoint.due:
		case <-db.closing:
			return
		}
		pages, _, err := walPages(db.checkpoint.move)
		if err != nil {
			slog.Error("checkpoint", "error", err)
		}
		if pages > maxWALPages {
			db.writer.checkpointRest.Store(true)
			wakeUp(db.writer.wake)
		}
	}
}

// WALBytes returns the size of the log's file.
func (db *DB) WALBytes() int64 {
	s, err := os.Stat(db.writer.files.all[1].path)
	if err != nil {
		return 0
	}
	return s.Size()
}

// walPages executes s, one of the statements above, and returns how many pages the log has, and how many of them are
// not in the database file.
func walPages(s *stmt) (pages, unmoved int, err error) {
	if err = s.row(func(v []driver.Value) { pages, unmoved = int(integer(v[1])), int(integer(v[1])-integer(v[2])) }); err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return pages, unmoved, nil
}

// checkWAL is called between two transactions. It asks for a checkpoint if the log is long, but not after a live
// commit while background writes wait; and it moves the rest after one.
func (w *writer) checkWAL() error {
	if w.checkpointRest.CompareAndSwap(true, false) {
		_, _, err := walPages(w.stmts.checkpoint)
		return err
	}
	if w.commitsUnchecked++; w.commitsUnchecked < checkWALEvery || w.backgroundWrites == 0 && w.hasBackground() {
		return nil
	}
	w.commitsUnchecked = 0
	limit := maxWALPages
	if w.backgroundWrites > 0 && !w.lastWasLarge {
		limit = backgroundWALPages
	}
	_, unmoved, err := walPages(w.stmts.walSize)
	if unmoved > limit {
		wakeUp(w.walIsLong)
	}
	return err
}
