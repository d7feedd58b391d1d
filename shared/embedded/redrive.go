package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"time"

	"ringback/shared/storage"
)

// A redrive moves some dead letters on its way through the writer.
type redrive struct {
	settled
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
		r := &redrive{settled: make(settled, 1), q: q, until: until}
		db.writer.start(r)
		if err := r.wait(ctx); err != nil {
			return fmt.Errorf("redrive %s: %w", name, err)
		}
		if len(r.moved) == 0 {
			return nil
		}
		until = r.until
	}
}

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

func (r *redrive) settle(err error) settled {
	if err == nil {
		r.q.add(r.moved, time.Time{})
	}
	return r.settled
}
