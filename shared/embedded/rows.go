package embedded

import (
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// tables are in the order of their numbers in the file.
var tables = []storage.Table{storage.Registrations, storage.Deliveries}

func tableNumber(t storage.Table) int64 { return int64(slices.Index(tables, t)) }

const rowColumns = "sk, rev, data, body, due, open, expires"

// rowFrom makes a row of rowColumns and the key parts that the caller knows.
func rowFrom(t storage.Table, pk string, v []driver.Value) storage.Row {
	r := storage.Row{
		Key:  storage.Key{Table: t, PK: pk, SK: text(v[0])},
		Rev:  text(v[1]),
		Data: blob(v[2]),
		Body: blob(v[3]),
		Open: integer(v[5]) == 1,
	}
	if v[4] != nil {
		r.Due = time.UnixMilli(integer(v[4])).UTC()
	}
	if v[6] != nil {
		r.Expires = time.Unix(integer(v[6]), 0).UTC()
	}
	return r
}

// A put is a call of Put on its way through the writer.
type put struct {
	waiter
	row      storage.Row
	oldRev   string
	conflict error
}

// Put implements storage.Store.
func (db *DB) Put(ctx context.Context, r storage.Row, oldRev string) error {
	if err := cmp.Or(r.Check(), ctx.Err()); err != nil {
		return err
	}
	p := &put{waiter: make(waiter, 1), row: r, oldRev: oldRev}
	db.writer.submitFor(ctx, p)
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("put row: %w", err)
	}
	return p.conflict
}

// apply writes the row if the stored revision is oldRev. If nothing changed and the stored revision is the new one, an
// earlier try of the same write has succeeded, which is no conflict.
func (p *put) apply(w *writer) error {
	r := &p.row
	var due, shard, open, expires any
	if !r.Due.IsZero() {
		due, shard = r.Due.UnixMilli(), int64(r.DueShard())
	}
	if r.Open {
		open = int64(1)
	}
	if !r.Expires.IsZero() {
		expires = seconds(r.Expires)
	}
	s := &w.stmts
	args := [...]any{tableNumber(r.Table), r.PK, r.SK, r.Rev, orNull(r.Data), orNull(r.Body), due, shard, open, expires, nil}
	var changed int
	var err error
	switch p.oldRev {
	case "":
		args[10] = time.Now().Unix()
		changed, err = s.putNew.do(args[:]...)
	case storage.AnyRev:
		changed, err = s.putAny.do(args[:10]...)
	default:
		args[10] = p.oldRev
		changed, err = s.putOver.do(args[:]...)
	}
	if err != nil || changed == 1 {
		return err
	}
	stored, err := readRow(s.get, r.Key)
	if err == nil && stored.Rev != r.Rev {
		p.conflict = &storage.ConflictError{Stored: stored}
	}
	return err
}

// seconds rounds up, so that no row expires early.
func seconds(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// readRow returns the row of k, zero if there is none.
func readRow(get *stmt, k storage.Key) (r storage.Row, err error) {
	err = get.row(func(v []driver.Value) { r = rowFrom(k.Table, k.PK, v) }, tableNumber(k.Table), k.PK, k.SK, time.Now().Unix())
	return r, err
}

// A deletion is a call of Delete on its way through the writer.
type deletion struct {
	waiter
	key      storage.Key
	oldRev   string
	conflict error
}

// Delete implements storage.Store.
func (db *DB) Delete(ctx context.Context, k storage.Key, oldRev string) error {
	if err := cmp.Or(k.Check(), ctx.Err()); err != nil {
		return err
	}
	d := &deletion{waiter: make(waiter, 1), key: k, oldRev: oldRev}
	db.writer.submitFor(ctx, d)
	if err := d.wait(ctx); err != nil {
		return fmt.Errorf("delete row: %w", err)
	}
	return d.conflict
}

func (d *deletion) apply(w *writer) error {
	k := d.key
	changed, err := w.stmts.deleteRow.do(tableNumber(k.Table), k.PK, k.SK, d.oldRev)
	if err != nil || changed == 1 {
		return err
	}
	stored, err := readRow(w.stmts.get, k)
	if err == nil && stored.Rev != "" {
		d.conflict = &storage.ConflictError{Stored: stored}
	}
	return err
}

// HasRows reports whether the file holds any row.
func (db *DB) HasRows(ctx context.Context) (found bool, err error) {
	r, err := db.reader(ctx)
	if err != nil {
		return false, err
	}
	defer r.release()
	err = r.conn.row("SELECT 1 FROM rows LIMIT 1", func([]driver.Value) { found = true })
	return found, err
}

// Get implements storage.Store.
func (db *DB) Get(ctx context.Context, keys ...storage.Key) ([]storage.Row, error) {
	if err := storage.CheckGet(keys); err != nil {
		return nil, err
	}
	r, err := db.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release()
	rows := make([]storage.Row, 0, len(keys))
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			continue
		}
		row, err := readRow(r.get, k)
		if err != nil {
			return nil, fmt.Errorf("get row: %w", err)
		}
		if row.Rev != "" {
			rows = append(rows, row)
		}
	}
	return rows, nil
}
