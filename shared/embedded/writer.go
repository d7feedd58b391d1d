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

// A write is what one caller asks of the writer.
type write interface {
	// apply does the write inside the transaction. An error undoes all of it, so a conflict is none.
	apply(w *writer) error

	// settle is called once, after the commit with nil or with the error that undid it. It is called in the
	// order of apply and must not block. It returns the channel of who waits, nil if nobody does.
	settle(err error) waiter
}

// When many write at once, a commit costs most of its time for each page that it touches, and it touches
// nearly the same pages for twice the writes. So the writer lets more of them gather, which takes a third off
// the processor time of 6,000 events a second. Who writes alone, or with few, does not wait.
const (
	groupCommitMin  = 24 // writes in the last commit
	groupCommitWait = 2 * time.Millisecond
)

// lazyDelay is how long a write that is in no hurry waits for others to share their commit with. At a hundred
// events a second that spares one commit in four, which would hold up the other three.
const lazyDelay = 20 * time.Millisecond

// Later attempts and jobs write several times what a callback and its first attempt do, and these would wait for them,
// twice each. So what the handlers of the retry and the slow queue write goes behind: into commits of its own, of so
// many writes, when what is live has a lull, or they waited too long; they take at most half the time. A live write
// that comes meanwhile ends such a commit and joins it. While nothing is live, there is no wait.
const (
	backgroundGather   = 4 * time.Millisecond // in which they gather
	liveQuiet          = 2 * time.Millisecond // since something live was written or committed
	maxBackgroundWait  = 25 * time.Millisecond
	minBackgroundBatch = 8 // before something live ends it
	maxBackgroundBatch = 24
	liveWindow         = 100 * time.Millisecond // after a live write
)

// backgroundKey marks the context of a handler whose writes do.
type backgroundKey struct{}

// A writer owns the one connection that changes the file. While a commit is being synced the next writes
// gather; they share the commit after it.
type writer struct {
	conn             *conn
	stmts            writerStmts
	queues           []*queue
	commitsUnchecked int  // since the log was looked at
	lastWasLarge     bool // the last live commit was
	walIsLong        chan struct{}
	checkpointRest   atomic.Bool // the log was moved but for its last pages
	files            *files

	mu               sync.Mutex
	pending          []write
	urgent           bool      // of one that is pending
	lastLive         time.Time // when there last was one
	background       []write
	backgroundSince  time.Time // since when something is, or one of its commits was
	backgroundAt     time.Time // when it may go
	closed           bool
	wake             chan struct{} // holds one token if there is a hurry, or a turn
	done             chan struct{} // closed when run has ended
	lazyTimer        *time.Timer   // makes a hurry
	backgroundTimer  *time.Timer   // makes a token
	batch            []write       // what is committed
	preemptAt        int           // writes of it before something live joins
	backgroundWrites int           // of it, so many writes are of what is behind; the rest is live
}

func newWriter(c *conn) *writer {
	w := &writer{conn: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.lazyTimer, w.backgroundTimer = time.AfterFunc(time.Hour, w.makeUrgent), time.AfterFunc(time.Hour, func() { wakeUp(w.wake) })
	w.lazyTimer.Stop()
	w.backgroundTimer.Stop()
	return w
}

var errClosed = fmt.Errorf("embedded store is closed: %w", storage.ErrUnavailable)

// submit hands x to the writer, which settles it later.
func (w *writer) submit(x write) {
	if w.enqueue(x, true) {
		wakeUp(w.wake)
	}
}

// submitLazy is start for a write that is in no hurry.
func (w *writer) submitLazy(x write) { w.enqueue(x, false) }

// enqueue reports whether x is pending.
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

// submitFor is start, or startBehind if ctx is that of a handler whose writes go behind.
func (w *writer) submitFor(ctx context.Context, x write) {
	w.submitAs(ctx.Value(backgroundKey{}) != nil, x)
}

// submitAs is startBehind, or start.
func (w *writer) submitAs(background bool, x write) {
	if background {
		w.submitBackground(x)
	} else {
		w.submit(x)
	}
}

// submitBackground hands x to the writer for a commit that live writes do not wait for.
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

// backgroundDelay returns how long what is behind has to wait yet. What came live while the writer was busy, perhaps
// long ago, is live now.
func (w *writer) backgroundDelay() time.Duration {
	quiet := time.Since(w.lastLive)
	if w.urgent {
		quiet = 0
	}
	if quiet > liveWindow {
		return 0
	}
	waited := time.Since(w.backgroundSince)
	return min(max(time.Until(w.backgroundAt), backgroundGather-waited, liveQuiet-quiet), maxBackgroundWait-waited)
}

// makeUrgent ends the leisure of what is pending.
func (w *writer) makeUrgent() {
	w.mu.Lock()
	w.urgent = true
	w.mu.Unlock()
	wakeUp(w.wake)
}

// run commits until close is called and nothing is pending.
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

// nextBatch makes what is behind the batch, if it need not wait, else what is pending, if there is a hurry, and
// leaves the emptied last batch to gather in.
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

// hasWrite reports whether the batch has an i-th write. If something live waits once the first least writes are
// done, what is pending takes the place of the others, and these go back to what is behind, once a batch.
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
			slog.Error("tend the log", "error", err)
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

// notifyInTurn tells one after the other, each when the one before has run as far as it can. Told at once they
// would fill the scheduler's run queue, and what comes live would wait behind them for milliseconds.
func notifyInTurn(all []waiter, err error) {
	for _, s := range all {
		runtime.Gosched()
		s.notify(err)
	}
}

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

// close lets run finish what is pending, and waits for it.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	wakeUp(w.wake)
	<-w.done
	w.lazyTimer.Stop()
	w.backgroundTimer.Stop()
}

// A waiter is the part of a write that its caller waits for, nil if nobody does.
type waiter chan error

func (s waiter) settle(error) waiter { return s }

// wait returns what the write was settled with. If ctx ends first, the write may be done all the same: what
// the writer reads must not be changed then, and what it fills in not be read.
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
