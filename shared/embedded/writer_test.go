package embedded

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		shared := &put{waiter: make(waiter, 1), row: row("shared")}
		db.writer.submitLazy(shared)
		wantRefused(t, db)
		if err := <-shared.waiter; !errors.Is(err, errRefusal) {
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
		b := burial{waiter: make(waiter, 1), q: db.queue(storage.EventsQueue), id: 1}
		db.writer.submitLazy(b)
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

// TestCrowdIsLetGather counts how long the writer waits after a commit.
func TestCrowdIsLetGather(t *testing.T) {
	for _, tt := range []struct {
		writes int
		want   time.Duration
	}{{1, 0}, {groupCommitMin - 1, 0}, {groupCommitMin, groupCommitWait}, {groupCommitMin + 1, groupCommitWait}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			db := openTest(t, dir, Options{})
			n := barrier{make(waiter, tt.writes)}
			for range tt.writes - 1 {
				db.writer.submitLazy(n)
			}
			db.writer.submit(n)
			for range tt.writes {
				if err := <-n.waiter; err != nil {
					t.Fatal(err)
				}
			}
			begun := time.Now()
			if err := db.flush(); err != nil || time.Since(begun) != tt.want {
				t.Errorf("after a commit of %d writes the next one took %v, %v; want %v", tt.writes, time.Since(begun), err, tt.want)
			}
		})
	}
}

// TestLaterAttemptsGoBehindWhatIsLive has handlers of all queues write at once, more
// than a commit takes.
func TestLaterAttemptsGoBehindWhatIsLive(t *testing.T) {
	const later = maxBackgroundBatch // of each queue
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		contexts := map[storage.QueueName]context.Context{}
		for _, q := range queueNames {
			got := make(chan struct{})
			stop := serve(t, db, q, Consumer{Handler: func(ctx context.Context, _ []storage.Received) ([]string, error) {
				contexts[q] = ctx
				close(got)
				return nil, nil
			}})
			mustSend(t, db, q, storage.Message{Body: "a", Group: "g"})
			<-got
			stop()
		}
		var mu sync.Mutex
		begun := time.Now()
		var settles []string
		var took []time.Duration
		together, most := 0, 0
		start := func(ctx context.Context, name string) {
			db.writer.submitFor(ctx, noted{
				&mu,
				func() { together++; most = max(most, together) },
				func() { together = 0; settles = append(settles, name); took = append(took, time.Since(begun)) },
			})
		}
		for range later {
			start(contexts[storage.RetryQueue], "later")
			start(contexts[storage.SlowQueue], "later")
		}
		start(contexts[storage.EventsQueue], "live")
		start(t.Context(), "live")
		time.Sleep(liveWindow)
		mu.Lock()
		if len(settles) != 2*later+2 || fmt.Sprint(settles[:2]) != "[live live]" || most != maxBackgroundBatch ||
			took[1] != 0 || took[2] != backgroundBatchWait || took[1+later] != backgroundBatchWait || took[2+later] != 2*backgroundBatchWait {
			t.Errorf("%d writes settled, at most %d at once, the first %v at %v; want what is live at once, then %d after each %v", len(settles), most, settles[:2], took, maxBackgroundBatch, backgroundBatchWait)
		}
		mu.Unlock()
		time.Sleep(liveWindow)
		mu.Lock()
		begun, most, settles, took = time.Now(), 0, nil, nil
		mu.Unlock()
		db.writer.checkpointRest.Store(true) // a look at the log is not live
		wakeUp(db.writer.wake)
		synctest.Wait()
		db.writer.submitBackground(noted{&mu, func() { time.Sleep(time.Nanosecond) }, func() {}})
		synctest.Wait()
		for range maxBackgroundBatch + 1 {
			start(contexts[storage.RetryQueue], "later")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if len(took) != maxBackgroundBatch+1 || took[maxBackgroundBatch] != 1 || most != maxBackgroundBatch {
			t.Errorf("with nothing live %d writes settled after %v, at most %d at once; want %d at once, %d of them together", len(took), took, most, maxBackgroundBatch+1, maxBackgroundBatch)
		}
	})
}

// noted is a write that does nothing but call functions, one at a time.
type noted struct {
	mu               *sync.Mutex
	applied, settled func()
}

func (n noted) apply(*writer) error { n.mu.Lock(); defer n.mu.Unlock(); n.applied(); return nil }
func (n noted) settle(error) waiter {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled()
	return nil
}

// TestWhatIsBehindWaitsForALull has live writes come at a distance, each of which takes
// a while.
func TestWhatIsBehindWaitsForALull(t *testing.T) {
	for _, tt := range []struct {
		name              string
		each, takes, want time.Duration // want: until what is behind is written
	}{
		{"all the time", time.Millisecond, time.Millisecond, maxBackgroundWait},
		{"with gaps that are no lull", liveQuiet, liveQuiet / 4, maxBackgroundWait},
		{"with a lull that begins with the end of a commit", 4 * backgroundBatchWait, backgroundBatchWait, backgroundBatchWait + liveQuiet},
		{"with a long lull", 4 * backgroundBatchWait, 0, backgroundBatchWait},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{})
				var mu sync.Mutex
				stop := make(chan struct{})
				go func() {
					for live := time.NewTicker(tt.each); ; <-live.C {
						select {
						case <-stop:
							return
						default:
							db.writer.submit(noted{&mu, func() { time.Sleep(tt.takes) }, func() {}})
						}
					}
				}()
				synctest.Wait()
				begun, done := time.Now(), make(chan time.Duration)
				db.writer.submitBackground(noted{&mu, func() {}, func() { done <- time.Since(begun) }})
				if took := <-done; took < tt.want || took > tt.want+tt.takes {
					t.Errorf("written after %v, want %v, and the live commit that is under way", took, tt.want)
				}
				close(stop)
				time.Sleep(tt.each)
			})
		})
	}
}

// TestWhatIsBehindTakesAtMostHalfTheTime has more of it than goes into one commit, each
// of which takes long.
func TestWhatIsBehindTakesAtMostHalfTheTime(t *testing.T) {
	const long = maxBackgroundBatch * 400 * time.Microsecond
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		var mu sync.Mutex
		var at []time.Duration
		begun := time.Now()
		if err := db.flush(); err != nil { // is live
			t.Fatal(err)
		}
		for range 3 * maxBackgroundBatch {
			db.writer.submitBackground(noted{&mu, func() { time.Sleep(long / maxBackgroundBatch) }, func() { at = append(at, time.Since(begun)) }})
		}
		time.Sleep(liveWindow)
		mu.Lock()
		defer mu.Unlock()
		if len(at) != 3*maxBackgroundBatch || at[maxBackgroundBatch-1] != backgroundBatchWait+long || at[2*maxBackgroundBatch-1] != backgroundBatchWait+3*long || at[3*maxBackgroundBatch-1] != backgroundBatchWait+5*long {
			t.Errorf("settled at %v, want a commit of %d and %v, thrice, with as long between", at, maxBackgroundBatch, long)
		}
	})
}

// TestWhatComesLiveJoinsWhatIsBehind has two live writes come while a commit of what is
// behind is written, early, later, with the last of it, and with the last of few; and a
// third with the first of them.
func TestWhatComesLiveJoinsWhatIsBehind(t *testing.T) {
	const each = time.Millisecond
	for _, tt := range []struct {
		behind   int
		at, want time.Duration
	}{
		{2 * maxBackgroundBatch, each / 2, minBackgroundBatch * each},
		{2 * maxBackgroundBatch, (minBackgroundBatch+2)*each + each/2, (minBackgroundBatch + 3) * each},
		{2 * maxBackgroundBatch, maxBackgroundBatch*each - each/2, maxBackgroundBatch * each},
		{minBackgroundBatch / 2, each / 2, minBackgroundBatch / 2 * each},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			db := openTest(t, dir, Options{})
			time.Sleep(2 * liveWindow) // so that nothing is
			var mu sync.Mutex
			var order, want []string
			settles := func(name string) func() { return func() { order = append(order, name) } }
			var live time.Duration
			joined := false
			db.writer.submitBackground(noted{&mu, func() { time.Sleep(time.Nanosecond) }, func() {}})
			synctest.Wait() // the others share the next commit
			begun := time.Now().Add(time.Nanosecond)
			for i := range tt.behind {
				want = append(want, fmt.Sprint(i))
				db.writer.submitBackground(noted{&mu, func() { time.Sleep(each) }, func() {
					settles(want[i])()
					joined = joined || i == 0 && live > 0
				}})
			}
			time.Sleep(tt.at + time.Nanosecond)
			third := noted{&mu, func() {}, settles("third")}
			db.writer.submit(noted{&mu, func() { db.writer.submit(third) }, settles("first")})
			db.writer.submit(noted{&mu, func() { live = time.Since(begun) }, settles("second")})
			time.Sleep(2 * liveWindow)
			mu.Lock()
			defer mu.Unlock()
			want = slices.Insert(want, int(tt.want/each), "first", "second", "third")
			if live != tt.want || !joined || !slices.Equal(order, want) {
				t.Errorf("at %v: live is written after %v, as %v; want %v, %v, in one commit", tt.at, live, order, tt.want, want)
			}
		})
	}
}

// TestWhatIsLiveStaysTogether has another live write come while a commit of many is
// written, after one of what is behind.
func TestWhatIsLiveStaysTogether(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		var mu sync.Mutex
		var order, want []string
		settles := func(name string) func() { return func() { order = append(order, name) } }
		for range 2 * minBackgroundBatch {
			db.writer.submitBackground(noted{&mu, func() {}, func() {}})
		}
		time.Sleep(liveWindow)
		db.writer.submit(noted{&mu, func() { time.Sleep(time.Nanosecond) }, func() {}})
		synctest.Wait() // the others share the next commit
		last := noted{&mu, func() {}, settles("last")}
		for i := range 2 * minBackgroundBatch {
			want = append(want, fmt.Sprint(i))
			db.writer.submit(noted{&mu, func() {
				if i == 0 {
					db.writer.submit(last)
				}
			}, settles(want[i])})
		}
		time.Sleep(liveWindow)
		mu.Lock()
		defer mu.Unlock()
		if want = append(want, "last"); !slices.Equal(order, want) {
			t.Errorf("settled as %v, want %v", order, want)
		}
		db.writer.mu.Lock()
		defer db.writer.mu.Unlock()
		if db.writer.backgroundWrites > 0 {
			t.Error("what is live counts as what is behind")
		}
	})
}

// TestWhatIsLiveGoesFirstThoughItWaited has a live write come while the writer moves the
// log for longer than a lull, and what is behind gathers.
func TestWhatIsLiveGoesFirstThoughItWaited(t *testing.T) {
	for _, tt := range []struct {
		name string
		busy time.Duration
		want string
	}{
		{"longer than a lull", 2 * backgroundBatchWait, "[live behind]"},
		{"longer than what is live lasts", 2 * liveWindow, "[behind live]"}, // which waited too long
		{"not at all", 0, "[live behind]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{})
				var mu sync.Mutex
				var order []string
				settles := func(name string) func() { return func() { order = append(order, name) } }
				mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
					w.stmts.checkpoint.query = slow{w.stmts.checkpoint.query, tt.busy}
					return nil
				}})
				db.writer.checkpointRest.Store(true)
				wakeUp(db.writer.wake)
				synctest.Wait()
				db.writer.submitBackground(noted{&mu, func() {}, settles("behind")})
				db.writer.submit(noted{&mu, func() {}, settles("live")})
				time.Sleep(3 * liveWindow)
				mu.Lock()
				defer mu.Unlock()
				if got := fmt.Sprint(order); got != tt.want {
					t.Errorf("written as %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestWhatIsBehindIsToldInTurn has others run between those that are told, whether or
// not a live write joined them: who waits for that is told before nearly all of them.
// The scheduler passes over a turn now and then.
func TestWhatIsBehindIsToldInTurn(t *testing.T) {
	const few = 3
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // otherwise this runs beside who tells
	db := openTest(t, t.TempDir(), Options{})
	for _, joins := range []bool{false, true} {
		live := barrier{make(waiter, 1)}
		all := make([]write, minBackgroundBatch)
		behind := make(waiter, len(all))
		for i := range all {
			all[i] = step{behind, func(*writer) error {
				if i == 0 && joins {
					db.writer.submit(live)
				}
				return nil
			}}
		}
		db.writer.mu.Lock()
		db.writer.background = append(all, barrier{make(waiter, 1)})
		db.writer.mu.Unlock()
		wakeUp(db.writer.wake)
		most, before := 0, 0 // told at a time; and before what is live
		for last, n := 0, 0; n < cap(behind); last = n {
			runtime.Gosched()
			n = len(behind)
			most = max(most, n-last)
			if joins && len(live.waiter) == 0 {
				before = n
			}
		}
		if most > few || before > few {
			t.Errorf("joined %v: %d were told at a time, %d before what is live; want one, and none", joins, most, before)
		}
	}
}

// slow is a statement that takes a while.
type slow struct {
	driver.StmtQueryContext
	takes time.Duration
}

func (s slow) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	time.Sleep(s.takes)
	return s.StmtQueryContext.QueryContext(ctx, args)
}

// TestLeisureIsThatOfTheFirst starts writes that are in no hurry one after the
// other: those that come later do not put off the first.
func TestLeisureIsThatOfTheFirst(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		n := barrier{make(waiter, 3)}
		begun := time.Now()
		for range 3 {
			db.writer.submitLazy(n)
			time.Sleep(lazyDelay / 3)
		}
		for range 3 {
			if err := <-n.waiter; err != nil || time.Since(begun) > lazyDelay {
				t.Errorf("committed after %v, %v; want after %v", time.Since(begun), err, lazyDelay)
			}
		}
	})
}

// TestCloseWaitsForWhatGoesOnBesideTheCalls closes while the log is moved.
func TestCloseWaitsForWhatGoesOnBesideTheCalls(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		var began, ended bool
		db.checkpoint.move.query = queryFunc(func() (driver.Rows, error) {
			began = true
			time.Sleep(time.Second)
			ended = true
			return &oneRow{values: []driver.Value{int64(0), int64(0), int64(0)}}, nil
		})
		wakeUp(db.checkpoint.due)
		synctest.Wait()
		if err := db.Close(); err != nil || !began || !ended {
			t.Errorf("Close = %v while the log was moved: begun %v, ended %v", err, began, ended)
		}
	})
}

func TestCloseCommitsWhatIsInNoHurry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := &put{waiter: make(waiter, 1), row: storage.Row{Key: numbered(1), Rev: "r"}}
		behind := barrier{make(waiter, 1)}
		if err := db.flush(); err != nil {
			t.Fatal(err)
		}
		db.writer.submitLazy(p)
		db.writer.submitBackground(behind)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []waiter{p.waiter, behind.waiter} {
			select {
			case err := <-s:
				if err != nil {
					t.Errorf("a write before Close settled with %v", err)
				}
			default:
				t.Error("Close returned before a write was committed")
			}
		}
		select {
		case <-db.writer.done:
		default:
			t.Error("Close returned before the writer had ended")
		}
		db = openTest(t, dir, Options{})
		if rows, err := db.Get(t.Context(), numbered(1)); err != nil || len(rows) != 1 {
			t.Errorf("Get of what was put before Close = %v, %v", rows, err)
		}
	})
}

// TestLogIsLookedAtEveryFewCommits counts with a statement that tells a size.
func TestLogIsLookedAtEveryFewCommits(t *testing.T) {
	for _, tt := range []struct {
		writes int   // of each commit
		left   int64 // to be moved
		long   bool
	}{{1, maxWALPages, false}, {1, maxWALPages + 1, true}, {groupCommitMin, maxWALPages, false}, {groupCommitMin, maxWALPages + 1, true}} {
		db := openTest(t, t.TempDir(), Options{Relaxed: true})
		due, n := make(chan struct{}, 1), barrier{make(waiter, 4*checkWALEvery*groupCommitMin)}
		looks, left := 0, 3*checkWALEvery
		var commit step
		commit = step{make(waiter, 4*checkWALEvery), func(w *writer) error {
			if left--; left >= 0 { // what starts now is in the next
				for range tt.writes - 1 {
					w.submit(n)
				}
				w.submit(commit)
			}
			return nil
		}}
		// In a write, since the writer looks at the log after its commits.
		mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
			w.walIsLong, w.commitsUnchecked = due, 0
			w.stmts.walSize.query = queryFunc(func() (driver.Rows, error) {
				looks++
				return &oneRow{values: []driver.Value{int64(0), 300 + tt.left, int64(300)}}, nil
			})
			return commit.apply(w)
		}})
		for range 3 * checkWALEvery {
			<-commit.waiter
		}
		mustWrite(t, db, step{make(waiter, 1), func(*writer) error { return nil }})
		if looks != 3 || (len(due) == 1) != tt.long {
			t.Errorf("in %d commits of %d writes a log with %d pages to be moved was looked at %d times and called long %v, want 3 times and %v",
				3*checkWALEvery, tt.writes, tt.left, looks, len(due) == 1, tt.long)
		}
	}
}

// TestLogIsLookedAtInALull has a write wait behind live ones, whose next may follow at
// once, and wants fewer pages to make the log long after what was behind, but beside a
// crowd.
func TestLogIsLookedAtInALull(t *testing.T) {
	for _, tt := range []struct {
		live  int // writes of one commit
		waits bool
		left  int64 // pages to be moved
		want  string
		long  bool
	}{
		{1, false, backgroundWALPages + 1, "[live look]", false},
		{1, true, backgroundWALPages, "[live behind look]", false},
		{1, true, backgroundWALPages + 1, "[live behind look]", true},
		{groupCommitMin - 1, true, backgroundWALPages + 1, "[live behind look]", true},
		{groupCommitMin, true, backgroundWALPages + 1, "[live behind look]", false},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			db := openTest(t, dir, Options{})
			due := make(chan struct{}, 1)
			var order []string
			did := func(what string) { order = append(order, what) }
			mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
				w.walIsLong, w.commitsUnchecked = due, checkWALEvery-2
				w.stmts.walSize.query = queryFunc(func() (driver.Rows, error) {
					did("look")
					return &oneRow{values: []driver.Value{int64(0), tt.left, int64(0)}}, nil
				})
				for range tt.live - 1 {
					w.submit(barrier{make(waiter, 1)})
				}
				w.submit(step{make(waiter, 1), func(*writer) error {
					did("live")
					if tt.waits {
						w.submitBackground(step{make(waiter, 1), func(*writer) error { did("behind"); return nil }})
					}
					return nil
				}})
				return nil
			}})
			time.Sleep(liveWindow)
			synctest.Wait()
			if fmt.Sprint(order) != tt.want || (len(due) == 1) != tt.long {
				t.Errorf("%d live, one behind %v, %d pages to be moved: %v, long %v; want %s, %v", tt.live, tt.waits, tt.left, order, len(due) == 1, tt.want, tt.long)
			}
		})
	}
}

// TestLogThatIsLongIsMoved has the writer find it long, and wants the move beside
// the commits, and the rest of it between two once it has so many pages, moved or not.
func TestLogThatIsLongIsMoved(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		var moves []string
		size := func(who string, pages, moved int64) queryFunc {
			return func() (driver.Rows, error) {
				if who != "" {
					moves = append(moves, who)
				}
				return &oneRow{values: []driver.Value{int64(0), pages, moved}}, nil
			}
		}
		mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
			w.commitsUnchecked = 0
			w.stmts.walSize.query = size("", maxWALPages+1, 0)
			w.stmts.checkpoint.query = size("writer", 0, 0)
			return nil
		}})
		db.checkpoint.move.query = size("checkpoint", maxWALPages, maxWALPages)
		for range checkWALEvery - 1 {
			if err := db.flush(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if want := "[checkpoint]"; fmt.Sprint(moves) != want {
			t.Errorf("the log was moved by %v, want %s", moves, want)
		}
		db.checkpoint.move.query = size("checkpoint", maxWALPages+1, maxWALPages)
		wakeUp(db.checkpoint.due)
		synctest.Wait()
		if want := "[checkpoint checkpoint writer]"; fmt.Sprint(moves) != want {
			t.Errorf("the log was moved by %v once it had %d pages, want %s", moves, maxWALPages+1, want)
		}
		captureLog(t)
		db.checkpoint.move.query = broken{}
		wakeUp(db.checkpoint.due)
		synctest.Wait()
		if len(moves) != 3 {
			t.Errorf("the log was moved by %v after a move that failed, want no rest of it moved", moves[3:])
		}
	})
}

type queryFunc func() (driver.Rows, error)

func (f queryFunc) QueryContext(context.Context, []driver.NamedValue) (driver.Rows, error) {
	return f()
}

// oneRow is a result of one row.
type oneRow struct {
	values []driver.Value
	read   bool
}

func (r *oneRow) Columns() []string { return make([]string, len(r.values)) }
func (r *oneRow) Close() error      { return nil }

func (r *oneRow) Next(to []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read = true
	copy(to, r.values)
	return nil
}

// TestFailuresThatNobodyWaitsForAreLogged breaks what goes on beside the calls.
func TestFailuresThatNobodyWaitsForAreLogged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		breakIt func(t *testing.T, db *DB)
		want    string
	}{
		{"nothing", func(*testing.T, *DB) {}, ""},
		{"the sweep", func(t *testing.T, db *DB) { breakStmt(t, db, db.writer.stmts.sweep) }, "msg=sweep"},
		{"the recall", func(t *testing.T, db *DB) { breakStmt(t, db, db.queue(storage.EventsQueue).stmts.recall) }, "msg=sweep"},
		{"a look at the log", func(t *testing.T, db *DB) {
			mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
				w.stmts.walSize.query = broken{}
				return nil
			}})
		}, "check the write-ahead log"},
		{"the checkpoint", func(t *testing.T, db *DB) {
			db.checkpoint.move.query = broken{}
			wakeUp(db.checkpoint.due)
		}, "msg=checkpoint"},
		{"the rest of the checkpoint", func(t *testing.T, db *DB) {
			mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
				w.stmts.checkpoint.query = broken{}
				return nil
			}})
			db.writer.checkpointRest.Store(true)
		}, "check the write-ahead log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lines := captureLog(t)
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db, err := Open(t.Context(), dir, Options{})
				if err != nil {
					t.Fatal(err)
				}
				tt.breakIt(t, db)
				for range 2 * checkWALEvery {
					if err := db.flush(); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(clockSteadyAfter + sweepInterval + time.Second)
				synctest.Wait()
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			})
			if got := lines.String(); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("logged %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWritesThatAreDoneAreForgotten(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	for range 3 {
		if err := db.flush(); err != nil {
			t.Fatal(err)
		}
	}
	db.writer.mu.Lock()
	defer db.writer.mu.Unlock()
	all := db.writer.pending[:cap(db.writer.pending)]
	for _, x := range all {
		if x != nil {
			t.Errorf("the writer keeps %#v, which is done", x)
		}
	}
	if len(all) == 0 {
		t.Error("the writer keeps no place to gather in")
	}
}

// captureLog returns what is logged until the test ends.
func captureLog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var lines bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lines, nil)))
	t.Cleanup(func() { slog.SetDefault(was) })
	return &lines
}

// TestCheckpointMovesTheLogIntoTheFile asks for one as the writer does.
func TestCheckpointMovesTheLogIntoTheFile(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{})
		for i := range 20 {
			mustPut(t, db, storage.Row{Key: numbered(i), Rev: "r", Body: make([]byte, 8000)}, "")
		}
		left := func() (left int64) {
			synctest.Wait() // the writer has nothing to do
			err := db.writer.stmts.walSize.each(func(v []driver.Value) error {
				left = v[1].(int64) - v[2].(int64)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return left
		}
		if left() == 0 {
			t.Fatal("no page of the log is to be moved")
		}
		wakeUp(db.checkpoint.due)
		if n := left(); n != 0 {
			t.Errorf("%d pages of the log are left after a checkpoint, want none", n)
		}
		if db.writer.checkpointRest.Load() {
			t.Error("the rest of the log is to be moved still")
		}
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
				q := &question{waiter: make(waiter, 1), text: "PRAGMA " + want.pragma}
				db.writer.submit(q)
				if err := <-q.waiter; err != nil || q.answer != want.value {
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
	waiter
	text   string
	answer driver.Value
}

func (q *question) apply(w *writer) error {
	return w.conn.each(q.text, func(v []driver.Value) error {
		q.answer = v[0]
		return nil
	})
}
