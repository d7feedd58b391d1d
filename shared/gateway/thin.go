package gateway

import (
	"context"
	"errors"
	"fmt"
)

// thin reports whether a leaves rows only where something fails: its source
// keeps no more, its registrations fit one row, and nobody can have begun it
// before. From the second receive on every outcome is written, so that what a
// crashed run did is repeated once, not each time.
func (g *Gateway) thin(ctx context.Context, a arrival, long bool) (bool, error) {
	if long || a.again || a.own() || a.Unreadable {
		return false, nil
	}
	v, err := g.versionOf(ctx, a.Source)
	if err != nil {
		return false, err
	}
	s, err := remembered(ctx, g, g.finder.sources, v.rev, a.Source, sourceKey(a.Source))
	if errors.Is(err, ErrNotFound) {
		return false, nil // deleted meanwhile; its events are still delivered
	}
	if err != nil {
		return false, fmt.Errorf("source %s: %w", a.Source, err)
	}
	return s.History == FailureHistory, nil
}

// keepPayload stores f's event whole, before a row that needs it is written.
func (g *Gateway) keepPayload(ctx context.Context, f *fanOut) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kept {
		return nil
	}
	key, err := eventKey(f.ID)
	if err != nil {
		return err
	}
	whole := g.eventRowOf(key, f.arrival)
	if f.arrival.unique { // nobody began it before
		err = putRow(ctx, g.Store, whole, f.arrival.row(f.match, false, "", g.now()), "")
		if err == nil {
			f.kept = true
			return nil
		}
	}
	_, err = change(ctx, g.Store, key, func(er *eventRow, r *Row) error {
		if len(r.Body) == len(whole.Body) && er.ID != "" {
			return errUnchanged
		}
		if er.ID == "" {
			*er = f.arrival.row(f.match, false, "", g.now())
			r.Expires = whole.Expires
		}
		r.Body = whole.Body
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the payload of %s: %w", f.ID, err)
	}
	f.kept = true
	return nil
}
