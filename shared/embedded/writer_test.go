package embedded

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// TestWriteThatFailsUndoesItsCommitAlone fails one write of a commit with an
// error after which SQLite leaves the transaction open, as it does with all but
// a few.
func TestWriteThatFailsUndoesItsCommitAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		row := func(sk string) storage.Row {
			return storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: sk}, Rev: "r"}
		}
		mustPut(t, db, row("before"), "")
		shared := &put{settled: make(settled, 1), row: row("shared")}
		db.writer.startAtLeisure(shared)
		wantRefused(t, db)
		if err := <-shared.settled; !errors.Is(err, errRefusal) {
			t.Errorf("the write that shared the commit settled with %v, want %v", err, errRefusal)
		}
		for i := range 3 {
			mustPut(t, db, row(fmt.Sprint("after ", i)), "")
		}
		p, err := db.List(t.Context(), storage.Query{Table: storage.Deliveries, PK: "p"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range p.Rows {
			got = append(got, r.SK)
		}
		if want := "[after 0 after 1 after 2 before]"; fmt.Sprint(got) != want {
			t.Errorf("rows %v in the file, want %v", got, want)
		}
	})
}

func TestDepthDoesNotCountWhatWasUndone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"})
		sent := make(chan error, 1)
		go func() {
			undone := []storage.Message{{Body: "undone", Delay: time.Minute}, {Body: "undone as well", Delay: time.Minute}}
			sent <- db.Send(t.Context(), storage.EventsQueue, undone)[0]
		}()
		b := burial{settled: make(settled, 1), q: db.queue(storage.EventsQueue), id: 1}
		db.writer.startAtLeisure(b)
		synctest.Wait()
		wantRefused(t, db)
		if err := <-sent; !errors.Is(err, errRefusal) {
			t.Errorf("Send in a commit that failed = %v, want %v", err, errRefusal)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 2})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "c"}) // writes the counts
		wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 3})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wantDepth(t, openTest(t, dir, Options{}), storage.EventsQueue, storage.Depth{Waiting: 3})
	})
}

// TestConnectionsAreSetForTheirTask asks SQLite how each connection is set. The
// writer's synchronous is the promise that what was answered survives a power
// failure: 2 is FULL, 1 is NORMAL ("PRAGMA synchronous", SQLite).
func TestConnectionsAreSetForTheirTask(t *testing.T) {
	for _, tt := range []struct {
		name        string
		opts        Options
		synchronous int64
	}{
		{"by default", Options{}, 2},
		{"relaxed", Options{Relaxed: true}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openTest(t, t.TempDir(), tt.opts)
			for _, want := range []struct {
				pragma string
				value  driver.Value
			}{
				{"synchronous", tt.synchronous},
				{"journal_mode", "wal"},
				{"wal_autocheckpoint", int64(0)},
				{"page_size", int64(8192)},
				{"busy_timeout", int64(5000)},
				{"cache_size", int64(-writerCache)},
			} {
				q := &question{settled: make(settled, 1), text: "PRAGMA " + want.pragma}
				db.writer.start(q)
				if err := <-q.settled; err != nil || q.answer != want.value {
					t.Errorf("%s of the writer's connection: %v, %v, want %v", q.text, q.answer, err, want.value)
				}
			}
			if got := ask(t, db, "PRAGMA query_only"); got != 1 {
				t.Errorf("PRAGMA query_only of a reader: %d, want 1", got)
			}
		})
	}
}

// A question is asked of the writer's connection.
type question struct {
	settled
	text   string
	answer driver.Value
}

func (q *question) apply(w *writer) error {
	return w.conn.each(q.text, func(v []driver.Value) error {
		q.answer = v[0]
		return nil
	})
}
