package keyring

import (
	"strings"
	"testing"
	"time"
)

const oldKey, newKey = "old 0123456789abcdef0123456789abcdef", "new fedcba9876543210fedcba9876543210"

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func keyRing(t *testing.T, text string) *Ring {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedTextOpensOnlyWhereItBelongs(t *testing.T) {
	r := keyRing(t, oldKey)
	sealed := r.Seal("R#1", "secret", "whsec_x")
	if strings.Contains(sealed, "whsec") || sealed == r.Seal("R#1", "secret", "whsec_x") {
		t.Errorf("sealed %q shows the text, or is the same each time", sealed)
	}
	if got, err := r.Open("R#1", "secret", sealed); err != nil || got != "whsec_x" {
		t.Errorf("Open = %q, %v", got, err)
	}
	for name, f := range map[string]func() (string, error){
		"another row":   func() (string, error) { return r.Open("R#2", "secret", sealed) },
		"another field": func() (string, error) { return r.Open("R#1", "url", sealed) },
		"another ring":  func() (string, error) { return keyRing(t, newKey).Open("R#1", "secret", sealed) },
		"changed":       func() (string, error) { return r.Open("R#1", "secret", changedEnd(sealed)) },
		"cut":           func() (string, error) { return r.Open("R#1", "secret", sealed[:10]) },
		"plain":         func() (string, error) { return r.Open("R#1", "secret", "whsec_x") },
	} {
		if got, err := f(); err == nil || strings.Contains(err.Error(), "whsec") {
			t.Errorf("%s: opened %q, error %v", name, got, err)
		}
	}
}

func TestNewKeySealsAndOldOneOpens(t *testing.T) {
	old, both := keyRing(t, oldKey), keyRing(t, newKey+"\n"+oldKey)
	sealed := old.Seal("R#1", "secret", "text")
	if got, err := both.Open("R#1", "secret", sealed); err != nil || got != "text" {
		t.Errorf("old text: %q, %v", got, err)
	}
	if both.Current(sealed) || !both.Current(both.Seal("R#1", "secret", "text")) {
		t.Error("Current does not tell old from new")
	}
	if old.GatewayID() != both.GatewayID() {
		t.Error("the gateway's id changed with a key that was added")
	}
}

func TestBadKeyRingIsRefused(t *testing.T) {
	for _, text := range []string{"", "# only a comment", "short", "1 short", oldKey + "\n" + oldKey, "a.b 0123456789abcdef0123456789abcdef"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("key ring %q was taken", text)
		}
	}
}

func TestRotationKeepsTheOldOneForItsOverlap(t *testing.T) {
	first := Rotate(nil, "a", noon, time.Hour)
	second := Rotate(first, "b", noon.Add(time.Hour), 24*time.Hour)
	if len(second) != 2 || second[0].Sealed != "b" || !second[1].Until.Equal(noon.Add(25*time.Hour)) {
		t.Errorf("after one rotation: %+v", second)
	}
	third := Rotate(second, "c", noon.Add(26*time.Hour), 24*time.Hour)
	if len(third) != 2 || third[1].Sealed != "b" {
		t.Errorf("after the first one ended: %+v", third)
	}
	if at := Rotate(second, "c", noon.Add(2*time.Hour), 0); len(at) != 1 {
		t.Errorf("overlap 0 keeps %d old ones", len(at)-1)
	}
}

// changedEnd returns text with another character in the place of its last.
func changedEnd(text string) string {
	end := "A"
	if text[len(text)-1] == 'A' {
		end = "B"
	}
	return text[:len(text)-1] + end
}

func TestSignatureIsOfOneTextAndPurpose(t *testing.T) {
	const old, next = "1 a key ring of no fewer than 32 characters", "2 another key ring of no fewer than 32 characters"
	parse := func(text string) *Ring {
		t.Helper()
		r, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	signature := parse(old).Sign("export", []byte("text"))
	for _, tt := range []struct {
		name, ring, what, text, signature string
		want                              bool
	}{
		{"the same", old, "export", "text", signature, true},
		{"by the older key of a ring", next + "\n" + old, "export", "text", signature, true},
		{"by a key that is not in the ring", next, "export", "text", signature, false},
		{"by another key of that id", "1" + next[1:], "export", "text", signature, false},
		{"another text", old, "export", "texts", signature, false},
		{"another purpose", old, "import", "text", signature, false},
		{"purpose and text cut elsewhere", old, "exp", "ort\x00text", signature, false},
		{"none", old, "export", "text", "", false},
		{"no more than an id", old, "export", "text", "1.", false},
		{"a cut one", old, "export", "text", signature[:len(signature)-1], false},
	} {
		if got := parse(tt.ring).Signed(tt.what, []byte(tt.text), tt.signature); got != tt.want {
			t.Errorf("%s: signed %v, want %v", tt.name, got, tt.want)
		}
	}
}
