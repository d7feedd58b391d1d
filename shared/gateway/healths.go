package gateway

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// FailingSince is of the first failure since something was accepted; zero: the
// last attempt that is known of was accepted.
func (h Health) FailingSince() (since time.Time) {
	if h.bad() {
		since = h.BadSince
	}
	return since
}

// Healths returns what is known of the endpoints of rs, by registration. One
// of which nothing failed so far is left out.
func (g *Gateway) Healths(ctx context.Context, rs ...Registration) (map[string]Health, error) {
	out := make(map[string]Health, len(rs))
	for part := range slices.Chunk(rs, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		of := make(map[string]string, len(part))
		for i, r := range part {
			keys[i] = healthKey(r.ID)
			of[keys[i].PK] = r.ID
		}
		rows, err := g.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("health of registrations: %w", err)
		}
		for _, row := range rows {
			h, err := storage.Decoded[Health](row)
			if err != nil {
				return nil, err
			}
			out[of[row.PK]] = h
		}
	}
	return out, nil
}
