package cloud

import (
	"errors"
	"maps"
	"testing"
	"time"
	"unicode/utf8"

	"ringback/shared/storage"
)

// FuzzDueCursor wants that the cursor behind every row is read back, and that
// what nobody wrote is refused or written as it is read.
func FuzzDueCursor(f *testing.F) {
	f.Add("eyJkZWxpdmVyaWVzIjp7fX0", "D#reg_1", "evt_1", int64(1760000000456))
	f.Add("bnVsbA", "\"\\", "<é>", int64(-1))
	f.Fuzz(func(t *testing.T, text, pk, sk string, at int64) {
		if utf8.ValidString(pk) && utf8.ValidString(sk) {
			c := dueCursor{}.after([]storage.DueRow{{Key: storage.Key{Table: storage.Deliveries, PK: pk, SK: sk}, Due: time.UnixMilli(at % (1 << 50))}})
			if got, err := parseDueCursor(c.String()); err != nil || !maps.Equal(got, c) {
				t.Errorf("cursor %q is read as %+v, %v, want %+v", c, got, err, c)
			}
		}
		got, err := parseDueCursor(text)
		if err != nil {
			if !errors.Is(err, storage.ErrInvalid) {
				t.Errorf("parseDueCursor(%q): %v", text, err)
			}
			return
		}
		got.after([]storage.DueRow{{Key: storage.Key{Table: storage.Deliveries, PK: "a", SK: "b"}}})
	})
}
