package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// slowSweep has each sweep of rows take a second and find one, as often as rows
// says. It returns when each began, from now on.
func slowSweep(t *testing.T, db *DB, rows int) *[]time.Duration {
	t.Helper()
	start := time.Now()
	var begun []time.Duration
	mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
		w.stmts.sweep.exec = execFunc(func(context.Context, []driver.NamedValue) (driver.Result, error) {
			begun = append(begun, time.Since(start))
			time.Sleep(time.Second)
			return driver.RowsAffected(min(1, max(0, rows+1-len(begun)))), nil
		})
		return nil
	}})
	return &begun
}

func TestSweepLeavesTwoThirdsOfTheTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		begun := slowSweep(t, db, 2)
		if err := db.sweepOnce(time.Now(), time.Now().Add(-deadLetterRetention)); err != nil {
			t.Fatal(err)
		}
		if want := []time.Duration{0, 3 * time.Second, 6 * time.Second}; !slices.Equal(*begun, want) {
			t.Errorf("sweeps of a second began after %v, want %v", *begun, want)
		}
	})
}

func TestSweepEndsWithTheStore(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		begun := slowSweep(t, db, 100)
		swept := make(chan error, 1)
		go func() { swept <- db.sweepOnce(time.Now(), time.Now().Add(-deadLetterRetention)) }()
		time.Sleep(2 * time.Second) // it pauses
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-swept; err != nil || len(*begun) != 1 {
			t.Errorf("sweepOnce = %v after %d sweeps, want it to end after one", err, len(*begun))
		}
	})
}

// TestSweepBeginsAfterAnHour looks at a row that expires in the first minute and
// at one that comes later.
func TestSweepBeginsAfterAnHour(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		start := time.Now()
		mustPut(t, db, storage.Row{Key: numbered(1), Rev: "r", Expires: start.Add(time.Second)}, "")
		mustPut(t, db, storage.Row{Key: numbered(2), Rev: "r", Expires: start.Add(clockSteadyAfter + 90*time.Second)}, "")
		for _, tt := range []struct {
			after time.Duration
			want  int64
		}{
			{clockSteadyAfter - time.Second, 2},
			{clockSteadyAfter + time.Second, 1},
			{clockSteadyAfter + sweepInterval + time.Second, 1},
			{clockSteadyAfter + 2*sweepInterval + time.Second, 0},
		} {
			time.Sleep(time.Until(start.Add(tt.after)))
			synctest.Wait()
			if n := ask(t, db, "SELECT count(*) FROM rows"); n != tt.want {
				t.Errorf("after %v: %d rows in the file, want %d", tt.after, n, tt.want)
			}
		}
	})
}

// TestDeadLetterOutlastsAStop starts a process when the letter is dead for long.
func TestDeadLetterOutlastsAStop(t *testing.T) {
	if !proofs.Full() {
		t.Skip("lets 14 days go by, for RINGBACK_PROOFS=full")
	}
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
			w.queues[0].now.dead++
			return w.conn.run("INSERT INTO events_dead VALUES (1, 'a', ?)", time.Now().Add(-2*deadLetterRetention).Unix())
		}})
		start := time.Now()
		for _, tt := range []struct {
			after time.Duration
			want  int
		}{{clockSteadyAfter + 2*sweepInterval, 1}, {deadLetterRetention - sweepInterval, 1}, {deadLetterRetention + 2*sweepInterval, 0}} {
			time.Sleep(time.Until(start.Add(tt.after)))
			synctest.Wait()
			wantDepth(t, db, storage.EventsQueue, storage.Depth{Dead: tt.want})
		}
	})
}

// TestSweepRemovesAllThatHasExpired has more of each kind than one commit removes.
func TestSweepRemovesAllThatHasExpired(t *testing.T) {
	now := time.Now()
	died := now.Add(-deadLetterRetention).Unix()
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	const many = 2*sweepBatch + 1
	mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
		for i := range many + 1 {
			last := int64(i / many) // of each kind, which is to stay
			err := errors.Join(
				w.conn.run("INSERT INTO rows (tbl, pk, sk, rev, expires) VALUES (1, 'p', ?, 'r', ?)", int64(i), now.Unix()+last),
				w.conn.run("INSERT INTO events_dead VALUES (?, 'a', ?)", int64(i+1), died-1+last),
				w.conn.run("INSERT INTO retry_dead VALUES (?, 'a', ?)", int64(i+1), died-1+last),
				w.conn.run("INSERT INTO slow_dead VALUES (?, 'a', ?, 'g')", int64(i+1), died-1+last))
			if err != nil {
				return err
			}
		}
		for _, q := range w.queues {
			q.now.dead += many + 1
		}
		return nil
	}})
	s := &sweepWrite{waiter: make(waiter, 1), now: now, died: now.Add(-deadLetterRetention)}
	mustWrite(t, db, s)
	if s.removed != 4*sweepBatch {
		t.Errorf("one commit removed %d of four kinds, want %d of each", s.removed, sweepBatch)
	}
	if err := db.sweepOnce(now, now.Add(-deadLetterRetention)); err != nil {
		t.Fatal(err)
	}
	wantRowCount(t, db, 1)
	for _, name := range queueNames {
		wantDepth(t, db, name, storage.Depth{Dead: 1})
	}
}

func TestSweepGoesOnWhileOnlyDeadLettersAreLeft(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
		for i := range sweepBatch + 1 {
			if err := w.conn.run("INSERT INTO retry_dead VALUES (?, 'a', 0)", int64(i+1)); err != nil {
				return err
			}
		}
		w.queues[1].now.dead += sweepBatch + 1
		return nil
	}})
	if err := db.sweepOnce(time.Now(), time.Now().Add(-deadLetterRetention)); err != nil {
		t.Fatal(err)
	}
	wantDepth(t, db, storage.RetryQueue, storage.Depth{})
}

// TestRecallFindsTheQueuesThatNeedIt puts one message off by a millisecond more
// than may be, and another as far as may be.
func TestRecallFindsTheQueuesThatNeedIt(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	now := time.Now()
	far := now.Add(maxAhead).UnixMilli()
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	mustSend(t, db, storage.RetryQueue, storage.Message{Body: "b"})
	for _, tt := range []struct {
		visible int64
		want    int
	}{{far, 0}, {neverVisible, 0}, {far + 1, 1}} {
		if err := db.change("UPDATE retry_messages SET visible = ?", tt.visible); err != nil {
			t.Fatal(err)
		}
		x := &recallWrite{waiter: make(waiter, 1), now: now}
		mustWrite(t, db, x)
		if len(x.recalled) != tt.want || tt.want > 0 && x.recalled[0] != db.queue(storage.RetryQueue) {
			t.Errorf("a message that is visible at %d is recalled in %d queues, want %d", tt.visible-far, len(x.recalled), tt.want)
		}
	}
	if n := ask(t, db, "SELECT visible FROM retry_messages"); n != now.UnixMilli() {
		t.Errorf("the recalled one is visible %d ms from now, want at once", n-now.UnixMilli())
	}
}
