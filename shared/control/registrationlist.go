package control

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// EachRegistrationOf calls f for each registration of a tenant, in order of
// their making; removed ones included.
func (rr *registrations) EachRegistrationOf(ctx context.Context, tenant string, f func(id string, of TenantRegistration)) error {
	now := rr.gw.Clock()
	q := storage.Query{Table: storage.Registrations, PK: gateway.TenantKey(tenant).PK, Consistent: true}.Prefix("R#")
	return storage.Each(ctx, rr.gw.Store, q, func(r storage.Row) error {
		of, err := storage.Decoded[TenantRegistration](r)
		if err == nil && !r.Expired(now) {
			f(strings.TrimPrefix(r.SK, "R#"), of)
		}
		return err
	})
}

// ReadRegistrations returns those of ids that are there, in any order.
func (rr *registrations) ReadRegistrations(ctx context.Context, ids []string) ([]gateway.Registration, error) {
	var out []gateway.Registration
	for part := range slices.Chunk(ids, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		for i, id := range part {
			keys[i] = gateway.RegistrationKey(id)
		}
		rows, err := rr.gw.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("get registrations: %w", err)
		}
		for _, row := range rows {
			r, err := storage.Decoded[gateway.Registration](row)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}
