package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// eligibility decides what happens to e for r, which wants it: Pending means deliver; Held and Cancelled come with a
// reason. It is asked when matching and again before every attempt. rev is the generation under which r was read.
func (f *matcher) eligibility(ctx context.Context, rev string, e *provider.Event, r *Registration) (Status, string, error) {
	if own := e.Recipient == r.ID; own && e.Type == CallbackRemoved {
		return f.eligibilityOfRemoved(ctx, r) // a removed registration gets this event and no other
	}
	switch {
	case r.State == Removed:
		return Cancelled, ReasonDeleted, nil
	case r.Group != "":
		g1, err := f.group(ctx, rev, r.Group)
		if errors.Is(err, storage.ErrNotFound) || err == nil && (g1.Rev != r.GroupRev || g1.Removed) {
			return Cancelled, ReasonCode, nil
		}
		if err != nil {
			return "", "", err
		}
		if e.Recipient == "" && !slices.Contains(e.Keys["group"], g1.UUID) {
			return Cancelled, reasonNotGranted, nil
		}
	case e.Tenant != "" && e.Tenant != r.Tenant:
		return Cancelled, reasonNotGranted, nil
	case !OwnEvent(e) || aboutSource(e):
		ok, err := f.granted(ctx, rev, e, r.Tenant)
		if err != nil {
			return "", "", err
		}
		if !ok {
			return Cancelled, reasonNotGranted, nil
		}
	}
	t, err := f.tenant(ctx, rev, r.Tenant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Cancelled, ReasonNoTenant, nil
	case err != nil:
		return "", "", err
	case t.Disabled:
		return Held, reasonTenant, nil
	case r.State == Disabled:
		return Held, reasonDisabled, nil
	}
	return Pending, "", nil
}

// eligibilityOfRemoved reads the registration again, since an app may have set it again after the removal.
func (f *matcher) eligibilityOfRemoved(ctx context.Context, r *Registration) (Status, string, error) {
	now, err := f.storedRegistration(ctx, r.ID)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Cancelled, ReasonDeleted, nil
	case err != nil:
		return "", "", err
	case now.State != Removed:
		return Cancelled, "callback_set", nil
	}
	return Pending, "", nil
}

// Visible reports whether r's tenant may see e, by a grant or by a group whose security code it knew. It is
// checked at each read, so that a revoked grant hides what it once let through.
func (f *matcher) Visible(ctx context.Context, r *Registration, e *provider.Event) (bool, error) {
	if e.Unreadable {
		return false, nil
	}
	v, err := f.Generation(ctx, e.Source)
	if err != nil {
		return false, err
	}
	if r.Group != "" {
		group, err := f.group(ctx, v.Rev, r.Group)
		mine := e.Recipient == r.ID || slices.Contains(e.Keys["group"], group.UUID)
		return err == nil && mine && group.Rev == r.GroupRev && !group.Removed, ignoring(err, storage.ErrNotFound)
	}
	if OwnEvent(e) && !aboutSource(e) {
		return e.Recipient == r.ID || e.Tenant != "" && e.Tenant == r.Tenant, nil
	}
	return f.granted(ctx, v.Rev, e, r.Tenant)
}

func (f *matcher) granted(ctx context.Context, rev string, e *provider.Event, tenant string) (bool, error) {
	grants, err := f.grantsOf(ctx, rev, e.Source, tenant)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(grants, func(gr Grant) bool { return gr.covers(e) }), nil
}

func (gr Grant) covers(e *provider.Event) bool {
	return gr.Match.Accepts(e.Keys) && (gr.Match == nil || !aboutSource(e))
}

// grantsOf returns a tenant's grants of a source at generation rev. They are cached until the generation changes, and a
// change of a grant makes a new one.
func (f *matcher) grantsOf(ctx context.Context, rev, source, tenant string) ([]Grant, error) {
	name := source + "#" + tenant
	if known, ok := f.grants.Get(name); ok && known.rev == rev {
		return known.value, nil
	}
	var out []Grant
	q := storage.Query{Table: storage.Registrations, PK: SourceKey(source).PK, Consistent: true}.Prefix("G#" + tenant + "#")
	err := storage.Each(ctx, f.Store, q, func(r storage.Row) error {
		var gr Grant
		out = append(out, gr)
		return storage.Decode(r, &out[len(out)-1])
	})
	if err != nil {
		return nil, fmt.Errorf("grants of %s: %w", tenant, err)
	}
	f.grants.Add(name, atGeneration[[]Grant]{rev, out})
	return out, nil
}

func (f *matcher) group(ctx context.Context, rev, id string) (Group, error) {
	return loadCached(ctx, f.Store, f.groups, rev, id, GroupKey(id))
}

func (f *matcher) tenant(ctx context.Context, rev, id string) (Tenant, error) {
	return loadCached(ctx, f.Store, f.tenants, rev, id, TenantKey(id))
}

// generationCache is what loadCached needs of an LRU cache.
type generationCache[T any] interface {
	Get(key string) (*atGeneration[T], bool)
	Add(key string, v *atGeneration[T]) bool
}

// loadCached returns the T under k, at the generation rev or later.
func loadCached[T any](ctx context.Context, s storage.Store, c generationCache[T], rev, id string, k storage.Key) (T, error) {
	if known, ok := c.Get(id); ok && known.rev == rev {
		return known.value, nil
	}
	v, _, err := storage.Load[T](ctx, s, k)
	if err == nil {
		c.Add(id, &atGeneration[T]{rev, v})
	}
	return v, err
}
