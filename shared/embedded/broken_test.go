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

	"github.com/google/go-cmp/cmp"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

var errBroken = errors.New("broken by the test")

// broken fails as a file does that can be neither read nor written.
type broken struct{}

func (broken) ExecContext(context.Context, []driver.NamedValue) (driver.Result, error) {
	return nil, errBroken
}

func (broken) QueryContext(context.Context, []driver.NamedValue) (driver.Rows, error) {
	return nil, errBroken
}

// cut has a query fail when its rows are read.
type cut struct{ driver.StmtQueryContext }

func (c cut) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.StmtQueryContext.QueryContext(ctx, args)
	return cutRows{rows}, err
}

type cutRows struct{ driver.Rows }

func (cutRows) Next([]driver.Value) error { return errBroken }

// breakStmt has a statement of the writer fail until mend is called. Both are
// called while the writer has nothing to do, and flush tells it of the change.
func breakStmt(t *testing.T, db *DB, s *stmt) (mend func()) {
	t.Helper()
	if err := db.flush(); err != nil {
		t.Fatal(err)
	}
	was := *s
	s.exec, s.query = broken{}, broken{}
	db.flush() // fails, if s begins or ends a transaction
	return func() {
		s.exec, s.query = was.exec, was.query
		db.flush()
	}
}

// breakReaders has a statement of all readers fail until mend is called.
func breakReaders(t *testing.T, db *DB, which func(*reader) *stmt, how func(*stmt)) (mend func()) {
	t.Helper()
	were := map[*reader]stmt{}
	each := func(f func(*reader)) {
		var rs []*reader
		for range readers {
			r, err := db.reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f(r)
			rs = append(rs, r)
		}
		for _, r := range rs {
			r.release()
		}
	}
	each(func(r *reader) {
		were[r] = *which(r)
		how(which(r))
	})
	return func() {
		each(func(r *reader) { which(r).exec, which(r).query = were[r].exec, were[r].query })
	}
}

// A fixture is a file with a row, a message and a dead letter.
type fixture struct{ *DB }

var fixtureKey = storage.Key{Table: storage.Deliveries, PK: "p", SK: "s"}

func newFixture(t *testing.T) fixture {
	t.Helper()
	db := fixture{openTest(t, t.TempDir(), Options{Relaxed: true})}
	mustPut(t, db, storage.Row{Key: fixtureKey, Rev: "1", Data: []byte("data"), Expires: time.Now().Add(time.Hour)}, "")
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "dead"})
	if err := db.bury(1); err != nil {
		t.Fatal(err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	return db
}

func (db fixture) put(sk, rev, was string) error {
	return db.Put(context.Background(), storage.Row{Key: storage.Key{Table: storage.Deliveries, PK: "p", SK: sk}, Rev: rev}, was)
}

func (db fixture) bury(id int64) error {
	b := burial{waiter: make(waiter, 1), q: db.queue(storage.EventsQueue), id: id}
	db.writer.submit(b)
	return <-b.waiter
}

func (db fixture) send() error {
	return db.Send(context.Background(), storage.EventsQueue, []storage.Message{{Body: "b"}})[0]
}

func (db fixture) redrive() error { return db.Redrive(context.Background(), storage.EventsQueue) }

func (db fixture) sweepAll() error {
	return db.sweepOnce(time.Now().Add(2*deadLetterRetention), time.Now().Add(deadLetterRetention))
}

// state returns the rows by SK and revision, and where the messages are.
func (db fixture) state(t *testing.T) string {
	t.Helper()
	p, err := db.List(t.Context(), storage.Query{Table: storage.Deliveries, PK: "p"})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, r := range p.Rows {
		fmt.Fprint(&b, r.SK, " ", r.Rev, ", ")
	}
	d, err := db.Depth(t.Context(), storage.EventsQueue)
	if err != nil {
		t.Fatal(err)
	}
	const lie = "SELECT (SELECT count(*) FROM events_messages) * 10 + (SELECT count(*) FROM events_dead)"
	if n := ask(t, db.DB, lie); n != int64(d.Waiting*10+d.Dead) {
		t.Errorf("Depth = %+v, while %d messages and %d dead letters lie in the file", d, n/10, n%10)
	}
	fmt.Fprint(&b, d.Waiting, " waiting, ", d.Dead, " dead")
	return b.String()
}

func conflict(err error) error {
	if errors.Is(err, storage.ErrConflict) {
		return nil
	}
	return fmt.Errorf("want a conflict, got: %w", err)
}

// TestCallFailsWithItsStatement breaks each statement of the writer under a call
// that executes it. The call fails, and leaves all as it was; mended, it
// succeeds.
func TestCallFailsWithItsStatement(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name string
		stmt func(w *writerStmts, q *queueStmts) *stmt
		call func(db fixture) error
		want string // when it has succeeded
	}{
		{"put, begin", func(w *writerStmts, _ *queueStmts) *stmt { return w.begin },
			func(db fixture) error { return db.put("t", "1", "") }, "s 1, t 1, 1 waiting, 1 dead"},
		{"put, commit", func(w *writerStmts, _ *queueStmts) *stmt { return w.commit },
			func(db fixture) error { return db.put("t", "1", "") }, "s 1, t 1, 1 waiting, 1 dead"},
		{"put of a new row", func(w *writerStmts, _ *queueStmts) *stmt { return w.putNew },
			func(db fixture) error { return db.put("t", "1", "") }, "s 1, t 1, 1 waiting, 1 dead"},
		{"put of a row that is there", func(w *writerStmts, _ *queueStmts) *stmt { return w.get },
			func(db fixture) error { return conflict(db.put("s", "2", "")) }, "s 1, 1 waiting, 1 dead"},
		{"put over a revision", func(w *writerStmts, _ *queueStmts) *stmt { return w.putOver },
			func(db fixture) error { return db.put("s", "2", "1") }, "s 2, 1 waiting, 1 dead"},
		{"put over any revision", func(w *writerStmts, _ *queueStmts) *stmt { return w.putAny },
			func(db fixture) error { return db.put("s", "2", storage.AnyRev) }, "s 2, 1 waiting, 1 dead"},
		{"delete", func(w *writerStmts, _ *queueStmts) *stmt { return w.deleteRow },
			func(db fixture) error { return db.Delete(context.Background(), fixtureKey, "1") }, "1 waiting, 1 dead"},
		{"delete of another revision", func(w *writerStmts, _ *queueStmts) *stmt { return w.get },
			func(db fixture) error { return conflict(db.Delete(context.Background(), fixtureKey, "0")) }, "s 1, 1 waiting, 1 dead"},
		{"sweep, rows", func(w *writerStmts, _ *queueStmts) *stmt { return w.sweep }, fixture.sweepAll, "1 waiting, 0 dead"},
		{"sweep, dead letters", func(_ *writerStmts, q *queueStmts) *stmt { return q.sweepDead }, fixture.sweepAll, "1 waiting, 0 dead"},
		{"send", func(_ *writerStmts, q *queueStmts) *stmt { return q.insert }, fixture.send, "s 1, 2 waiting, 1 dead"},
		{"send, tally", func(_ *writerStmts, q *queueStmts) *stmt { return q.save }, fixture.send, "s 1, 2 waiting, 1 dead"},
		{"redrive, letters", func(_ *writerStmts, q *queueStmts) *stmt { return q.dead }, fixture.redrive, "s 1, 2 waiting, 0 dead"},
		{"redrive, removal", func(_ *writerStmts, q *queueStmts) *stmt { return q.removeDead }, fixture.redrive, "s 1, 2 waiting, 0 dead"},
		{"redrive, insertion", func(_ *writerStmts, q *queueStmts) *stmt { return q.insert }, fixture.redrive, "s 1, 2 waiting, 0 dead"},
		{"redrive, tally", func(_ *writerStmts, q *queueStmts) *stmt { return q.save }, fixture.redrive, "s 1, 2 waiting, 0 dead"},
		{"burial", func(_ *writerStmts, q *queueStmts) *stmt { return q.bury },
			func(db fixture) error { return db.bury(2) }, "s 1, 0 waiting, 2 dead"},
		{"burial, removal", func(_ *writerStmts, q *queueStmts) *stmt { return q.remove },
			func(db fixture) error { return db.bury(2) }, "s 1, 0 waiting, 2 dead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := newFixture(t)
			before := db.state(t)
			mend := breakStmt(t, db.DB, tt.stmt(&db.writer.stmts, &db.queue(storage.EventsQueue).stmts))
			if err := tt.call(db); !errors.Is(err, errBroken) {
				t.Errorf("with the statement broken: %v, want %v", err, errBroken)
			}
			mend()
			if got := db.state(t); got != before {
				t.Errorf("after the call that failed: %s, want %s", got, before)
			}
			if err := tt.call(db); err != nil {
				t.Errorf("with the statement mended: %v", err)
			}
			if got := db.state(t); got != tt.want {
				t.Errorf("after the call that succeeded: %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRollbackThatFailsIsTold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		mend := breakStmt(t, db, db.writer.stmts.rollback)
		r := refusal{make(waiter, 1)}
		db.writer.submit(r)
		if err := <-r.waiter; !errors.Is(err, errRefusal) || !errors.Is(err, errBroken) {
			t.Errorf("a write that cannot be undone settled with %v, want both %v and %v", err, errRefusal, errBroken)
		}
		mend()
		synctest.Wait()                                        // the writer looks at the log after it has settled
		if err := db.writer.conn.run("ROLLBACK"); err != nil { // for Close
			t.Fatal(err)
		}
	})
}

// TestReadFailsWithItsStatement breaks each statement of the readers, as a whole
// and at its first row.
func TestReadFailsWithItsStatement(t *testing.T) {
	list := func(q storage.Query) func(fixture) error {
		q.Table, q.PK = storage.Deliveries, "p"
		return func(db fixture) error {
			_, err := db.List(context.Background(), q)
			return err
		}
	}
	for _, tt := range []struct {
		name string
		stmt func(*reader) *stmt
		call func(db fixture) error
	}{
		{"get", func(r *reader) *stmt { return r.get }, func(db fixture) error {
			_, err := db.Get(context.Background(), fixtureKey)
			return err
		}},
		{"list", func(r *reader) *stmt { return r.oldest }, list(storage.Query{})},
		{"list, newest first", func(r *reader) *stmt { return r.newest }, list(storage.Query{Newest: true})},
		{"list of open rows", func(r *reader) *stmt { return r.open }, list(storage.Query{Open: true})},
		{"list of open rows, newest first", func(r *reader) *stmt { return r.openNewest }, list(storage.Query{Open: true, Newest: true})},
		{"due rows", func(r *reader) *stmt { return r.due }, func(db fixture) error {
			_, _, err := db.Due(context.Background(), 0, time.Now(), "", 0)
			return err
		}},
		{"depth", func(r *reader) *stmt { return r.queues[storage.EventsQueue].delayed }, func(db fixture) error {
			_, err := db.Depth(context.Background(), storage.EventsQueue)
			return err
		}},
	} {
		for how, breakIt := range map[string]func(*stmt){
			"as a whole": func(s *stmt) { s.query = broken{} },
			"at a row":   func(s *stmt) { s.query = cut{s.query} },
		} {
			t.Run(tt.name+" "+how, func(t *testing.T) {
				db := newFixture(t)
				mend := breakReaders(t, db.DB, tt.stmt, breakIt)
				for range readers + 1 { // none of them is lost
					if err := tt.call(db); !errors.Is(err, errBroken) {
						t.Errorf("with the statement broken: %v, want %v", err, errBroken)
					}
				}
				mend()
				if err := tt.call(db); err != nil {
					t.Errorf("with the statement mended: %v", err)
				}
			})
		}
	}
}

// TestMessageComesWhenItsStatementIsMended breaks each statement that a message
// needs on its way to a handler and out of the file, for a minute. It is not
// lost, and comes as soon as the loader tries again.
func TestMessageComesWhenItsStatementIsMended(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stmt    func(q *queueStmts) *stmt
		message storage.Message
		again   int             // times that it is asked for again
		want    []time.Duration // when it is received
	}{
		{"due ones", func(q *queueStmts) *stmt { return q.due }, storage.Message{Body: "a", Delay: 10 * time.Second}, 0, []time.Duration{time.Minute}},
		{"mark", func(q *queueStmts) *stmt { return q.mark }, storage.Message{Body: "a", Delay: 10 * time.Second}, 0, []time.Duration{time.Minute}},
		{"next due one", func(q *queueStmts) *stmt { return q.nextDue }, storage.Message{Body: "a", Delay: 10 * time.Second}, 0, []time.Duration{time.Minute}},
		{"tally", func(q *queueStmts) *stmt { return q.save }, storage.Message{Body: "a"}, 0, []time.Duration{0}},
		{"removal", func(q *queueStmts) *stmt { return q.remove }, storage.Message{Body: "a"}, 0, []time.Duration{0}},
		{"mark of one that comes again", func(q *queueStmts) *stmt { return q.mark }, storage.Message{Body: "a"}, 1, []time.Duration{0, DefaultVisibility}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{})
				start := time.Now()
				var got []time.Duration
				mustSend(t, db, storage.EventsQueue, tt.message)
				begun := time.Since(start) // of a delayed one: leisure
				mend := breakStmt(t, db, tt.stmt(&db.queue(storage.EventsQueue).stmts))
				stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
					got = append(got, time.Since(start)-begun)
					if len(got) <= tt.again {
						return []string{ms[0].Receipt}, nil
					}
					return nil, nil
				}})
				time.Sleep(time.Minute - time.Millisecond)
				synctest.Wait()
				mend()
				time.Sleep(time.Hour)
				stop()
				if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() <= readRetryWait })); diff != "" {
					t.Errorf("received after %v, want %v and at most %v later", got, tt.want, readRetryWait)
				}
				wantDepth(t, db, storage.EventsQueue, storage.Depth{})
				if n := ask(t, db, "SELECT count(*) FROM events_messages"); n != 0 {
					t.Errorf("%d messages in the file, want none", n)
				}
			})
		})
	}
}

// TestMessagesOfAFormerProcessComeWhenTheyCanBeRead breaks what brings messages
// that lie in the file alone.
func TestMessagesOfAFormerProcessComeWhenTheyCanBeRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		stmt func(q *queueStmts) *stmt
	}{
		{"old ones", func(q *queueStmts) *stmt { return q.old }},
		{"mark", func(q *queueStmts) *stmt { return q.mark }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db, err := Open(t.Context(), dir, Options{})
				if err != nil {
					t.Fatal(err)
				}
				mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"})
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = openTest(t, dir, Options{})
				mend := breakStmt(t, db, tt.stmt(&db.queue(storage.EventsQueue).stmts))
				var got []string
				stop := serve(t, db, storage.EventsQueue, record(&got))
				time.Sleep(time.Minute - time.Millisecond)
				synctest.Wait()
				mend()
				time.Sleep(time.Hour)
				stop()
				if want := []string{"a 1 after 1m0s", "b 1 after 1m0s"}; !cmp.Equal(want, got) {
					t.Errorf("received %q, want %q", got, want)
				}
				wantDepth(t, db, storage.EventsQueue, storage.Depth{})
			})
		})
	}
}

// TestBacklogComesWhenItCanBeRead breaks what reads fresh messages for which
// there was no room in memory.
func TestBacklogComesWhenItCanBeRead(t *testing.T) {
	proofs.Long(t)
	for how, breakIt := range map[string]func(*stmt){
		"as a whole": func(s *stmt) { s.query = broken{} },
		"at a row":   func(s *stmt) { s.query = cut{s.query} },
	} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{Relaxed: true})
				large := strings.Repeat("x", 900<<10)
				for range 10 {
					mustSend(t, db, storage.EventsQueue, storage.Message{Body: large})
				}
				mend := breakReaders(t, db, func(r *reader) *stmt { return r.queues[storage.EventsQueue].fresh }, breakIt)
				var got []string
				stop := serve(t, db, storage.EventsQueue, record(&got))
				time.Sleep(time.Minute - time.Millisecond)
				synctest.Wait()
				inMemory := len(got)
				mend()
				time.Sleep(time.Hour)
				stop()
				if inMemory == 0 || inMemory > maxReadyBytes/len(large) || len(got) != 10 {
					t.Errorf("received %d messages before and %d in all, want those in memory, at most %d, and all 10", inMemory, len(got), maxReadyBytes/len(large))
				}
				if last := got[len(got)-1]; !strings.HasSuffix(last, " 1 after 1m0s") {
					t.Errorf("the last was received as %q, want once, when it could be read", last[len(large):])
				}
				wantDepth(t, db, storage.EventsQueue, storage.Depth{})
			})
		})
	}
}

// record returns a consumer that finishes all messages and notes each, how often
// it was received, and after how much time, to the second.
func record(got *[]string) Consumer {
	start := time.Now()
	return Consumer{Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
		for _, m := range ms {
			*got = append(*got, fmt.Sprint(m.Body, " ", m.Receives, " after ", time.Since(start).Round(time.Second)))
		}
		return nil, nil
	}}
}

// TestFailureOfTheLoaderIsLoggedOnceATry counts lines while a message cannot be
// taken, and wants none about the end of the store.
func TestFailureOfTheLoaderIsLoggedOnceATry(t *testing.T) {
	lines := captureLog(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a", Delay: time.Second})
		mend := breakStmt(t, db, db.queue(storage.EventsQueue).stmts.due)
		stop := serve(t, db, storage.EventsQueue, Consumer{Handler: func(context.Context, []storage.Received) ([]string, error) { return nil, nil }})
		time.Sleep(10*readRetryWait + readRetryWait/2)
		synctest.Wait()
		mend()
		stop()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if n := strings.Count(lines.String(), "load messages"); n != 10 {
		t.Errorf("%d lines in %v, want one a try, every %v:\n%s", n, 10*readRetryWait, readRetryWait, lines)
	}
	if strings.Contains(lines.String(), errClosed.Error()) {
		t.Errorf("the end of the store is logged as a failure:\n%s", lines)
	}
}
