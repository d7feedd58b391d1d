package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/storage"
)

// A link says that the thing with an id stands in a list.
type link struct {
	ID string `json:"id"`
}

// CreateTenant makes a tenant under id and its first API key, of scope full,
// whose text is told once.
func (g *Gateway) CreateTenant(ctx context.Context, id, name string, limits Limits) (Tenant, string, error) {
	t := Tenant{ID: id, Name: strings.TrimSpace(name), Created: g.now(), Limits: limits}
	if err := t.check(); err != nil {
		return t, "", err
	}
	if err := storage.Put(ctx, g.Store, listKey("tenants", id), link{id}, storage.AnyRev); err != nil {
		return t, "", err
	}
	if err := storage.Put(ctx, g.Store, tenantKey(id), t, storage.AnyRev); err != nil {
		return t, "", err
	}
	_, text, err := g.CreateAPIKey(ctx, Operator(), firstKeyID(id), APIKey{Scope: ScopeFull, Tenant: id, Name: "first"})
	return t, text, err
}

func (t Tenant) check() error {
	l := t.Limits
	switch {
	case t.Name == "" || len(t.Name) > MaxName:
		return fmt.Errorf("name: %w: want 1 to %d bytes", storage.ErrInvalid, MaxName)
	case l.RegistrationsPerSource < 0 || l.APICallsPerSecond < 0 || l.DeliveriesPerSecond < 0 || l.Concurrency < 0 || l.Jobs < 0:
		return fmt.Errorf("limits: %w: want no negative number", storage.ErrInvalid)
	}
	return nil
}

// Tenant returns a tenant.
func (g *Gateway) Tenant(ctx context.Context, id string) (Tenant, error) {
	t, _, err := storage.Load[Tenant](ctx, g.Store, tenantKey(id))
	if err != nil {
		return t, fmt.Errorf("tenant: %w", err)
	}
	return t, nil
}

// Tenants returns a page of all tenants.
func (g *Gateway) Tenants(ctx context.Context, at storage.Place) ([]Tenant, string, error) {
	q := at.Query(storage.Query{Table: storage.Registrations, PK: listKey("tenants", "").PK}, "")
	return storage.Listed(ctx, g.Store, q, func(r storage.Row) (Tenant, error) { return g.Tenant(ctx, r.SK) })
}

// A TenantChange names what is to be changed; what is nil stays.
type TenantChange struct {
	Name     *string
	Limits   *Limits
	Disabled *bool
}

// ChangeTenant changes a tenant. Disabling it refuses its keys within 30 s and
// holds its deliveries within 2 s; enabling it releases them. The error wraps storage.ErrConflict if the tenant is
// being removed.
func (g *Gateway) ChangeTenant(ctx context.Context, id string, ch TenantChange) (Tenant, error) {
	t, err := storage.Change(ctx, g.Store, tenantKey(id), func(t *Tenant, _ *storage.Row) error {
		switch {
		case t.ID == "":
			return fmt.Errorf("tenant: %w", storage.ErrNotFound)
		case t.Removing:
			return fmt.Errorf("tenant: %w: it is being removed", storage.ErrConflict)
		}
		if ch.Name != nil {
			t.Name = strings.TrimSpace(*ch.Name)
		}
		if ch.Limits != nil {
			t.Limits = *ch.Limits
		}
		if ch.Disabled != nil && t.Disabled != *ch.Disabled {
			t.Disabled, t.Since = *ch.Disabled, g.now()
		}
		return t.check()
	})
	if err != nil {
		return t, err
	}
	enabled := ch.Disabled != nil && !*ch.Disabled && g.now().Sub(t.Since) < takenUp
	if err := g.publishTenant(ctx, id); err != nil || !enabled {
		return t, err
	}
	return t, g.releaseTenant(ctx, t)
}

// releaseTenant starts the release of all that the enabled registrations of a
// tenant held, as far back as held deliveries are kept. Once is enough for each
// time that the tenant is enabled.
func (g *Gateway) releaseTenant(ctx context.Context, t Tenant) error {
	rs, err := g.registrationsOfTenant(ctx, t.ID, "", true)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.State != Enabled {
			continue
		}
		j := Job{
			ID: idFrom("job", t.Since, "enable "+t.ID+" "+r.ID), Kind: JobRelease,
			Tenant: t.ID, Registration: r.ID, Source: r.Source, Since: t.Since.Add(-g.Kept.Held),
		}
		if _, err := g.startJob(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// publishTenant publishes a change of a tenant on every source that it is on.
func (g *Gateway) publishTenant(ctx context.Context, id string) error {
	on, err := g.sourcesOf(ctx, id)
	if err != nil {
		return err
	}
	var errs []error
	for _, source := range on {
		errs = append(errs, g.publish(ctx, source))
	}
	return errors.Join(errs...)
}

// sourcesOf returns the sources that the tenant has grants of or registrations on.
func (g *Gateway) sourcesOf(ctx context.Context, tenant string) ([]string, error) {
	var out []string
	pk := tenantKey(tenant).PK
	err := storage.Each(ctx, g.Store, storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix("G#"), func(r storage.Row) error {
		source, _, _ := strings.Cut(strings.TrimPrefix(r.SK, "G#"), "#")
		out = append(out, source)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = storage.Each(ctx, g.Store, storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix("R#"), func(r storage.Row) error {
		var of tenantRegistration
		if err := storage.Decode(r, &of); err != nil {
			return err
		}
		out = append(out, of.Source)
		return nil
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

// RemoveTenant disables the tenant at once and starts the job that takes all
// its rows away.
func (g *Gateway) RemoveTenant(ctx context.Context, id string) (Job, error) {
	_, err := storage.Change(ctx, g.Store, tenantKey(id), func(t *Tenant, _ *storage.Row) error {
		if t.ID == "" {
			return fmt.Errorf("tenant: %w", storage.ErrNotFound)
		}
		t.Disabled, t.Removing = true, true
		return nil
	})
	if err != nil {
		return Job{}, err
	}
	if err := g.publishTenant(ctx, id); err != nil {
		return Job{}, err
	}
	return g.startListed(ctx, Job{Kind: JobRemoval, Tenant: id})
}
