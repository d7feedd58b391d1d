package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/storage"
)

// TestLateHandlerGivesNothingBackThatAnotherHas lets a handler end too late,
// and want its message again, while a second one is still at work on it.
func TestLateHandlerGivesNothingBackThatAnotherHas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		start := time.Now()
		var mu sync.Mutex
		var receives []string
		stop := serve(t, db, storage.EventsQueue, Consumer{Concurrency: 4, Timeout: time.Hour, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			mu.Lock()
			receives = append(receives, fmt.Sprint(ms[0].Receives, " after ", time.Since(start)))
			mu.Unlock()
			if ms[0].Receives > 1 {
				time.Sleep(DefaultVisibility - time.Second) // in time
				return nil, nil
			}
			time.Sleep(DefaultVisibility + time.Minute)
			return []string{ms[0].Receipt}, nil
		}})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		time.Sleep(time.Hour)
		stop()
		if want := []string{"1 after 0s", "2 after 3m0s"}; !cmp.Equal(receives, want) {
			t.Errorf("received %q, want %q", receives, want)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{})
	})
}

// TestFinishThatFailsIsTriedAgain fails the commit with which one message of a
// batch would be deleted and the other given back.
func TestFinishThatFailsIsTriedAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		start := time.Now()
		var receives []string
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) (again []string, err error) {
			for _, m := range ms {
				receives = append(receives, fmt.Sprint(m.Body, " ", m.Receives, " after ", time.Since(start)))
				if m.Body == "again" && m.Receives == 1 {
					again = append(again, m.Receipt)
				}
			}
			return again, nil
		}})
		synctest.Wait() // the consumer is there, so that no touch shares the finish's commit
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "done"}, storage.Message{Body: "again"})
		synctest.Wait() // the finish waits for others
		wantRefused(t, db)
		const count = "SELECT count(*) FROM events_messages"
		if n := ask(t, db, count); n != 2 {
			t.Errorf("%d messages in the file after the commit failed, want both", n)
		}
		time.Sleep(2 * readPause)
		if n := ask(t, db, count); n != 1 {
			t.Errorf("%d messages in the file %v after the commit failed, want the one that comes again", n, 2*readPause)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{Delayed: 1})
		time.Sleep(DefaultVisibility)
		stop()
		if want := []string{"done 1 after 0s", "again 1 after 0s", "again 2 after 3m0s"}; !cmp.Equal(receives, want) {
			t.Errorf("received %q, want %q", receives, want)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{})
	})
}

// TestFinishThatFailsIsTriedOnceASecond counts the tries in a minute in which
// nothing can be deleted: each is a commit, and who tries without a pause keeps
// the processor and the disk busy for as long as the disk is full.
func TestFinishThatFailsIsTriedOnceASecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		remove := db.queue(storage.EventsQueue).stmts.remove
		tries := 0
		real := remove.exec
		remove.exec = execFunc(func(context.Context, []driver.NamedValue) (driver.Result, error) {
			if tries++; tries > 1000 {
				t.Error("a finish is tried without a pause")
				remove.exec = real
			}
			return nil, errRefusal
		})
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(context.Context, []storage.Received) ([]string, error) { return nil, nil }})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		for range 600 {
			time.Sleep(time.Minute / 600)
			wakeUp(db.queue(storage.EventsQueue).loader) // as other messages do
		}
		synctest.Wait()
		if most := int(time.Minute/readPause) + 1; tries < most/2 || tries > most {
			t.Errorf("tried %d times in a minute, want about %d", tries, most)
		}
		remove.exec = real
		if err := db.flush(); err != nil { // tells the writer of the change
			t.Fatal(err)
		}
		time.Sleep(2 * readPause)
		synctest.Wait()
		wantDepth(t, db, storage.EventsQueue, storage.Depth{})
		stop()
	})
}

// An execFunc executes a statement.
type execFunc func(context.Context, []driver.NamedValue) (driver.Result, error)

func (f execFunc) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return f(ctx, args)
}

var errRefusal = errors.New("refused by the test")

// A refusal undoes the transaction that it takes part in.
type refusal struct{ settled }

func (refusal) apply(*writer) error { return errRefusal }

// wantRefused has the next commit fail, with all that is pending.
func wantRefused(t *testing.T, db *DB) {
	t.Helper()
	r := refusal{make(settled, 1)}
	db.writer.start(r)
	if err := <-r.settled; !errors.Is(err, errRefusal) {
		t.Errorf("a write that cannot be done settled with %v, want %v", err, errRefusal)
	}
}

func wantDepth(t *testing.T, db *DB, q storage.QueueName, want storage.Depth) {
	t.Helper()
	if d, err := db.Depth(t.Context(), q); err != nil || d != want {
		t.Errorf("Depth of %s = %+v, %v, want %+v", q, d, err, want)
	}
}
