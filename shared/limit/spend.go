package limit

import (
	"context"
	"time"

	"ringback/shared/pace"
	"ringback/shared/storage"
)

// A Burst is how often something may be done: so many times at once, and then one in each Every.
type Burst struct {
	AtOnce int
	Every  time.Duration
}

// Spend takes one of b's from the row under k, and returns how long it is until there is one again if there is none.
func Spend(ctx context.Context, s storage.Store, k storage.Key, b Burst, clock func() time.Time) (after time.Duration, err error) {
	_, err = storage.Change(ctx, s, k, func(v *stamped, r *storage.Row) error {
		now := clock()
		if v.At.Sub(now) > mostSkew {
			v.Value = value{}
		}
		next := pace.Later(v.Value.Next, now)
		if after = max(next.Sub(now)-time.Duration(b.AtOnce-1)*b.Every, 0); after > 0 {
			return storage.ErrUnchanged
		}
		v.At, v.Value = now, value{line: line{Next: next.Add(b.Every), Every: b.Every}}
		r.Expires = v.Value.Next.Add(rowIdle)
		return nil
	})
	return after, err
}
