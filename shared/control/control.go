// Package control is what the API does with a gateway: it makes sources,
// tenants, keys, grants and registrations, and starts jobs. It writes the rows by
// which the gateway goes, and has no part in an event's path.
//
// Its verbs stand in layers, of which each uses those below it:
//
//	lifecycle      tenantchange.go, sourceremoval.go, removal.go: what ends with all that hangs on it
//	work           work.go: jobs and tests
//	registrations  registrations.go, publication.go, endpoint.go, challenge.go, apps.go
//	tenants        tenants.go, apikeys.go, grants.go
//	sources        sources.go, callbackkeys.go
//	base           names.go, idempotency.go: names that are one's own, groups, creates that run once
//
// access.go says who calls, and what is the caller's.
package control

import (
	"context"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A Control changes and shows what one gateway goes by. It holds no state of
// its own, so any number may be made of a gateway, and is safe for concurrent use.
type Control struct{ *lifecycle }

// New returns the Control of g.
func New(g *gateway.Gateway) *Control {
	ss := &sources{&base{g}}
	return &Control{&lifecycle{&work{&registrations{&tenants{ss}}}}}
}

// Gateway returns the gateway that c is the Control of.
func (c *Control) Gateway() *gateway.Gateway { return c.gw }

// Steps returns what the jobs of this package do, for the Steps of g if its process runs jobs.
func Steps(g *gateway.Gateway) map[gateway.JobKind]gateway.Step {
	c := New(g)
	return map[gateway.JobKind]gateway.Step{
		gateway.JobRemoval: c.removalStep,
		gateway.JobErasure: c.erasureStep,
		gateway.JobCode:    c.codeStep,
	}
}

// The layers; the package comment tells what is in which.
type (
	base          struct{ gw *gateway.Gateway }
	sources       struct{ *base }
	tenants       struct{ *sources }
	registrations struct{ *tenants }
	work          struct{ *registrations }
	lifecycle     struct{ *work }
)

// PutLinked writes v under k, after the link to id by which a list finds it.
func (b *base) PutLinked(ctx context.Context, link, k storage.Key, id string, v any) error {
	if err := storage.Put(ctx, b.gw.Store, link, gateway.Link{ID: id}, storage.AnyRev); err != nil {
		return err
	}
	return storage.Put(ctx, b.gw.Store, k, v, storage.AnyRev)
}

// each calls f for what stands in a partition under SKs that begin with start:
// with the rest of the SK, and the row.
func (b *base) each(ctx context.Context, pk, start string, f func(rest string, r storage.Row) error) error {
	q := storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix(start)
	return storage.Each(ctx, b.gw.Store, q, func(r storage.Row) error { return f(r.SK[len(start):], r) })
}
