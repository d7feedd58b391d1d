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

// A duePlace is where a page of the due index ended in one table. Many rows may fall due in one millisecond; DynamoDB
// orders them in a way of its own and goes on exactly behind the row named here, even if that has gone.
type duePlace struct {
	Due int64 // Unix milliseconds
	PK  string
	SK  string
}

// A dueCursor holds the place in each table; a missing table was not read yet.
type dueCursor map[storage.Table]duePlace

// A duePage is what one table still has to offer.
type duePage struct {
	table storage.Table
	rows  []storage.DueRow
	more  bool // DynamoDB has further ones
}

// Due costs half a read unit per 4 KiB of index entries and table, at least one unit in all for both tables.
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
	return rows, at.behind(rows).String(), nil
}

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
	if place, ok := at[t]; ok {
		in.ExclusiveStartKey = itemKey(storage.Key{PK: place.PK, SK: place.SK})
		in.ExclusiveStartKey["ds"] = number(int64(shard))
		in.ExclusiveStartKey["du"] = number(place.Due)
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

// mergeDue returns the oldest rows of all pages, at most limit, and whether there are further ones. It stops where a
// page ends that is not its table's last: what comes next there may be older than the rest of the others.
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

// behind returns the cursor after rows were given out.
func (c dueCursor) behind(rows []storage.DueRow) dueCursor {
	next := dueCursor{}
	maps.Copy(next, c)
	for _, r := range rows {
		next[r.Table] = duePlace{Due: r.Due.UnixMilli(), PK: r.PK, SK: r.SK}
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
