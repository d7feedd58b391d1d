package transfer

import (
	"errors"
	"testing"

	"ringback/shared/storage"
)

// FuzzStop reads cursors of tours that nobody gave out. What is read must be
// written as it is read.
func FuzzStop(f *testing.F) {
	f.Add(scanCursor{Part: 1, ID: "ten_1", Below: true, After: "R#1"}.String(), "", 0)
	f.Add("0 3 evt_1", "~", -1)
	f.Fuzz(func(t *testing.T, text, _ string, _ int) {
		if s, err := parseScanCursor(text); err == nil {
			if back, err := parseScanCursor(s.String()); err != nil || back != s {
				t.Errorf("cursor %q is read as %+v, and written again as %+v, %v", text, s, back, err)
			}
		} else if !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("parseStop(%q): %v", text, err)
		}
	})
}
