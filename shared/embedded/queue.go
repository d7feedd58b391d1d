package embedded

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"ringback/shared/storage"
)

// Fresh messages lie in memory too, so that receiving them reads nothing. Beyond these bounds a queue's messages lie
// in the file alone.
const (
	maxReady      = 4096
	maxReadyBytes = 4 << 20
)

// A message is one that can be received.
type message struct {
	id       int64
	body     string
	receives int // earlier ones
	group    string
}

// counters are the figures of a queue that are saved with each commit.
type counters struct {
	handed int64 // this process may have handed out its messages up to this id
	total  int   // messages without the dead ones
	dead   int
}

// A queue is one of the three, and the part of it that lies in memory.
//
// A message without delay is received in the order of the ids, straight from ready. Only counters.handed says that it
// was received, which costs no write of its own and tells the next process what may have been received. All other
// messages (delayed, returned, left by an earlier process) are marked in the file before a handler gets them: so a
// message that crashes the process reaches its MaxReceives, and the messages behind it do not.
//
// The slow queue is served round robin by message group (take.takeRoundRobin) and not by id: all its messages are
// marked, and none lies in ready.
type queue struct {
	name       storage.QueueName
	visibility time.Duration
	stmts      queueStmts // prepared on the writer's connection

	// Used by the writer alone.
	lastID int64
	now    counters // including this transaction
	saved  counters // as of the last commit

	mu              sync.Mutex
	ready           []message // fresh ones in the order of their ids
	readySize       int       // bytes
	marked          []message // marked as received in the file, for the next handler
	tail            int64     // highest id of a committed fresh message
	loaded          int64     // fresh messages up to it have been in ready
	handed          int64     // fresh messages up to it were given to a handler
	committed       counters
	oldUntil        int64      // messages up to it are an earlier process's
	oldAfter        int64      // of those, messages up to it were taken; oldUntil if all were
	nextDue         time.Time  // when the next delayed message becomes visible; zero: none is delayed
	inFlightBatches *list.List // of *inFlightBatch, by deadline
	inFlight        int
	idleCapacity    int // messages that idle handlers could take now
	consumers       []chan struct{}
	savingHanded    bool      // a saveHanded is with the writer
	failed          []*finish // the loader tries them again
	retryAt         time.Time // but not before this time

	// Of the slow queue alone.
	perGroup   map[string]int // messages marked or with a handler, by group; nil: not the slow queue
	lastGroup  string         // the group that was tried last; the writer's alone
	moreInFile bool           // messages that could be received lie in the file
	changed    bool           // since the last take began, handlers became free or messages came

	loader chan struct{} // holds one token if the loader has something to do
}

type queueStmts struct {
	insert, remove, mark, due, nextDue, recall, old, bury, save, dead, removeDead, sweepDead *stmt
	makeReady, nextGroup, first                                                              *stmt // the slow queue's alone
}

// prepare prepares the queue's statements. Each queue has tables of its own, such as events_messages and events_dead.
func (q *queue) prepare(c *conn) error {
	t := string(q.name)
	texts := map[**stmt]string{
		&q.stmts.insert:     "INSERT INTO " + t + "_messages (id, body, receives, visible) VALUES (?, ?, 0, ?)",
		&q.stmts.remove:     "DELETE FROM " + t + "_messages WHERE id = ?",
		&q.stmts.mark:       "UPDATE " + t + "_messages SET receives = ?2, visible = ?3 WHERE id = ?1",
		&q.stmts.due:        "SELECT id, body, receives FROM " + t + "_messages WHERE visible <= ? ORDER BY visible LIMIT +?",
		&q.stmts.nextDue:    nextDueText(t),
		&q.stmts.recall:     "UPDATE " + t + "_messages SET visible = ?1 WHERE visible > ?2 AND visible < ?3",
		&q.stmts.old:        "SELECT id, body, receives FROM " + t + "_messages WHERE id > ? AND id <= ? AND visible IS NULL ORDER BY id LIMIT +?",
		&q.stmts.bury:       "INSERT INTO " + t + "_dead (id, body, died) VALUES (?, ?, ?)",
		&q.stmts.save:       "UPDATE queues SET handed = ?, total = ?, dead = ? WHERE name = '" + t + "'",
		&q.stmts.dead:       "SELECT id, body, '' FROM " + t + "_dead WHERE id <= ? ORDER BY id LIMIT +?",
		&q.stmts.removeDead: "DELETE FROM " + t + "_dead WHERE id = ?",
		&q.stmts.sweepDead:  "DELETE FROM " + t + "_dead WHERE id IN (SELECT id FROM " + t + "_dead WHERE died < ? LIMIT +?)",
	}
	if q.perGroup != nil {
		maps.Copy(texts, q.roundRobinTexts())
	}
	return c.prepareAll(texts)
}

// recover reads what an earlier process left. Messages that it had received become visible at once.
func (q *queue) recover(c *conn) error {
	t := string(q.name)
	var since int64
	err := c.row("SELECT since, handed, total, dead FROM queues WHERE name = ?", func(v []driver.Value) {
		since, q.now = integer(v[0]), counters{handed: integer(v[1]), total: int(integer(v[2])), dead: int(integer(v[3]))}
	}, t)
	if err != nil {
		return err
	}
	err = c.row("SELECT (SELECT max(id) FROM "+t+"_messages), (SELECT max(id) FROM "+t+"_dead)", func(v []driver.Value) {
		q.lastID = max(integer(v[0]), integer(v[1]), q.now.handed)
	})
	if err != nil {
		return err
	}
	if err := q.resetMarks(c, since); err != nil {
		return err
	}
	q.now.handed = q.lastID
	q.saved, q.committed = q.now, q.now
	q.oldUntil, q.loaded, q.tail, q.handed = q.lastID, q.lastID, q.lastID, q.lastID
	if q.perGroup != nil {
		q.oldAfter, q.moreInFile, q.changed = q.oldUntil, true, true // the slow queue takes them like all others
	}
	return c.row(nextDueText(t), func(v []driver.Value) { q.nextDue = dueTime(v[0]) })
}

// resetMarks counts one receipt for each message that an earlier process may have received from memory, makes all that
// it had received visible, and starts this process's counting.
func (q *queue) resetMarks(c *conn, since int64) error {
	t := string(q.name)
	return errors.Join(
		c.run("BEGIN IMMEDIATE"),
		c.run("UPDATE "+t+"_messages SET receives = 1 WHERE id > ? AND id <= ? AND receives = 0 AND visible IS NULL", since, q.now.handed),
		c.run("UPDATE "+t+"_messages SET visible = 0 WHERE receives > 0 AND visible > 0"),
		c.run("UPDATE queues SET since = ?1, handed = ?1 WHERE name = ?2", q.lastID, t),
		c.run("COMMIT"))
}

func nextDueText(t string) string {
	return "SELECT min(visible) FROM " + t + "_messages WHERE visible IS NOT NULL"
}

// neverVisible is the visibility time of a once delayed message that is with a handler: later than any time.
const neverVisible = int64(1) << 62

// dueTime returns the lowest visibility time, zero if no message waits for one.
func dueTime(lowest driver.Value) time.Time {
	if lowest == nil || integer(lowest) == neverVisible {
		return time.Time{}
	}
	return time.UnixMilli(integer(lowest))
}

// saveCounters ends q's part of a transaction. Fresh messages that idle handlers will receive as soon as they are
// committed count as handed out already, which saves a write for each.
func (q *queue) saveCounters(w *writer) error {
	q.mu.Lock()
	q.now.handed = max(q.now.handed, q.handed)
	if soon := int64(q.idleCapacity - len(q.marked) - len(q.ready)); soon > 0 && q.loaded >= q.tail && q.perGroup == nil {
		q.now.handed = max(q.now.handed, min(q.lastID, q.tail+soon))
	}
	q.mu.Unlock()
	if q.now == q.saved {
		return nil
	}
	_, err := q.stmts.save.do(q.now.handed, int64(q.now.total), int64(q.now.dead))
	return err
}

// settleCounters is called after each transaction, before its writes settle.
func (q *queue) settleCounters(err error) {
	if err != nil {
		q.now = q.saved
		return
	}
	if q.now == q.saved {
		return
	}
	q.saved = q.now
	q.mu.Lock()
	q.committed = q.now
	q.mu.Unlock()
}

// earlier returns the earlier of two times; a zero time does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// add takes committed fresh messages, and the time when the first of some delayed ones becomes visible, zero if there
// are none.
func (q *queue) add(ms []message, visible time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.perGroup != nil && len(ms) > 0 {
		q.moreInFile, q.changed, ms = true, true, nil // a take brings them
		wakeUp(q.loader)
	}
	for _, m := range ms {
		if q.loaded >= q.tail && q.fits(m) {
			q.push(m)
		}
		q.tail = max(q.tail, m.id)
	}
	if !visible.IsZero() {
		q.nextDue = earlier(q.nextDue, visible)
		wakeUp(q.loader)
	}
	if len(ms) > 0 {
		q.wakeConsumers()
	}
}

func (q *queue) fits(m message) bool {
	return len(q.ready) < maxReady && q.readySize+len(m.body) <= maxReadyBytes || len(q.ready) == 0
}

// push appends m to ready, unless it has been there.
func (q *queue) push(m message) {
	if m.id <= q.loaded {
		return
	}
	q.ready = append(q.ready, m)
	q.readySize += len(m.body)
	q.loaded = m.id
}

func (q *queue) wakeConsumers() {
	for _, c := range q.consumers {
		wakeUp(c)
	}
}

// wakeUp leaves a token in c unless one is there.
func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Depth implements storage.Queue.
func (db *DB) Depth(ctx context.Context, name storage.QueueName) (storage.Depth, error) {
	if err := name.Check(); err != nil {
		return storage.Depth{}, err
	}
	r, err := db.reader(ctx)
	if err != nil {
		return storage.Depth{}, err
	}
	defer r.release()
	var delayed int
	err = r.queues[name].delayed.row(func(v []driver.Value) { delayed = int(integer(v[0])) }, time.Now().UnixMilli())
	if err != nil {
		return storage.Depth{}, fmt.Errorf("depth of %s: %w", name, err)
	}
	q := db.queue(name)
	q.mu.Lock()
	defer q.mu.Unlock()
	return storage.Depth{
		Waiting:  max(0, q.committed.total-delayed-q.inFlight),
		InFlight: q.inFlight,
		Delayed:  delayed,
		Dead:     q.committed.dead,
	}, nil
}

// A saveHanded makes the writer save soon that fresh messages were handed out.
type saveHanded struct{ q *queue }

func (t saveHanded) apply(*writer) error { return nil }

func (t saveHanded) settle(error) waiter {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.savingHanded = false
	return nil
}
