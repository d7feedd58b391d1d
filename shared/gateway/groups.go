package gateway

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ringback/shared/storage"
)

// A GroupChange names what a group is to have; what is empty stays.
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
	switch {
	case len(ch.Name) > MaxName || !utf8.ValidString(ch.Name) || strings.ContainsFunc(ch.Name, unicode.IsControl):
		return fmt.Errorf("name: %w: want at most %d bytes of UTF-8", storage.ErrInvalid, MaxName)
	case ch.UUID != "" && !uuidForm.MatchString(ch.UUID):
		return fmt.Errorf("uuid: %w: want the group's UUID in Second Life", storage.ErrInvalid)
	case len(ch.GroupID) > MaxName || !utf8.ValidString(ch.GroupID):
		return fmt.Errorf("group_id: %w: want at most %d bytes of UTF-8", storage.ErrInvalid, MaxName)
	case len(ch.Code) > MaxName:
		return fmt.Errorf("security_code: %w: want at most %d bytes", storage.ErrInvalid, MaxName)
	}
	return nil
}

// FoldName returns name in the one form in which group names are compared:
// trimmed, each character the smallest of those that Unicode's simple case
// folding takes for the same. Composed and decomposed letters stay different.
func FoldName(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, strings.TrimSpace(name))
}

// CreateGroup makes a group of a smartbots source under id and the key of its
// owner, whose text is told once. The error wraps storage.ErrConflict if the name is
// another group's.
func (g *Gateway) CreateGroup(ctx context.Context, id string, ch GroupChange) (Group, string, error) {
	ch.UUID = strings.ToLower(strings.TrimSpace(ch.UUID))
	s, err := g.Source(ctx, ch.Source)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Group{}, "", fmt.Errorf("source: %w: there is no such source", storage.ErrInvalid)
	case err != nil:
		return Group{}, "", err
	case s.Provider != smartBots:
		return Group{}, "", fmt.Errorf("source: %w: only sources of %s have groups", storage.ErrInvalid, smartBots)
	case ch.UUID == "":
		return Group{}, "", fmt.Errorf("uuid: %w: want the group's UUID in Second Life", storage.ErrInvalid)
	case ch.Code == "":
		return Group{}, "", fmt.Errorf("security_code: %w: want the Group Security Code", storage.ErrInvalid)
	}
	of, err := g.putGroup(ctx, id, ch, hashCode(sha1Hex(ch.Code)))
	if err != nil {
		return of, "", err
	}
	k := APIKey{Scope: ScopeGroupOwner, Group: id, Name: "owner"}
	_, text, err := g.CreateAPIKey(ctx, Operator(), firstKeyID(id), k)
	return of, text, err
}

// putGroup stores a new group with the hash of its code.
func (g *Gateway) putGroup(ctx context.Context, id string, ch GroupChange, code string) (Group, error) {
	of := Group{
		ID: id, Source: ch.Source, Name: strings.TrimSpace(ch.Name), UUID: ch.UUID, GroupID: ch.GroupID,
		Code: code, Rev: 1, Created: g.now(),
	}
	if of.Name == "" {
		return of, fmt.Errorf("name: %w: want one", storage.ErrInvalid)
	}
	if err := ch.check(); err != nil {
		return of, err
	}
	if err := g.claimGroupName(ctx, of.Name, id); err != nil {
		return of, err
	}
	if err := storage.Put(ctx, g.Store, listKey("groups", id), link{id}, storage.AnyRev); err != nil {
		return of, err
	}
	if err := storage.Put(ctx, g.Store, groupKey(id), of, storage.AnyRev); err != nil {
		return of, err
	}
	return of, g.publish(ctx, of.Source)
}

func (g *Gateway) claimGroupName(ctx context.Context, name, id string) error {
	err := g.claimName(ctx, groupNameKey(FoldName(name)), id, groupKey)
	if errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("name: %w: another group has it", storage.ErrConflict)
	}
	return err
}

// Group returns a group of c's.
func (g *Gateway) Group(ctx context.Context, c Caller, id string) (Group, error) {
	if err := c.ownsGroup(id); err != nil {
		return Group{}, fmt.Errorf("group: %w", err)
	}
	return g.liveGroup(ctx, id)
}

func (g *Gateway) liveGroup(ctx context.Context, id string) (Group, error) {
	of, _, err := storage.Load[Group](ctx, g.Store, groupKey(id))
	if err == nil && of.Removed {
		err = storage.ErrNotFound
	}
	if err != nil {
		return of, fmt.Errorf("group: %w", err)
	}
	return of, nil
}

// Groups returns a page of the groups that c may see.
func (g *Gateway) Groups(ctx context.Context, c Caller, at storage.Place) ([]Group, string, error) {
	if c.Scope != ScopeOperator {
		of, err := g.liveGroup(ctx, c.Group)
		if errors.Is(err, storage.ErrNotFound) {
			return nil, "", nil
		}
		return []Group{of}, "", err
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: listKey("groups", "").PK}, "")
	return storage.Listed(ctx, g.Store, q, func(r storage.Row) (Group, error) { return g.liveGroup(ctx, r.SK) })
}

// ChangeGroup changes a group. Another security code voids, by the one write,
// all registrations made with the old one; a job then removes them and tells
// their apps. The same code again removes nothing. The owner may change the
// code alone; anything else wraps ErrForbidden.
func (g *Gateway) ChangeGroup(ctx context.Context, c Caller, id string, ch GroupChange) (Group, error) {
	before, err := g.Group(ctx, c, id)
	if err != nil {
		return before, err
	}
	if c.Scope != ScopeOperator && (ch.Name != "" || ch.UUID != "" || ch.GroupID != "") {
		return before, fmt.Errorf("group: %w: its owner changes the security code alone", ErrForbidden)
	}
	ch.UUID = strings.ToLower(strings.TrimSpace(ch.UUID))
	if err := ch.check(); err != nil {
		return before, err
	}
	if ch.Name != "" {
		if err := g.claimGroupName(ctx, ch.Name, id); err != nil {
			return before, err
		}
	}
	code := ""
	if ch.Code != "" {
		code = sha1Hex(ch.Code)
	}
	of, err := g.setGroup(ctx, before, ch, code)
	if err == nil && FoldName(of.Name) != FoldName(before.Name) {
		err = g.freeName(ctx, groupNameKey(FoldName(before.Name)), id)
	}
	return of, err
}

// setGroup writes what ch names, and the code whose SHA-1 is code unless that
// is empty or the one that the group has. Another code, UUID or source is
// another revision.
func (g *Gateway) setGroup(ctx context.Context, before Group, ch GroupChange, code string) (Group, error) {
	hash := ""
	if code != "" && !verifyCode(before.Code, code) {
		hash = hashCode(code)
	}
	of, err := storage.Change(ctx, g.Store, groupKey(before.ID), func(of *Group, _ *storage.Row) error {
		switch {
		case of.ID == "" || of.Removed:
			return fmt.Errorf("group: %w", storage.ErrNotFound)
		case of.Rev != before.Rev:
			return fmt.Errorf("group: %w: its code was changed meanwhile", storage.ErrConflict)
		}
		*of = of.altered(ch, hash)
		return nil
	})
	if err != nil {
		return of, err
	}
	if of.Source != before.Source {
		if err := g.publish(ctx, before.Source); err != nil {
			return of, err
		}
	}
	// A code that is set already may be so by a call that was cut off here.
	return of, g.publishGroup(ctx, of, of.Rev != before.Rev || code != "")
}

// altered returns the group with what ch names and, unless it is empty, the
// hash of another code.
func (of Group) altered(ch GroupChange, hash string) Group {
	was := of
	assignText(&of.Name, strings.TrimSpace(ch.Name))
	assignText(&of.UUID, ch.UUID)
	assignText(&of.GroupID, ch.GroupID)
	assignText(&of.Source, ch.Source)
	assignText(&of.Code, hash)
	if of.UUID != was.UUID || of.Source != was.Source || of.Code != was.Code {
		of.Rev++
	}
	return of
}

func assignText(to *string, from string) {
	if from != "" {
		*to = from
	}
}

// publishGroup makes a changed group known, and starts the removal of what was
// made under an older revision.
func (g *Gateway) publishGroup(ctx context.Context, of Group, moved bool) error {
	if err := g.publish(ctx, of.Source); err != nil || !moved {
		return err
	}
	_, err := g.startJob(ctx, Job{
		ID: idFrom("job", of.Created, "code "+of.ID+" "+strconv.Itoa(of.Rev)), Kind: JobCode, Group: of.ID, Source: of.Source, Rev: of.Rev,
	})
	return err
}

// DeleteGroup removes a group and, by a job, the registrations made with its
// code. Called again it ends what a crash left.
func (g *Gateway) DeleteGroup(ctx context.Context, id string) error {
	of, err := storage.Change(ctx, g.Store, groupKey(id), func(of *Group, r *storage.Row) error {
		switch {
		case of.ID == "":
			return fmt.Errorf("group: %w", storage.ErrNotFound)
		case of.Removed:
			return storage.ErrUnchanged
		}
		of.Removed = true
		of.Rev++
		r.Expires = g.now().Add(tombstone)
		return nil
	})
	if err != nil {
		return err
	}
	if err := g.publishGroup(ctx, of, true); err != nil {
		return err
	}
	if err := g.deleteKeysOf(ctx, of); err != nil {
		return err
	}
	if err := g.freeName(ctx, groupNameKey(FoldName(of.Name)), id); err != nil {
		return err
	}
	return storage.Delete(ctx, g.Store, listKey("groups", id), storage.AnyRev)
}

func (g *Gateway) deleteKeysOf(ctx context.Context, of Group) error {
	q := storage.Query{Table: storage.Registrations, PK: groupKey(of.ID).PK, Consistent: true}.Prefix("K#")
	return storage.Each(ctx, g.Store, q, func(r storage.Row) error {
		p, err := storage.Decoded[keyPlace](r)
		if err != nil {
			return err
		}
		if err := g.deleteKeyRows(ctx, p.Hashes); err != nil {
			return err
		}
		return storage.Delete(ctx, g.Store, r.Key, storage.AnyRev)
	})
}

// RotateOwnerKey gives the group's owner a new key and returns its text.
func (g *Gateway) RotateOwnerKey(ctx context.Context, id string) (string, error) {
	if _, err := g.liveGroup(ctx, id); err != nil {
		return "", err
	}
	k := APIKey{Scope: ScopeGroupOwner, Group: id, Name: "owner"}
	_, text, err := g.CreateAPIKey(ctx, Operator(), firstKeyID(id), k)
	return text, err
}
