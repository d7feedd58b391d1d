package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ringback/shared/storage"
)

// putRegistration publishes r over old, which was read with row; zero for a new
// one. The order is: kinds and patterns in use, entries of the match index, the
// registration, the version. So a crash leaves only superfluous entries, and
// when it returns the change is known. The error wraps storage.ErrConflict if another
// was faster.
//
// An entry that is not needed any more is dropped only as it was before r was
// written: a change that needs it again has written it anew since.
func (g *Gateway) putRegistration(ctx context.Context, old Registration, row storage.Row, r Registration) (Registration, error) {
	r.Rev++
	before, after := old.published(), r.published()
	add, drop := minus(after, before), minus(before, after)
	if len(add)+len(drop) > 0 {
		r.Indexed = g.now()
	}
	dropped, err := g.hintRows(ctx, r, drop)
	if err != nil {
		return r, err
	}
	if err := g.addHints(ctx, r, add); err != nil {
		return r, err
	}
	if old.ID == "" || old.State == Removed {
		if err := g.listRegistration(ctx, r); err != nil {
			return r, err
		}
	}
	next := storage.Row{Key: registrationKey(r.ID)}
	if r.State == Removed {
		next.Expires = r.Since.Add(tombstone)
	}
	if err := storage.PutRow(ctx, g.Store, next, r, row.Rev); err != nil {
		return r, err
	}
	if err := g.publish(ctx, r.Source); err != nil {
		return r, err
	}
	if r.State == Removed {
		if err := g.unlistRegistration(ctx, r); err != nil {
			return r, err
		}
	}
	return r, g.dropHints(ctx, r, dropped)
}

// published returns the entries of the match index that r needs.
func (r Registration) published() []hint {
	if r.State == Removed || r.ID == "" {
		return nil
	}
	return r.hints()
}

func minus(a, b []hint) []hint {
	return slices.DeleteFunc(slices.Clone(a), func(h hint) bool { return slices.Contains(b, h) })
}

func (g *Gateway) addHints(ctx context.Context, r Registration, hints []hint) error {
	if len(hints) == 0 {
		return nil
	}
	if err := g.publish(ctx, r.Source, hints...); err != nil {
		return err
	}
	for _, h := range hints {
		if err := storage.Put(ctx, g.Store, hintKey(r.Source, h.RoutingKey, h.Pattern, r.ID), link{r.ID}, storage.AnyRev); err != nil {
			return err
		}
	}
	return nil
}

// hintRows returns the rows of hints as they are now.
func (g *Gateway) hintRows(ctx context.Context, r Registration, hints []hint) ([]storage.Row, error) {
	var out []storage.Row
	for part := range slices.Chunk(hints, storage.MaxPageRows) {
		keys := make([]storage.Key, len(part))
		for i, h := range part {
			keys[i] = hintKey(r.Source, h.RoutingKey, h.Pattern, r.ID)
		}
		rows, err := g.Store.Get(ctx, keys...)
		if err != nil {
			return nil, fmt.Errorf("match entries of %s: %w", r.ID, err)
		}
		out = append(out, rows...)
	}
	return out, nil
}

// hintKept is how long an entry that is not needed any more stays: a worker that
// knows the source as it was a moment ago looks for the registration there, and
// nowhere else. Entries are hints, so one too many costs a look.
const hintKept = time.Hour

// dropHints has rows, entries of r, end: those of a removed registration at once.
func (g *Gateway) dropHints(ctx context.Context, r Registration, rows []storage.Row) error {
	for _, row := range rows {
		if err := g.dropHint(ctx, r, row); err != nil && !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
	return nil
}

func (g *Gateway) dropHint(ctx context.Context, r Registration, row storage.Row) error {
	if r.State == Removed {
		return storage.Delete(ctx, g.Store, row.Key, row.Rev)
	}
	was := row.Rev
	row.Expires = g.now().Add(hintKept)
	return storage.PutRow(ctx, g.Store, row, link{r.ID}, was)
}

// listRegistration lists r with its tenant and its source.
func (g *Gateway) listRegistration(ctx context.Context, r Registration) error {
	if err := storage.Put(ctx, g.Store, onSource(r.Source, r.ID), link{r.ID}, storage.AnyRev); err != nil {
		return err
	}
	return storage.Put(ctx, g.Store, ofTenant(r.Tenant, "R", r.ID), tenantRegistration{Source: r.Source}, storage.AnyRev)
}

// unlistRegistration takes r, which is removed, off its source's list. On its
// tenant's it stays as long as the tombstone.
func (g *Gateway) unlistRegistration(ctx context.Context, r Registration) error {
	row := storage.Row{Key: ofTenant(r.Tenant, "R", r.ID), Expires: r.Since.Add(tombstone)}
	if err := storage.PutRow(ctx, g.Store, row, tenantRegistration{Source: r.Source, Removed: true}, storage.AnyRev); err != nil {
		return err
	}
	return storage.Delete(ctx, g.Store, onSource(r.Source, r.ID), storage.AnyRev)
}

// EnableRegistration takes up deliveries again and releases what was held since
// a moment ago; older ones are released on request. If the registration is
// enabled, it makes sure that this is known and that the release has begun. The
// error wraps storage.ErrConflict if the endpoint must consent and does not.
func (g *Gateway) EnableRegistration(ctx context.Context, c Caller, id string) (Registration, error) {
	return g.enable(ctx, c, id, false)
}

// EnableAndRelease is EnableRegistration, and releases all that was held. For an
// ordered registration that goes first: its lanes stay closed until all of it is
// in its place.
func (g *Gateway) EnableAndRelease(ctx context.Context, c Caller, id string) (Registration, error) {
	return g.enable(ctx, c, id, true)
}

func (g *Gateway) enable(ctx context.Context, c Caller, id string, all bool) (Registration, error) {
	changed := false
	r, err := g.changeRegistration(ctx, c, id, func(r *Registration) error {
		if changed = r.State != Enabled; !changed {
			return storage.ErrUnchanged
		}
		if err := g.prove(ctx, r); err != nil {
			return asConflict(err)
		}
		r.State, r.Why, r.Since, r.Release = Enabled, "", g.now(), ""
		if all {
			r.Release = idFrom("job", r.Since, "enable "+r.ID)
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if !changed {
		if err := g.publish(ctx, r.Source); err != nil || g.now().Sub(r.Since) > takenUp {
			return r, err
		}
	}
	return r, g.wasEnabled(ctx, r)
}

// takenUp is how long after a change a call that asks for it again ends what a
// process that ended left undone of it.
const takenUp = 24 * time.Hour

// heldBefore is how long before it was enabled a registration's deliveries may
// have been held by a worker that went by what it knew a moment ago, and be
// released without being asked for.
const heldBefore = 5 * time.Second

// wasEnabled forgets the failures of before and starts the release of what
// workers held in the last moment, unless that was done when r was enabled.
func (g *Gateway) wasEnabled(ctx context.Context, r Registration) error {
	id := idFrom("job", r.Since, "enable "+r.ID)
	if _, err := g.Job(ctx, id); !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if err := storage.Delete(ctx, g.Store, healthKey(r.ID), storage.AnyRev); err != nil {
		return err
	}
	since := r.Since.Add(-heldBefore)
	if r.Release == id {
		since = time.Time{}
	}
	_, err := g.startJob(ctx, Job{ID: id, Kind: JobRelease, Tenant: r.Tenant, Registration: r.ID, Source: r.Source, Since: since})
	return err
}

// DisableRegistration holds deliveries from now on, within 2 s. If the
// registration is disabled, it makes sure that this is known.
func (g *Gateway) DisableRegistration(ctx context.Context, c Caller, id string) (Registration, error) {
	changed := false
	r, err := g.changeRegistration(ctx, c, id, func(r *Registration) error {
		if changed = r.State != Disabled; !changed {
			return storage.ErrUnchanged
		}
		r.State, r.Why, r.Since = Disabled, "by request", g.now()
		return nil
	})
	if err != nil || changed {
		return r, err
	}
	return r, g.publish(ctx, r.Source)
}

// DeleteRegistration ends a registration; its deliveries stay listable. One
// that was made by set_http_callback is told so.
func (g *Gateway) DeleteRegistration(ctx context.Context, c Caller, id string) error {
	r, err := g.Registration(ctx, c, id)
	switch {
	case err != nil:
		return err
	case r.State == Removed:
		if err := g.publish(ctx, r.Source); err != nil { // the process that removed it may have ended before
			return err
		}
		return fmt.Errorf("registration: %w", storage.ErrNotFound)
	case r.Group != "":
		return g.removeApp(ctx, r.ID, whyDeleted, r.GroupRev+1)
	}
	return g.removeRegistration(ctx, id, whyDeleted)
}

// removeRegistration makes a tombstone of a registration. What is pending is
// cancelled when it falls due. One that is removed stays as it is; the error
// wraps storage.ErrNotFound if there is none.
func (g *Gateway) removeRegistration(ctx context.Context, id, why string) error {
	return g.removeRegistrationIf(ctx, id, why, func(Registration) bool { return true })
}

// removeRegistrationIf is removeRegistration for one of which is holds.
func (g *Gateway) removeRegistrationIf(ctx context.Context, id, why string, is func(Registration) bool) error {
	_, err := g.changeRegistration(ctx, Operator(), id, func(r *Registration) error {
		if !is(*r) {
			return storage.ErrUnchanged
		}
		r.State, r.Why, r.Since = Removed, why, g.now()
		return nil
	})
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	r, err := g.Registration(ctx, Operator(), id)
	if err != nil {
		return err
	}
	return g.publish(ctx, r.Source) // removed, perhaps by a process that ended before it was known
}
