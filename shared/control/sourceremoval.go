package control

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// DeleteSource removes a source with its keys, grants and groups. The error
// wraps storage.ErrConflict if it has registrations, unless force is set: then these
// are removed too. A call that ended early is repeated to finish.
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

// deleteSourceRows deletes the callback keys and grants of a source.
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
		of, _, err := storage.Load[gateway.Group](ctx, lc.gw.Store, gateway.GroupKey(r.SK))
		switch {
		case errors.Is(err, storage.ErrNotFound) || err == nil && of.Source != source:
			return nil
		case err != nil:
			return err
		}
		return lc.DeleteGroup(ctx, of.ID)
	})
}
