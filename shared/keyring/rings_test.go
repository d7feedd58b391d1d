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
		{"a text alone", alone, "1", 2}, // which has an id of its own as well
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
		"# a comment\nk 0123456789abcdef0123456789abcde":                            "line 2",
		oldKey + "\n" + oldKey:                                                      "line 2",
		"0123456789abcdef0123456789abcdef\n0123456789abcdef0123456789abcdef":        "line 2",
		"1 0123456789abcdef0123456789abcdef\n" + "0123456789abcdef0123456789abcdeg": "id 1",
		"a.b 0123456789abcdef0123456789abcdef":                                      "line 1",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "0123") {
			t.Errorf("key ring %q: %v, want %s told and no key", text, err, want)
		}
	}
}

// TestLineInFrontTakesOver changes the keys of a ring whose lines have no ids, as often
// as one likes: each ring opens what those before it sealed, while their line is there.
func TestLineInFrontTakesOver(t *testing.T) {
	const a, b, c = "0123456789abcdef0123456789abcdea", "0123456789abcdef0123456789abcdeb", "0123456789abcdef0123456789abcdec"
	var sealed []string
	for _, tt := range []struct {
		ring    string
		opens   []bool // what was sealed before, in order
		current []bool
	}{
		{a, nil, nil},
		{b + "\n" + a, []bool{true}, []bool{false}},
		{b, []bool{false, true}, nil},
		{c + "\n" + b, []bool{false, true, true}, []bool{false, false, false}},
		{c + "\n" + b + "\n# comment\n" + a, []bool{true, true, true, true}, []bool{false, false, false, true}},
		{c, []bool{false, false, false, true, true}, nil},
		{b + "\nother " + c, []bool{false, true, true, false, false, false}, nil},
	} {
		r := keyRing(t, tt.ring)
		for i, want := range tt.opens {
			if got, err := r.Open("R#1", "url", sealed[i]); (err == nil && got == "text") != want {
				t.Errorf("ring %q opens text %d: %v, want %v", tt.ring, i, err, want)
			}
		}
		for i, want := range tt.current {
			if got := r.Current(sealed[i]); got != want {
				t.Errorf("ring %q: text %d is sealed by the current key: %v, want %v", tt.ring, i, got, want)
			}
		}
		sealed = append(sealed, r.Seal("R#1", "url", "text"))
	}
}
