package keyring

import (
	"strings"
	"testing"
)

// TestKeyRingIsReadLineByLine has comments, empty lines and spaces between keys.
func TestKeyRingIsReadLineByLine(t *testing.T) {
	const alone = "0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name, text, current string
		ids                 int
	}{
		{"one key", oldKey, "old", 1},
		{"a text alone", alone, "1", 1},
		{"comments, empty lines and spaces", "\n# new ones go first\n\n  new   fedcba9876543210fedcba9876543210 \r\n\n" + oldKey + "\n# end", "new", 2},
		{"of 32 characters", "k " + alone, "k", 1},
	} {
		r, err := Parse(tt.text)
		if err != nil || r.CurrentID() != tt.current || len(r.keys) != tt.ids {
			t.Errorf("%s: %+v, %v; want %d keys, of which %q seals", tt.name, r, err, tt.ids, tt.current)
		}
	}
	spaced, plain := keyRing(t, "\told  0123456789abcdef0123456789abcdef "), keyRing(t, oldKey)
	if got, err := plain.Open("R#1", "url", spaced.Seal("R#1", "url", "text")); err != nil || got != "text" {
		t.Errorf("sealed with spaces around the key: %q, %v; want the same key", got, err)
	}
	other := keyRing(t, newKey)
	if id := plain.GatewayID(); id == other.GatewayID() || id != spaced.GatewayID() || id == "gw-0000000000000000" {
		t.Errorf("gateway %s, with another key %s, with spaces %s", id, other.GatewayID(), spaced.GatewayID())
	}
}

func TestBadKeyRingIsToldByItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"# a comment\nk 0123456789abcdef0123456789abcde": "line 2",
		oldKey + "\n" + oldKey:                           "line 2",
		"a.b 0123456789abcdef0123456789abcdef":           "line 1",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123") {
			t.Errorf("key ring %q: %v, want %s told and no key", text, err, want)
		}
	}
}
