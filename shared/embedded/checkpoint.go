package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"os"
)

// The log (SQLite's write-ahead log) is moved into the file when so many of its pages are to be; it is looked
// at after every few commits. A page that many write is moved once, so the more wait the less is moved. But
// commits wait while what was moved is synced, a tenth of a millisecond for each page in a place of its own
// where a disk does 10,000 writes a second; and what is written behind has its pages in as many places.
const (
	maxWALPages        = 2000     // 16 MiB
	maxWALBytes        = 32 << 20 // bytes that its file keeps when it begins anew; a long reader made it longer
	backgroundWALPages = 60       // after a commit of what is behind, but beside a crowd
	checkWALEvery      = 8        // commits
)

// A checkpoint moves the log into the file. To do so between two commits would hold up all writes for tens of
// milliseconds. So a goroutine does it beside them, on a connection of its own. Once the log has logPages the
// writer moves what came meanwhile, after which it begins anew.
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

// checkpointLoop moves the log whenever it is long, until the DB closes.
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

// walPages executes s, which is one of the statements above, and returns how many pages the log has, and how
// many of them are to be moved.
func walPages(s *stmt) (pages, unmoved int, err error) {
	if err = s.row(func(v []driver.Value) { pages, unmoved = int(integer(v[1])), int(integer(v[1])-integer(v[2])) }); err != nil {
		return 0, 0, fmt.Errorf("checkpoint: %w", err)
	}
	return pages, unmoved, nil
}

// checkWAL is called between two transactions. It has no log moved in the middle of what is live while
// something waits behind, and what cannot be moved tried again.
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
