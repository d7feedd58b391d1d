package embedded

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/storage"
	"ringback/shared/test/proofs"
)

const (
	testPlaces = 16
	testPost   = 14 * time.Second // that a handler takes
)

// usage is what groups had of testPlaces places. The group of a message is the
// first word of its body, the second when it was sent.
type usage struct {
	mu        sync.Mutex
	now, most map[string]int           // messages with handlers
	waited    map[string]time.Duration // at most
	all, peak int
	calls     int
}

// consumer holds each message of a group that is slow for testPost, each a moment
// longer than the one before: which of several places that become free at once is
// seen first would be the machine's to choose.
func (u *usage) consumer(slow ...string) Consumer {
	u.now, u.most, u.waited = map[string]int{}, map[string]int{}, map[string]time.Duration{}
	return Consumer{Batch: 1, Concurrency: testPlaces, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
		group, sent, _ := strings.Cut(ms[0].Body, " ")
		at, err := time.Parse(time.RFC3339Nano, sent)
		u.count(group, 1, time.Since(at))
		if slices.Contains(slow, group) {
			time.Sleep(testPost + u.next())
		}
		u.count(group, -1, 0)
		return nil, err
	}}
}

func (u *usage) next() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls++
	return time.Duration(u.calls) * time.Millisecond
}

func (u *usage) count(group string, n int, waited time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.now[group] += n
	u.all += n
	u.most[group] = max(u.most[group], u.now[group])
	u.waited[group] = max(u.waited[group], waited)
	u.peak = max(u.peak, u.all)
}

// sendOf sends n messages of group as usage reads them.
func sendOf(t *testing.T, db *DB, group string, n int) {
	t.Helper()
	for range n {
		mustSend(t, db, storage.SlowQueue, storage.Message{Group: group, Body: group + " " + time.Now().Format(time.RFC3339Nano)})
	}
}

// TestSlowGroupDelaysNoOther has one with a thousand messages, each slow, and
// sends another's one a second.
func TestSlowGroupDelaysNoOther(t *testing.T) {
	proofs.Long(t)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		var u usage
		sendOf(t, db, "a", 1000)
		stop := serve(t, db, storage.SlowQueue, u.consumer("a"))
		for range 60 {
			time.Sleep(time.Second)
			sendOf(t, db, "b", 1)
		}
		time.Sleep(time.Second)
		stop()
		if u.waited["b"] > 2*groupCommitWait || u.most["b"] != 1 || u.most["a"] != testPlaces/2 {
			t.Errorf("a had up to %d of %d places, b waited for up to %v; want half, and at most %v", u.most["a"], testPlaces, u.waited["b"], 2*groupCommitWait)
		}
	})
}

// TestSlowGroupsShareThePlaces gives each of n groups more to do than all places
// take, and wants that each has one of n+1 parts, to the place, and one is free.
func TestSlowGroupsShareThePlaces(t *testing.T) {
	proofs.Long(t)
	for n := 1; n <= 7; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{Relaxed: true})
				var groups []string
				for i := range n {
					groups = append(groups, fmt.Sprint("g", i))
					sendOf(t, db, groups[i], 2*testPlaces)
				}
				var u usage
				stop := serve(t, db, storage.SlowQueue, u.consumer(groups...))
				time.Sleep(3 * testPost)
				stop()
				for _, g := range groups {
					if part := testPlaces / (n + 1); u.most[g] < part || u.most[g] > part+1 {
						t.Errorf("%s had up to %d of %d places, want %d or one more", g, u.most[g], testPlaces, part)
					}
				}
				if u.peak >= testPlaces {
					t.Errorf("%d of %d places were taken, want one free", u.peak, testPlaces)
				}
			})
		})
	}
}

// TestGroupsAreServedInTurn has one place, and more of one group than of others.
func TestGroupsAreServedInTurn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		var got []string
		for _, m := range []string{"a 1", "a 2", "a 3", " 1", " 2", "~~ 1", "~ 1", "~ 2"} {
			group, _, _ := strings.Cut(m, " ")
			mustSend(t, db, storage.SlowQueue, storage.Message{Body: m, Group: group})
		}
		c := record(&got)
		c.Batch, c.Concurrency = 1, 1
		stop := serve(t, db, storage.SlowQueue, c)
		time.Sleep(time.Minute)
		stop()
		for i, s := range got {
			got[i] = strings.TrimSuffix(s, " 1 after 0s")
		}
		if want := []string{"a 1", "~ 1", "~~ 1", " 1", "a 2", "~ 2", " 2", "a 3"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
	})
}

// TestGroupsOverTheirShareAreNotLookedAt counts looks at the file: none while no
// place becomes free, and few for each that does.
func TestGroupsOverTheirShareAreNotLookedAt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		var looks atomic.Int64
		mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
			s := db.queue(storage.SlowQueue).stmts.nextGroup
			was := s.query
			s.query = queryArgs(func(args []driver.NamedValue) (driver.Rows, error) {
				looks.Add(1)
				return was.QueryContext(context.Background(), args)
			})
			return nil
		}})
		const messages = 10 * testPlaces / 2
		sendOf(t, db, "a", messages)
		var u usage
		stop := serve(t, db, storage.SlowQueue, u.consumer("a"))
		time.Sleep(time.Second)
		synctest.Wait()
		before := looks.Load()
		time.Sleep(testPost - 2*time.Second)
		synctest.Wait()
		if n := looks.Load() - before; n != 0 {
			t.Errorf("%d looks while no place became free, want none", n)
		}
		time.Sleep(10 * testPost)
		stop()
		if n := looks.Load(); n > 4*messages {
			t.Errorf("%d looks for %d messages, want at most 4 for each", n, messages)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{})
		wantAllFree(t, db)
	})
}

// wantAllFree wants that no message holds a place.
func wantAllFree(t *testing.T, db *DB) {
	t.Helper()
	q := db.queue(storage.SlowQueue)
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.perGroup) != 0 || q.idleCapacity != 0 || len(q.marked) != 0 || q.inFlight != 0 {
		t.Errorf("%v hold places, %d are free without a consumer, %d messages are marked and %d in flight; want none", q.perGroup, q.idleCapacity, len(q.marked), q.inFlight)
	}
}

// TestGroupsOutliveTheProcess has a process die with two of four messages in hand,
// which alone it has received, and takes all through their dead letters and back.
func TestGroupsOutliveTheProcess(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		release := make(chan struct{})
		stop := serve(t, db, storage.SlowQueue, Consumer{Batch: 1, Concurrency: 4, Handler: func(context.Context, []storage.Received) ([]string, error) {
			<-release
			return nil, nil
		}})
		synctest.Wait()
		mustSend(t, db, storage.SlowQueue, storage.Message{Body: "a1", Group: "a"}, storage.Message{Body: "a2", Group: "a"},
			storage.Message{Body: "a3", Group: "a"}, storage.Message{Body: "a4", Group: "a"})
		time.Sleep(backgroundBatchWait)
		synctest.Wait()
		wantDepth(t, db, storage.SlowQueue, storage.Depth{InFlight: 2, Waiting: 2})
		copyFiles(t, dir, copied)
		close(release)
		stop()

		db = openTest(t, copied, Options{Relaxed: true})
		mustSend(t, db, storage.SlowQueue, storage.Message{Body: "none"}, storage.Message{Body: "later", Group: "b", Delay: time.Minute})
		wantDepth(t, db, storage.SlowQueue, storage.Depth{Waiting: 5, Delayed: 1})
		received := map[string][]int{}
		stop = serve(t, db, storage.SlowQueue, Consumer{Batch: 1, Handler: func(_ context.Context, ms []storage.Received) ([]string, error) {
			received[ms[0].Body] = append(received[ms[0].Body], ms[0].Receives)
			return nil, errors.New("refused by the test")
		}})
		time.Sleep(time.Hour)
		stop()
		all := []int{1, 2, 3, 4, 5}
		want := map[string][]int{"a1": all[1:], "a2": all[1:], "a3": all, "a4": all, "none": all, "later": all}
		if diff := cmp.Diff(want, received); diff != "" {
			t.Errorf("messages were received for the times that differ from those wanted by (-want +got)\n%s", diff)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{Dead: 6})
		wantGroups(t, db, "slow_dead")
		if err := db.Redrive(t.Context(), storage.SlowQueue); err != nil {
			t.Fatal(err)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{Waiting: 6})
		wantGroups(t, db, "slow_messages")
		var got []string
		stop = serve(t, db, storage.SlowQueue, record(&got))
		time.Sleep(time.Minute)
		stop()
		slices.Sort(got)
		if want := []string{"a1", "a2", "a3", "a4", "later", "none"}; strings.ReplaceAll(strings.Join(got, ","), " 1 after 0s", "") != strings.Join(want, ",") {
			t.Errorf("received %q, want each of %q at once for the first time", got, want)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{})
		wantAllFree(t, db)
	})
}

// wantGroups wants that the six messages of TestGroupsOutliveTheProcess lie in a
// table with their groups.
func wantGroups(t *testing.T, db *DB, table string) {
	t.Helper()
	n := ask(t, db, "SELECT count(*) FROM "+table+
		" WHERE (body, message_group) IN (('a1', 'a'), ('a2', 'a'), ('a3', 'a'), ('a4', 'a'), ('none', ''), ('later', 'b'))")
	if n != 6 {
		t.Errorf("%d of 6 messages in %s have their groups", n, table)
	}
}

// TestSlowMessageComesWhenItsStatementIsMended breaks each statement of a take for
// a minute, while one of two messages waits for a place.
func TestSlowMessageComesWhenItsStatementIsMended(t *testing.T) {
	for name, which := range map[string]func(q *queueStmts) *stmt{
		"what falls due": func(q *queueStmts) *stmt { return q.makeReady },
		"next group":     func(q *queueStmts) *stmt { return q.nextGroup },
		"first of it":    func(q *queueStmts) *stmt { return q.first },
		"mark":           func(q *queueStmts) *stmt { return q.mark },
		"next due one":   func(q *queueStmts) *stmt { return q.nextDue },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				db := openTest(t, dir, Options{Relaxed: true})
				mustSend(t, db, storage.SlowQueue, storage.Message{Body: "a", Group: "g"}, storage.Message{Body: "b", Group: "g"})
				var got []string
				c := record(&got)
				c.Batch = 1
				mend := breakStmt(t, db, which(&db.queue(storage.SlowQueue).stmts))
				stop := serve(t, db, storage.SlowQueue, c)
				time.Sleep(time.Minute - time.Millisecond)
				synctest.Wait()
				mend()
				time.Sleep(time.Minute)
				stop()
				if want := []string{"a 1 after 1m0s", "b 1 after 1m0s"}; !slices.Equal(got, want) {
					t.Errorf("received %q, want %q", got, want)
				}
				wantDepth(t, db, storage.SlowQueue, storage.Depth{})
				wantAllFree(t, db)
			})
		})
	}
}

// TestManyDeadLettersHoldUpNoMessage has more that were received too often than a
// take looks at, and one after them.
func TestManyDeadLettersHoldUpNoMessage(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		sendOf(t, db, "g", 5)
		if err := db.change("UPDATE slow_messages SET receives = ?", int64(storage.MaxReceives)); err != nil {
			t.Fatal(err)
		}
		mustSend(t, db, storage.SlowQueue, storage.Message{Body: "last", Group: "g"})
		var got []string
		c := record(&got)
		c.Batch, c.Concurrency = 1, 2
		stop := serve(t, db, storage.SlowQueue, c)
		time.Sleep(time.Minute)
		stop()
		if want := []string{"last 1 after 0s"}; !slices.Equal(got, want) {
			t.Errorf("received %q, want %q", got, want)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{Dead: 5})
	})
}

// TestManyThatFallDueTogetherAllCome has more than one take makes ready.
func TestManyThatFallDueTogetherAllCome(t *testing.T) {
	proofs.Long(t)
	dir := t.TempDir()
	const many = maxReady/4 + 1
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, dir, Options{Relaxed: true})
		q := db.queue(storage.SlowQueue)
		mustWrite(t, db, step{make(waiter, 1), func(*writer) error {
			for i := range many {
				if err := q.insert(message{id: int64(i + 1), body: "a", group: fmt.Sprint("g", i%3)}, time.Now().UnixMilli()); err != nil {
					return err
				}
			}
			q.lastID, q.now.total = many, many
			return nil
		}})
		q.add(nil, time.Now())
		var got []string
		c := record(&got)
		c.Batch, c.Concurrency = 1, 1
		stop := serve(t, db, storage.SlowQueue, c)
		time.Sleep(time.Hour)
		stop()
		if len(got) != many {
			t.Errorf("received %d messages, want %d", len(got), many)
		}
		wantDepth(t, db, storage.SlowQueue, storage.Depth{})
	})
}

// TestLookReadsNoMessagesInVain asks SQLite how it finds what a take looks for:
// by an index, whatever else lies in the file.
func TestLookReadsNoMessagesInVain(t *testing.T) {
	db := openTest(t, t.TempDir(), Options{Relaxed: true})
	q := db.queue(storage.SlowQueue)
	for _, s := range []*stmt{q.stmts.makeReady, q.stmts.nextGroup, q.stmts.first, q.stmts.nextDue} {
		var plan []string
		mustWrite(t, db, step{make(waiter, 1), func(w *writer) error {
			return w.conn.each("EXPLAIN QUERY PLAN "+s.text, func(v []driver.Value) error {
				plan = append(plan, text(v[3]))
				return nil
			}, int64(1), int64(1))
		}})
		if all := strings.Join(plan, "; "); !strings.Contains(all, "INDEX slow_") || strings.Contains(all, "SCAN slow") || strings.Contains(all, "B-TREE") {
			t.Errorf("%s: SQLite will %s, want a search by an index", s.text, all)
		}
	}
}
