package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Why a delivery is held, cancelled or failed.
const (
	whyDisabled   = "registration_disabled"
	whyDeleted    = "registration_deleted"
	whyNotGranted = "grant_revoked"
	whyCode       = "security_code_changed"
	whyTenant     = "tenant_disabled"
	whyNoTenant   = "tenant_deleted"
	whyExhausted  = "exhausted"
)

// may says what is to become of e for r, which wants it: Pending to deliver,
// Held or Cancelled, and why. It is asked at the match and again before every
// attempt. rev is the version of the source under which r was read.
func (g *Gateway) may(ctx context.Context, rev string, e *Event, r *Registration) (Status, string, error) {
	if own := e.Only == r.ID; own && e.Type == callbackRemoved {
		return g.mayTellRemoved(ctx, r) // a tombstone hears of its end, and of nothing else
	}
	switch {
	case r.State == Removed:
		return Cancelled, whyDeleted, nil
	case r.Group != "":
		g1, err := g.group(ctx, rev, r.Group)
		if errors.Is(err, ErrNotFound) || err == nil && (g1.Rev != r.GroupRev || g1.Removed) {
			return Cancelled, whyCode, nil
		}
		if err != nil {
			return "", "", err
		}
		if e.Only == "" && !slices.Contains(e.Keys["group"], g1.UUID) {
			return Cancelled, whyNotGranted, nil
		}
	case e.Tenant != "" && e.Tenant != r.Tenant:
		return Cancelled, whyNotGranted, nil
	case !e.own() || e.ofWhole():
		ok, err := g.granted(ctx, rev, e, r.Tenant)
		if err != nil {
			return "", "", err
		}
		if !ok {
			return Cancelled, whyNotGranted, nil
		}
	}
	t, err := g.tenant(ctx, rev, r.Tenant)
	switch {
	case errors.Is(err, ErrNotFound):
		return Cancelled, whyNoTenant, nil
	case err != nil:
		return "", "", err
	case t.Disabled:
		return Held, whyTenant, nil
	case r.State == Disabled:
		return Held, whyDisabled, nil
	}
	return Pending, "", nil
}

// callbackRemoved is the event that tells an app that its registration by code
// is gone ("Set HTTP callback to be called on group events", SmartBots).
const callbackRemoved = "callback_removed"

// mayTellRemoved looks at the registration as it is now: it was removed a
// moment ago, and may have been set again since.
func (g *Gateway) mayTellRemoved(ctx context.Context, r *Registration) (Status, string, error) {
	now, err := g.registrationNow(ctx, r.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		return Cancelled, whyDeleted, nil
	case err != nil:
		return "", "", err
	case now.State != Removed:
		return Cancelled, "callback_set", nil
	}
	return Pending, "", nil
}

// granted reports whether a grant covers e for the tenant.
func (g *Gateway) granted(ctx context.Context, rev string, e *Event, tenant string) (bool, error) {
	grants, err := g.grantsOf(ctx, rev, e.Source, tenant)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(grants, func(gr Grant) bool { return gr.covers(e) }), nil
}

// covers reports whether who has gr may receive e.
func (gr Grant) covers(e *Event) bool {
	return gr.Match.Accepts(e.Keys) && (gr.Match == nil || !e.ofWhole())
}

// grantsOf returns the tenant's grants of a source.
func (g *Gateway) grantsOf(ctx context.Context, rev, source, tenant string) ([]Grant, error) {
	name := source + "#" + tenant
	if known, ok := g.grants.Get(name); ok && known.rev == rev {
		return known.value, nil
	}
	var out []Grant
	q := Query{Table: Registrations, PK: sourceKey(source).PK, Consistent: true}.prefix("G#" + tenant + "#")
	err := each(ctx, g.Store, q, func(r Row) error {
		var gr Grant
		out = append(out, gr)
		return decode(r, &out[len(out)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("grants of %s: %w", tenant, err)
	}
	g.grants.Add(name, under[[]Grant]{rev, out})
	return out, nil
}

func (g *Gateway) group(ctx context.Context, rev, id string) (Group, error) {
	return remembered(ctx, g, g.finder.groups, rev, id, groupKey(id))
}

func (g *Gateway) tenant(ctx context.Context, rev, id string) (Tenant, error) {
	return remembered(ctx, g, g.finder.tenants, rev, id, tenantKey(id))
}

// cacheOf is the part of an LRU cache that remembered uses.
type cacheOf[T any] interface {
	Get(key string) (under[T], bool)
	Add(key string, v under[T]) bool
}

// remembered returns the T under k as it was when its source had the revision
// rev, or later.
func remembered[T any](ctx context.Context, g *Gateway, c cacheOf[T], rev, id string, k Key) (T, error) {
	if known, ok := c.Get(id); ok && known.rev == rev {
		return known.value, nil
	}
	v, _, err := load[T](ctx, g.Store, k)
	if err == nil {
		c.Add(id, under[T]{rev, v})
	}
	return v, err
}
