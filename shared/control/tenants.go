package control

import (
	"context"
	"fmt"
	"strings"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// CreateTenant makes a tenant under id and its first API key, of scope full, whose text is told once.
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
func (ts *tenants) Tenants(ctx context.Context, at storage.Place) ([]gateway.Tenant, string, error) {
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.ListKey("tenants", "").PK}, "")
	return storage.Listed(ctx, ts.gw.Store, q, func(r storage.Row) (gateway.Tenant, error) { return ts.Tenant(ctx, r.SK) })
}
