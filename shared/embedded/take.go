package embedded

import (
	"database/sql/driver"
	"io"
	"time"

	"ringback/shared/storage"
)

// A take marks messages as received, so that handlers may get them, and buries
// those that were received too often.
type take struct {
	settled
	q        *queue
	want     int
	oldAfter int64 // where the last take of a former process's messages ended

	taken   []message
	nextDue time.Time
}

func (t *take) apply(*writer) error {
	// Those that waited for a time come first.
	due, _, err := t.find(t.q.stmts.due, time.Now().UnixMilli(), int64(t.want))
	if err != nil {
		return err
	}
	if err := t.markAll(due, received); err != nil {
		return err
	}
	if err := t.takeOld(); err != nil {
		return err
	}
	return t.q.stmts.nextDue.each(func(v []driver.Value) error {
		t.nextDue = dueTime(v[0])
		return nil
	})
}

// takeOld takes what a former process left.
func (t *take) takeOld() error {
	want := t.want - len(t.taken)
	if want <= 0 || t.oldAfter == t.q.old {
		return nil
	}
	old, cut, err := t.find(t.q.stmts.old, t.oldAfter, t.q.old, int64(want))
	if err != nil {
		return err
	}
	if len(old) < want && !cut {
		t.oldAfter = t.q.old
	} else {
		t.oldAfter = old[len(old)-1].id
	}
	return t.markAll(old, nil)
}

// find reads messages until they fill the memory that is meant for them; then
// it reports that it cut off the rest.
func (t *take) find(s *stmt, args ...any) (found []message, cut bool, err error) {
	size := 0
	err = s.each(func(v []driver.Value) error {
		m := message{id: integer(v[0]), body: text(v[1]), receives: int(integer(v[2]))}
		found = append(found, m)
		if size += len(m.body); size > maxReadyBytes {
			cut = true
			return io.EOF
		}
		return nil
	}, args...)
	return found, cut, err
}

func (t *take) markAll(ms []message, visible any) error {
	for _, m := range ms {
		if m.receives >= storage.MaxReceives {
			if err := t.q.bury(m); err != nil {
				return err
			}
			continue
		}
		if _, err := t.q.stmts.mark.do(m.id, int64(m.receives+1), visible); err != nil {
			return err
		}
		t.taken = append(t.taken, m)
	}
	return nil
}

// bury makes m a dead letter.
func (q *queue) bury(m message) error {
	if _, err := q.stmts.bury.do(m.id, m.body, time.Now().Unix()); err != nil {
		return err
	}
	q.now.dead++
	return q.delete(m.id)
}

func (q *queue) delete(id int64) error {
	n, err := q.stmts.remove.do(id)
	q.now.total -= n
	return err
}

func (t *take) settle(err error) {
	if err == nil {
		t.q.addTaken(t)
	}
	t.settled.settle(err)
}

func (q *queue) addTaken(t *take) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.marked = append(q.marked, t.taken...)
	q.oldAfter = t.oldAfter
	q.nextDue = t.nextDue
	q.wakeConsumers()
}
