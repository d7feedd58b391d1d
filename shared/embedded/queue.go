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

// Messages that lie in memory so that receiving them reads nothing. Beyond these bounds, of each queue, they
// lie in the file alone.
const (
	maxReady      = 4096
	maxReadyBytes = 4 << 20
)

// A message is one that is ready to be received.
type message struct {
	id       int64
	body     string
	receives int // before this time
	group    string
}

// A counters is what is written about a queue as a whole with each commit.
type counters struct {
	handed int64 // this process's messages up to this id may have been received
	total  int   // messages, dead ones excepted
	dead   int
}

// A queue is one of the three, with what of it lies in memory.
//
// A message without a delay is received in the order of its id, straight from ready. That it was received is told by
// tally.handed alone, which costs no write of its own; what a former process may have received is seen by it. All
// others (delayed, given back, left by a former process) are marked in the file before a handler gets them, so that a
// message which ends the process comes to its MaxReceives, while those that wait behind it do not.
//
// The slow queue is served by message group (see take.takeInTurn), so not in the order of the ids: all its
// messages are marked, and none lies in ready.
type queue struct {
	name       storage.QueueName
	visibility time.Duration
	stmts      queueStmts // of the writer

	// The writer's alone.
	lastID int64
	now    counters // with the writes of this transaction
	saved  counters // as it was committed last

	mu              sync.Mutex
	ready           []message // fresh ones in the order of their ids
	readySize       int       // bytes
	marked          []message // marked as received in the file, for the next handler
	tail            int64     // highest id of a fresh message that was committed
	loaded          int64     // fresh messages up to it were put in ready
	handed          int64     // fresh messages up to it were given to a handler
	committed       counters
	oldUntil        int64      // messages up to it are a former process's
	oldAfter        int64      // of those, which were looked at; old when all were
	nextDue         time.Time  // when the next delayed message becomes visible; zero: none waits
	inFlightBatches *list.List // of *flight, in the order of their deadlines
	inFlight        int
	idleCapacity    int // messages that idle handlers could take at once
	consumers       []chan struct{}
	savingHanded    bool      // a touch is with the writer
	failed          []*finish // to be tried again by the loader
	retryAt         time.Time // not before this time

	// The slow queue's alone.
	perGroup   map[string]int // messages that are marked or with a handler, by group; nil: another queue
	lastGroup  string         // the group that was looked at last; the writer's alone
	moreInFile bool           // messages that could be received lie in the file
	changed    bool           // since the last take began, places became free or messages came

	loader chan struct{} // holds one token if the loader should look
}

type queueStmts struct {
	insert, remove, mark, due, nextDue, recall, old, bury, save, dead, removeDead, sweepDead *stmt
	makeReady, nextGroup, first                                                              *stmt // the slow queue's alone
}

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

// recover reads what a former process left. What it had received is visible at once.
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
		q.oldAfter, q.moreInFile, q.changed = q.oldUntil, true, true // they are taken as all others are
	}
	return c.row(nextDueText(t), func(v []driver.Value) { q.nextDue = dueTime(v[0]) })
}

// resetMarks counts what a former process may have received as received once, shows all that it had, and
// begins to count for this process.
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

// neverVisible is what visible holds while a message that was delayed is with a handler. It lies after all times.
const neverVisible = int64(1) << 62

// dueTime returns the lowest visible as a time, zero if nothing waits for one.
func dueTime(lowest driver.Value) time.Time {
	if lowest == nil || integer(lowest) == neverVisible {
		return time.Time{}
	}
	return time.UnixMilli(integer(lowest))
}

// saveCounters ends q's part of a transaction. Fresh messages for which a handler is idle will be received as
// soon as they are committed, so they count as handed already.
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

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// add takes fresh messages that were committed, and the time when the first of some delayed ones becomes
// visible; zero if there are none.
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

// push puts m, unless it is there already, at the end of ready.
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

// A saveHanded has it written soon that fresh messages were received.
type saveHanded struct{ q *queue }

func (t saveHanded) apply(*writer) error { return nil }

func (t saveHanded) settle(error) waiter {
	t.q.mu.Lock()
	defer t.q.mu.Unlock()
	t.q.savingHanded = false
	return nil
}
