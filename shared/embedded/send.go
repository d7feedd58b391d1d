package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"slices"
	"time"

	"ringback/shared/storage"
)

// A send is a call of Send on its way through the writer.
type send struct {
	waiter
	q     *queue
	ms    []storage.Message
	errs  []error   // a message with an error is not sent
	first time.Time // when the first delayed one becomes visible
	sent  []message // those without delay
}

// Send implements storage.Queue. All messages without an error of their own become durable together. Groups matter to
// the slow queue alone; the others are served in the order of sending.
func (db *DB) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	if err := ctx.Err(); err != nil {
		return fill(errs, err)
	}
	if !slices.Contains(errs, nil) {
		return errs
	}
	s := &send{waiter: make(waiter, 1), q: db.queue(name), ms: ms, errs: errs}
	if s.delayed() {
		db.writer.submitLazy(s)
	} else {
		db.writer.submitFor(ctx, s)
	}
	if err := s.wait(ctx); err != nil {
		return fill(slices.Clone(errs), fmt.Errorf("send to %s: %w", name, err))
	}
	return errs
}

// fill sets err for each message that has no error.
func fill(errs []error, err error) []error {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// delayed reports whether all messages of s are delayed.
func (s *send) delayed() bool {
	return !slices.ContainsFunc(s.ms, func(m storage.Message) bool { return m.Delay == 0 })
}

// apply inserts the messages. Those without delay are also collected in sent, so that they can be handed to a consumer
// from memory after the commit.
func (s *send) apply(*writer) error {
	q, now := s.q, time.Now()
	for i, m := range s.ms {
		if s.errs[i] != nil {
			continue
		}
		q.lastID++
		q.now.total++
		x := message{id: q.lastID, body: m.Body, group: m.Group}
		var visible any
		if d := m.DelaySeconds(); d > 0 {
			at := now.Add(time.Duration(d) * time.Second)
			visible = at.UnixMilli()
			s.first = earlier(s.first, at)
		} else {
			s.sent = append(s.sent, x)
		}
		if err := q.insert(x, visible); err != nil {
			return err
		}
	}
	return nil
}

func (s *send) settle(err error) waiter {
	if err == nil {
		s.q.add(s.sent, s.first)
	}
	return s.waiter
}

// A redrive moves some dead letters back to their queue.
type redrive struct {
	waiter
	q     *queue
	until int64 // highest id to move
	moved []message
}

const redriveChunk = 100

// Redrive implements storage.Queue. It returns when all letters that were dead at its start have been moved.
func (db *DB) Redrive(ctx context.Context, name storage.QueueName) error {
	if err := name.Check(); err != nil {
		return err
	}
	q := db.queue(name)
	for until := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		r := &redrive{waiter: make(waiter, 1), q: q, until: until}
		db.writer.submit(r)
		if err := r.wait(ctx); err != nil {
			return fmt.Errorf("redrive %s: %w", name, err)
		}
		if len(r.moved) == 0 {
			return nil
		}
		until = r.until
	}
}

// apply moves one chunk of dead letters back to the queue, as new messages without receives. The bound until is set at
// the first chunk, so that messages which die meanwhile are not moved for ever.
func (r *redrive) apply(*writer) error {
	q := r.q
	if r.until == 0 {
		r.until = q.lastID
	}
	var ids []int64
	size := 0
	err := q.stmts.dead.each(func(v []driver.Value) error {
		ids = append(ids, integer(v[0]))
		m := message{id: q.lastID + int64(len(ids)), body: text(v[1]), group: text(v[2])}
		r.moved = append(r.moved, m)
		if size += len(m.body); size > maxReadyBytes {
			return io.EOF
		}
		return nil
	}, r.until, int64(redriveChunk))
	if err != nil {
		return err
	}
	for i, id := range ids {
		if _, err := q.stmts.removeDead.do(id); err != nil {
			return err
		}
		if err := q.insert(r.moved[i], nil); err != nil {
			return err
		}
	}
	q.lastID += int64(len(ids))
	q.now.dead -= len(ids)
	q.now.total += len(ids)
	return nil
}

func (r *redrive) settle(err error) waiter {
	if err == nil {
		r.q.add(r.moved, time.Time{})
	}
	return r.waiter
}
