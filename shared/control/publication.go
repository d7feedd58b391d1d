package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// PutRegistration publishes r over old, which was read with row; zero for a new one. The order is: kinds and patterns
// in use, entries of the match index, the registration, the version. So a crash leaves only superfluous entries, and
// when it returns the change is known. The error wraps storage.ErrConflict if another was faster.
//
// An entry that r needs no more is deleted only with the revision that it had before r was written: a later change
// that needs the entry again has written a new revision.
func (rr *registrations) PutRegistration(ctx context.Context, old gateway.Registration, row storage.Row, r gateway.Registration) (gateway.Registration, error) {
	r.Rev++
	before, after := old.PublishedEntries(), r.PublishedEntries()
	add, drop := minus(after, before), minus(before, after)
	if len(add)+len(drop) > 0 {
		r.Indexed = rr.gw.Clock()
	}
	dropped, err := rr.indexRows(ctx, r, drop)
	if err != nil {
		return r, err
	}
	if err := rr.addIndexEntries(ctx, r, add); err != nil {
		return r, err
	}
	if old.ID == "" || old.State == gateway.Removed {
		if err := rr.ListRegistration(ctx, r); err != nil {
			return r, err
		}
	}
	next := storage.Row{Key: gateway.RegistrationKey(r.ID)}
	if r.State == gateway.Removed {
		next.Expires = r.Since.Add(tombstone)
	}
	if err := storage.PutRow(ctx, rr.gw.Store, next, r, row.Rev); err != nil {
		return r, err
	}
	if err := rr.gw.Publish(ctx, r.Source); err != nil {
		return r, err
	}
	if r.State == gateway.Removed {
		if err := rr.unlistRegistration(ctx, r); err != nil {
			return r, err
		}
	}
	return r, rr.removeIndexEntries(ctx, r, dropped)
}

func minus(a, b []gateway.IndexEntry) []gateway.IndexEntry {
	return slices.DeleteFunc(slices.Clone(a), func(h gateway.IndexEntry) bool { return slices.Contains(b, h) })
}

func (rr *registrations) addIndexEntries(ctx context.Context, r gateway.Registration, hints []gateway.IndexEntry) error {
	if len(hints) == 0 {
		return nil
	}
	if err := rr.gw.Publish(ctx, r.Source, hints...); err != nil {
		return err
	}
	for _, h := range hints {
		if err := storage.Put(ctx, rr.gw.Store, gateway.IndexKey(r.Source, h.RoutingKey, h.Pattern, r.ID), gateway.Link{ID: r.ID}, storage.AnyRev); err != nil {
			return err
		}
	}
	return nil
}

func (rr *registrations) indexRows(ctx context.Context, r gateway.Registration, hints []gateway.IndexEntry) ([]storage.Row, error) {
	keys := make([]storage.Key, len(hints))
	for i, h := range hints {
		keys[i] = gateway.IndexKey(r.Source, h.RoutingKey, h.Pattern, r.ID)
	}
	rows, err := storage.GetAll(ctx, rr.gw.Store, keys)
	if err != nil {
		return nil, fmt.Errorf("match entries of %s: %w", r.ID, err)
	}
	return rows, nil
}

// indexEntryTTL is how long an unneeded index entry stays: a worker with the previous generation finds the
// registration only there. A superfluous entry costs one look.
const indexEntryTTL = time.Hour

// removeIndexEntries expires rows, entries of r: at once for a removed registration.
func (rr *registrations) removeIndexEntries(ctx context.Context, r gateway.Registration, rows []storage.Row) error {
	for _, row := range rows {
		var err error
		if r.State == gateway.Removed {
			err = storage.Delete(ctx, rr.gw.Store, row.Key, row.Rev)
		} else {
			row.Expires = rr.gw.Clock().Add(indexEntryTTL)
			err = storage.PutRow(ctx, rr.gw.Store, row, gateway.Link{ID: r.ID}, row.Rev)
		}
		if err != nil && !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
	return nil
}

// ListRegistration adds r to the lists of its tenant and its source.
func (rr *registrations) ListRegistration(ctx context.Context, r gateway.Registration) error {
	return rr.PutLinked(ctx, gateway.SourceLinkKey(r.Source, r.ID), gateway.TenantLinkKey(r.Tenant, "R", r.ID), r.ID, TenantRegistration{Source: r.Source})
}

// unlistRegistration deletes the removed r from its source's list. It stays on its tenant's list as long as its
// tombstone exists.
func (rr *registrations) unlistRegistration(ctx context.Context, r gateway.Registration) error {
	row := storage.Row{Key: gateway.TenantLinkKey(r.Tenant, "R", r.ID), Expires: r.Since.Add(tombstone)}
	if err := storage.PutRow(ctx, rr.gw.Store, row, TenantRegistration{Source: r.Source, Removed: true}, storage.AnyRev); err != nil {
		return err
	}
	return storage.Delete(ctx, rr.gw.Store, gateway.SourceLinkKey(r.Source, r.ID), storage.AnyRev)
}

// EnableRegistration resumes deliveries and releases those held in the last moment; older ones are released on
// request. For an enabled registration it makes sure that others know and that the release has started. The error
// wraps storage.ErrConflict if the endpoint must consent and does not.
func (rr *registrations) EnableRegistration(ctx context.Context, c Caller, id string) (gateway.Registration, error) {
	return rr.enable(ctx, c, id, false)
}

// EnableAndRelease is EnableRegistration with a release of all held deliveries. The lanes of an ordered
// registration stay blocked until those are back in them.
func (rr *registrations) EnableAndRelease(ctx context.Context, c Caller, id string) (gateway.Registration, error) {
	return rr.enable(ctx, c, id, true)
}

// enable enables a registration, and with all starts the release of its held deliveries. If it is enabled already, a
// crash may have come between the row and what follows from it, so a repeat within the repair window does the rest.
func (rr *registrations) enable(ctx context.Context, c Caller, id string, all bool) (gateway.Registration, error) {
	changed := false
	r, err := rr.changeRegistration(ctx, c, id, func(r *gateway.Registration) error {
		if changed = r.State != gateway.Enabled; !changed {
			return storage.ErrUnchanged
		}
		if err := rr.requireConsent(ctx, r); err != nil {
			return newConsentError(err, "enable", storage.ErrConflict)
		}
		r.State, r.Reason, r.Since, r.Release = gateway.Enabled, "", rr.gw.Clock(), ""
		if all {
			r.Release = ident.From("job", r.Since, "enable "+r.ID)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if !changed {
		if err := rr.gw.Publish(ctx, r.Source); err != nil || rr.gw.Clock().Sub(r.Since) > gateway.RepairWindow {
			return r, err
		}
	}
	return r, rr.wasEnabled(ctx, r)
}

// heldBefore is how long before an enable a worker may have held deliveries by an outdated generation. These are
// released without a request.
const heldBefore = 5 * time.Second

// wasEnabled deletes the endpoint's failures and starts the release of what workers held in the last moment,
// unless the enable did so.
func (rr *registrations) wasEnabled(ctx context.Context, r gateway.Registration) error {
	id := ident.From("job", r.Since, "enable "+r.ID)
	if _, err := rr.gw.Job(ctx, id); !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err := rr.gw.ForgetHealth(ctx, r.ID); err != nil {
		return err
	}
	since := r.Since.Add(-heldBefore)
	if r.Release == id {
		since = time.Time{}
	}
	_, err := rr.gw.StartJob(ctx, gateway.Job{ID: id, Kind: gateway.JobRelease, Tenant: r.Tenant, Registration: r.ID, Source: r.Source, Since: since})
	return err
}

// DisableRegistration holds deliveries, within 2 s in all processes. For a disabled registration it makes sure
// that others know.
func (rr *registrations) DisableRegistration(ctx context.Context, c Caller, id string) (gateway.Registration, error) {
	changed := false
	r, err := rr.changeRegistration(ctx, c, id, func(r *gateway.Registration) error {
		if changed = r.State != gateway.Disabled; !changed {
			return storage.ErrUnchanged
		}
		r.State, r.Reason, r.Since = gateway.Disabled, "by request", rr.gw.Clock()
		return nil
	})
	if err != nil || changed {
		return r, err
	}
	return r, rr.gw.Publish(ctx, r.Source)
}

// DeleteRegistration removes a registration; its deliveries stay listed. An app of set_http_callback is notified.
func (rr *registrations) DeleteRegistration(ctx context.Context, c Caller, id string) error {
	r, err := rr.Registration(ctx, c, id)
	switch {
	case err != nil:
		return err
	case r.State == gateway.Removed:
		if err := rr.endRemoval(ctx, r); err != nil {
			return err
		}
		return fmt.Errorf("registration: %w", storage.ErrNotFound)
	}
	return rr.remove(ctx, r)
}

// remove is DeleteRegistration for a registration that was read.
func (rr *registrations) remove(ctx context.Context, r gateway.Registration) error {
	if r.Group != "" {
		return rr.RemoveApp(ctx, r.ID, gateway.ReasonDeleted, r.GroupRev+1)
	}
	return rr.removeRegistration(ctx, r.ID, gateway.ReasonDeleted)
}

// removeRegistration makes a registration a tombstone; its pending deliveries are cancelled when they fall due.
// The error wraps storage.ErrNotFound if there is none.
func (rr *registrations) removeRegistration(ctx context.Context, id, why string) error {
	return rr.removeRegistrationIf(ctx, id, why, func(gateway.Registration) bool { return true })
}

// removeRegistrationIf is removeRegistration for a registration that meets condition.
func (rr *registrations) removeRegistrationIf(ctx context.Context, id, why string, condition func(gateway.Registration) bool) error {
	_, err := rr.changeRegistration(ctx, Operator(), id, func(r *gateway.Registration) error {
		if !condition(*r) {
			return storage.ErrUnchanged
		}
		r.State, r.Reason, r.Since = gateway.Removed, why, rr.gw.Clock()
		return nil
	})
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	r, err := rr.Registration(ctx, Operator(), id)
	if err != nil {
		return err
	}
	return rr.endRemoval(ctx, r)
}

// endRemoval repeats the last steps of a removal, which a crash may have cut off.
func (rr *registrations) endRemoval(ctx context.Context, r gateway.Registration) error {
	return cmp.Or(rr.gw.Publish(ctx, r.Source), rr.unlistRegistration(ctx, r))
}

// EachRegistrationOf calls f for each registration of a tenant in order of creation, removed ones included.
func (rr *registrations) EachRegistrationOf(ctx context.Context, tenant string, f func(id string, listed TenantRegistration)) error {
	now := rr.gw.Clock()
	return rr.each(ctx, gateway.TenantKey(tenant).PK, "R#", func(id string, r storage.Row) error {
		listed, err := storage.Decoded[TenantRegistration](r)
		if err == nil && !r.Expired(now) {
			f(id, listed)
		}
		return err
	})
}

// ReadRegistrations returns those of ids that exist, in any order.
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
