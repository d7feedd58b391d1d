package gateway

import (
	"errors"
	"strings"
	"testing"

	"ringback/shared/keyring"
	"ringback/shared/provider"
)

// FuzzVia wants that a callback which names this gateway anywhere in its list is
// refused, and that of any other at most five names go on.
func FuzzVia(f *testing.F) {
	f.Add("gw-1", "gw-2;a=1, gw-3")
	f.Add("two names,,;", strings.Repeat("x,", 9))
	ring, err := keyring.Parse(strings.Repeat("k", 32))
	if err != nil {
		f.Fatal(err)
	}
	in := &ingester{core: &core{Config: Config{Keys: ring}}}
	f.Fuzz(func(t *testing.T, first, second string) {
		names, err := in.via([]string{first, second})
		if len(names) > maxVia || err != nil && !errors.Is(err, provider.ErrLoop) {
			t.Fatalf("via(%q, %q) = %q, %v; want at most %d names", first, second, names, err, maxVia)
		}
		for _, lines := range [][]string{{in.ID(), first, second}, {first, " \t" + in.ID() + " ;p=1", second}, {first, second, in.ID()}} {
			if _, err := in.via(lines); !errors.Is(err, provider.ErrLoop) {
				t.Fatalf("via(%q) = %v, want %v", lines, err, provider.ErrLoop)
			}
		}
	})
}
