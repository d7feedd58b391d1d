package embedded

import (
	"container/list"
	"context"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// TestHandedReachesAsFarAsHandlersAreIdle is about the one number by which a
// later process sees what this one may have received: too low, and a message
// that ends the process is never counted; too high, and those that wait behind
// it are.
func TestHandedReachesAsFarAsHandlersAreIdle(t *testing.T) {
	for _, tt := range []struct {
		name          string
		free          int // messages that idle handlers could take
		marked, ready int
		tail, loaded  int64
		lastID        int64
		handed        int64
		want          int64
	}{
		{"nobody is idle", 0, 0, 0, 10, 10, 15, 8, 8},
		{"all that was sent fits", 20, 0, 0, 10, 10, 15, 8, 15},
		{"a part of it fits", 3, 0, 0, 10, 10, 15, 8, 13},
		{"others are marked", 3, 2, 0, 10, 10, 15, 8, 11},
		{"others are ready", 3, 0, 2, 10, 10, 15, 8, 11},
		{"others are both", 3, 1, 1, 10, 10, 15, 8, 11},
		{"others take all", 3, 2, 1, 10, 10, 15, 8, 8},
		{"others take more", 3, 4, 4, 10, 10, 15, 8, 8},
		{"others lie in the file alone", 20, 0, 0, 10, 9, 15, 8, 8},
		{"more was handed out", 1, 0, 0, 10, 10, 15, 12, 12},
	} {
		var saved int64 = -1
		q := &queue{
			idleCapacity: tt.free, marked: make([]message, tt.marked), ready: make([]message, tt.ready),
			tail: tt.tail, loaded: tt.loaded, lastID: tt.lastID, handed: tt.handed,
			now: counters{handed: 5, total: 1}, // a message was sent
		}
		q.stmts.save = &stmt{exec: execFunc(func(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
			saved = args[0].Value.(int64)
			return driver.RowsAffected(1), nil
		})}
		if err := q.saveCounters(nil); err != nil || saved != tt.want || q.now.handed != tt.want {
			t.Errorf("%s: saveTally of %+v wrote %d, %v, want %d", tt.name, tt, saved, err, tt.want)
		}
	}
}

func TestTallyIsWrittenOnlyIfItChanged(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "of a former process"})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, Options{Relaxed: true})
	writes := 0
	for _, name := range queueNames {
		save := db.queue(name).stmts.save
		real := save.exec
		save.exec = execFunc(func(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
			writes++
			return real.ExecContext(ctx, args)
		})
	}
	mustPut(t, db, storage.Row{Key: numbered(1), Rev: "r"}, "")
	if writes != 0 {
		t.Errorf("a put wrote %d tallies, want none", writes)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	if writes != 1 {
		t.Errorf("a send wrote %d tallies, want the one of its queue", writes)
	}
}

func TestAsManyAreTakenAsHandlersWaitFor(t *testing.T) {
	now := time.Now()
	past, future := now.Add(-time.Second), now.Add(time.Hour)
	for _, tt := range []struct {
		name          string
		free, marked  int
		nextDue       time.Time
		oldAfter, old int64
		want          int
	}{
		{"nothing is there", 10, 0, time.Time{}, 5, 5, 0},
		{"one is due", 10, 0, past, 5, 5, 10},
		{"one is due later", 10, 0, future, 5, 5, 0},
		{"old ones are there", 10, 0, time.Time{}, 4, 5, 10},
		{"some are marked", 10, 4, past, 5, 5, 6},
		{"enough are marked", 10, 10, past, 4, 5, 0},
		{"more are marked", 10, 11, past, 4, 5, 0},
		{"nobody waits", 0, 0, past, 4, 5, 0},
		{"very many wait", 10 * maxReady, 0, past, 5, 5, maxReady / 4},
	} {
		q := &queue{idleCapacity: tt.free, marked: make([]message, tt.marked), nextDue: tt.nextDue, oldAfter: tt.oldAfter, oldUntil: tt.old}
		if got := q.takeable(); got != tt.want {
			t.Errorf("%s: takeable of %+v = %d, want %d", tt.name, tt, got, tt.want)
		}
	}
}

func TestWhatIsReadHasRoom(t *testing.T) {
	for _, tt := range []struct {
		name         string
		loaded, tail int64
		ready, size  int
		want         bool
	}{
		{"all is loaded", 5, 5, 0, 0, false},
		{"some is not", 4, 5, 0, 0, true},
		{"half of the places are taken", 4, 5, maxReady / 2, 0, true},
		{"more than half are", 4, 5, maxReady/2 + 1, 0, false},
		{"half of the memory is taken", 4, 5, 1, maxReadyBytes / 2, true},
		{"more than half is", 4, 5, 1, maxReadyBytes/2 + 1, false},
	} {
		q := &queue{loaded: tt.loaded, tail: tt.tail, ready: make([]message, tt.ready), readySize: tt.size}
		if got := q.mustRead(); got != tt.want {
			t.Errorf("%s: mustRead of %+v = %v, want %v", tt.name, tt, got, tt.want)
		}
	}
}

func TestMessageFitsUpToTheBounds(t *testing.T) {
	for _, tt := range []struct {
		name              string
		ready, size, body int
		want              bool
	}{
		{"nothing is there", 0, 0, 2 * maxReadyBytes, true},
		{"the last place", maxReady - 1, 0, 1, true},
		{"no place", maxReady, 0, 1, false},
		{"just as much memory", 1, maxReadyBytes - 10, 10, true},
		{"one byte less", 1, maxReadyBytes - 10, 11, false},
	} {
		q := &queue{ready: make([]message, tt.ready), readySize: tt.size}
		if got := q.fits(message{body: string(make([]byte, tt.body))}); got != tt.want {
			t.Errorf("%s: %d bytes beside %d messages of %d bytes fit: %v, want %v", tt.name, tt.body, tt.ready, tt.size, got, tt.want)
		}
	}
}

// TestLoaderRestsUntilSomethingIsToBeDone is about an idle process, which must
// not wake each second, and about one that has to.
func TestLoaderRestsUntilSomethingIsToBeDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, tt := range []struct {
			name string
			q    *queue
			ends time.Time // of a flight
			err  error
			want time.Duration
		}{
			{"nothing", &queue{}, time.Time{}, nil, 24 * time.Hour},
			{"a try that failed", &queue{}, time.Time{}, errRefusal, readRetryWait},
			{"a finish that failed", &queue{failed: []*finish{{}}}, time.Time{}, nil, readRetryWait},
			{"a message due later", &queue{nextDue: now.Add(time.Minute)}, time.Time{}, nil, time.Minute},
			{"a message due that nobody waits for", &queue{nextDue: now}, time.Time{}, nil, 24 * time.Hour},
			{"a message due that somebody waits for", &queue{nextDue: now, idleCapacity: 1}, time.Time{}, nil, 0},
			{"a batch with a handler", &queue{}, now.Add(time.Second), nil, time.Second},
			{"a batch before a message", &queue{nextDue: now.Add(time.Minute)}, now.Add(time.Second), nil, time.Second},
			{"a message before a batch", &queue{nextDue: now.Add(time.Second)}, now.Add(time.Minute), nil, time.Second},
			{"a message in the file", &queue{tail: 1}, time.Time{}, nil, 0},
		} {
			tt.q.inFlightBatches = list.New()
			if !tt.ends.IsZero() {
				tt.q.inFlightBatches.PushBack(&inFlightBatch{deadline: tt.ends})
			}
			if got := tt.q.pause(tt.err); got != tt.want {
				t.Errorf("%s: pause(%v) = %v, want %v", tt.name, tt.err, got, tt.want)
			}
		}
	})
}

func TestEarlierOfTwoTimes(t *testing.T) {
	a := time.Unix(1, 0)
	b := time.Unix(2, 0)
	for _, tt := range []struct{ a, b, want time.Time }{
		{a, b, a}, {b, a, a}, {a, a, a}, {time.Time{}, b, b}, {a, time.Time{}, a}, {time.Time{}, time.Time{}, time.Time{}},
	} {
		if got := earlier(tt.a, tt.b); !got.Equal(tt.want) {
			t.Errorf("earlier(%v, %v) = %v, want %v", tt.a, tt.b, got, tt.want)
		}
	}
}

// newMemory returns a queue without a file, and what its one consumer waits on.
func newMemory() (*queue, chan struct{}) {
	wake := make(chan struct{}, 1)
	return &queue{visibility: time.Minute, inFlightBatches: list.New(), loader: make(chan struct{}, 1), consumers: []chan struct{}{wake}}, wake
}

// taken empties c and tells whether it held a token.
func taken(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestWhoIsNeededIsWoken(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name             string
		do               func(q *queue)
		consumer, loader bool
	}{
		{"a fresh message", func(q *queue) { q.add([]message{{id: 1}}, time.Time{}) }, true, false},
		{"a delayed one", func(q *queue) { q.add(nil, now) }, false, true},
		{"both", func(q *queue) { q.add([]message{{id: 1}}, now) }, true, true},
		{"neither", func(q *queue) { q.add(nil, time.Time{}) }, false, false},
		{"a send", func(q *queue) {
			(&send{waiter: make(waiter, 1), q: q, sent: []message{{id: 1}}, first: now}).settle(nil)
		}, true, true},
		{"a send that failed", func(q *queue) {
			(&send{waiter: make(waiter, 1), q: q, sent: []message{{id: 1}}, first: now}).settle(errBroken)
		}, false, false},
		{"taken ones", func(q *queue) { q.addTaken(&take{}) }, true, false},
		{"a take that failed", func(q *queue) { (&take{waiter: make(waiter, 1), q: q}).settle(errBroken) }, false, false},
		{"another consumer", func(q *queue) { q.join(Consumer{}) }, false, true},
		{"the first batch that goes out", func(q *queue) { q.ready = []message{{id: 1}}; q.receive(1) }, false, true},
		{"the second", func(q *queue) {
			q.ready = []message{{id: 1}, {id: 2}}
			q.receive(1)
			taken(q.loader)
			q.receive(1)
		}, false, false},
		{"the second, with others in the file", func(q *queue) {
			q.ready, q.loaded, q.tail = []message{{id: 1}, {id: 2}}, 2, 3
			q.receive(1)
			taken(q.loader)
			q.receive(1)
		}, false, true},
		{"a message that nobody has", func(q *queue) { q.receive(1) }, false, false},
		{"a finish", func(q *queue) { (&finish{q: q, visible: now}).settle(nil) }, false, false},
		{"a finish that gives back", func(q *queue) { (&finish{q: q, visible: now, returned: true}).settle(nil) }, false, true},
		{"a finish that failed", func(q *queue) { (&finish{q: q}).settle(errBroken) }, false, true},
		{"a recall", func(q *queue) { (&recallWrite{waiter: make(waiter, 1), now: now, recalled: []*queue{q}}).settle(nil) }, false, true},
		{"a recall that failed", func(q *queue) {
			(&recallWrite{waiter: make(waiter, 1), now: now, recalled: []*queue{q}}).settle(errBroken)
		}, false, false},
		{"a redrive", func(q *queue) { (&redrive{waiter: make(waiter, 1), q: q, moved: []message{{id: 1}}}).settle(nil) }, true, false},
		{"a redrive that failed", func(q *queue) {
			(&redrive{waiter: make(waiter, 1), q: q, moved: []message{{id: 1}}}).settle(errBroken)
		}, false, false},
	} {
		q, wake := newMemory()
		tt.do(q)
		if consumer, loader := taken(wake), taken(q.loader); consumer != tt.consumer || loader != tt.loader {
			t.Errorf("%s wakes the consumer: %v, the loader: %v; want %v and %v", tt.name, consumer, loader, tt.consumer, tt.loader)
		}
	}
}

// TestFreshMessagesStayInOrder adds some while others lie in the file alone.
func TestFreshMessagesStayInOrder(t *testing.T) {
	for _, tt := range []struct {
		name               string
		loaded, tail       int64
		ms                 []message
		ready              string
		wantLoad, wantTail int64
	}{
		{"all are loaded", 2, 2, []message{{id: 3}, {id: 4}}, "[{3  0 } {4  0 }]", 4, 4},
		{"some are not", 1, 2, []message{{id: 3}, {id: 4}}, "[]", 1, 4},
		{"one is there already", 3, 3, []message{{id: 3}, {id: 4}}, "[{4  0 }]", 4, 4},
		{"none", 2, 2, nil, "[]", 2, 2},
	} {
		q, _ := newMemory()
		q.loaded, q.tail = tt.loaded, tt.tail
		q.add(tt.ms, time.Time{})
		if got := fmt.Sprint(q.ready); got != tt.ready || q.loaded != tt.wantLoad || q.tail != tt.wantTail {
			t.Errorf("%s: %s ready, loaded up to %d of %d, want %s, %d and %d", tt.name, got, q.loaded, q.tail, tt.ready, tt.wantLoad, tt.wantTail)
		}
	}
	q, _ := newMemory()
	q.add([]message{{id: 1, body: "abc"}, {id: 2, body: "de"}}, time.Time{})
	if q.readySize != 5 {
		t.Errorf("messages of 3 and 2 bytes count as %d, want 5", q.readySize)
	}
}

// TestReceivedMessagesAreAccountedFor receives one marked and two fresh messages.
func TestReceivedMessagesAreAccountedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, _ := newMemory()
		q.idleCapacity = 10
		q.marked = []message{{id: 1, body: "a", receives: 2}}
		q.ready = []message{{id: 5, body: "bcd"}, {id: 6, body: "ef"}, {id: 7, body: "g"}}
		q.readySize = 6
		for _, tt := range []struct {
			n                         int
			ms                        string
			mark                      bool
			size, inFlight, free, out int
			handed                    int64
		}{
			{1, "[{1 a 3 }]", false, 6, 1, 9, 1, 0},
			{2, "[{5 bcd 1 } {6 ef 1 }]", true, 1, 3, 7, 2, 6},
			{2, "[{7 g 1 }]", false, 0, 4, 5, 3, 7}, // a touch is under way
		} {
			f, mark := q.receive(tt.n)
			if fmt.Sprint(f.messages) != tt.ms || mark != tt.mark || !f.deadline.Equal(time.Now().Add(time.Minute)) {
				t.Errorf("received %v until %v, touch wanted: %v; want %s for a minute, %v", f.messages, f.deadline, mark, tt.ms, tt.mark)
			}
			if q.readySize != tt.size || q.inFlight != tt.inFlight || q.idleCapacity != tt.free || q.inFlightBatches.Len() != tt.out || q.handed != tt.handed {
				t.Errorf("after %s: %d bytes ready, %d in flight in %d batches, %d free, handed %d, want %+v", tt.ms, q.readySize, q.inFlight, q.inFlightBatches.Len(), q.idleCapacity, q.handed, tt)
			}
		}
		if f, mark := q.receive(1); f != nil || mark {
			t.Errorf("received %v of nothing, touch wanted: %v", f, mark)
		}
		saveHanded{q}.settle(nil)
		q.ready = []message{{id: 8}, {id: 9}}
		if _, mark := q.receive(1); !mark {
			t.Error("no touch is wanted though the one before has settled")
		}
		saveHanded{q}.settle(nil)
		q.committed.handed = 9 // as a commit that foresaw it has written
		if _, mark := q.receive(1); mark {
			t.Error("a touch is wanted of what is written")
		}
	})
}

func TestConsumerThatLeavesTakesItsPlacesAlong(t *testing.T) {
	q, wake := newMemory()
	small, large := Consumer{Batch: 2, Concurrency: 3}, Consumer{Batch: 10, Concurrency: 10}
	first, second := q.join(small), q.join(large)
	if q.idleCapacity != 106 || len(q.consumers) != 3 {
		t.Errorf("%d places of %d consumers, want 106 of 3", q.idleCapacity, len(q.consumers))
	}
	q.leave(small, first)
	if q.idleCapacity != 100 || len(q.consumers) != 2 || q.consumers[0] != wake || q.consumers[1] != second {
		t.Errorf("%d places of %d consumers after one left, want 100 of the 2 others", q.idleCapacity, len(q.consumers))
	}
}

// TestMessagesThatNobodyReceivedAreNotCounted stops the only consumer before the
// messages are sent, and asks a later process how often they were received.
func TestMessagesThatNobodyReceivedAreNotCounted(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		var none []string
		serve(t, db, storage.EventsQueue, record(&none))()
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "c"})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, dir, Options{})
		var got []string
		stop := serve(t, db, storage.EventsQueue, record(&got))
		time.Sleep(time.Minute)
		stop()
		if len(none) != 0 || len(got) != 3 || got[0] != "a 1 after 0s" || got[1] != "b 1 after 0s" || got[2] != "c 1 after 0s" {
			t.Errorf("received %q and in the later process %q, want each there for the first time", none, got)
		}
	})
}

// TestMessagesInHandWhenAProcessDiesAreCounted opens a copy of the file that was
// made while two of four messages were with a handler: twice, since the first
// process after the one that died must not count what it did not hand out.
func TestMessagesInHandWhenAProcessDiesAreCounted(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		release := make(chan struct{})
		stop := serve(t, db, storage.EventsQueue, Consumer{Batch: 1, Concurrency: 2, Timeout: time.Hour, Handler: func(context.Context, []storage.Received) ([]string, error) {
			<-release
			return nil, nil
		}})
		for _, body := range []string{"a", "b", "c", "d"} {
			synctest.Wait()
			mustSend(t, db, storage.EventsQueue, storage.Message{Body: body})
		}
		if err := db.flush(); err != nil {
			t.Fatal(err)
		}
		copyFiles(t, dir, copied)
		close(release)
		stop()

		db, err := Open(t.Context(), copied, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 4})
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, copied, Options{Relaxed: true})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "e"})
		var got []string
		stop = serve(t, db, storage.EventsQueue, record(&got))
		time.Sleep(time.Minute)
		stop()
		slices.Sort(got)
		if want := []string{"a 2 after 0s", "b 2 after 0s", "c 1 after 0s", "d 1 after 0s", "e 1 after 0s"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		wantDepth(t, db, storage.EventsQueue, storage.Depth{})
	})
}

// copyFiles makes another folder what dir would be if the process died now.
func copyFiles(t *testing.T, dir, copied string) {
	t.Helper()
	for _, name := range []string{"ringback.db", "ringback.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReceivingIsWrittenWhileTheHandlerIsAtWork receives messages that were sent
// when nobody was idle, and looks at what the file says of it.
func TestReceivingIsWrittenWhileTheHandlerIsAtWork(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"}, storage.Message{Body: "b"}, storage.Message{Body: "c"})
		release := make(chan struct{})
		stop := serve(t, db, storage.EventsQueue, Consumer{Batch: 1, Concurrency: 2, Handler: func(context.Context, []storage.Received) ([]string, error) {
			<-release
			return nil, nil
		}})
		synctest.Wait()
		if n := ask(t, db, "SELECT handed FROM queues WHERE name = 'events'"); n != 2 {
			t.Errorf("handed up to %d by the file while two messages are with a handler, want 2", n)
		}
		close(release)
		stop()
	})
}

func TestDepthOfEachQueueIsKept(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(t.Context(), dir, Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
	mustSend(t, db, storage.RetryQueue, storage.Message{Body: "b"}, storage.Message{Body: "c"})
	mustSend(t, db, storage.SlowQueue, storage.Message{Body: "d", Delay: time.Hour / 4}, storage.Message{Body: "e"})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, Options{Relaxed: true})
	wantDepth(t, db, storage.EventsQueue, storage.Depth{Waiting: 1})
	wantDepth(t, db, storage.RetryQueue, storage.Depth{Waiting: 2})
	wantDepth(t, db, storage.SlowQueue, storage.Depth{Waiting: 1, Delayed: 1})
}

// TestNumberOfAMessageIsNotGivenAgain has a later process send a message, where
// the first one waits, is dead, or was received.
func TestNumberOfAMessageIsNotGivenAgain(t *testing.T) {
	for name, first := range map[string]func(t *testing.T, db *DB){
		"waits": func(*testing.T, *DB) {},
		"is dead": func(t *testing.T, db *DB) {
			mustWrite(t, db, burial{make(waiter, 1), db.queue(storage.EventsQueue), 1})
		},
		"was received": func(t *testing.T, db *DB) { receiveAll(t, db, storage.EventsQueue) },
	} {
		dir := t.TempDir()
		db, err := Open(t.Context(), dir, Options{Relaxed: true})
		if err != nil {
			t.Fatal(err)
		}
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "a"})
		first(t, db)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = openTest(t, dir, Options{Relaxed: true})
		mustSend(t, db, storage.EventsQueue, storage.Message{Body: "b"})
		if id := ask(t, db, "SELECT max(id) FROM events_messages"); id != 2 {
			t.Errorf("where the first message %s, the second has number %d, want 2", name, id)
		}
	}
}

// TestQueueThatCannotBeReadIsNotOpened gives recover files that lack what it
// reads, and one that it may not change.
func TestQueueThatCannotBeReadIsNotOpened(t *testing.T) {
	const queues = "CREATE TABLE queues (name, since, handed, total, dead); INSERT INTO queues VALUES ('events', 0, 1, 2, 3);"
	const messages = "CREATE TABLE events_messages (id, body, receives, visible); INSERT INTO events_messages VALUES (7, 'a', 0, 5000), (8, 'b', 1, 4000);"
	const dead = "CREATE TABLE events_dead (id, body, died);"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"nothing", "SELECT 1", false},
		{"no messages", queues, false},
		{"no counts", "CREATE TABLE queues (name, since, handed); INSERT INTO queues VALUES ('events', 0, 1);" + messages + dead, false},
		{"no dead letters", queues + messages, false},
		{"all", queues + messages + dead, true},
		{"all, for reading", queues + messages + dead + "PRAGMA query_only = 1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := openConn(t.Context(), filepath.Join(t.TempDir(), "file"), lockCache)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			if err := c.run(tt.text); err != nil {
				t.Fatal(err)
			}
			q := &queue{name: storage.EventsQueue}
			if err := q.recover(c); (err == nil) != tt.ok {
				t.Errorf("recover = %v, want success: %v", err, tt.ok)
			}
			want := counters{handed: 8, total: 2, dead: 3}
			if due := time.UnixMilli(0); tt.ok && (q.now != want || q.saved != want || q.committed != want || q.lastID != 8 || !q.nextDue.Equal(due)) {
				t.Errorf("recovered %+v, last number %d and due next at %v, want %+v, 8 and %v", q.now, q.lastID, q.nextDue, want, due)
			}
			if n := len(c.stmts); n != 0 {
				t.Errorf("%d statements are kept, want none of those that were executed once", n)
			}
		})
	}
}
