package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// TestReadFillsReadyAndKnowsWhereItEnded reads fresh messages of one size each
// from the file, beside some that are in memory.
func TestReadFillsReadyAndKnowsWhereItEnded(t *testing.T) {
	for _, tt := range []struct {
		name             string
		fresh, bytes     int // messages in the file, from number 1
		ready, readySize int // in memory
		tail             int64
		read             int
		loaded           int64
		more             int // bytes of the second
	}{
		{"none", 0, 1, 0, 0, 5, 0, 5, 0},
		{"some", 3, 1, 0, 0, 5, 3, 5, 0},
		{"beside others", 3, 1, 2, 10, 5, 3, 5, 0},
		{"just as many as are read at once", maxReady, 1, 0, 0, maxReady + 5, maxReady, maxReady, 0},
		{"one less", maxReady - 1, 1, 0, 0, maxReady + 5, maxReady - 1, maxReady + 5, 0},
		{"more", maxReady + 1, 1, 0, 0, maxReady + 5, maxReady, maxReady, 0},
		{"no place", 3, 1, maxReady, maxReady, 5, 0, 0, 0},
		{"place for two", 3, 1, maxReady - 2, maxReady, 5, 2, 2, 0},
		{"memory for two", 3, 10, 1, maxReadyBytes - 20, 5, 2, 2, 0},
		{"memory for three", 3, 10, 1, maxReadyBytes - 30, 5, 3, 5, 0},
		{"no memory for the second", 3, 10, 1, maxReadyBytes - 30, 5, 1, 1, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{Relaxed: true})
				q := db.queue(storage.EventsQueue)
				synctest.Wait() // the loader rests
				mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
					for i := range tt.fresh {
						size := tt.bytes
						if i == 1 {
							size += tt.more
						}
						if _, err := q.stmts.insert.do(int64(i+1), strings.Repeat("x", size), nil); err != nil {
							return err
						}
					}
					return nil
				}})
				wake := q.join(Consumer{})
				synctest.Wait()
				q.ready, q.readySize, q.tail = make([]message, tt.ready), tt.readySize, tt.tail
				if err := q.read(db); err != nil {
					t.Fatal(err)
				}
				if n := len(q.ready) - tt.ready; n != tt.read || q.loaded != tt.loaded || q.readySize != tt.readySize+n*tt.bytes {
					t.Errorf("read %d messages of %d bytes, up to %d; want %d up to %d", n, q.readySize-tt.readySize, q.loaded, tt.read, tt.loaded)
				}
				if !taken(wake) {
					t.Error("the consumer is not woken")
				}
			})
		})
	}
}

// TestLoaderThatIsWokenForNothingAsksNothing counts its questions to the file.
func TestLoaderThatIsWokenForNothingAsksNothing(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		q := db.queue(storage.EventsQueue)
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(context.Context, []storage.Received) ([]string, error) { return nil, nil }})
		defer stop()
		synctest.Wait()
		asked := 0
		count := func(s *stmt) {
			was := s.query
			s.query = queryFunc(func() (driver.Rows, error) {
				asked++
				return was.QueryContext(context.Background(), []driver.NamedValue{{Ordinal: 1, Value: int64(0)}, {Ordinal: 2, Value: int64(0)}})
			})
		}
		mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
			count(q.stmts.due)
			return nil
		}})
		defer breakReaders(t, db, func(r *reader) *stmt { return r.queues[storage.EventsQueue].fresh }, count)()
		wakeUp(q.loader)
		synctest.Wait()
		if asked != 0 {
			t.Errorf("the loader asked %d times, want none", asked)
		}
	})
}

// TestEndOfTheStoreIsNoFailureOfTheLoader closes while the loader waits for a
// reader.
func TestEndOfTheStoreIsNoFailureOfTheLoader(t *testing.T) {
	lines := captureLog(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var all []*reader
		for range readers {
			r, err := db.reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		q := db.queue(storage.EventsQueue)
		q.mu.Lock()
		q.tail = 1 // lies in the file alone
		q.mu.Unlock()
		wakeUp(q.loader)
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- db.Close() }()
		synctest.Wait()
		if err := q.read(db); !errors.Is(err, errClosed) {
			t.Errorf("read without a reader in a store that ends = %v, want %v", err, errClosed)
		}
		for _, r := range all {
			r.release()
		}
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
	})
	if lines.Len() > 0 {
		t.Errorf("logged %s, want nothing", lines)
	}
}

func TestTakenMessagesWaitForTheNextHandler(t *testing.T) {
	q, _ := newMemory()
	q.marked, q.oldAfter = []message{{id: 1}}, 1
	due := time.Unix(5, 0)
	q.addTaken(&take{taken: []message{{id: 2}, {id: 3}}, oldAfter: 3, nextDue: due})
	if got := fmt.Sprint(q.marked); got != "[{1  0 } {2  0 } {3  0 }]" || q.oldAfter != 3 || !q.nextDue.Equal(due) {
		t.Errorf("marked %s, old ones up to %d, next due at %v; want three, 3 and %v", got, q.oldAfter, q.nextDue, due)
	}
}
