package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ringback/shared/storage"
)

// DeleteSource removes a source with its keys, grants and groups. The error
// wraps storage.ErrConflict if it has registrations, unless force is set: then these
// are removed too. A call that ended early is repeated to finish.
func (g *Gateway) DeleteSource(ctx context.Context, id string, force bool) error {
	s, err := g.Source(ctx, id)
	if err != nil {
		return err
	}
	pk := sourceKey(id).PK
	used := fmt.Errorf("source: %w: it has registrations; remove them first, or use force", storage.ErrConflict)
	err = storage.Each(ctx, g.Store, storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix("R#"), func(r storage.Row) error {
		if !force {
			return used
		}
		return g.removeAny(ctx, strings.TrimPrefix(r.SK, "R#"))
	})
	if err != nil {
		return err
	}
	if err := g.deleteSourceRows(ctx, pk); err != nil {
		return err
	}
	if err := g.deleteGroupsOf(ctx, id); err != nil {
		return err
	}
	if s.SDKAppID != 0 {
		if err := g.freeName(ctx, sdkAppIDKey(s.SDKAppID), id); err != nil {
			return err
		}
	}
	for _, k := range [...]storage.Key{listKey("sources", id), sourceKey(id)} {
		if err := storage.Delete(ctx, g.Store, k, storage.AnyRev); err != nil {
			return err
		}
	}
	return g.publish(ctx, id)
}

func (g *Gateway) removeAny(ctx context.Context, registration string) error {
	r, err := g.Registration(ctx, Operator(), registration)
	if err != nil {
		return err
	}
	if r.Group != "" {
		return g.removeApp(ctx, r.ID, whyDeleted, r.GroupRev+1)
	}
	return g.removeRegistration(ctx, registration, whyDeleted)
}

// deleteSourceRows deletes the callback keys and grants of a source.
func (g *Gateway) deleteSourceRows(ctx context.Context, pk string) error {
	err := storage.Each(ctx, g.Store, storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix("C#"), func(r storage.Row) error {
		return storage.Delete(ctx, g.Store, r.Key, storage.AnyRev)
	})
	if err != nil {
		return fmt.Errorf("callback keys: %w", err)
	}
	return storage.Each(ctx, g.Store, storage.Query{Table: storage.Registrations, PK: pk, Consistent: true}.Prefix("G#"), func(r storage.Row) error {
		gr, err := storage.Decoded[Grant](r)
		if err != nil {
			return err
		}
		return g.DeleteGrant(ctx, gr.Source, gr.ID)
	})
}

func (g *Gateway) deleteGroupsOf(ctx context.Context, source string) error {
	q := storage.Query{Table: storage.Registrations, PK: listKey("groups", "").PK, Consistent: true}
	return storage.Each(ctx, g.Store, q, func(r storage.Row) error {
		of, _, err := storage.Load[Group](ctx, g.Store, groupKey(r.SK))
		switch {
		case errors.Is(err, storage.ErrNotFound) || err == nil && of.Source != source:
			return nil
		case err != nil:
			return err
		}
		return g.DeleteGroup(ctx, of.ID)
	})
}
