package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// ChangeTenant changes a tenant. After it is disabled, its API keys are invalid within 30 s and its deliveries held
// within 2 s; enabling it releases them. The error wraps storage.ErrConflict if the tenant is being removed.
func (lc *lifecycle) ChangeTenant(ctx context.Context, id string, ch TenantChange) (gateway.Tenant, error) {
	t, err := storage.Change(ctx, lc.gw.Store, gateway.TenantKey(id), func(t *gateway.Tenant, _ *storage.Row) error {
		switch {
		case t.ID == "":
			return fmt.Errorf("tenant: %w", storage.ErrNotFound)
		case t.Removing:
			return fmt.Errorf("tenant: %w: it is being removed", storage.ErrConflict)
		}
		if ch.Name != nil {
			t.Name = strings.TrimSpace(*ch.Name)
		}
		assign(&t.Limits, ch.Limits)
		if ch.Disabled != nil && t.Disabled != *ch.Disabled {
			t.Disabled, t.Since = *ch.Disabled, lc.gw.Clock()
		}
		return CheckTenant(*t)
	})
	if err != nil {
		return t, err
	}
	enabled := ch.Disabled != nil && !*ch.Disabled && lc.gw.Clock().Sub(t.Since) < gateway.RepairWindow
	if err := lc.publishTenant(ctx, id); err != nil || !enabled {
		return t, err
	}
	return t, lc.releaseTenant(ctx, t)
}

// A TenantChange names what is to be changed; what is nil stays.
type TenantChange struct {
	Name     *string
	Limits   *gateway.Limits
	Disabled *bool
}

// releaseTenant starts a release of all held deliveries of a tenant's enabled registrations. It is called once each
// time that the tenant is enabled.
func (lc *lifecycle) releaseTenant(ctx context.Context, t gateway.Tenant) error {
	var ids []string
	if err := lc.EachRegistrationOf(ctx, t.ID, func(id string, _ TenantRegistration) { ids = append(ids, id) }); err != nil {
		return err
	}
	rs, err := lc.ReadRegistrations(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if r.State != gateway.Enabled {
			continue
		}
		j := gateway.Job{
			ID: ident.From("job", t.Since, "enable "+t.ID+" "+r.ID), Kind: gateway.JobRelease,
			Tenant: t.ID, Registration: r.ID, Source: r.Source, Since: t.Since.Add(-lc.gw.Retention.Held),
		}
		if _, err := lc.gw.StartJob(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func (lc *lifecycle) publishTenant(ctx context.Context, id string) error {
	on, err := lc.sourcesOf(ctx, id)
	if err != nil {
		return err
	}
	var errs []error
	for _, source := range on {
		errs = append(errs, lc.gw.Publish(ctx, source))
	}
	return errors.Join(errs...)
}

// sourcesOf returns the sources that the tenant has grants of or registrations on.
func (lc *lifecycle) sourcesOf(ctx context.Context, tenant string) ([]string, error) {
	var out []string
	pk := gateway.TenantKey(tenant).PK
	err := lc.each(ctx, pk, "G#", func(rest string, _ storage.Row) error {
		source, _, _ := strings.Cut(rest, "#")
		out = append(out, source)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = lc.each(ctx, pk, "R#", func(_ string, r storage.Row) error {
		listed, err := storage.Decoded[TenantRegistration](r)
		out = append(out, listed.Source)
		return err
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

// RemoveTenant disables the tenant at once and starts the job that takes all its rows away.
func (lc *lifecycle) RemoveTenant(ctx context.Context, id string) (gateway.Job, error) {
	_, err := storage.Change(ctx, lc.gw.Store, gateway.TenantKey(id), func(t *gateway.Tenant, _ *storage.Row) error {
		if t.ID == "" {
			return fmt.Errorf("tenant: %w", storage.ErrNotFound)
		}
		t.Disabled, t.Removing = true, true
		return nil
	})
	if err != nil {
		return gateway.Job{}, err
	}
	if err := lc.publishTenant(ctx, id); err != nil {
		return gateway.Job{}, err
	}
	return lc.StartListed(ctx, gateway.Job{Kind: gateway.JobRemoval, Tenant: id})
}
