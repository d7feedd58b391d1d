package embedded

import (
	"database/sql/driver"
	"io"
	"maps"
	"time"

	"ringback/shared/storage"
)

// A take marks messages as received, so that handlers may get them, and buries those received too often.
type take struct {
	waiter
	q        *queue
	want     int
	oldAfter int64 // where the last take of a former process's messages ended

	taken   []message
	nextDue time.Time

	perGroup   map[string]int // of the slow queue, with what is taken
	moreInFile bool           // as of the queue
}

func (t *take) apply(*writer) error {
	takeAll := t.takeInOrder
	if t.q.perGroup != nil {
		takeAll = t.takeRoundRobin
	}
	if err := takeAll(time.Now().UnixMilli()); err != nil {
		return err
	}
	return t.q.stmts.nextDue.row(func(v []driver.Value) { t.nextDue = dueTime(v[0]) })
}

// takeInOrder takes what waited for a time that has come, and then what a former process left.
func (t *take) takeInOrder(now int64) error {
	due, _, err := t.readMessages(t.q.stmts.due, now, int64(t.want))
	if err != nil {
		return err
	}
	if err := t.markAll(due, neverVisible); err != nil {
		return err
	}
	want := t.want - len(t.taken)
	if want <= 0 || t.oldAfter == t.q.oldUntil {
		return nil
	}
	old, truncated, err := t.readMessages(t.q.stmts.old, t.oldAfter, t.q.oldUntil, int64(want))
	if err != nil {
		return err
	}
	if len(old) < want && !truncated {
		t.oldAfter = t.q.oldUntil
	} else {
		t.oldAfter = old[len(old)-1].id
	}
	return t.markAll(old, nil)
}

// readMessages reads messages until they fill the memory that is meant for them; then the rest is cut off.
func (t *take) readMessages(s *stmt, args ...any) (found []message, truncated bool, err error) {
	size := 0
	err = s.each(func(v []driver.Value) error {
		m := message{id: integer(v[0]), body: text(v[1]), receives: int(integer(v[2]))}
		found = append(found, m)
		if size += len(m.body); size > maxReadyBytes {
			truncated = true
			return io.EOF
		}
		return nil
	}, args...)
	return found, truncated, err
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

// insert writes a new message that is visible at a time in Unix milliseconds, or at once if it is nil.
func (q *queue) insert(m message, visible any) error {
	_, err := q.stmts.insert.do(q.grouped(m, m.id, m.body, visible)...)
	return err
}

// grouped adds m's group to the arguments of a statement if q's tables have it.
func (q *queue) grouped(m message, args ...any) []any {
	if q.perGroup == nil {
		return args
	}
	return append(args, m.group)
}

// bury makes m a dead letter.
func (q *queue) bury(m message) error {
	if _, err := q.stmts.bury.do(q.grouped(m, m.id, m.body, time.Now().Unix())...); err != nil {
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

func (t *take) settle(err error) waiter {
	if err != nil {
		t.q.setChanged()
	} else {
		t.q.addTaken(t)
	}
	return t.waiter
}

func (q *queue) addTaken(t *take) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.marked = append(q.marked, t.taken...)
	q.oldAfter = t.oldAfter
	q.nextDue = t.nextDue
	q.moreInFile = t.moreInFile
	if q.perGroup != nil {
		for _, m := range t.taken {
			q.perGroup[m.group]++
		}
	}
	q.wakeConsumers()
}

// roundRobinTexts are the slow queue's statements, where they differ from the others'.
func (q *queue) roundRobinTexts() map[**stmt]string {
	const ready = " FROM slow_messages WHERE visible IS NULL" // has the index slow_ready
	return map[**stmt]string{
		&q.stmts.insert:    "INSERT INTO slow_messages (id, body, receives, visible, message_group) VALUES (?, ?, 0, ?, ?)",
		&q.stmts.bury:      "INSERT INTO slow_dead (id, body, died, message_group) VALUES (?, ?, ?, ?)",
		&q.stmts.dead:      "SELECT id, body, message_group FROM slow_dead WHERE id <= ? ORDER BY id LIMIT +?",
		&q.stmts.makeReady: "UPDATE slow_messages SET visible = NULL WHERE id IN (SELECT id FROM slow_messages WHERE visible <= ? ORDER BY visible LIMIT +?)",
		&q.stmts.nextGroup: "SELECT coalesce((SELECT min(message_group)" + ready + " AND message_group > ?), (SELECT min(message_group)" + ready + "))",
		&q.stmts.first:     "SELECT id, body, receives" + ready + " AND message_group = ? ORDER BY id LIMIT 1",
	}
}

// takeRoundRobin takes one message of each group in turn, while the group has fewer than places are free (a dynamic
// threshold): alone it comes to half of all places, each of n groups to one of n+1 parts, and a part is always free for
// the next group. What is over its share stays in the file until a place becomes free. Example: of 16 places, a alone
// has 8. When b comes, it takes 4 of the other 8 at once, and more as a finishes its own.
//
// Messages whose time has come join those that can be received at once, so that a look passes over no group
// that has none.
func (t *take) takeRoundRobin(now int64) error {
	if _, err := t.q.stmts.makeReady.do(now, int64(maxReady/4)); err != nil {
		return err
	}
	t.q.mu.Lock()
	t.perGroup = maps.Clone(t.q.perGroup)
	t.q.mu.Unlock()
	for range t.want {
		group, found, err := t.nextGroup()
		if err != nil || !found {
			return err
		}
		if err := t.takeFirst(group); err != nil {
			return err
		}
	}
	t.q.setChanged()
	return nil
}

// nextGroup finds the next group that has a message and is within its share. It ends where it has come
// around: a group that is over its share stays so.
func (t *take) nextGroup() (group string, found bool, err error) {
	for visited := map[string]bool{}; ; visited[group] = true {
		err = t.q.stmts.nextGroup.row(func(v []driver.Value) { group, t.moreInFile = text(v[0]), v[0] != nil }, t.q.lastGroup)
		if err != nil || !t.moreInFile || visited[group] {
			return "", false, err
		}
		t.q.lastGroup = group
		if t.perGroup[group] < t.want-len(t.taken) {
			return group, true, nil
		}
	}
}

// takeFirst takes the first message of group, or buries it.
func (t *take) takeFirst(group string) error {
	ms, _, err := t.readMessages(t.q.stmts.first, group)
	if err != nil {
		return err
	}
	for i := range ms {
		ms[i].group = group
	}
	before := len(t.taken)
	err = t.markAll(ms, neverVisible)
	t.perGroup[group] += len(t.taken) - before
	return err
}

// setChanged tells the loader that a take may find what the last did not.
func (q *queue) setChanged() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed = true
}

// release gives the places of ms back. It is called with q.mu locked.
func (q *queue) release(ms []message) {
	for _, m := range ms {
		if q.perGroup[m.group]--; q.perGroup[m.group] == 0 {
			delete(q.perGroup, m.group)
		}
	}
	q.changed = true
}
