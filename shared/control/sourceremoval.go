package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// DeleteSource removes a source with its keys, grants and groups. The error wraps storage.ErrConflict if it has
// registrations, unless force is set: then these are removed too. A call that ended early is repeated to finish.
func (lc *lifecycle) DeleteSource(ctx context.Context, id string, force bool) error {
	s, err := lc.Source(ctx, id)
	if err != nil {
		return err
	}
	pk := gateway.SourceKey(id).PK
	used := fmt.Errorf("source: %w: it has registrations; remove them first, or use force", storage.ErrConflict)
	err = lc.each(ctx, pk, "R#", func(registration string, _ storage.Row) error {
		if !force {
			return used
		}
		found, err := lc.Registration(ctx, Operator(), registration)
		if err != nil {
			return err
		}
		return lc.remove(ctx, found)
	})
	if err != nil {
		return err
	}
	if err := lc.deleteSourceRows(ctx, pk); err != nil {
		return err
	}
	if err := lc.deleteGroupsOf(ctx, id); err != nil {
		return err
	}
	if s.SDKAppID != 0 {
		if err := lc.FreeName(ctx, gateway.SDKAppIDKey(s.SDKAppID), id); err != nil {
			return err
		}
	}
	for _, k := range [...]storage.Key{gateway.ListKey("sources", id), gateway.SourceKey(id)} {
		if err := storage.Delete(ctx, lc.gw.Store, k, storage.AnyRev); err != nil {
			return err
		}
	}
	return lc.gw.Publish(ctx, id)
}

func (lc *lifecycle) deleteSourceRows(ctx context.Context, pk string) error {
	err := lc.each(ctx, pk, "C#", func(_ string, r storage.Row) error {
		return storage.Delete(ctx, lc.gw.Store, r.Key, storage.AnyRev)
	})
	if err != nil {
		return fmt.Errorf("callback keys: %w", err)
	}
	return lc.each(ctx, pk, "G#", func(_ string, r storage.Row) error {
		gr, err := storage.Decoded[gateway.Grant](r)
		if err != nil {
			return err
		}
		return lc.DeleteGrant(ctx, gr.Source, gr.ID)
	})
}

func (lc *lifecycle) deleteGroupsOf(ctx context.Context, source string) error {
	q := storage.Query{Table: storage.Registrations, PK: gateway.ListKey("groups", "").PK, Consistent: true}
	return storage.Each(ctx, lc.gw.Store, q, func(r storage.Row) error {
		grp, _, err := storage.Load[gateway.Group](ctx, lc.gw.Store, gateway.GroupKey(r.SK))
		switch {
		case errors.Is(err, storage.ErrNotFound) || err == nil && grp.Source != source:
			return nil
		case err != nil:
			return err
		}
		return lc.DeleteGroup(ctx, grp.ID)
	})
}

// PublishGroup makes a changed group known, and starts the removal of what was made under an older revision.
func (lc *lifecycle) PublishGroup(ctx context.Context, grp gateway.Group, moved bool) error {
	if err := lc.gw.Publish(ctx, grp.Source); err != nil || !moved {
		return err
	}
	_, err := lc.gw.StartJob(ctx, gateway.Job{
		ID: ident.From("job", grp.Created, "code "+grp.ID+" "+strconv.Itoa(grp.Rev)), Kind: gateway.JobCode, Group: grp.ID, Source: grp.Source, Rev: grp.Rev,
	})
	return err
}

// DeleteGroup removes a group and, by a job, the registrations made with its
// code. Called again it ends what a crash left.
func (lc *lifecycle) DeleteGroup(ctx context.Context, id string) error {
	grp, err := storage.Change(ctx, lc.gw.Store, gateway.GroupKey(id), func(grp *gateway.Group, r *storage.Row) error {
		switch {
		case grp.ID == "":
			return fmt.Errorf("group: %w", storage.ErrNotFound)
		case grp.Removed:
			return storage.ErrUnchanged
		}
		grp.Removed = true
		grp.Rev++
		r.Expires = lc.gw.Clock().Add(tombstone)
		return nil
	})
	if err != nil {
		return err
	}
	if err := lc.PublishGroup(ctx, grp, true); err != nil {
		return err
	}
	err = lc.each(ctx, gateway.GroupKey(id).PK, "K#", func(_ string, r storage.Row) error { return lc.deleteKeysAt(ctx, r.Key) })
	if err != nil {
		return err
	}
	if err := lc.FreeName(ctx, gateway.GroupNameKey(FoldName(grp.Name)), id); err != nil {
		return err
	}
	return storage.Delete(ctx, lc.gw.Store, gateway.ListKey("groups", id), storage.AnyRev)
}

// codeStep turns the registrations made with an older code of a group into tombstones, and notifies each app.
func (lc *lifecycle) codeStep(ctx context.Context, j *gateway.Job) (time.Time, bool, error) {
	group, _, err := storage.Load[gateway.Group](ctx, lc.gw.Store, gateway.GroupKey(j.Group))
	if errors.Is(err, storage.ErrNotFound) {
		return time.Time{}, true, nil
	}
	if err != nil {
		return time.Time{}, false, err
	}
	q := storage.Query{Table: storage.Registrations, PK: gateway.GroupKey(j.Group).PK, After: j.Cursor, Consistent: true}.Prefix("A#")
	page, err := lc.gw.Store.List(ctx, q)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("apps of %s: %w", j.Group, err)
	}
	for _, row := range page.Rows {
		a, err := storage.Decoded[App](row)
		if err != nil {
			return time.Time{}, false, err
		}
		if err := lc.RemoveByCode(ctx, a.Registration, group); err != nil {
			return time.Time{}, false, err
		}
		j.Done++
	}
	j.Cursor = page.Next
	return time.Time{}, page.Next == "", nil
}
