package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// stall has s, which begins or ends a transaction, wait until release is called: as
// while another process holds the file, or the disk does not sync.
func stall(t *testing.T, db *DB, which func(*writerStmts) *stmt) (release func()) {
	t.Helper()
	armed, stalled := make(chan struct{}), make(chan struct{})
	mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
		s := which(&w.stmts)
		was := s.exec
		s.exec = execFunc(func(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
			select {
			case <-armed:
				<-stalled
			default: // the transaction that this is done in
			}
			return was.ExecContext(ctx, args)
		})
		return nil
	}})
	close(armed)
	return func() { close(stalled) }
}

// TestCallsEndWithTheirContext has a transaction that stalls for longer. What the
// writer does afterwards is done once, and the caller may use what it was answered.
func TestCallsEndWithTheirContext(t *testing.T) {
	const limit = 1500 * time.Millisecond
	put := func(was string) func(context.Context, *DB) []error {
		return func(ctx context.Context, db *DB) []error {
			return []error{db.Put(ctx, storage.Row{Key: numbered(1), Rev: "2"}, was)}
		}
	}
	remove := func(was string) func(context.Context, *DB) []error {
		return func(ctx context.Context, db *DB) []error { return []error{db.Delete(ctx, numbered(1), was)} }
	}
	calls := []struct {
		name string
		call func(context.Context, *DB) []error
		sent int64  // messages, once it is over
		rev  string // of the row
	}{
		{"send", func(ctx context.Context, db *DB) []error {
			return db.Send(ctx, storage.EventsQueue, []storage.Message{{Body: "b"}, {}})
		}, 1, "1"},
		{"delayed send", func(ctx context.Context, db *DB) []error {
			return db.Send(ctx, storage.EventsQueue, []storage.Message{{Body: "b", Delay: time.Second}})
		}, 1, "1"},
		{"put", put("1"), 0, "2"},
		{"conflicting put", put("0"), 0, "1"},
		{"delete", remove("1"), 0, ""},
		{"conflicting delete", remove("0"), 0, "1"},
		{"redrive", func(ctx context.Context, db *DB) []error { return []error{db.Redrive(ctx, storage.EventsQueue)} }, 1, "1"},
	}
	for _, at := range []struct {
		name  string
		which func(*writerStmts) *stmt
	}{
		{"begin", func(s *writerStmts) *stmt { return s.begin }},
		{"commit", func(s *writerStmts) *stmt { return s.commit }},
	} {
		for _, tt := range calls {
			t.Run(tt.name+" at "+at.name, func(t *testing.T) {
				dir := t.TempDir()
				synctest.Test(t, func(t *testing.T) {
					db := openTest(t, dir, Options{Relaxed: true})
					mustPut(t, db, storage.Row{Key: numbered(1), Rev: "1"}, "")
					mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
					if err := (fixture{db}).bury(1); err != nil {
						t.Fatal(err)
					}
					stalled := stall(t, db, at.which)
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					begun := time.Now()
					errs := tt.call(ctx, db)
					if took := time.Since(begun); took != limit || !errors.Is(errs[0], context.DeadlineExceeded) {
						t.Errorf("%v after %v, want the end of the deadline after %v", errs, took, limit)
					}
					stalled()
					clear(errs)
					if err := db.flush(); err != nil {
						t.Fatal(err)
					}
					if n := ask(t, db, "SELECT count(*) FROM events_messages"); n != tt.sent {
						t.Errorf("%d messages once it is over, want %d", n, tt.sent)
					}
					rows, err := db.Get(t.Context(), numbered(1))
					if err != nil {
						t.Fatal(err)
					}
					want := "[]"
					if tt.rev != "" {
						want = fmt.Sprintf("[%s]", tt.rev)
					}
					revs := []string{}
					for _, r := range rows {
						revs = append(revs, r.Rev)
					}
					if got := fmt.Sprint(revs); got != want {
						t.Errorf("the row's revision is %s once it is over, want %s", got, want)
					}
				})
			})
		}
	}
}
