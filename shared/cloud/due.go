package cloud

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// A duePosition is the last row of a page of the due index of one table. It names the row and not only its time, since
// many rows may fall due in the same millisecond. DynamoDB sorts those in an order of its own and continues exactly
// behind the named row, even if that row is deleted by then.
type duePosition struct {
	Due int64 // Unix milliseconds
	PK  string
	SK  string
}

// A dueCursor holds the position in each table. A table that is missing in it was not read yet.
type dueCursor map[storage.Table]duePosition

// A duePage is one table's next rows.
type duePage struct {
	table storage.Table
	rows  []storage.DueRow
	more  bool // DynamoDB has rows behind these
}

// Due implements storage.Store. It reads a page of each table's index: half a read unit per 4 KiB of index entries,
// half a unit for an empty page, so one unit in all where nothing is due.
func (s *Store) Due(ctx context.Context, shard int, until time.Time, after string, limit int) ([]storage.DueRow, string, error) {
	limit, err := storage.CheckDue(shard, limit)
	if err != nil {
		return nil, "", err
	}
	from, bounded := storage.ParseDueFrom(after)
	if bounded {
		after = ""
	}
	at, err := parseDueCursor(after)
	if err != nil {
		return nil, "", err
	}
	var pages []duePage
	for _, t := range []storage.Table{storage.Deliveries, storage.Registrations} {
		p, err := s.duePage(ctx, t, shard, from, until, at, limit)
		if err != nil {
			return nil, "", fmt.Errorf("list due rows of %s: %w", t, err)
		}
		pages = append(pages, p)
	}
	rows, more := mergeDue(pages, limit)
	if !more {
		return rows, "", nil
	}
	return rows, at.after(rows).String(), nil
}

// duePage reads the next page of one table: rows of the shard that are due between from and until, behind at's position.
func (s *Store) duePage(ctx context.Context, t storage.Table, shard int, from int64, until time.Time, at dueCursor, limit int) (duePage, error) {
	in := &dynamodb.QueryInput{
		TableName:              aws.String(s.tables[t]),
		IndexName:              aws.String(dueIndex),
		Limit:                  aws.Int32(int32(limit)),
		KeyConditionExpression: aws.String("ds = :shard AND du BETWEEN :from AND :until"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":shard": number(int64(shard)), ":from": number(from), ":until": number(until.UnixMilli()),
		},
	}
	if last, ok := at[t]; ok {
		in.ExclusiveStartKey = itemKey(storage.Key{PK: last.PK, SK: last.SK})
		in.ExclusiveStartKey["ds"] = number(int64(shard))
		in.ExclusiveStartKey["du"] = number(last.Due)
	}
	out, err := s.db.Query(ctx, in)
	if err != nil {
		return duePage{}, err
	}
	p := duePage{table: t, rows: make([]storage.DueRow, len(out.Items)), more: len(out.LastEvaluatedKey) > 0}
	for i, item := range out.Items {
		p.rows[i] = storage.DueRow{Key: keyOf(t, item), Due: time.UnixMilli(numberOf(item["du"])).UTC()}
	}
	return p, nil
}

// mergeDue returns the oldest rows of all pages, at most limit, and whether more are due. It stops at the end of a page
// that has more rows behind it, since those may be older than what is left of the other page. For example, pages
// (1, 2, more) and (1, 9) give 1, 1, 2: the first table's next row may be due at 3, before 9.
func mergeDue(pages []duePage, limit int) (rows []storage.DueRow, more bool) {
	for _, p := range pages {
		rows = append(rows, p.rows...)
		more = more || p.more
	}
	slices.SortStableFunc(rows, func(a, b storage.DueRow) int { return a.Due.Compare(b.Due) })
	for _, p := range pages {
		if n := len(p.rows); p.more && n > 0 {
			limit = min(limit, slices.Index(rows, p.rows[n-1])+1)
		} else if p.more {
			limit = 0
		}
	}
	n := min(limit, len(rows))
	return rows[:n], more || n < len(rows)
}

// after returns the cursor behind rows.
func (c dueCursor) after(rows []storage.DueRow) dueCursor {
	next := dueCursor{}
	maps.Copy(next, c)
	for _, r := range rows {
		next[r.Table] = duePosition{Due: r.Due.UnixMilli(), PK: r.PK, SK: r.SK}
	}
	return next
}

func (c dueCursor) String() string {
	b, _ := json.Marshal(c) // unreachable: a map of strings and numbers has a JSON form
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseDueCursor(s string) (dueCursor, error) {
	c := dueCursor{}
	if s == "" {
		return c, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: cursor of the due index", storage.ErrInvalid)
	}
	return c, nil
}
