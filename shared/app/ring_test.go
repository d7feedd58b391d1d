package app_test

import (
	"errors"
	"testing"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/test/proofs"
	"ringback/shared/transfer"
)

// TestOtherKeyRingIsKnown starts a store with its own and another ring, with the row
// by which that is known and, as one of before, without.
func TestOtherKeyRingIsKnown(t *testing.T) {
	proofs.Long(t)
	for _, tt := range []struct {
		name        string
		source, row bool   // what the store has
		ring        string // it is started with
		want        error
	}{
		{"a new store", false, false, formerKey, nil},
		{"its own ring", true, true, formerKey, nil},
		{"its own ring with a key before", true, true, latterKey + "\n" + formerKey, nil},
		{"another ring", true, true, latterKey, transfer.ErrOtherRing},
		{"another ring, and no source", false, true, latterKey, transfer.ErrOtherRing},
		{"a store of before", true, false, formerKey, nil},
		{"a store of before, and another ring", true, false, latterKey, transfer.ErrOtherRing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := begun(t, &world{dir: t.TempDir(), paused: true})
			w.restartWith(formerKey, nil)
			if tt.source {
				w.source(control.SourceChange{Provider: "direct", Basic: &provider.Login{Name: "ringback", Password: "direct password"}})
			}
			if tt.row {
				if err := transfer.CheckRing(t.Context(), w.g); err != nil {
					t.Fatal(err)
				}
			}
			w.restartWith(tt.ring, nil)
			for range 2 {
				if err := transfer.CheckRing(t.Context(), w.g); !errors.Is(err, tt.want) {
					t.Errorf("CheckRing = %v, want %v", err, tt.want)
				}
			}
			_, _, err := storage.Load[gateway.RingSeal](t.Context(), w.g.Store, gateway.RingKey())
			if kept := err == nil; kept != (tt.row || tt.want == nil) {
				t.Errorf("there is a row of the ring: %v", kept)
			}
		})
	}
}
