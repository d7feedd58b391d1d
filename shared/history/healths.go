package history

import (
	"context"
	"fmt"
	"slices"

	"ringback/shared/circuit"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// Healths returns what is known of the endpoints of rs, by registration. One
// of which nothing failed so far is left out.
func (h *History) Healths(ctx context.Context, rs ...gateway.Registration) (map[string]circuit.Health, error) {
	out := make(map[string]circuit.Health, len(rs))
	for part := range slices.Chunk(rs, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		of := make(map[string]string, len(part))
		for i, r := range part {
			keys[i] = gateway.HealthKey(r.ID)
			of[keys[i].PK] = r.ID
		}
		rows, err := h.gw.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("health of registrations: %w", err)
		}
		for _, row := range rows {
			h, err := storage.Decoded[circuit.Health](row)
			if err != nil {
				return nil, err
			}
			out[of[row.PK]] = h
		}
	}
	return out, nil
}
