package cloud

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"ringback/shared/storage"
)

// List implements storage.Store. It costs half a read unit per 4 KiB of the page, or one unit if it is consistent.
func (s *Store) List(ctx context.Context, q storage.Query) (storage.Page, error) {
	if err := q.Check(); err != nil {
		return storage.Page{}, err
	}
	w, ok := windowOf(q)
	if !ok {
		return storage.Page{}, nil
	}
	out, err := s.db.Query(ctx, s.query(q, w))
	if err != nil {
		return storage.Page{}, fmt.Errorf("list rows of %s: %w", q.Table, err)
	}
	page := storage.Page{Next: textOf(out.LastEvaluatedKey["sk"])}
	if q.Open {
		for _, item := range out.Items {
			page.Rows = append(page.Rows, storage.Row{Key: keyOf(q.Table, item)})
		}
	} else if page.Rows, err = s.appendRows(nil, q.Table, out.Items); err != nil {
		return storage.Page{}, err
	}
	// BETWEEN includes its upper bound, and q.To is exclusive.
	if n := len(page.Rows); n > 0 && q.To != "" && page.Rows[n-1].SK == q.To {
		page.Rows = page.Rows[:n-1]
	}
	return page, nil
}

// query returns DynamoDB's form of q with its window.
func (s *Store) query(q storage.Query, w window) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName:                 aws.String(s.tables[q.Table]),
		Limit:                     aws.Int32(int32(q.PageRows())),
		ScanIndexForward:          aws.Bool(!q.Newest),
		ExpressionAttributeValues: w.values(q.PK),
	}
	partition := "pk"
	if q.Open {
		partition, in.IndexName = "op", aws.String(openIndex)
	}
	if q.Consistent {
		in.ConsistentRead = aws.Bool(true)
	}
	in.KeyConditionExpression = aws.String(partition + " = :pk" + w.condition())
	if w.start != "" {
		in.ExclusiveStartKey = itemKey(storage.Key{PK: q.PK, SK: w.start})
		if q.Open {
			in.ExclusiveStartKey["op"] = text(q.PK)
		}
	}
	return in
}

// A window is the part of a partition that a Query reads, from behind start: from ≤ SK ≤ to if both are set,
// from ≤ SK or SK < to if one of them is.
type window struct{ from, to, start string }

// windowOf returns q's window, and false if it is empty. DynamoDB allows one condition on the sort key and fails with
// a ValidationException if the start lies outside of it. Hence two rules: a start outside q's bounds is left out, and
// a page in descending order starts behind the upper bound, which BETWEEN would include.
func windowOf(q storage.Query) (window, bool) {
	w := window{from: q.From, to: q.To, start: q.After}
	if w.from != "" && w.to != "" && w.from >= w.to {
		return w, false
	}
	if w.start != "" {
		below := w.from != "" && w.start < w.from
		above := w.to != "" && w.start >= w.to
		if q.Newest && (below || w.start == w.from) || !q.Newest && above {
			return w, false
		}
		if below || above {
			w.start = ""
		}
	}
	if q.Newest && w.start == "" && w.from != "" {
		w.start = w.to
	}
	return w, true
}

func (w window) condition() string {
	switch {
	case w.from != "" && w.to != "":
		return " AND sk BETWEEN :from AND :to"
	case w.from != "":
		return " AND sk >= :from"
	case w.to != "":
		return " AND sk < :to"
	}
	return ""
}

func (w window) values(pk string) map[string]types.AttributeValue {
	v := map[string]types.AttributeValue{":pk": text(pk)}
	if w.from != "" {
		v[":from"] = text(w.from)
	}
	if w.to != "" {
		v[":to"] = text(w.to)
	}
	return v
}
