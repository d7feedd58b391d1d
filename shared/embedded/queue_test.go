package embedded

import (
	"container/list"
	"context"
	"database/sql/driver"
	"path/filepath"
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
			free: tt.free, marked: make([]message, tt.marked), ready: make([]message, tt.ready),
			tail: tt.tail, loaded: tt.loaded, lastID: tt.lastID, handed: tt.handed,
			now: tally{handed: 5, total: 1}, // a message was sent
		}
		q.stmts.save = &stmt{exec: execFunc(func(_ context.Context, args []driver.NamedValue) (driver.Result, error) {
			saved = args[0].Value.(int64)
			return driver.RowsAffected(1), nil
		})}
		if err := q.saveTally(nil); err != nil || saved != tt.want || q.now.handed != tt.want {
			t.Errorf("%s: saveTally of %+v wrote %d, %v, want %d", tt.name, tt, saved, err, tt.want)
		}
	}
}

func TestTallyIsWrittenOnlyIfItChanged(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
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
		q := &queue{free: tt.free, marked: make([]message, tt.marked), nextDue: tt.nextDue, oldAfter: tt.oldAfter, old: tt.old}
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
		if got := q.hasRoom(); got != tt.want {
			t.Errorf("%s: hasRoom of %+v = %v, want %v", tt.name, tt, got, tt.want)
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
			{"a try that failed", &queue{}, time.Time{}, errRefusal, readPause},
			{"a finish that failed", &queue{failed: []*finish{{}}}, time.Time{}, nil, readPause},
			{"a message due later", &queue{nextDue: now.Add(time.Minute)}, time.Time{}, nil, time.Minute},
			{"a message due that nobody waits for", &queue{nextDue: now}, time.Time{}, nil, 24 * time.Hour},
			{"a message due that somebody waits for", &queue{nextDue: now, free: 1}, time.Time{}, nil, 0},
			{"a batch with a handler", &queue{}, now.Add(time.Second), nil, time.Second},
			{"a batch before a message", &queue{nextDue: now.Add(time.Minute)}, now.Add(time.Second), nil, time.Second},
			{"a message before a batch", &queue{nextDue: now.Add(time.Second)}, now.Add(time.Minute), nil, time.Second},
			{"a message in the file", &queue{tail: 1}, time.Time{}, nil, 0},
		} {
			tt.q.flights = list.New()
			if !tt.ends.IsZero() {
				tt.q.flights.PushBack(&flight{deadline: tt.ends})
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

// TestQueueThatCannotBeReadIsNotOpened gives recover files that lack what it
// reads, and one that it may not change.
func TestQueueThatCannotBeReadIsNotOpened(t *testing.T) {
	const queues = "CREATE TABLE queues (name, since, handed, total, dead); INSERT INTO queues VALUES ('events', 0, 1, 2, 3);"
	const messages = "CREATE TABLE events_messages (id, body, receives, visible);"
	const dead = "CREATE TABLE events_dead (id, body, died);"
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"nothing", "SELECT 1", false},
		{"no messages", queues, false},
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
			if n := len(c.stmts); n != 0 {
				t.Errorf("%d statements are kept, want none of those that were executed once", n)
			}
		})
	}
}
