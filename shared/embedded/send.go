package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// A send is a Send on its way through the writer.
type send struct {
	settled
	q     *queue
	ms    []storage.Message
	errs  []error // those with one are not sent
	first time.Time
	sent  []message // fresh ones
}

// Send implements storage.Queue. All messages without an error of their own become durable together. Groups
// matter to the slow queue alone, which serves them in turn; the others are served in the order of sending.
func (db *DB) Send(ctx context.Context, name storage.QueueName, ms []storage.Message) []error {
	errs := storage.CheckSend(name, ms)
	if err := ctx.Err(); err != nil {
		return fill(errs, err)
	}
	if !slices.Contains(errs, nil) {
		return errs
	}
	s := &send{settled: make(settled, 1), q: db.queue(name), ms: ms, errs: errs}
	if s.delayed() {
		db.writer.startAtLeisure(s)
	} else {
		db.writer.startFor(ctx, s)
	}
	if err := s.wait(ctx); err != nil {
		return fill(slices.Clone(errs), fmt.Errorf("send to %s: %w", name, err))
	}
	return errs
}

// fill gives err to each message that has none.
func fill(errs []error, err error) []error {
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
	}
	return errs
}

// delayed reports whether all of s waits for a time.
func (s *send) delayed() bool {
	return !slices.ContainsFunc(s.ms, func(m storage.Message) bool { return m.Delay == 0 })
}

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

func (s *send) settle(err error) settled {
	if err == nil {
		s.q.add(s.sent, s.first)
	}
	return s.settled
}
