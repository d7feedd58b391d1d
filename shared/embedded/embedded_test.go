package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

func TestDelayedMessageArrivesInVirtualTime(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		start := time.Now()
		arrived := make(chan time.Duration, 1)
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			arrived <- time.Since(start)
			return nil, nil
		}})
		defer stop()
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "later", Delay: 10 * time.Minute})
		if got := <-arrived; got < 10*time.Minute || got > 10*time.Minute+time.Second {
			t.Errorf("message with a delay of 10m arrived after %v", got)
		}
	})
}

func TestWriteInNoHurrySharesACommit(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		n := barrier{make(waiter, 1)}
		begun := time.Now()
		db.writer.submitLazy(n)
		synctest.Wait()
		if len(n.waiter) > 0 {
			t.Error("it was committed at once, want it to wait for another")
		}
		if err := <-n.waiter; err != nil || time.Since(begun) != lazyDelay {
			t.Errorf("alone it was committed after %v, %v; want %v", time.Since(begun), err, lazyDelay)
		}
		db.writer.submitLazy(n)
		begun = time.Now()
		if err := db.flush(); err != nil || len(n.waiter) == 0 || time.Since(begun) != 0 {
			t.Errorf("beside one in a hurry: %v after %v, want both committed at once", err, time.Since(begun))
		}
	})
}

func TestDelayedSendAndDeletionAreInNoHurry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		handled := make(chan time.Time, 1)
		defer serve(t, db, storage.EventsQueue, Consumer{Handler: func(context.Context, []storage.Received) ([]string, error) {
			handled <- time.Now()
			return nil, nil
		}})()
		begun := time.Now()
		mustSend(t, db, storage.RetryQueue, storage.Message{Body: "later", Delay: time.Minute})
		if took := time.Since(begun); took != lazyDelay {
			t.Errorf("a send with a delay took %v, want %v", took, lazyDelay)
		}
		begun = time.Now()
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "now"})
		if at := <-handled; !at.Equal(begun) {
			t.Errorf("a message without one was handled after %v, want at once", at.Sub(begun))
		}
		synctest.Wait()
		const count = "SELECT count(*) FROM events_messages"
		if n := ask(t, db, count); n != 1 {
			t.Errorf("%d messages in the file when one is handled, want it there still", n)
		}
		time.Sleep(lazyDelay) // of the bubble's clock
		synctest.Wait()
		if n := ask(t, db, count); n != 0 {
			t.Errorf("%d messages in the file %v later, want none", n, lazyDelay)
		}
	})
}

func TestSendWaitsOnlyIfAllOfItIsDelayed(t *testing.T) {
	now, later := storage.Message{Body: "now"}, storage.Message{Body: "later", Delay: 1}
	for _, tt := range []struct {
		ms      []storage.Message
		took    time.Duration
		waiting int
		delayed int
	}{
		{[]storage.Message{now, now}, 0, 2, 0},
		{[]storage.Message{now, later}, 0, 1, 1},
		{[]storage.Message{later, now}, 0, 1, 1},
		{[]storage.Message{later, later}, lazyDelay, 0, 2},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			db := openTest(t, dir, Options{Relaxed: true})
			begun := time.Now()
			mustSend(t, db, storage.EventsQueue, tt.ms...)
			if took := time.Since(begun); took != tt.took {
				t.Errorf("Send of %v took %v, want %v", tt.ms, took, tt.took)
			}
			wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: tt.waiting, Delayed: tt.delayed})
		})
	}
}

// TestSendThatIsRefusedCommitsNothing counts transactions.
func TestSendThatIsRefusedCommitsNothing(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	begun := 0
	mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
		was := w.stmts.begin.exec
		w.stmts.begin.exec = execFunc(func(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
			begun++
			return was.ExecContext(ctx, args)
		})
		return nil
	}})
	if errs := db.Send(t.Context(), storage.EventsQueue, []storage.Message{{}, {}}); !errors.Is(errs[0], storage.ErrInvalid) || !errors.Is(errs[1], storage.ErrInvalid) {
		t.Errorf("Send of messages without a body = %v, want ErrInvalid for each", errs)
	}
	if err := db.flush(); err != nil || begun != 1 {
		t.Errorf("%d transactions with the last one, %v, want that alone", begun, err)
	}
}

func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir, Options{})
	if db, err := Open(t.Context(), dir, Options{}); err == nil {
		db.Close()
		t.Errorf("second Open of %s succeeded", dir)
	} else if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process uses this folder") {
		t.Errorf("second Open: %v, want the folder's name in it, and that another process uses it", err)
	}
}

func TestStatementsAreNotCompiledAnewForEachLimit(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{})
	r, err := db.reader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.release()
	limits := 0
	for _, s := range slices.Concat(r.conn.stmts, db.writer.conn.stmts) {
		limits += strings.Count(s.text, "LIMIT +?")
		if strings.Contains(s.text, "LIMIT ?") {
			t.Errorf("a bare parameter as limit: %s", s.text)
		}
	}
	if limits == 0 {
		t.Error("no statement with a limit was looked at")
	}
}

func openTest(t *testing.T, dir string, opts Options) *DB {
	t.Helper()
	db, err := Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return db
}

func serve(t *testing.T, db *DB, q storage.QueueName, c Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- db.Serve(ctx, q, c) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	}
}

func mustSend(t *testing.T, db storage.Queue, q storage.QueueName, ms ...storage.Message) {
	t.Helper()
	if err := errors.Join(db.Send(t.Context(), q, ms)...); err != nil {
		t.Fatal(err)
	}
}
