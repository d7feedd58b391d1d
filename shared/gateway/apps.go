package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// An App is a registration made by set_http_callback, as its group lists it.
type App struct {
	Registration string `json:"registration"`
	Tenant       string `json:"tenant"`
}

// callbackSet is the event that tells an app that its registration by code was
// made; callbackRemoved, in may.go, that it is gone.
const callbackSet = "callback_set"

// Apps returns a page of the registrations made with a group's code.
func (g *Gateway) Apps(ctx context.Context, c Caller, group string, at storage.Place) ([]Registration, string, error) {
	of, err := g.Group(ctx, c, group)
	if err != nil {
		return nil, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: groupKey(group).PK}, "A#")
	return storage.Listed(ctx, g.Store, q, func(row storage.Row) (Registration, error) {
		a, err := storage.Decoded[App](row)
		if err != nil {
			return Registration{}, err
		}
		r, err := g.Registration(ctx, Operator(), a.Registration)
		if err == nil && (r.State == Removed || r.GroupRev != of.Rev) {
			err = storage.ErrNotFound
		}
		return r, err
	})
}

// RemoveApp removes a registration made with the group's code, and tells its app.
func (g *Gateway) RemoveApp(ctx context.Context, c Caller, group, registration string) error {
	if _, err := g.Group(ctx, c, group); err != nil {
		return err
	}
	r, err := g.Registration(ctx, Operator(), registration)
	switch {
	case err != nil:
		return err
	case r.Group != group || r.State == Removed:
		return fmt.Errorf("app: %w", storage.ErrNotFound)
	}
	return g.removeApp(ctx, registration, "removed_by_group_owner", r.GroupRev+1)
}

// removeByCode removes a registration that was made with an older code of the
// group than it has now, and tells its app. It may be called again.
func (g *Gateway) removeByCode(ctx context.Context, registration string, of Group) error {
	r, err := g.Registration(ctx, Operator(), registration)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || r.Group != of.ID {
		return err
	}
	return g.removeApp(ctx, registration, whyCode, of.Rev)
}

// removeApp makes a tombstone of a registration by code that was made before
// the group had the revision rev, and queues callback_removed for it. Called
// again it queues the same event, which is recognised as a repeat.
func (g *Gateway) removeApp(ctx context.Context, registration, why string, rev int) error {
	err := g.removeRegistrationIf(ctx, registration, why, func(r Registration) bool { return r.GroupRev < rev })
	if err != nil {
		return err
	}
	r, err := g.Registration(ctx, Operator(), registration)
	if err != nil || r.State != Removed {
		return err
	}
	of, _, err := storage.Load[Group](ctx, g.Store, groupKey(r.Group))
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.tellApp(ctx, callbackRemoved, r, of)
}

// tellApp queues one of our own events for r, as the form body that SmartBots
// sends. Its id follows from r's state, so the same is told once.
func (g *Gateway) tellApp(ctx context.Context, action string, r Registration, of Group) error {
	id, err := appEventID(action, r)
	if err != nil {
		return err
	}
	form := url.Values{
		"action": {action}, "group_uuid": {of.UUID}, "group_id": {of.GroupID}, "group_name": {of.Name},
		"app_name": {r.AppName}, "app_uuid": {r.AppUUID},
	}
	return g.sendTo(ctx, provider.Event{
		ID: id, Source: r.Source, Provider: smartBots, Type: action, Received: storage.UTC(r.Since), Time: storage.UTC(r.Since),
		Keys:        map[string][]string{"group": {of.UUID}, "app": {r.AppUUID}},
		ContentType: "application/x-www-form-urlencoded", Payload: []byte(form.Encode()), Only: r.ID,
	})
}

// appEventID returns the id of an event of our own about the state that r is in.
func appEventID(action string, r Registration) (string, error) {
	return eventID(r.Source, "", r.Since, action, r.ID, strconv.Itoa(r.GroupRev), r.Since.Format(time.RFC3339Nano))
}

// forgetRemoval cancels the callback_removed that waits for r, which is about to
// be set again.
func (g *Gateway) forgetRemoval(ctx context.Context, r Registration) error {
	if r.State != Removed {
		return nil
	}
	id, err := appEventID(callbackRemoved, r)
	if err != nil {
		return err
	}
	_, err = g.changeDelivery(ctx, DeliveryID(r.ID, id), func(d Delivery) (Delivery, error) {
		if d.final() {
			return d, storage.ErrUnchanged
		}
		return d.cancel("callback_set", g.now()), nil
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
