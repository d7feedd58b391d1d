// Package storage defines where the gateway keeps its state: rows of two tables and messages of three queues. A
// backend implements Store (store.go) and Queue (queue.go); shared/embedded and shared/cloud are two.
//
// limits.go checks arguments, for both backends alike, and shard.go assigns rows to shards of the due index. On top of
// the contracts, rows.go stores Go values as rows: Load, Put, and Change, a compare-and-swap that tries again after a
// conflict; pages.go lists them. Package storagetest tests a backend against the contracts, and wraps one so that it
// keeps nothing but what they promise.
package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// RowFormat is the version of rows and messages that this release writes. It reads its own and the one before.
const RowFormat = 1

// Encode returns v, a struct, as the Data of a row: its JSON object with the format version in front.
func Encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || len(data) < 3 {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(append(make([]byte, 0, len(data)+6), `{"v":1,`...), data[1:]...), nil
}

// Load reads the row under k into a T. The error wraps ErrNotFound if there is none.
func Load[T any](ctx context.Context, s Store, k Key) (v T, r Row, err error) {
	r, err = load(ctx, s, k, &v)
	return v, r, err
}

// load is Load without type parameter, as generic code is compiled for each type.
func load(ctx context.Context, s Store, k Key, v any) (Row, error) {
	rows, err := s.Get(ctx, k)
	if errors.Is(err, ErrInvalid) || err == nil && len(rows) == 0 {
		return Row{}, ErrNotFound // an invalid key names no row
	}
	if err != nil {
		return Row{}, fmt.Errorf("get %s %s: %w", k.PK, k.SK, err)
	}
	return rows[0], Decode(rows[0], v)
}

// Decode reads r's Data into what v points to.
func Decode(r Row, v any) error {
	var format struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(r.Data, &format); err != nil || format.V > RowFormat {
		return fmt.Errorf("decode %s %s: written by a newer release, or not by Ringback", r.PK, r.SK)
	}
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("decode %s %s: %w", r.PK, r.SK, err)
	}
	return nil
}

// Decoded returns r's Data as a T.
func Decoded[T any](r Row) (v T, err error) {
	err = Decode(r, &v)
	return v, err
}

// Put writes v under k if the stored revision is oldRev.
func Put(ctx context.Context, s Store, k Key, v any, oldRev string) error {
	return PutRow(ctx, s, Row{Key: k}, v, oldRev)
}

// PutRow is Put for a row with more than Data: it fills in r's Data and Rev.
func PutRow(ctx context.Context, s Store, r Row, v any, oldRev string) (err error) {
	if r.Data, err = Encode(v); err != nil {
		return err
	}
	r.Rev = NewRev()
	if err := Retry(ctx, func() error { return s.Put(ctx, r, oldRev) }); err != nil {
		return fmt.Errorf("put %s %s: %w", r.PK, r.SK, err)
	}
	return nil
}

// Retry calls f up to three times until it returns nil or an error that says what happened: every Store call may be
// repeated with the same arguments.
func Retry(ctx context.Context, f func() error) (err error) {
	for range 3 {
		err = f()
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalid) {
			return err
		}
	}
	return err
}

// Delete deletes the row under k if its stored revision is oldRev.
func Delete(ctx context.Context, s Store, k Key, oldRev string) error {
	if err := Retry(ctx, func() error { return s.Delete(ctx, k, oldRev) }); err != nil {
		return fmt.Errorf("delete %s %s: %w", k.PK, k.SK, err)
	}
	return nil
}

// ErrUnchanged, returned by the function that Change calls, makes Change write nothing and return no error.
var ErrUnchanged = errors.New("unchanged")

// Change reads the T under k, lets f change it, and writes it; after a conflict it starts over. If no row is stored, f
// gets the zero T and a zero Row. f may set the row's Due, Open and Expires. Change returns what is stored in the end.
func Change[T any](ctx context.Context, s Store, k Key, f func(v *T, r *Row) error) (T, error) {
	v := new(T)
	err := change(ctx, s, k, func() any { v = new(T); return v }, func(r *Row) error { return f(v, r) })
	if errors.Is(err, ErrUnchanged) {
		err = nil
	}
	return *v, err
}

// change is Change without type parameter; zero returns a pointer to a new T.
func change(ctx context.Context, s Store, k Key, zero func() any, f func(*Row) error) error {
	return CompareAndSwap(ctx, func() error {
		v := zero()
		row, err := load(ctx, s, k, v)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		oldRev := row.Rev
		row.Key = k
		if err := f(&row); err != nil {
			return err
		}
		return PutRow(ctx, s, row, v, oldRev)
	})
}

// GetAll is Get for any number of keys.
func GetAll(ctx context.Context, s Store, keys []Key) (out []Row, err error) {
	for part := range slices.Chunk(keys, MaxPageRows) {
		rows, err := s.Get(ctx, part...)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// Each calls f for every row of q, page by page, until f returns an error.
func Each(ctx context.Context, s Store, q Query, f func(Row) error) error {
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			return fmt.Errorf("list %s: %w", q.PK, err)
		}
		for _, r := range page.Rows {
			if err := f(r); err != nil {
				return err
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// Prefix limits q to the SKs that begin with p, which is not empty.
func (q Query) Prefix(p string) Query {
	q.From, q.To = p, p[:len(p)-1]+string(p[len(p)-1]+1)
	return q
}

// Expired reports whether r has expired: Stores delete rows later than that.
func (r Row) Expired(now time.Time) bool { return !r.Expires.IsZero() && !now.Before(r.Expires) }

// UTC returns t as times are stored: in UTC, truncated to the millisecond.
func UTC(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
