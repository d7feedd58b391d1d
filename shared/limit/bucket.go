package limit

import (
	"context"
	"time"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

// A Bucket is a token bucket: it holds Size tokens and gains one in each Every.
type Bucket struct {
	Size  int
	Every time.Duration
}

// TakeToken takes a token of b from the row under k. If there is none, it returns after how long there will be one.
func TakeToken(ctx context.Context, s storage.Store, k storage.Key, b Bucket, clock func() time.Time) (after time.Duration, err error) {
	_, err = storage.Change(ctx, s, k, func(v *record, r *storage.Row) error {
		now := clock()
		if v.At.Sub(now) > maxSkew {
			v.Value = value{}
		}
		next := limiter.Later(v.Value.Next, now)
		if after = max(next.Sub(now)-time.Duration(b.Size-1)*b.Every, 0); after > 0 {
			return storage.ErrUnchanged
		}
		v.At, v.Value = now, value{rate: rate{Next: next.Add(b.Every), Every: b.Every}}
		r.Expires = v.Value.Next.Add(rowGrace)
		return nil
	})
	return after, err
}
