package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringback/shared/storage"
)

// A write is one change that a caller hands to the writer.
type write interface {
	// apply makes the change inside the transaction. An error rolls the whole transaction back, so a write keeps a
	// revision conflict for its caller and returns nil.
	apply(w *writer) error

	// settle is called once, after the commit (with nil) or the rollback (with its cause), in the order of the
	// applies. It must not block. It returns the waiter to notify, nil if nobody waits.
	settle(err error) waiter
}

// A commit costs most of its time for each page that it changes, and twice the writes change nearly the same pages. So
// after a commit of groupCommitMin writes the writer lets more of them gather for groupCommitWait, which takes a third
// off the processor time of 6,000 events a second. While few write at the same time, nobody waits.
const (
	groupCommitMin  = 24 // writes in the last commit
	groupCommitWait = 2 * time.Millisecond
)

// lazyDelay is how long a write that is not urgent is held back, so that it shares a commit with others. At a hundred
// events a second that saves one commit in four, which would delay the other three.
const lazyDelay = 20 * time.Millisecond

// Live writes are those of callbacks and first attempts; the handlers of the retry and slow queues write several times
// as much. Sharing commits, live writes would wait for those, twice each. So the writer commits background writes
// apart: when no live write came for a moment, or they waited too long, and for at most half of the time. A live write
// that comes during such a commit cuts it short and joins it. Without live traffic background writes are committed at
// once.
const (
	backgroundBatchWait = 4 * time.Millisecond // that background writes gather
	liveQuiet           = 2 * time.Millisecond // since the last live write or commit
	maxBackgroundWait   = 25 * time.Millisecond
	minBackgroundBatch  = 8 // writes before a live one may cut the commit short
	maxBackgroundBatch  = 24
	liveWindow          = 100 * time.Millisecond // after a live write there is live traffic
)

// backgroundKey marks the context of a handler whose writes are background writes.
type backgroundKey struct{}

// A writer owns the one connection that changes the file. The writes that come while a commit is synced to disk share
// the next commit.
type writer struct {
	conn             *conn
	stmts            writerStmts
	queues           []*queue
	commitsUnchecked int  // since checkWAL measured the log
	lastWasLarge     bool // the last live commit had groupCommitMin writes
	walIsLong        chan struct{}
	checkpointRest   atomic.Bool // the checkpoint connection has done all except the newest pages
	files            *files

	mu               sync.Mutex
	pending          []write   // live and lazy writes
	urgent           bool      // commit what is pending without delay
	lastLive         time.Time // last live write or commit
	background       []write
	backgroundSince  time.Time // since when background writes wait, or their last commit
	backgroundAt     time.Time // earliest time of the next background commit
	closed           bool
	wake             chan struct{} // holds one token if run has something to do
	done             chan struct{} // closed when run has ended
	lazyTimer        *time.Timer   // makes pending lazy writes urgent
	backgroundTimer  *time.Timer   // wakes run for background writes
	batch            []write       // being committed: background writes first, then live ones
	preemptAt        int           // so many background writes are applied before a live one cuts in
	backgroundWrites int           // how many of the batch are background writes
}

func newWriter(c *conn) *writer {
	w := &writer{conn: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.lazyTimer, w.backgroundTimer = time.AfterFunc(time.Hour, w.makeUrgent), time.AfterFunc(time.Hour, func() { wakeUp(w.wake) })
	w.lazyTimer.Stop()
	w.backgroundTimer.Stop()
	return w
}

var errClosed = fmt.Errorf("embedded store is closed: %w", storage.ErrUnavailable)

// submit hands x to the writer as a live write.
func (w *writer) submit(x write) {
	if w.enqueue(x, true) {
		wakeUp(w.wake)
	}
}

// submitLazy hands x to the writer as a write that may wait for lazyDelay.
func (w *writer) submitLazy(x write) { w.enqueue(x, false) }

// enqueue reports whether x is pending; once the writer is closed it settles x instead.
func (w *writer) enqueue(x write, urgent bool) bool {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		x.settle(errClosed).notify(errClosed)
		return false
	}
	defer w.mu.Unlock()
	if len(w.pending) == 0 && !urgent {
		w.lazyTimer.Reset(lazyDelay)
	}
	w.pending = append(w.pending, x)
	if urgent {
		w.urgent, w.lastLive = true, time.Now()
	}
	return true
}

// submitFor submits x as a background write if ctx is that of a background handler, otherwise as a live one.
func (w *writer) submitFor(ctx context.Context, x write) {
	w.submitAs(ctx.Value(backgroundKey{}) != nil, x)
}

func (w *writer) submitAs(background bool, x write) {
	if background {
		w.submitBackground(x)
	} else {
		w.submit(x)
	}
}

// submitBackground hands x to the writer for a commit apart from live writes.
func (w *writer) submitBackground(x write) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		x.settle(errClosed).notify(errClosed)
		return
	}
	w.background = append(w.background, x)
	if len(w.background) == 1 {
		w.backgroundSince = time.Now()
		wakeUp(w.wake)
	}
	w.mu.Unlock()
}

func (w *writer) hasBackground() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.background) > 0 }

// backgroundDelay returns how long the background writes have to wait yet. A live write that came while the writer was
// busy, perhaps long ago, counts as new.
func (w *writer) backgroundDelay() time.Duration {
	quiet := time.Since(w.lastLive)
	if w.urgent {
		quiet = 0
	}
	if quiet > liveWindow {
		return 0
	}
	waited := time.Since(w.backgroundSince)
	return min(max(time.Until(w.backgroundAt), backgroundBatchWait-waited, liveQuiet-quiet), maxBackgroundWait-waited)
}

// makeUrgent ends the wait of pending lazy writes.
func (w *writer) makeUrgent() {
	w.mu.Lock()
	w.urgent = true
	w.mu.Unlock()
	wakeUp(w.wake)
}

// run commits until close was called and nothing is pending.
func (w *writer) run() {
	defer close(w.done)
	for {
		closed := w.nextBatch()
		if len(w.batch) > 0 || w.checkpointRest.Load() {
			w.commit()
			clear(w.batch)
			if len(w.batch) >= groupCommitMin && w.backgroundWrites == 0 {
				time.Sleep(groupCommitWait)
			}
			continue
		}
		if closed {
			return
		}
		<-w.wake
	}
}

// nextBatch fills the batch with background writes if their wait is over, otherwise with the pending writes if one is
// urgent. The emptied last batch becomes the new pending list.
func (w *writer) nextBatch() (closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch, w.preemptAt, w.backgroundWrites = w.batch[:0], math.MaxInt, 0
	if len(w.background) > 0 {
		wait := w.backgroundDelay()
		if wait <= 0 || w.closed && len(w.pending) == 0 {
			n := min(len(w.background), maxBackgroundBatch)
			w.batch = append(w.batch, w.background[:n]...)
			w.background, w.backgroundSince = slices.Delete(w.background, 0, n), time.Now()
			w.preemptAt, w.backgroundWrites = min(minBackgroundBatch, n), n
			return w.closed
		}
		w.backgroundTimer.Reset(wait)
	}
	if w.urgent || w.closed {
		w.batch, w.pending, w.urgent = w.pending, w.batch, false
	}
	return w.closed
}

// hasWrite reports whether the batch has an i-th write. If a live write is pending and the first preemptAt background
// writes are applied, the pending writes replace the rest, which go back to the background list. Example: of a batch
// b1…b20 eight are applied when live write x comes: b1…b8 and x are committed, b9…b20 wait for the next commit.
func (w *writer) hasWrite(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.urgent && i >= w.preemptAt {
		w.background = slices.Insert(w.background, 0, w.batch[i:]...)
		w.batch = slices.Replace(w.batch, i, len(w.batch), w.pending...)
		clear(w.pending)
		w.pending, w.urgent, w.preemptAt, w.backgroundWrites = w.pending[:0], false, math.MaxInt, i
	}
	return i < len(w.batch)
}

// commit makes one transaction of the batch and notifies the waiters. Each gets the transaction's error: after a failed
// commit nothing of the batch is stored. Background writes stand first in the batch and are notified last and one by
// one, so that live writes go on before them.
func (w *writer) commit() {
	start := time.Now()
	err := w.transact()
	w.mu.Lock()
	if w.backgroundWrites > 0 {
		w.backgroundAt = time.Now().Add(time.Since(start))
	} else if len(w.batch) > 0 {
		w.lastLive, w.lastWasLarge = time.Now(), len(w.batch) >= groupCommitMin
	}
	w.mu.Unlock()
	defer func() {
		if err := w.checkWAL(); err != nil {
			slog.Error("check the write-ahead log", "error", err)
		}
	}()
	for _, q := range w.queues {
		q.settleCounters(err)
	}
	var background []waiter
	for i, x := range w.batch {
		if s := x.settle(err); i < w.backgroundWrites {
			background = append(background, s)
		} else {
			s.notify(err)
		}
	}
	if len(background) > 0 {
		go notifyInTurn(background, err)
	}
}

// notifyInTurn notifies background waiters one after the other, letting each goroutine run as far as it can. Notified
// all at once they would fill the scheduler's run queue, and live work would wait behind them for milliseconds.
func notifyInTurn(all []waiter, err error) {
	for _, s := range all {
		runtime.Gosched()
		s.notify(err)
	}
}

// transact applies all writes in one transaction. Before the commit it checks that the database's files are still in
// their folder, since a commit to a removed file would be lost.
func (w *writer) transact() error {
	if _, err := w.stmts.begin.do(); err != nil {
		return err
	}
	err := w.applyAll()
	if err == nil {
		err = w.files.check()
	}
	if err == nil {
		_, err = w.stmts.commit.do()
	}
	if err != nil {
		// A full disk may have ended the transaction already.
		_, rollbackErr := w.stmts.rollback.do()
		return fmt.Errorf("commit: %w", errors.Join(err, rollbackErr))
	}
	return nil
}

func (w *writer) applyAll() error {
	for i := 0; w.hasWrite(i); i++ {
		if err := w.batch[i].apply(w); err != nil {
			return err
		}
	}
	for _, q := range w.queues {
		if err := q.saveCounters(w); err != nil {
			return err
		}
	}
	return nil
}

// close lets run commit what is pending, and waits for it.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	wakeUp(w.wake)
	<-w.done
	w.lazyTimer.Stop()
	w.backgroundTimer.Stop()
}

// A waiter is the channel on which a caller waits for its write; nil if nobody waits.
type waiter chan error

func (s waiter) settle(error) waiter { return s }

// wait returns the error that the write was settled with. If ctx ends first, the write may still be applied: the
// caller must then neither change what the writer reads nor read what it fills in.
func (s waiter) wait(ctx context.Context) error {
	select {
	case err := <-s:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s waiter) notify(err error) {
	if s != nil {
		s <- err
	}
}

type writerStmts struct {
	begin, commit, rollback      *stmt
	checkpoint, walSize          *stmt
	get, putNew, putAny, putOver *stmt
	deleteRow, sweep             *stmt
}

// prepare prepares the statements. putNew writes over an expired row too, as a Put that expects no row does in storage.
func (s *writerStmts) prepare(c *conn) error {
	const set = "rev = ?4, data = ?5, body = ?6, due = ?7, shard = ?8, open = ?9, expires = ?10"
	const insert = "INSERT INTO rows (tbl, pk, sk, rev, data, body, due, shard, open, expires)" +
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (tbl, pk, sk) DO UPDATE SET " + set
	return c.prepareAll(map[**stmt]string{
		&s.begin:      "BEGIN IMMEDIATE",
		&s.commit:     "COMMIT",
		&s.rollback:   "ROLLBACK",
		&s.checkpoint: checkpointText,
		&s.walSize:    walSizeText,
		&s.get:        getText,
		&s.putNew:     insert + " WHERE expires <= ?11",
		&s.putAny:     insert,
		&s.putOver:    "UPDATE rows SET " + set + " WHERE tbl = ?1 AND pk = ?2 AND sk = ?3 AND rev = ?11",
		&s.deleteRow:  "DELETE FROM rows WHERE tbl = ?1 AND pk = ?2 AND sk = ?3 AND (rev = ?4 OR ?4 = '*')",
		&s.sweep:      "DELETE FROM rows WHERE rowid IN (SELECT rowid FROM rows WHERE expires <= ? LIMIT +?)",
	})
}
