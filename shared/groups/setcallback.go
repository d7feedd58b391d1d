package groups

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"ringback/shared/control"
	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/storage"
)

// A CallbackRequest is a call of set_http_callback ("Set HTTP callback to be called on group events", SmartBots).
type CallbackRequest struct {
	Group      string // by name
	Secret     string // the Group Security Code, or
	SecretSHA1 string // its SHA-1 in hex; both must agree
	AppName    string // shown to the group's owner
	AppUUID    string
	URL        string
}

// A Refusal is the FAIL of set_http_callback, in words for the caller.
type Refusal struct{ Text string }

func (r *Refusal) Error() string { return r.Text }

func refused(text string) error { return &Refusal{text} }

// check returns the SHA-1 of the code in lower-case hex, or a *Refusal.
func (q CallbackRequest) check() (string, error) {
	sum := strings.ToLower(q.SecretSHA1)
	raw, err := hex.DecodeString(sum)
	switch {
	case q.Group == "" || len(q.Group) > gateway.MaxName || !utf8.ValidString(q.Group):
		return "", refused("group: want the name of the group")
	case q.Secret == "" && sum == "":
		return "", refused("secret: want the Group Security Code, or its SHA-1 as secret_sha1")
	case sum != "" && (err != nil || len(raw) != 20):
		return "", refused("secret_sha1: want 40 hexadecimal digits")
	case q.Secret != "" && sum != "" && sha1Hex(q.Secret) != sum:
		return "", refused("secret and secret_sha1 do not agree")
	case q.AppName == "" || control.CheckName("", q.AppName, gateway.MaxName) != nil:
		return "", refused("app_name: want the name of the application")
	case !uuidForm.MatchString(strings.ToLower(q.AppUUID)):
		return "", refused("app_uuid: want the UUID of the application")
	}
	return cmp.Or(sum, sha1Hex(q.Secret)), nil
}

// SetHTTPCallback registers q.URL in c's tenant for the chat of a group whose Group Security Code the caller
// knows, and returns the group. The same tenant, group and application replace URL and name and enable again. An
// error for the caller to read is a *Refusal; any other is internal.
func (gs *Groups) SetHTTPCallback(ctx context.Context, c control.Caller, q CallbackRequest) (gateway.Group, error) {
	code, err := q.check()
	if err != nil {
		return gateway.Group{}, err
	}
	q.AppUUID = strings.ToLower(q.AppUUID)
	if err := gs.gw.Egress.CheckURL(q.URL); err != nil {
		return gateway.Group{}, refused("url: " + err.Error())
	}
	if t, err := gs.control.Tenant(ctx, c.Tenant); err != nil {
		return gateway.Group{}, err
	} else if t.Limits.RequireChallenge {
		return gateway.Group{}, refused("this account's endpoints must consent first, which callbacks set by code cannot; register the endpoint instead")
	}
	grp, err := gs.checkCode(ctx, c, q, code)
	if err != nil {
		return grp, err
	}
	r, err := gs.putApp(ctx, c, grp, q)
	switch tooOften, ok := errors.AsType[*control.RateLimitError](err); {
	case ok:
		return grp, refused(fmt.Sprintf("too many new callbacks; try again in %.0f seconds", math.Ceil(tooOften.RetryAfter.Seconds())))
	case errors.Is(err, control.ErrLimit):
		return grp, refused("there are as many callbacks as the tenant may have")
	case err != nil:
		return grp, err
	}
	now, _, err := storage.Load[gateway.Group](ctx, gs.gw.Store, gateway.GroupKey(grp.ID))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return grp, err
	}
	if now.Rev != grp.Rev { // the code was changed meanwhile
		if err := gs.control.RemoveApp(ctx, r.ID, gateway.ReasonCode, grp.Rev+1); err != nil {
			return grp, err
		}
		return grp, refused(wrongCode)
	}
	return grp, gs.control.NotifyApp(ctx, gateway.CallbackSet, r, grp)
}

// wrongCode is the same text for a wrong code and for an unknown group.
const wrongCode = "group not found, or wrong security code"

// checkCode returns the group whose code has the given SHA-1, asking SmartBots itself if the stored one does
// not match. An unknown group takes the same work as a wrong code.
func (gs *Groups) checkCode(ctx context.Context, c control.Caller, q CallbackRequest, code string) (gateway.Group, error) {
	at, err := gs.guess(ctx, c.Tenant, q.Group)
	if errors.Is(err, control.ErrLimit) {
		return gateway.Group{}, refused("too many wrong security codes; try again in 15 minutes")
	}
	if err != nil {
		return gateway.Group{}, err
	}
	grp, err := gs.groupNamed(ctx, q.Group)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return grp, err
	}
	right := false
	if err := gs.hashes.run(ctx, c, func() { right = verifyCode(grp.Code, code) }); err != nil {
		return grp, errors.Join(err, gs.guessedRight(ctx, c.Tenant, q.Group, at)) // it was not verified
	}
	if !right {
		if grp, err = gs.checkUpstream(ctx, c, grp, q, code); err != nil {
			return grp, err
		}
	}
	return grp, gs.guessedRight(ctx, c.Tenant, q.Group, at)
}

// groupNamed returns the group with a name, or storage.ErrNotFound.
func (gs *Groups) groupNamed(ctx context.Context, name string) (gateway.Group, error) {
	link, _, err := storage.Load[gateway.Link](ctx, gs.gw.Store, gateway.GroupNameKey(control.FoldName(name)))
	if err != nil {
		return gateway.Group{}, err
	}
	return gs.control.LiveGroup(ctx, link.ID)
}

// putApp creates or replaces the registration of c's tenant for an application of a group.
func (gs *Groups) putApp(ctx context.Context, c control.Caller, grp gateway.Group, q CallbackRequest) (gateway.Registration, error) {
	id := ident.From("reg", grp.Created, strings.Join([]string{"app", grp.ID, grp.Source, c.Tenant, q.AppUUID}, " "))
	if err := gs.control.CheckRegistrationLimit(ctx, c, grp.Source, id); err != nil {
		return gateway.Registration{}, err
	}
	switch old, err := gs.control.Registration(ctx, c, id); {
	case errors.Is(err, storage.ErrNotFound) || err == nil && old.State == gateway.Removed:
		if err := gs.control.TakeCreateToken(ctx, c); err != nil {
			return gateway.Registration{}, err
		}
	case err != nil:
		return gateway.Registration{}, err
	}
	if err := gs.replaceApp(ctx, c, grp, q, id); err != nil {
		return gateway.Registration{}, err
	}
	var r gateway.Registration
	err := storage.CompareAndSwap(ctx, func() error {
		old, row, err := storage.Load[gateway.Registration](ctx, gs.gw.Store, gateway.RegistrationKey(id))
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		if err := gs.forgetRemoval(ctx, old); err != nil {
			return err
		}
		r, err = gs.control.PutRegistration(ctx, old, row, gs.appOf(c, grp, q, old, id))
		return err
	})
	if err != nil {
		return r, err
	}
	return r, gs.gw.ForgetHealth(ctx, id)
}

// replaceApp makes id the application's registration and removes the one it had while the group was on another source.
func (gs *Groups) replaceApp(ctx context.Context, c control.Caller, grp gateway.Group, q CallbackRequest, id string) error {
	before := ""
	_, err := storage.Change(ctx, gs.gw.Store, gateway.AppKey(grp.ID, c.Tenant, q.AppUUID), func(a *control.App, _ *storage.Row) error {
		if before = a.Registration; before == id {
			return storage.ErrUnchanged
		}
		a.Registration, a.Tenant = id, c.Tenant
		return nil
	})
	if err != nil || before == "" || before == id {
		return err
	}
	return gs.control.RemoveByCode(ctx, before, grp)
}

// appOf returns the registration that q asks for, in place of old.
func (gs *Groups) appOf(c control.Caller, grp gateway.Group, q CallbackRequest, old gateway.Registration, id string) gateway.Registration {
	now, pk := gs.gw.Clock(), gateway.RegistrationKey(id).PK
	r := old
	if r.ID == "" {
		r = gateway.Registration{ID: id, Tenant: c.Tenant, Source: grp.Source, Created: now}
		r.Secrets = []keyring.Secret{{Sealed: gs.gw.Keys.Seal(pk, "secret", control.NewSigningSecret()), Since: now}}
	}
	r.State, r.Reason, r.Since = gateway.Enabled, "", now
	r.EventTypes, r.Match, r.Format = []string{"group_chat"}, gateway.Match{"group": {grp.UUID}}, gateway.Raw
	before, err := gs.gw.Keys.Open(pk, "url", old.Endpoint.URL)
	if err != nil || before != q.URL {
		r.Endpoint.ConsentedAt = time.Time{}
	}
	if err != nil || !egress.SameOrigin(before, q.URL) {
		r.Endpoint.Headers = nil // they were for another server
	}
	r.Endpoint.URL, r.Endpoint.RedactedURL = gs.gw.Keys.Seal(pk, "url", q.URL), egress.Redact(q.URL)
	r.Group, r.GroupRev, r.AppName, r.AppUUID = grp.ID, grp.Rev, q.AppName, q.AppUUID
	if !old.Since.IsZero() && !now.After(old.Since) {
		r.Since = old.Since.Add(time.Millisecond) // each setting is an event of its own
	}
	return r
}

// Apps returns a page of the registrations made with a group's code.
func (gs *Groups) Apps(ctx context.Context, c control.Caller, group string, at storage.PageRequest) ([]gateway.Registration, string, error) {
	grp, err := gs.Group(ctx, c, group)
	if err != nil {
		return nil, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.GroupKey(group).PK}, "A#")
	return storage.ListPage(ctx, gs.gw.Store, q, func(row storage.Row) (gateway.Registration, error) {
		a, err := storage.Decoded[control.App](row)
		if err != nil {
			return gateway.Registration{}, err
		}
		r, err := gs.control.Registration(ctx, control.Operator(), a.Registration)
		if err == nil && (r.State == gateway.Removed || r.GroupRev != grp.Rev) {
			err = storage.ErrNotFound
		}
		return r, err
	})
}

// RemoveApp removes a registration made with the group's code and notifies its app.
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

// forgetRemoval cancels a pending callback_removed for r, which is about to be set again.
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
