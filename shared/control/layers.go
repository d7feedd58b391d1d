package control

import (
	"context"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// The layers; the package comment says what each holds.
type (
	base          struct{ gw *gateway.Gateway }
	sources       struct{ *base }
	tenants       struct{ *sources }
	registrations struct{ *tenants }
	actions       struct{ *registrations }
	lifecycle     struct{ *actions }
)

// PutLinked writes v under k, after the link to id in a list.
func (b *base) PutLinked(ctx context.Context, link, k storage.Key, id string, v any) error {
	if err := storage.Put(ctx, b.gw.Store, link, gateway.Link{ID: id}, storage.AnyRev); err != nil {
		return err
	}
	return storage.Put(ctx, b.gw.Store, k, v, storage.AnyRev)
}

// each calls f with each row of a partition whose SK starts with start, and the rest of its SK.
func (b *base) each(ctx context.Context, pk, start string, f func(rest string, r storage.Row) error) error {
	q := storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix(start)
	return storage.Each(ctx, b.gw.Store, q, func(r storage.Row) error { return f(r.SK[len(start):], r) })
}
