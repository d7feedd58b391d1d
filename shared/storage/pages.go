package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A PageRequest says where in a list a page begins, and how long it is.
type PageRequest struct {
	Cursor string // that the page before ended with; empty: the beginning
	Limit  int    // rows, at most and by default MaxPageRows
}

// Query bounds q to the SKs that begin with start, after p.
func (p PageRequest) Query(q Query, start string) Query {
	if start != "" {
		q = q.Prefix(start)
	}
	if p.Cursor != "" {
		q.After = start + p.Cursor
	}
	q.Limit = min(max(p.Limit, 0), MaxPageRows)
	return q
}

// ListPage returns one page of q as Ts and the cursor of the next: the SK without
// what all of the list begin with. Rows that f does not find are left out.
func ListPage[T any](ctx context.Context, s Store, q Query, f func(Row) (T, error)) ([]T, string, error) {
	if err := q.Check(); err != nil {
		return nil, "", fmt.Errorf("cursor: %w: want one that a page ended with", ErrInvalid)
	}
	q.Consistent = true
	page, err := s.List(ctx, q)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", q.PK, err)
	}
	out := make([]T, 0, len(page.Rows))
	for _, r := range page.Rows {
		v, err := f(r)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		out = append(out, v)
	}
	return out, strings.TrimPrefix(page.Next, q.From), nil
}
