// Package groups serves owners of SmartBots groups and those who know a Group Security Code: groups.go creates and
// changes groups, setcallback.go serves set_http_callback and lists the registrations that it made,
// securitycode.go verifies codes, upstream.go asks SmartBots itself.
package groups

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

const smartBotsAPI = "https://api.mysmartbots.com/api/simple.html"

// Groups manages the groups of one gateway. It is safe for concurrent use.
type Groups struct {
	gw        *gateway.Gateway
	control   *control.Control
	smartBots string // address of SmartBots' own API for sources that name no other
	hashes    *hashQueue
}

// New returns the groups of c's gateway. smartBotsURL is where SmartBots' own API is for sources that name no
// other; default https://api.mysmartbots.com/api/simple.html.
func New(c *control.Control, smartBotsURL string) *Groups {
	return &Groups{gw: c.Gateway(), control: c, smartBots: cmp.Or(smartBotsURL, smartBotsAPI), hashes: newHashQueue()}
}

// A GroupChange holds the new values of a group; empty ones are unchanged.
type GroupChange struct {
	Source  string // of a new group
	Name    string
	UUID    string
	GroupID string
	Code    string // the Group Security Code
}

// uuidForm is the text form of RFC 9562, section 4, in lower case.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func (ch GroupChange) check() error {
	if ch.UUID != "" && !uuidForm.MatchString(ch.UUID) {
		return fmt.Errorf("uuid: %w: want the group's UUID in Second Life", storage.ErrInvalid)
	}
	return cmp.Or(
		control.CheckName("name", strings.TrimSpace(ch.Name), gateway.MaxName),
		gateway.CheckText("group_id", ch.GroupID, 0, gateway.MaxName),
		gateway.CheckText("security_code", ch.Code, 0, gateway.MaxName),
	)
}

// CreateGroup creates a group of a smartbots source under id, with its owner's key, whose text is never shown
// again. The error wraps storage.ErrConflict if another group has the name.
func (gs *Groups) CreateGroup(ctx context.Context, id string, ch GroupChange) (gateway.Group, string, error) {
	ch.UUID = strings.ToLower(strings.TrimSpace(ch.UUID))
	s, err := gs.control.Source(ctx, ch.Source)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return gateway.Group{}, "", fmt.Errorf("source: %w: there is no such source", storage.ErrInvalid)
	case err != nil:
		return gateway.Group{}, "", err
	case s.Provider != gateway.SmartBots:
		return gateway.Group{}, "", fmt.Errorf("source: %w: only sources of %s have groups", storage.ErrInvalid, gateway.SmartBots)
	case ch.UUID == "":
		return gateway.Group{}, "", fmt.Errorf("uuid: %w: want the group's UUID in Second Life", storage.ErrInvalid)
	case ch.Code == "":
		return gateway.Group{}, "", fmt.Errorf("security_code: %w: want the Group Security Code", storage.ErrInvalid)
	}
	grp, err := gs.putGroup(ctx, control.Operator(), id, ch, sha1Hex(ch.Code))
	if err != nil {
		return grp, "", err
	}
	text, err := gs.createOwnerKey(ctx, id)
	return grp, text, err
}

// putGroup stores a new group, for c, with the hash of the code whose SHA-1 is code.
func (gs *Groups) putGroup(ctx context.Context, c control.Caller, id string, ch GroupChange, code string) (gateway.Group, error) {
	grp := gateway.Group{
		ID: id, Source: ch.Source, Name: strings.TrimSpace(ch.Name), UUID: ch.UUID, GroupID: ch.GroupID,
		Rev: 1, Created: gs.gw.Clock(),
	}
	if grp.Name == "" {
		return grp, fmt.Errorf("name: %w: want one", storage.ErrInvalid)
	}
	if err := ch.check(); err != nil {
		return grp, err
	}
	if err := gs.hashes.run(ctx, c, func() { grp.Code = hashCode(code) }); err != nil {
		return grp, err
	}
	if err := gs.control.ReserveGroupName(ctx, grp.Name, id); err != nil {
		return grp, err
	}
	if err := gs.control.PutLinked(ctx, gateway.ListKey("groups", id), gateway.GroupKey(id), id, grp); err != nil {
		return grp, err
	}
	return grp, gs.gw.Publish(ctx, grp.Source)
}

// Group returns a group of c's.
func (gs *Groups) Group(ctx context.Context, c control.Caller, id string) (gateway.Group, error) {
	if err := c.OwnsGroup(id); err != nil {
		return gateway.Group{}, fmt.Errorf("group: %w", err)
	}
	return gs.control.LiveGroup(ctx, id)
}

// Groups returns a page of the groups that c may see.
func (gs *Groups) Groups(ctx context.Context, c control.Caller, at storage.PageRequest) ([]gateway.Group, string, error) {
	if c.Scope != control.ScopeOperator {
		grp, err := gs.control.LiveGroup(ctx, c.Group)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, "", nil
		}
		return []gateway.Group{grp}, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.ListKey("groups", "").PK}, "")
	return storage.ListPage(ctx, gs.gw.Store, q, func(r storage.Row) (gateway.Group, error) { return gs.control.LiveGroup(ctx, r.SK) })
}

// ChangeGroup changes a group. Another security code voids all registrations made with the old one, by one write;
// a job then removes them and notifies their apps. The same code again removes nothing. The owner may only change
// the code; anything else wraps control.ErrForbidden.
func (gs *Groups) ChangeGroup(ctx context.Context, c control.Caller, id string, ch GroupChange) (gateway.Group, error) {
	before, err := gs.Group(ctx, c, id)
	if err != nil {
		return before, err
	}
	if c.Scope != control.ScopeOperator && (ch.Name != "" || ch.UUID != "" || ch.GroupID != "") {
		return before, fmt.Errorf("group: %w: its owner changes the security code alone", control.ErrForbidden)
	}
	ch.UUID = strings.ToLower(strings.TrimSpace(ch.UUID))
	if err := ch.check(); err != nil {
		return before, err
	}
	if ch.Name != "" {
		if err := gs.control.ReserveGroupName(ctx, ch.Name, id); err != nil {
			return before, err
		}
	}
	code := ""
	if ch.Code != "" {
		code = sha1Hex(ch.Code)
	}
	grp, err := gs.setGroup(ctx, c, before, ch, code)
	if err == nil && control.FoldName(grp.Name) != control.FoldName(before.Name) {
		err = gs.control.FreeName(ctx, gateway.GroupNameKey(control.FoldName(before.Name)), id)
	}
	return grp, err
}

// setGroup writes the values of ch, and the code with the SHA-1 code unless that is empty or unchanged. Another
// code, UUID or source makes a new revision.
func (gs *Groups) setGroup(ctx context.Context, c control.Caller, before gateway.Group, ch GroupChange, code string) (gateway.Group, error) {
	hash := ""
	if code != "" {
		if err := gs.hashes.run(ctx, c, func() {
			if !verifyCode(before.Code, code) {
				hash = hashCode(code)
			}
		}); err != nil {
			return before, err
		}
	}
	grp, err := storage.Change(ctx, gs.gw.Store, gateway.GroupKey(before.ID), func(grp *gateway.Group, _ *storage.Row) error {
		switch {
		case grp.ID == "" || grp.Removed:
			return fmt.Errorf("group: %w", storage.ErrNotFound)
		case grp.Rev != before.Rev:
			return fmt.Errorf("group: %w: its code was changed meanwhile", storage.ErrConflict)
		}
		*grp = alteredGroup(*grp, ch, hash)
		return nil
	})
	if err != nil {
		return grp, err
	}
	if grp.Source != before.Source {
		if err := gs.gw.Publish(ctx, before.Source); err != nil {
			return grp, err
		}
	}
	// A call that a crash cut off here may have set the same code before.
	return grp, gs.control.PublishGroup(ctx, grp, grp.Rev != before.Rev || code != "")
}

// alteredGroup returns the group with the values of ch and, unless it is empty, the hash of another code.
func alteredGroup(grp gateway.Group, ch GroupChange, hash string) gateway.Group {
	was := grp
	grp.Name = cmp.Or(strings.TrimSpace(ch.Name), grp.Name)
	grp.UUID = cmp.Or(ch.UUID, grp.UUID)
	grp.GroupID = cmp.Or(ch.GroupID, grp.GroupID)
	grp.Source = cmp.Or(ch.Source, grp.Source)
	grp.Code = cmp.Or(hash, grp.Code)
	if grp.UUID != was.UUID || grp.Source != was.Source || grp.Code != was.Code {
		grp.Rev++
	}
	return grp
}

// RotateOwnerKey gives the group's owner a new key and returns its text.
func (gs *Groups) RotateOwnerKey(ctx context.Context, id string) (string, error) {
	if _, err := gs.control.LiveGroup(ctx, id); err != nil {
		return "", err
	}
	return gs.createOwnerKey(ctx, id)
}

// createOwnerKey creates the key of a group's owner in place of the present one.
func (gs *Groups) createOwnerKey(ctx context.Context, id string) (string, error) {
	k := control.APIKey{Scope: control.ScopeGroupOwner, Group: id, Name: "owner"}
	_, text, err := gs.control.CreateAPIKey(ctx, control.Operator(), control.FirstKeyID(id), k)
	return text, err
}
