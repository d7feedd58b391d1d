package limit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/storage"
)

// TestBurstIsSpentAndComesBack does something three times at once and then one in
// two seconds.
func TestBurstIsSpentAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, k := &spy{Store: newStore(t)}, storage.Key{Table: storage.Registrations, PK: "T#ten_1", SK: "N"}
		b, begun := Bucket{Size: 3, Every: 2 * time.Second}, time.Now()
		for _, tt := range []struct{ at, after time.Duration }{
			{0, 0}, {0, 0}, {0, 0}, {0, 2 * time.Second}, {0, 2 * time.Second},
			{1500 * time.Millisecond, 500 * time.Millisecond}, {2 * time.Second, 0}, {2 * time.Second, 2 * time.Second},
			{time.Minute, 0}, {time.Minute, 0}, {time.Minute, 0}, {time.Minute, 2 * time.Second},
		} {
			time.Sleep(time.Until(begun.Add(tt.at)))
			after, err := TakeToken(t.Context(), s, k, b, clock)
			if _, puts := s.used(); err != nil || after != tt.after || (puts == 1) != (after == 0) {
				t.Errorf("at %v: again after %v, %v, by %d writes; want %v", tt.at, after, err, puts, tt.after)
			}
		}
		rows, err := s.Store.Get(t.Context(), k)
		if err != nil || len(rows) != 1 || rows[0].Expires.Before(time.Now().Add(rowGrace)) || rows[0].Expires.After(time.Now().Add(2*rowGrace)) {
			t.Errorf("the row is %+v, %v; want one that ends some time after it is idle", rows, err)
		}
		wrong := func() time.Time { return clock().AddDate(1, 0, 0) }
		if _, err := TakeToken(t.Context(), s, k, b, wrong); err != nil {
			t.Fatal(err)
		}
		if after, err := TakeToken(t.Context(), s, k, b, clock); after != 0 || err != nil {
			t.Errorf("after a clock that was wrong: again after %v, %v; want at once", after, err)
		}
		outage := errors.New("no answer")
		s.after = func(context.Context) error { return outage }
		if _, err := TakeToken(t.Context(), s, k, b, clock); !errors.Is(err, outage) {
			t.Errorf("Spend = %v, want the store's error", err)
		}
	})
}
