package embedded

import (
	"context"
	"fmt"

	"ringback/shared/storage"
)

// A reader is a connection for reading; each statement sees what is committed when it begins. It must be released.
type reader struct {
	conn *conn
	pool chan *reader

	get, oldest, newest, open, openNewest, due *stmt

	queues map[storage.QueueName]*queueReads
}

// queueReads are a reader's statements for one queue.
type queueReads struct{ fresh, delayed *stmt }

const getText = "SELECT " + rowColumns + " FROM rows" +
	" WHERE tbl = ?1 AND pk = ?2 AND sk = ?3 AND (expires IS NULL OR expires > ?4)"

const openColumns = "sk, NULL, NULL, NULL, NULL, NULL, NULL"

const dueText = "SELECT due, tbl, pk, sk FROM rows" +
	" WHERE shard = ?1 AND due <= ?2 AND due >= ?3 AND (due, tbl, pk, sk) > (?3, ?4, ?5, ?6)" +
	" ORDER BY due, tbl, pk, sk LIMIT +?7"

// openReader opens a read-only connection with its statements. It returns to pool when it is released.
func openReader(ctx context.Context, path string, pool chan *reader) (*reader, error) {
	c, err := openConn(ctx, path, readerCache, "query_only = 1", "busy_timeout = 5000")
	if err != nil {
		return nil, fmt.Errorf("open for reading: %w", err)
	}
	r := &reader{conn: c, pool: pool, queues: map[storage.QueueName]*queueReads{}}
	texts := map[**stmt]string{
		&r.get:        getText,
		&r.oldest:     listText(rowColumns, "", "ASC"),
		&r.newest:     listText(rowColumns, "", "DESC"),
		&r.open:       listText(openColumns, "open = 1 AND", "ASC"),
		&r.openNewest: listText(openColumns, "open = 1 AND", "DESC"),
		&r.due:        dueText,
	}
	for _, name := range queueNames {
		from := " FROM " + string(name) + "_messages WHERE "
		reads := &queueReads{}
		texts[&reads.fresh] = "SELECT id, body" + from + "id > ? AND visible IS NULL AND receives = 0 ORDER BY id LIMIT +?"
		texts[&reads.delayed] = fmt.Sprintf("SELECT count(*)%svisible > ? AND visible < %d", from, neverVisible)
		r.queues[name] = reads
	}
	if err := c.prepareAll(texts); err != nil {
		c.close()
		return nil, err
	}
	return r, nil
}

// reader waits for a free reader.
func (db *DB) reader(ctx context.Context) (*reader, error) {
	select {
	case r := <-db.readers:
		return r, nil
	default:
	}
	select {
	case r := <-db.readers:
		return r, nil
	case <-db.closing:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *reader) release() { r.pool <- r }
