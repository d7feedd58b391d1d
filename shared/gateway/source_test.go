package gateway

import (
	"fmt"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"strings"
	"testing"
	"time"
)

func TestCredentialsAreThoseOfNow(t *testing.T) {
	keys, id := keyRing(t, oldKey), ident.NewSource()
	seal := func(field, text string, until time.Time) keyring.Secret {
		return keyring.Secret{Sealed: keys.Seal(SourceKey(id).PK, field, text), Until: until}
	}
	s := Source{
		ID: id, SDKAppID: 7, Allow: []string{"192.0.2.0/24", "2001:db8::/32"},
		Tokens: []keyring.Secret{seal("token", "new", time.Time{}), seal("token", "old", noon.Add(time.Second)), seal("token", "ended", noon)},
		Basic:  []keyring.Secret{seal("basic", `{"Name":"n","Password":"p"}`, time.Time{}), seal("basic", "not read", noon)},
	}
	c, err := s.credentials(keys, noon)
	if got, want := fmt.Sprint(c), "{7 [new old] [{n p}] [192.0.2.0/24 2001:db8::/32]}"; got != want || err != nil {
		t.Errorf("credentials %s, %v; want %s", got, err, want)
	}
}

func TestCredentialsThatCannotBeReadAreAnError(t *testing.T) {
	keys, id := keyRing(t, oldKey), ident.NewSource()
	pk := SourceKey(id).PK
	for name, s := range map[string]Source{
		"a token of another row": {ID: id, Tokens: []keyring.Secret{{Sealed: keys.Seal("S#other", "token", "secret")}}},
		"a login of another row": {ID: id, Basic: []keyring.Secret{{Sealed: keys.Seal("S#other", "basic", `{"Name":"secret"}`)}}},
		"a login that is none":   {ID: id, Basic: []keyring.Secret{{Sealed: keys.Seal(pk, "basic", "secret")}}},
		"an address":             {ID: id, Allow: []string{"192.0.2.1"}},
	} {
		if _, err := s.credentials(keys, noon); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, want one that repeats nothing", name, err)
		}
	}
}
