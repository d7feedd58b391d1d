package embedded

import (
	"errors"
	"testing"
	"time"

	"ringback/shared/storage"
)

// FuzzDueCursor wants that the cursor of every row is read back, and that what
// nobody wrote is refused or read as something to go on from.
func FuzzDueCursor(f *testing.F) {
	f.Add("1760000000456 1 4 D#ab", "D#reg_1", "evt 1", int64(1760000000456))
	f.Add("0 0 -1 ", "", " ", int64(-1))
	f.Add("1 1 99 x", "0 0 0 ", "é\x00", int64(0))
	f.Fuzz(func(t *testing.T, text, pk, sk string, at int64) {
		r := storage.DueRow{Key: storage.Key{Table: storage.Deliveries, PK: pk, SK: sk}, Due: time.UnixMilli(at % (1 << 50))}
		want := duePosition{r.Due.UnixMilli(), int64(tableNumber(r.Table)), pk, sk}
		if got, err := parseDueCursor(dueCursor(r)); err != nil || got != want {
			t.Errorf("cursor %q is read as %+v, %v, want %+v", dueCursor(r), got, err, want)
		}
		if _, err := parseDueCursor(text); err != nil && !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("parseDueCursor(%q): %v", text, err)
		}
	})
}
