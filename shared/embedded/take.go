package embedded

import (
	"database/sql/driver"
	"io"
	"maps"
	"time"

	"ringback/shared/storage"
)

// A take marks messages as received, so that handlers may get them, and makes those received too often dead letters.
type take struct {
	waiter
	q        *queue
	want     int
	oldAfter int64 // where the last take of an earlier process's messages ended

	taken   []message
	nextDue time.Time

	perGroup   map[string]int // of the slow queue, including taken
	moreInFile bool           // as in queue
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

// takeInOrder takes delayed messages whose time has come, then those of an earlier process.
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

// readMessages reads messages until they fill maxReadyBytes, and reports whether it left some out.
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

// insert writes a new message that is visible at a time in Unix milliseconds, or at once if visible is nil.
func (q *queue) insert(m message, visible any) error {
	_, err := q.stmts.insert.do(q.grouped(m, m.id, m.body, visible)...)
	return err
}

// grouped appends m's group to the arguments of a statement on the slow queue, whose tables have that column.
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

// roundRobinTexts are the slow queue's statements that differ from those of the other queues.
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

// takeRoundRobin takes one message of each group in turn, as long as the group holds fewer messages than handlers have
// free capacity (a dynamic threshold). So a group alone gets half of the capacity, each of n groups one part in n+1,
// and one part stays free for the next group. Messages beyond the share stay in the file until capacity becomes free.
// Example: of a capacity of 16, group a alone holds 8. Then b takes 4 of the other 8 at once, and more as a's end.
//
// Delayed messages whose time has come are made ready first, so that the search for the next group needs one index.
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

// nextGroup finds the next group that has a message and is within its share. It ends when it comes back to a group
// that it has visited, as none of those falls below its share meanwhile.
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

// takeFirst takes the first message of group, or makes it a dead letter.
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

// setChanged says that a take may find what the last one did not.
func (q *queue) setChanged() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed = true
}

// release gives the capacity that ms held back to their groups. The caller holds q.mu.
func (q *queue) release(ms []message) {
	for _, m := range ms {
		if q.perGroup[m.group]--; q.perGroup[m.group] == 0 {
			delete(q.perGroup, m.group)
		}
	}
	q.changed = true
}
