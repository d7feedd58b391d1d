package keyring

import (
	"encoding/base64"
	"strings"
	"testing"
)

// FuzzOpen wants that a sealed text opens for its own row and field alone, and
// that nothing else opens.
func FuzzOpen(f *testing.F) {
	keys, err := Parse("2 the key that seals, of 32 or more characters\n1 the key before, of 32 or more characters")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("s1.2.AAAA", "S#1", "url", "secret", 3)
	f.Add(keys.Seal("S#1", "url", "other"), "S#1", "header", "", 0)
	f.Add("s1..", "", "", "", -1)
	f.Fuzz(func(t *testing.T, text, pk, field, plain string, at int) {
		sealed := keys.Seal(pk, field, plain)
		if got, err := keys.Open(pk, field, sealed); err != nil || got != plain || !keys.Current(sealed) {
			t.Fatalf("Open of what was sealed = %q, %v, want %q", got, err, plain)
		}
		if got, err := keys.Open(pk+"x", field, sealed); err == nil {
			t.Errorf("Open for another row = %q", got)
		}
		b := []byte(sealed)
		i := (at%len(b) + len(b)) % len(b)
		b[i] ^= 1
		if got, err := keys.Open(pk, field, string(b)); err == nil && !sameBase64(sealed, string(b)) {
			t.Errorf("Open of %q with byte %d altered = %q", sealed, i, got)
		}
		if got, err := keys.Open(pk, field, text); err == nil {
			t.Errorf("Open of %q = %q", text, got)
		} else if plain != "" && len(plain) > 8 && strings.Contains(err.Error(), plain) && !strings.Contains(text+pk+field, plain) {
			t.Errorf("the error %q holds the plain text", err)
		}
		if r, err := Parse(text); err == nil && r.current == "" {
			t.Errorf("key ring %q has no key", text)
		}
	})
}

// sameBase64 reports whether a and b differ in bits alone that their base64
// does not use.
func sameBase64(a, b string) bool {
	x, errX := base64.RawStdEncoding.DecodeString(a[strings.LastIndexByte(a, '.')+1:])
	y, errY := base64.RawStdEncoding.DecodeString(b[strings.LastIndexByte(b, '.')+1:])
	return errX == nil && errY == nil && string(x) == string(y) && a[:strings.LastIndexByte(a, '.')] == b[:strings.LastIndexByte(b, '.')]
}
