package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A PageRequest asks for a page of a list.
type PageRequest struct {
	Cursor string // from the page before; empty: the first page
	Limit  int    // rows; 0: MaxPageRows, which is also the most
}

// Query limits q to the page p of the SKs that begin with start.
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

// ListPage returns one page of q as Ts and the cursor of the next: the SK without the prefix that all of the list
// share. Rows for which f returns ErrNotFound are left out.
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
