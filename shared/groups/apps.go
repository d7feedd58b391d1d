package groups

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// Apps returns a page of the registrations made with a group's code.
func (gs *Groups) Apps(ctx context.Context, c control.Caller, group string, at storage.Place) ([]gateway.Registration, string, error) {
	of, err := gs.Group(ctx, c, group)
	if err != nil {
		return nil, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.GroupKey(group).PK}, "A#")
	return storage.Listed(ctx, gs.gw.Store, q, func(row storage.Row) (gateway.Registration, error) {
		a, err := storage.Decoded[control.App](row)
		if err != nil {
			return gateway.Registration{}, err
		}
		r, err := gs.control.Registration(ctx, control.Operator(), a.Registration)
		if err == nil && (r.State == gateway.Removed || r.GroupRev != of.Rev) {
			err = storage.ErrNotFound
		}
		return r, err
	})
}

// RemoveApp removes a registration made with the group's code, and tells its app.
func (gs *Groups) RemoveApp(ctx context.Context, c control.Caller, group, registration string) error {
	if _, err := gs.Group(ctx, c, group); err != nil {
		return err
	}
	r, err := gs.control.Registration(ctx, control.Operator(), registration)
	switch {
	case err != nil:
		return err
	case r.Group != group || r.State == gateway.Removed:
		return fmt.Errorf("app: %w", storage.ErrNotFound)
	}
	return gs.control.RemoveApp(ctx, registration, "removed_by_group_owner", r.GroupRev+1)
}

// forgetRemoval cancels the callback_removed that waits for r, which is about to be set again.
func (gs *Groups) forgetRemoval(ctx context.Context, r gateway.Registration) error {
	if r.State != gateway.Removed {
		return nil
	}
	id, err := control.AppEventID(gateway.CallbackRemoved, r)
	if err != nil {
		return err
	}
	_, err = gs.gw.ChangeDelivery(ctx, ident.Delivery(r.ID, id), func(d gateway.Delivery) (gateway.Delivery, error) {
		if d.Final() {
			return d, storage.ErrUnchanged
		}
		return d.Cancel("callback_set", gs.gw.Clock()), nil
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
