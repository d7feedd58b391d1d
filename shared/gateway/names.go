package gateway

import (
	"context"
	"errors"
	"time"

	"ringback/shared/storage"
)

// unusedName is how long a name is kept for who took it and is not there: a
// create that crashed.
const unusedName = time.Minute

// A claim says whose a name is.
type claim struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
}

// claimName makes k say that a name is id's. The error wraps storage.ErrConflict if it
// is another's, whose row stands under what key makes of its id.
func (g *Gateway) claimName(ctx context.Context, k storage.Key, id string, key func(id string) storage.Key) error {
	_, err := storage.Change(ctx, g.Store, k, func(c *claim, _ *storage.Row) error {
		if c.ID == id {
			return storage.ErrUnchanged
		}
		if c.ID != "" {
			if held, err := g.nameHeld(ctx, *c, key); err != nil || held {
				return orConflict(err)
			}
		}
		*c = claim{ID: id, At: g.now()}
		return nil
	})
	return err
}

func orConflict(err error) error {
	if err == nil {
		return storage.ErrConflict
	}
	return err
}

// nameHeld reports whether who has a name is there, or may come to be.
func (g *Gateway) nameHeld(ctx context.Context, c claim, key func(id string) storage.Key) (bool, error) {
	if g.now().Sub(c.At) < unusedName {
		return true, nil
	}
	rows, err := g.Store.Get(ctx, key(c.ID))
	return len(rows) > 0, err
}

// freeName gives a name up if it is id's.
func (g *Gateway) freeName(ctx context.Context, k storage.Key, id string) error {
	c, row, err := storage.Load[claim](ctx, g.Store, k)
	if errors.Is(err, storage.ErrNotFound) || err == nil && c.ID != id {
		return nil
	}
	if err != nil {
		return err
	}
	return storage.Delete(ctx, g.Store, k, row.Rev)
}
