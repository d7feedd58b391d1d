package control

import (
	"context"
	"fmt"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// EachRegistrationOf calls f for each registration of a tenant, in order of
// their making; removed ones included.
func (rr *registrations) EachRegistrationOf(ctx context.Context, tenant string, f func(id string, of TenantRegistration)) error {
	now := rr.gw.Clock()
	return rr.each(ctx, gateway.TenantKey(tenant).PK, "R#", func(id string, r storage.Row) error {
		of, err := storage.Decoded[TenantRegistration](r)
		if err == nil && !r.Expired(now) {
			f(id, of)
		}
		return err
	})
}

// ReadRegistrations returns those of ids that are there, in any order.
func (rr *registrations) ReadRegistrations(ctx context.Context, ids []string) ([]gateway.Registration, error) {
	keys := make([]storage.Key, len(ids))
	for i, id := range ids {
		keys[i] = gateway.RegistrationKey(id)
	}
	rows, err := storage.GetAll(ctx, rr.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("get registrations: %w", err)
	}
	var out []gateway.Registration
	for _, row := range rows {
		r, err := storage.Decoded[gateway.Registration](row)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
