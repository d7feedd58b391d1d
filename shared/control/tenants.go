package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// CreateTenant makes a tenant under id and its first API key, of scope full, whose text no later call returns.
func (ts *tenants) CreateTenant(ctx context.Context, id, name string, limits gateway.Limits) (gateway.Tenant, string, error) {
	t := gateway.Tenant{ID: id, Name: strings.TrimSpace(name), Created: ts.gw.Clock(), Limits: limits}
	if err := CheckTenant(t); err != nil {
		return t, "", err
	}
	if err := ts.PutLinked(ctx, gateway.ListKey("tenants", id), gateway.TenantKey(id), id, t); err != nil {
		return t, "", err
	}
	_, text, err := ts.CreateAPIKey(ctx, Operator(), FirstKeyID(id), APIKey{Scope: ScopeFull, Tenant: id, Name: "first"})
	return t, text, err
}

// CheckTenant returns an error wrapping storage.ErrInvalid unless t could be made.
func CheckTenant(t gateway.Tenant) error {
	l := t.Limits
	switch {
	case t.Name == "":
		return fmt.Errorf("name: %w: want one", storage.ErrInvalid)
	case l.RegistrationsPerSource < 0 || gateway.RateTooLow(l.APICallsPerSecond) || gateway.RateTooLow(l.DeliveriesPerSecond) || l.Concurrency < 0 || l.Jobs < 0:
		return fmt.Errorf("limits: %w: want no negative number, and rates of at least one an hour (1/3600 per second)", storage.ErrInvalid)
	}
	return CheckName("name", t.Name, gateway.MaxName)
}

// Tenant returns a tenant.
func (ts *tenants) Tenant(ctx context.Context, id string) (gateway.Tenant, error) {
	t, _, err := storage.Load[gateway.Tenant](ctx, ts.gw.Store, gateway.TenantKey(id))
	if err != nil {
		return t, fmt.Errorf("tenant: %w", err)
	}
	return t, nil
}

// Tenants returns a page of all tenants.
func (ts *tenants) Tenants(ctx context.Context, at storage.PageRequest) ([]gateway.Tenant, string, error) {
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.ListKey("tenants", "").PK}, "")
	return storage.ListPage(ctx, ts.gw.Store, q, func(r storage.Row) (gateway.Tenant, error) { return ts.Tenant(ctx, r.SK) })
}

// CreateGrant lets a tenant receive what match names of a source; all if match is nil. The error wraps
// storage.ErrNotFound if there is no such source or tenant, storage.ErrInvalid for a bad match.
func (ts *tenants) CreateGrant(ctx context.Context, id, source, tenant string, match gateway.Match) (gateway.Grant, error) {
	gr := gateway.Grant{ID: id, Source: source, Tenant: tenant, Match: match, Created: ts.gw.Clock()}
	s, err := ts.Source(ctx, source)
	if err != nil {
		return gr, err
	}
	t, err := ts.Tenant(ctx, tenant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return gr, fmt.Errorf("tenant: %w: there is no such tenant", storage.ErrInvalid)
	case err != nil:
		return gr, err
	case t.Removing:
		return gr, fmt.Errorf("tenant: %w: it is being removed", storage.ErrConflict)
	}
	if err := match.Check(ts.gw.Providers[s.Provider].KeyKinds()); err != nil {
		return gr, err
	}
	if err := ts.PutLinked(ctx, gateway.TenantLinkKey(tenant, "G", source+"#"+id), gateway.GrantKey(source, tenant, id), id, gr); err != nil {
		return gr, err
	}
	return gr, ts.gw.Publish(ctx, source)
}

// Grants returns a page of a source's grants, by tenant.
func (ts *tenants) Grants(ctx context.Context, source string, at storage.PageRequest) ([]gateway.Grant, string, error) {
	if _, err := ts.Source(ctx, source); err != nil {
		return nil, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.SourceKey(source).PK}, "G#")
	return storage.ListPage(ctx, ts.gw.Store, q, storage.Decoded[gateway.Grant])
}

// Grant returns one grant of a source.
func (ts *tenants) Grant(ctx context.Context, source, id string) (gateway.Grant, error) {
	var found gateway.Grant
	err := ts.each(ctx, gateway.SourceKey(source).PK, "G#", func(rest string, r storage.Row) error {
		if !strings.HasSuffix(rest, "#"+id) {
			return nil
		}
		return storage.Decode(r, &found)
	})
	if err == nil && found.ID == "" {
		return found, fmt.Errorf("grant: %w", storage.ErrNotFound)
	}
	return found, err
}

// DeleteGrant revokes a grant. Within 2 s nothing more is delivered by it, what
// is pending is cancelled when it falls due, and payloads are hidden.
func (ts *tenants) DeleteGrant(ctx context.Context, source, id string) error {
	gr, err := ts.Grant(ctx, source, id)
	if errors.Is(err, storage.ErrNotFound) {
		if _, unknown := ts.Source(ctx, source); unknown != nil {
			return unknown
		}
		return cmp.Or(ts.gw.Publish(ctx, source), err) // whoever deleted it may have ended before that was known
	}
	if err != nil {
		return err
	}
	if err := storage.Delete(ctx, ts.gw.Store, gateway.GrantKey(source, gr.Tenant, id), storage.AnyRev); err != nil {
		return err
	}
	if err := ts.gw.Publish(ctx, source); err != nil {
		return err
	}
	return storage.Delete(ctx, ts.gw.Store, gateway.TenantLinkKey(gr.Tenant, "G", source+"#"+id), storage.AnyRev)
}

// A GrantedSource is what a tenant may know of a source.
type GrantedSource struct {
	ID       string
	Provider string
	Name     string
	Matches  []gateway.Match // of its grants; a nil one is the whole source
}

// GrantedSources returns the sources of which the tenant has a grant.
func (ts *tenants) GrantedSources(ctx context.Context, tenant string) ([]GrantedSource, error) {
	var keys []storage.Key
	err := ts.each(ctx, gateway.TenantKey(tenant).PK, "G#", func(rest string, _ storage.Row) error {
		source, id, _ := strings.Cut(rest, "#")
		keys = append(keys, gateway.GrantKey(source, tenant, id))
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []GrantedSource
	for _, k := range keys { // in the order of their sources
		gr, _, err := storage.Load[gateway.Grant](ctx, ts.gw.Store, k)
		if errors.Is(err, storage.ErrNotFound) {
			continue // revoked; its link goes next
		}
		if err != nil {
			return nil, err
		}
		if n := len(out); n > 0 && out[n-1].ID == gr.Source {
			out[n-1].Matches = append(out[n-1].Matches, gr.Match)
			continue
		}
		s, err := ts.Source(ctx, gr.Source)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, GrantedSource{ID: s.ID, Provider: s.Provider, Name: s.Name, Matches: []gateway.Match{gr.Match}})
	}
	return out, nil
}
