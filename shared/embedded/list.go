package embedded

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ringback/shared/storage"
)

// maxPageBytes ends a page early, as DynamoDB does ("Query", Amazon DynamoDB API Reference: 1 MB a page).
const maxPageBytes = 1 << 20

// List implements storage.Store. It sees every write whose call has returned.
func (db *DB) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := q.Check(); err != nil {
		return storage.Page{}, err
	}
	r, err := db.reader(ctx)
	if err != nil {
		return storage.Page{}, err
	}
	defer r.release()
	from, to := bounds(q)
	var p storage.Page
	size := 0
	err = r.list(q).each(func(v []driver.Value) error {
		row := rowFrom(q.Table, q.PK, v)
		p.Rows = append(p.Rows, row)
		size += len(row.PK) + len(row.SK) + len(row.Data) + len(row.Body)
		if len(p.Rows) == q.PageRows() || size >= maxPageBytes {
			p.Next = row.SK
			return io.EOF
		}
		return nil
	}, tableNumber(q.Table), q.PK, from, to, time.Now().Unix(), int64(q.PageRows()))
	if err != nil {
		return storage.Page{}, fmt.Errorf("list rows: %w", err)
	}
	return p, nil
}

// bounds returns the part of q's partition that the page starts in, as from ≤ SK < to.
func bounds(q storage.Query) (from string, to any) {
	from, upper := q.From, q.To
	switch {
	case q.After == "":
	case q.Newest && (upper == "" || q.After < upper):
		upper = q.After
	case !q.Newest && q.After >= from:
		from = q.After + "\x00" // the next string after q.After
	}
	if upper == "" {
		return from, []byte{0} // SQLite sorts any blob after all text
	}
	return from, upper
}

// list returns the statement for q.
func (r *reader) list(q storage.Query) *stmt {
	switch {
	case q.Open && q.Newest:
		return r.openNewest
	case q.Open:
		return r.open
	case q.Newest:
		return r.newest
	default:
		return r.oldest
	}
}

// listText returns the text of one of these four statements. Open rows are read from their index alone.
func listText(columns, where, order string) string {
	return "SELECT " + columns + " FROM rows WHERE " + where +
		" tbl = ?1 AND pk = ?2 AND sk >= ?3 AND sk < ?4 AND (expires IS NULL OR expires > ?5)" +
		" ORDER BY sk " + order + " LIMIT +?6"
}

// Due implements storage.Store. It sees every write whose call has returned.
func (db *DB) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	n, err := storage.CheckDue(shard, limit)
	if err != nil {
		return nil, "", err
	}
	last, err := parseDueCursor(after)
	if err != nil {
		return nil, "", err
	}
	r, err := db.reader(ctx)
	if err != nil {
		return nil, "", err
	}
	defer r.release()
	var rows []storage.DueRow
	err = r.due.each(func(v []driver.Value) error {
		rows = append(rows, storage.DueRow{
			Key: storage.Key{Table: tables[integer(v[1])], PK: text(v[2]), SK: text(v[3])},
			Due: time.UnixMilli(integer(v[0])).UTC(),
		})
		return nil
	}, int64(shard), until.UnixMilli(), last.due, last.table, last.pk, last.sk, int64(n))
	if err != nil {
		return nil, "", fmt.Errorf("due rows of shard %d: %w", shard, err)
	}
	if len(rows) < n {
		return rows, "", nil
	}
	return rows, dueCursor(rows[n-1]), nil
}

// A duePosition is where a page of the due index ended.
type duePosition struct {
	due, table int64
	pk, sk     string
}

// dueCursor encodes r's time, table and key. The PK's length is in front, since PK and SK may hold any character.
func dueCursor(r storage.DueRow) string {
	return fmt.Sprintf("%d %d %d %s%s", r.Due.UnixMilli(), tableNumber(r.Table), len(r.PK), r.PK, r.SK)
}

func parseDueCursor(s string) (duePosition, error) {
	if s == "" {
		return duePosition{due: -1 << 62}, nil
	}
	if from, ok := storage.ParseDueFrom(s); ok {
		return duePosition{due: from}, nil
	}
	parts := strings.SplitN(s, " ", 4)
	if len(parts) == 4 {
		due, dueErr := strconv.ParseInt(parts[0], 10, 64)
		table, tableErr := strconv.ParseInt(parts[1], 10, 64)
		n, lenErr := strconv.Atoi(parts[2])
		if dueErr == nil && tableErr == nil && lenErr == nil && n >= 0 && n <= len(parts[3]) {
			return duePosition{due: due, table: table, pk: parts[3][:n], sk: parts[3][n:]}, nil
		}
	}
	return duePosition{}, fmt.Errorf("%w: cursor", storage.ErrInvalid)
}
