package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

// A step is a write that does what the test says.
type step struct {
	waiter
	do func(w *writer) error
}

func (s step) apply(w *writer) error { return s.do(w) }

func mustWrite(t *testing.T, db *DB, x interface {
	write
	wait(context.Context) error
}) {
	t.Helper()
	db.writer.submit(x)
	if err := x.wait(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestTakeFillsItsMemory takes from ten messages, four of which fill the memory
// that is meant for them exactly.
func TestTakeFillsItsMemory(t *testing.T) {
	proofs.Long(t)
	full := strings.Repeat("x", maxReadyBytes/4)
	for _, tt := range []struct {
		name  string
		body  string
		delay time.Duration
		want  int
		taken []int64
		rest  int // of the next take of as many
	}{
		{"small ones, all", "x", 0, 20, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0},
		{"small ones, exactly all", "x", 0, 10, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0},
		{"small ones, a part", "x", 0, 4, []int64{1, 2, 3, 4}, 4},
		{"large ones", full, 0, 20, []int64{1, 2, 3, 4, 5}, 5},
		{"large ones, a part", full, 0, 4, []int64{1, 2, 3, 4}, 4},
		{"delayed ones, all", "x", time.Second, 20, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 0},
		{"delayed ones, a part", "x", time.Second, 4, []int64{1, 2, 3, 4}, 4},
		{"delayed large ones", full, time.Second, 20, []int64{1, 2, 3, 4, 5}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db, err := Open(t.Context(), dir, Options{Relaxed: true})
				if err != nil {
					t.Fatal(err)
				}
				for range 10 {
					mustSend(t, db, storage.EventsQueue, storage.Message{Body: tt.body, Delay: tt.delay})
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = openTest(t, dir, Options{Relaxed: true})
				time.Sleep(2 * tt.delay)
				q := db.queue(storage.EventsQueue)
				after, next := int64(0), int64(1)
				for i, want := range []int{len(tt.taken), tt.rest} {
					x := &take{waiter: make(waiter, 1), q: q, want: tt.want, oldAfter: after}
					mustWrite(t, db, x)
					var ids []int64
					for _, m := range x.taken {
						ids = append(ids, m.id)
					}
					if len(ids) != want || i == 0 && !slices.Equal(ids, tt.taken) || want > 0 && ids[0] != next {
						t.Errorf("take %d of %d took %v, want %d messages from %d on, the first %v", i, tt.want, ids, want, next, tt.taken)
					}
					next += int64(len(ids))
					after = x.oldAfter
				}
			})
		})
	}
}

// TestTakeBuriesWhatWasReceivedTooOften takes messages that were received as
// often as may be, once less and never.
func TestTakeBuriesWhatWasReceivedTooOften(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	q := db.queue(storage.EventsQueue)
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"}, storage.Message{Body: "c"})
	if err := db.change("UPDATE events_messages SET visible = id, receives = max(0, ? - (id - 1) * (id - 1) * (id - 1))", int64(storage.MaxReceives)); err != nil {
		t.Fatal(err)
	}
	mend := breakStmt(t, db, q.stmts.bury)
	x := &take{waiter: make(waiter, 1), q: q, want: 10}
	db.writer.submit(x)
	if err := <-x.waiter; !errors.Is(err, errBroken) {
		t.Errorf("take that cannot bury = %v, want %v", err, errBroken)
	}
	mend()
	x = &take{waiter: make(waiter, 1), q: q, want: 10}
	mustWrite(t, db, x)
	if got, want := fmt.Sprint(x.taken), fmt.Sprintf("[{2 b %d } {3 c 0 }]", storage.MaxReceives-1); got != want {
		t.Errorf("took %s, want %s", got, want)
	}
	if n := ask(t, db, "SELECT id FROM events_dead WHERE body = 'a'"); n != 1 {
		t.Errorf("dead is number %d, want 1", n)
	}
	wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 2, Dead: 1})
}

// TestDueMessagesComeBeforeOldOnes takes fewer than there are of both.
func TestDueMessagesComeBeforeOldOnes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			mustSend(t, db, storage.EventsQueue, storage.Message{Body: fmt.Sprint("old ", i)})
		}
		for i := range 3 {
			mustSend(t, db, storage.EventsQueue, storage.Message{Body: fmt.Sprint("due ", i), Delay: time.Duration(3-i) * time.Second})
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, dir, Options{Relaxed: true})
		time.Sleep(time.Minute)
		var got []string
		c := record(&got)
		c.Batch = 2
		stop := serve(t, db, storage.EventsQueue, c)
		time.Sleep(time.Minute)
		stop()
		want := []string{"due 2", "due 1", "due 0", "old 0", "old 1", "old 2"}
		for i := range got {
			got[i] = strings.TrimSuffix(got[i], " 1 after 0s")
		}
		if !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
	})
}

// TestRedriveGoesInChunks looks at what one commit moves.
func TestRedriveGoesInChunks(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name           string
		letters, bytes int
		want           int
	}{
		{"small ones", 3*redriveChunk + 5, 1, redriveChunk},
		{"large ones", 16, maxReadyBytes / 4, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openTest(t, t.TempDir(), Options{Relaxed: true})
			q := db.queue(storage.EventsQueue)
			mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
				for i := range tt.letters {
					if _, err := q.stmts.bury.do(int64(i+1), strings.Repeat("x", tt.bytes), time.Now().Unix()); err != nil {
						return err
					}
				}
				q.lastID = int64(tt.letters)
				q.now.dead += tt.letters
				return nil
			}})
			r := &redrive{waiter: make(waiter, 1), q: q}
			mustWrite(t, db, r)
			if len(r.moved) != tt.want || r.moved[0].id != int64(tt.letters+1) || r.moved[0].receives != 0 || r.until != int64(tt.letters) {
				t.Errorf("one commit moved %d letters up to number %d, the first to %d; want %d, %d and %d", len(r.moved), r.until, r.moved[0].id, tt.want, tt.letters, tt.letters+1)
			}
			wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: tt.want, Dead: tt.letters - tt.want})
			if err := db.Redrive(t.Context(), storage.EventsQueue); err != nil {
				t.Fatal(err)
			}
			wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: tt.letters})
			if got := receiveAll(t, db, storage.EventsQueue); len(got) != tt.letters {
				t.Errorf("received %d messages, want %d", len(got), tt.letters)
			}
		})
	}
}

// queryArgs is asked with arguments.
type queryArgs func(args []driver.NamedValue) (driver.Rows, error)

func (f queryArgs) QueryContext(_ context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return f(args)
}

// TestRedriveEndsWithTheLettersOfItsStart looks up to which number each commit
// moves, since what dies meanwhile would else be moved as well, again and again.
func TestRedriveEndsWithTheLettersOfItsStart(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	q := db.queue(storage.EventsQueue)
	var until []int64
	mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
		for i := range redriveChunk + 1 {
			if _, err := q.stmts.bury.do(int64(i+1), "a", int64(0)); err != nil {
				return err
			}
		}
		q.lastID, q.now.dead = 500, redriveChunk+1
		was := q.stmts.dead.query
		q.stmts.dead.query = queryArgs(func(args []driver.NamedValue) (driver.Rows, error) {
			until = append(until, args[0].Value.(int64))
			return was.QueryContext(context.Background(), args)
		})
		return nil
	}})
	if err := db.Redrive(t.Context(), storage.EventsQueue); err != nil || !slices.Equal(until, []int64{500, 500, 500}) {
		t.Errorf("Redrive = %v in commits up to the numbers %v, want three up to 500", err, until)
	}
	wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: redriveChunk + 1})
}

func TestCallWhoseTimeIsOverDoesNothing(t *testing.T) {
	db := newFixture(t)
	before := db.state(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	send := db.Send(ctx, storage.EventsQueue, []storage.Message{{Body: "a"}, {}})
	if !errors.Is(send[1], storage.ErrInvalid) {
		t.Errorf("Send of a message without a body = %v, want ErrInvalid", send[1])
	}
	for name, err := range map[string]error{
		"Put":     db.Put(ctx, storage.Row{Key: numbered(1), Rev: "r"}, ""),
		"Delete":  db.Delete(ctx, fixtureKey, storage.AnyRev),
		"Send":    send[0],
		"Redrive": db.Redrive(ctx, storage.EventsQueue),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that has ended = %v, want %v", name, err, context.Canceled)
		}
	}
	if got := db.state(t); got != before {
		t.Errorf("afterwards there are %s, want %s", got, before)
	}
}

// TestReaderIsWaitedForAsLongAsTheCallerHas takes all readers away.
func TestReaderIsWaitedForAsLongAsTheCallerHas(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		var all []*reader
		for range readers {
			r, err := db.reader(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := db.reader(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("reader while all are in use = %v, want %v", err, context.DeadlineExceeded)
		}
		_, listErr := db.List(ctx, storage.Query{Table: storage.Deliveries, PK: "p"})
		_, _, dueErr := db.Due(ctx, 0, time.Now(), "", 0)
		_, getErr := db.Get(ctx, numbered(1))
		_, depthErr := db.Depth(ctx, storage.EventsQueue)
		for name, err := range map[string]error{"List": listErr, "Due": dueErr, "Get": getErr, "Depth": depthErr} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s while all readers are in use = %v, want %v", name, err, context.DeadlineExceeded)
			}
		}
		time.AfterFunc(time.Second, all[0].release)
		begun := time.Now()
		if r, err := db.reader(t.Context()); err != nil || r != all[0] || time.Since(begun) != time.Second {
			t.Errorf("reader after one came back = %v, %v after %v", r == all[0], err, time.Since(begun))
		}
		for _, r := range all {
			r.release()
		}
	})
}
