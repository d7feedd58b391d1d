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
	settle(err error) settled
}

// When many write at once, a commit costs most of its time for each page that it touches, and it touches
// nearly the same pages for twice the writes. So the writer lets more of them gather, which takes a third off
// the processor time of 6,000 events a second. Who writes alone, or with few, does not wait.
const (
	crowd  = 24 // writes in the last commit
	gather = 2 * time.Millisecond
)

// leisure is how long a write that is in no hurry waits for others to share their commit with. At a hundred
// events a second that spares one commit in four, which would hold up the other three.
const leisure = 20 * time.Millisecond

// Later attempts and jobs write several times what a callback and its first attempt do, and these would wait for them,
// twice each. So what the handlers of the retry and the slow queue write goes behind: into commits of its own, of so
// many writes, when what is live has a lull, or they waited too long; they take at most half the time. A live write
// that comes meanwhile ends such a commit and joins it. While nothing is live, there is no wait.
const (
	spell       = 4 * time.Millisecond // in which they gather
	lull        = 2 * time.Millisecond // since something live was written or committed
	longestWait = 25 * time.Millisecond
	leastBehind = 8 // before something live ends it
	mostBehind  = 24
	liveFor     = 100 * time.Millisecond // after a live write
)

// goesBehind marks the context of a handler whose writes do.
type goesBehind struct{}

// A writer owns the one connection that changes the file. While a commit is being synced the next writes
// gather; they share the commit after it.
type writer struct {
	conn      *conn
	stmts     writerStmts
	queues    []*queue
	commits   int  // since the log was looked at
	crowded   bool // the last live commit was
	logIsLong chan struct{}
	moveRest  atomic.Bool // the log was moved but for its last pages
	files     *files

	mu      sync.Mutex
	pending []write
	hurry   bool      // of one that is pending
	live    time.Time // when there last was one
	behind  []write
	waits   time.Time // since when something is, or one of its commits was
	turn    time.Time // when it may go
	closed  bool
	wake    chan struct{} // holds one token if there is a hurry, or a turn
	done    chan struct{} // closed when run has ended
	timer   *time.Timer   // makes a hurry
	turns   *time.Timer   // makes a token
	batch   []write       // what is committed
	least   int           // writes of it before something live joins
	first   int           // of it, so many writes are of what is behind; the rest is live
}

func newWriter(c *conn) *writer {
	w := &writer{conn: c, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.timer, w.turns = time.AfterFunc(time.Hour, w.hurryUp), time.AfterFunc(time.Hour, func() { wakeUp(w.wake) })
	w.timer.Stop()
	w.turns.Stop()
	return w
}

var errClosed = fmt.Errorf("embedded store is closed: %w", storage.ErrUnavailable)

// start hands x to the writer, which settles it later.
func (w *writer) start(x write) {
	if w.add(x, true) {
		wakeUp(w.wake)
	}
}

// startAtLeisure is start for a write that is in no hurry.
func (w *writer) startAtLeisure(x write) { w.add(x, false) }

// add reports whether x is pending.
func (w *writer) add(x write, hurry bool) bool {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		x.settle(errClosed).tell(errClosed)
		return false
	}
	defer w.mu.Unlock()
	if len(w.pending) == 0 && !hurry {
		w.timer.Reset(leisure)
	}
	w.pending = append(w.pending, x)
	if hurry {
		w.hurry, w.live = true, time.Now()
	}
	return true
}

// startFor is start, or startBehind if ctx is that of a handler whose writes go behind.
func (w *writer) startFor(ctx context.Context, x write) { w.startIn(ctx.Value(goesBehind{}) != nil, x) }

// startIn is startBehind, or start.
func (w *writer) startIn(behind bool, x write) {
	if behind {
		w.startBehind(x)
	} else {
		w.start(x)
	}
}

// startBehind hands x to the writer for a commit that live writes do not wait for.
func (w *writer) startBehind(x write) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		x.settle(errClosed).tell(errClosed)
		return
	}
	w.behind = append(w.behind, x)
	if len(w.behind) == 1 {
		w.waits = time.Now()
		wakeUp(w.wake)
	}
	w.mu.Unlock()
}

func (w *writer) hasBehind() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.behind) > 0 }

// wait returns how long what is behind has to wait yet. What came live while the writer was busy, perhaps
// long ago, is live now.
func (w *writer) wait() time.Duration {
	calm := time.Since(w.live)
	if w.hurry {
		calm = 0
	}
	if calm > liveFor {
		return 0
	}
	waited := time.Since(w.waits)
	return min(max(time.Until(w.turn), spell-waited, lull-calm), longestWait-waited)
}

// hurryUp ends the leisure of what is pending.
func (w *writer) hurryUp() {
	w.mu.Lock()
	w.hurry = true
	w.mu.Unlock()
	wakeUp(w.wake)
}

// run commits until close is called and nothing is pending.
func (w *writer) run() {
	defer close(w.done)
	for {
		closed := w.swap()
		if len(w.batch) > 0 || w.moveRest.Load() {
			w.commit()
			clear(w.batch)
			if len(w.batch) >= crowd && w.first == 0 {
				time.Sleep(gather)
			}
			continue
		}
		if closed {
			return
		}
		<-w.wake
	}
}

// swap makes what is behind the batch, if it need not wait, else what is pending, if there is a hurry, and
// leaves the emptied last batch to gather in.
func (w *writer) swap() (closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batch, w.least, w.first = w.batch[:0], math.MaxInt, 0
	if len(w.behind) > 0 {
		wait := w.wait()
		if wait <= 0 || w.closed && len(w.pending) == 0 {
			n := min(len(w.behind), mostBehind)
			w.batch = append(w.batch, w.behind[:n]...)
			w.behind, w.waits = slices.Delete(w.behind, 0, n), time.Now()
			w.least, w.first = min(leastBehind, n), n
			return w.closed
		}
		w.turns.Reset(wait)
	}
	if w.hurry || w.closed {
		w.batch, w.pending, w.hurry = w.pending, w.batch, false
	}
	return w.closed
}

// has reports whether the batch has an i-th write. If something live waits once the first least writes are
// done, what is pending takes the place of the others, and these go back to what is behind, once a batch.
func (w *writer) has(i int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hurry && i >= w.least {
		w.behind = slices.Insert(w.behind, 0, w.batch[i:]...)
		w.batch = slices.Replace(w.batch, i, len(w.batch), w.pending...)
		clear(w.pending)
		w.pending, w.hurry, w.least, w.first = w.pending[:0], false, math.MaxInt, i
	}
	return i < len(w.batch)
}

func (w *writer) commit() {
	begun := time.Now()
	err := w.transact()
	w.mu.Lock()
	if w.first > 0 {
		w.turn = time.Now().Add(time.Since(begun))
	} else if len(w.batch) > 0 {
		w.live, w.crowded = time.Now(), len(w.batch) >= crowd
	}
	w.mu.Unlock()
	defer func() {
		if err := w.tendLog(); err != nil {
			slog.Error("tend the log", "error", err)
		}
	}()
	for _, q := range w.queues {
		q.settleTally(err)
	}
	var behind []settled
	for i, x := range w.batch {
		if s := x.settle(err); i < w.first {
			behind = append(behind, s)
		} else {
			s.tell(err)
		}
	}
	if len(behind) > 0 {
		go tellInTurn(behind, err)
	}
}

// tellInTurn tells one after the other, each when the one before has run as far as it can. Told at once they
// would fill the scheduler's run queue, and what comes live would wait behind them for milliseconds.
func tellInTurn(all []settled, err error) {
	for _, s := range all {
		runtime.Gosched()
		s.tell(err)
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
	for i := 0; w.has(i); i++ {
		if err := w.batch[i].apply(w); err != nil {
			return err
		}
	}
	for _, q := range w.queues {
		if err := q.saveTally(w); err != nil {
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
	w.timer.Stop()
	w.turns.Stop()
}

// A settled is the part of a write that its caller waits for, nil if nobody does.
type settled chan error

func (s settled) settle(error) settled { return s }

// wait returns what the write was settled with. If ctx ends first, the write may be done all the same: what
// the writer reads must not be changed then, and what it fills in not be read.
func (s settled) wait(ctx context.Context) error {
	select {
	case err := <-s:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s settled) tell(err error) {
	if s != nil {
		s <- err
	}
}

type writerStmts struct {
	begin, commit, rollback      *stmt
	moveLog, measureLog          *stmt
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
		&s.moveLog:    moveLogText,
		&s.measureLog: measureLogText,
		&s.get:        getText,
		&s.putNew:     insert + " WHERE expires <= ?11",
		&s.putAny:     insert,
		&s.putOver:    "UPDATE rows SET " + set + " WHERE tbl = ?1 AND pk = ?2 AND sk = ?3 AND rev = ?11",
		&s.deleteRow:  "DELETE FROM rows WHERE tbl = ?1 AND pk = ?2 AND sk = ?3 AND (rev = ?4 OR ?4 = '*')",
		&s.sweep:      "DELETE FROM rows WHERE rowid IN (SELECT rowid FROM rows WHERE expires <= ? LIMIT +?)",
	})
}
