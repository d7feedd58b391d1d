package transfer

import (
	"context"
	"errors"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// ErrOtherRing is what CheckRing tells where secrets are readable by another ring alone.
var ErrOtherRing = errors.New("the database was sealed by another key ring: put its key ring back")

var errOpened = errors.New("a secret was opened")

// CheckRing returns ErrOtherRing unless g's key ring opens what the Store's was first used with, which is one
// read. A Store that has no such row yet gets one, if it has no source, or one of which a secret opens.
func CheckRing(ctx context.Context, g *gateway.Gateway) error {
	k := gateway.RingKey()
	v, _, err := storage.Load[gateway.RingSeal](ctx, g.Store, k)
	switch {
	case err == nil:
		if _, err := g.Keys.Open(k.PK, "ring", v.Sealed); err != nil {
			return ErrOtherRing
		}
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if err := New(control.New(g)).opensAny(ctx); err != nil {
		return err
	}
	return storage.PutRow(ctx, g.Store, storage.Row{Key: k}, gateway.RingSeal{Sealed: g.Keys.Seal(k.PK, "ring", "ringback")}, storage.AnyRev)
}

// opensAny returns ErrOtherRing if sources have secrets, and none of them opens.
func (tr *Transfer) opensAny(ctx context.Context) (err error) {
	sealed, at, done := false, stop{}, false
	for !done {
		at, done, err = tr.tour(ctx, resealed[:1], at, func(r storage.Row) error {
			var v any = &gateway.CallbackKey{}
			if r.SK == "S" {
				v = &gateway.Source{}
			}
			if err := storage.Decode(r, v); err != nil {
				return err
			}
			return eachSealed(v, time.Time{}, func(field string, text *string) error {
				sealed = true
				if _, err := tr.gw.Keys.Open(r.PK, field, *text); err == nil {
					return errOpened
				}
				return nil
			})
		})
		if errors.Is(err, errOpened) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if sealed {
		return ErrOtherRing
	}
	return nil
}
