package groups

import (
	"strings"
	"testing"

	"ringback/shared/control"
)

func TestSecurityCodeIsVerifiedByItsSHA1(t *testing.T) {
	hash := hashCode(sha1Hex("harbor"))
	if !verifyCode(hash, sha1Hex("harbor")) {
		t.Error("the code does not verify")
	}
	if hash == hashCode(sha1Hex("harbor")) {
		t.Error("the same code twice has one hash, want another salt")
	}
	for _, tt := range []struct{ name, hash, code string }{
		{"another code", hash, sha1Hex("Harbor")},
		{"no group", "", sha1Hex("harbor")},
		{"no code", hash, ""},
		{"neither", "", ""},
		{"a hash cut short", hash[:20], sha1Hex("harbor")},
	} {
		if verifyCode(tt.hash, tt.code) {
			t.Errorf("%s: verified", tt.name)
		}
	}
	if strings.Contains(hash, "harbor") || strings.Contains(hash, sha1Hex("harbor")) {
		t.Error("the hash holds what it is of")
	}
}

func TestGroupNamesAreFolded(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"Harbor Crew", " harbor CREW\t", true},
		{"ÉCOLE", "école", true},
		{"ΣΑΣ", "σας", true},
		{"Harbor Crew", "Harbor  Crew", false},
		{"Harbor", "Harbour", false},
	} {
		if got := control.FoldName(tt.a) == control.FoldName(tt.b); got != tt.same {
			t.Errorf("%q and %q are one name: %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}
