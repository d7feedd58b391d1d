package control

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// An App is a registration made by set_http_callback, as its group lists it.
type App struct {
	Registration string `json:"registration"`
	Tenant       string `json:"tenant"`
}

// RemoveByCode removes a registration that was made with an older security code of its group, and notifies its
// app. It may be called again.
func (rr *registrations) RemoveByCode(ctx context.Context, registration string, grp gateway.Group) error {
	r, err := rr.Registration(ctx, Operator(), registration)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil || r.Group != grp.ID {
		return err
	}
	return rr.RemoveApp(ctx, registration, gateway.ReasonCode, grp.Rev)
}

// RemoveApp turns a registration that was made before the group's revision rev into a tombstone and queues
// callback_removed for it. A second call queues the same event, which is a duplicate.
func (rr *registrations) RemoveApp(ctx context.Context, registration, why string, rev int) error {
	err := rr.removeRegistrationIf(ctx, registration, why, func(r gateway.Registration) bool { return r.GroupRev < rev })
	if err != nil {
		return err
	}
	r, err := rr.Registration(ctx, Operator(), registration)
	if err != nil || r.State != gateway.Removed {
		return err
	}
	grp, _, err := storage.Load[gateway.Group](ctx, rr.gw.Store, gateway.GroupKey(r.Group))
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return rr.NotifyApp(ctx, gateway.CallbackRemoved, r, grp)
}

// NotifyApp queues an event of the gateway's own for r, as a form body like SmartBots'. Its id is made of r's
// state, so a repeated call sends nothing new.
func (rr *registrations) NotifyApp(ctx context.Context, action string, r gateway.Registration, grp gateway.Group) error {
	id, err := AppEventID(action, r)
	if err != nil {
		return err
	}
	form := url.Values{
		"action": {action}, "group_uuid": {grp.UUID}, "group_id": {grp.GroupID}, "group_name": {grp.Name},
		"app_name": {r.AppName}, "app_uuid": {r.AppUUID},
	}
	return rr.gw.SendTo(ctx, provider.Event{
		ID: id, Source: r.Source, Provider: gateway.SmartBots, Type: action, Received: storage.UTC(r.Since), Time: storage.UTC(r.Since),
		Keys:        map[string][]string{"group": {grp.UUID}, "app": {r.AppUUID}},
		ContentType: "application/x-www-form-urlencoded", Payload: []byte(form.Encode()), Recipient: r.ID,
	})
}

// AppEventID returns the id of the event about r's present state.
func AppEventID(action string, r gateway.Registration) (string, error) {
	return ident.Event(r.Source, "", r.Since, action, r.ID, strconv.Itoa(r.GroupRev), r.Since.Format(time.RFC3339Nano))
}
