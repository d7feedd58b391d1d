package history

import (
	"context"
	"fmt"

	"ringback/shared/circuit"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// Healths returns the health of the endpoints of rs by registration id. Endpoints that never failed have none.
func (h *History) Healths(ctx context.Context, rs ...gateway.Registration) (map[string]circuit.Health, error) {
	keys := make([]storage.Key, len(rs))
	names := make(map[string]string, len(rs))
	for i, r := range rs {
		keys[i] = gateway.HealthKey(r.ID)
		names[keys[i].PK] = r.ID
	}
	rows, err := storage.GetAll(ctx, h.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("health of registrations: %w", err)
	}
	out := make(map[string]circuit.Health, len(rows))
	for _, row := range rows {
		if out[names[row.PK]], err = storage.Decoded[circuit.Health](row); err != nil {
			return nil, err
		}
	}
	return out, nil
}
