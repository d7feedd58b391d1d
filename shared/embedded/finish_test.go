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
		time.Sleep(2 * readRetryWait)
		if n := ask(t, db, count); n != 1 {
			t.Errorf("%d messages in the file %v after the commit failed, want the one that comes again", n, 2*readRetryWait)
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
		if most := int(time.Minute/readRetryWait) + 1; tries < most/2 || tries > most {
			t.Errorf("tried %d times in a minute, want about %d", tries, most)
		}
		remove.exec = real
		if err := db.flush(); err != nil { // tells the writer of the change
			t.Fatal(err)
		}
		time.Sleep(2 * readRetryWait)
		synctest.Wait()
		wantDepth(t, db, storage.EventsQueue, storage.Depth{})
		stop()
	})
}

// TestBatchesWhoseTimeIsOverComeAgain asks at the moment of the second of three
// deadlines.
func TestBatchesWhoseTimeIsOverComeAgain(t *testing.T) {
	q, _ := newMemory()
	now := time.Now()
	var out []*inFlightBatch
	for i := range 3 {
		f := &inFlightBatch{messages: []message{{id: int64(2*i + 1)}, {id: int64(2*i + 2)}}, deadline: now.Add(time.Duration(i-1) * time.Second)}
		f.element = q.inFlightBatches.PushBack(f)
		q.inFlight += 2
		out = append(out, f)
	}
	given := q.expireBatches(now)
	if len(given) != 2 || q.inFlight != 2 || q.inFlightBatches.Len() != 1 || !out[0].expired || !out[1].expired || out[2].expired {
		t.Fatalf("%d batches come again, %d of %d messages are in flight: want 2, and the third batch", len(given), q.inFlight, 6)
	}
	for i, x := range given {
		if x.q != q || fmt.Sprint(x.unfinished) != fmt.Sprint(out[i].messages) || !x.visible.Equal(now) || len(x.done) != 0 {
			t.Errorf("batch %d comes again as %+v, want %v at once", i, x, out[i].messages)
		}
	}
	if again := q.expireBatches(now); len(again) != 0 {
		t.Errorf("%d batches come again twice", len(again))
	}
}

// TestHandlerThatIsDoneIsFree lands a batch in time and one that is over.
func TestHandlerThatIsDoneIsFree(t *testing.T) {
	past := time.Now().Add(-time.Second)
	for _, tt := range []struct {
		name           string
		over           bool
		nextDue        time.Time
		flying, flight int // messages, batches afterwards
		woken          bool
	}{
		{"in time", false, time.Time{}, 3, 0, false},
		{"too late", true, time.Time{}, 5, 1, false},
		{"while a message is due", false, past, 3, 0, true},
	} {
		q, _ := newMemory()
		q.inFlight, q.nextDue = 5, tt.nextDue
		f := &inFlightBatch{messages: []message{{id: 1}, {id: 2}}, expired: tt.over}
		f.element = q.inFlightBatches.PushBack(f)
		if over := q.endBatch(f, 10); over != tt.over || q.idleCapacity != 10 || q.inFlight != tt.flying || q.inFlightBatches.Len() != tt.flight {
			t.Errorf("%s: over %v, %d free, %d messages in flight in %d batches, want %+v and 10 free", tt.name, over, q.idleCapacity, q.inFlight, q.inFlightBatches.Len(), tt)
		}
		if woken := taken(q.loader); woken != tt.woken {
			t.Errorf("%s: the loader is woken: %v, want %v", tt.name, woken, tt.woken)
		}
	}
}

// TestFailedFinishesWaitTogether fails two, the second half a pause later.
func TestFailedFinishesWaitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := newMemory()
		first, second := &finish{q: q}, &finish{q: q}
		begun := time.Now()
		first.settle(errRefusal)
		time.Sleep(readRetryWait / 2)
		second.settle(errRefusal)
		if got := q.takeFailed(); len(got) != 0 || !q.retryAt.Equal(begun.Add(readRetryWait)) {
			t.Errorf("%d are tried again at once, the rest after %v; want none until %v", len(got), q.retryAt.Sub(begun), readRetryWait)
		}
		time.Sleep(readRetryWait / 2)
		if got := q.takeFailed(); len(got) != 2 || got[0] != first || got[1] != second || len(q.failed) != 0 {
			t.Errorf("%v are tried again and %v left, want both and none", got, q.failed)
		}
		if got := q.takeFailed(); len(got) != 0 {
			t.Errorf("%v are tried again twice", got)
		}
	})
}

// TestOnlyWhatIsThereIsGivenBack gives back a message that was deleted, and two
// of which the first is there.
func TestOnlyWhatIsThereIsGivenBack(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"})
	q := db.queue(storage.EventsQueue)
	for _, tt := range []struct {
		again []message
		want  bool
	}{
		{[]message{{id: 9}}, false},
		{[]message{{id: 1, receives: 3}, {id: 9}}, true},
		{nil, false},
	} {
		x := &finish{q: q, unfinished: tt.again, visible: time.UnixMilli(5000)}
		mustWrite(t, db, step{make(waiter, 1), x.apply})
		if x.returned != tt.want {
			t.Errorf("%v given back: %v, want %v", tt.again, x.returned, tt.want)
		}
	}
	if n := ask(t, db, "SELECT count(*) FROM events_messages WHERE id = 1 AND receives = 3 AND visible = 5000"); n != 1 {
		t.Error("the message that was given back is not in the file as it was given")
	}
	wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 2})
}

// An execFunc executes a statement.
type execFunc func(context.Context, []driver.NamedValue) (driver.Result, error)

func (f execFunc) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return f(ctx, args)
}

var errRefusal = errors.New("refused by the test")

// A refusal undoes the transaction that it takes part in.
type refusal struct{ waiter }

func (refusal) apply(*writer) error { return errRefusal }

// wantRefused has the next commit fail, with all that is pending.
func wantRefused(t *testing.T, db *DB) {
	t.Helper()
	r := refusal{make(waiter, 1)}
	db.writer.submit(r)
	if err := <-r.waiter; !errors.Is(err, errRefusal) {
		t.Errorf("a write that cannot be done settled with %v, want %v", err, errRefusal)
	}
}

func wantDepth(t *testing.T, db *DB, q storage.QueueName, want storage.Depth) {
	t.Helper()
	if d, err := db.Depth(t.Context(), q); err != nil || d != want {
		t.Errorf("Depth of %s = %+v, %v, want %+v", q, d, err, want)
	}
}
