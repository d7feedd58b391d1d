package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestAPIKeyIsListedWithWhoseItIs(t *testing.T) {
	for _, tt := range []struct {
		key  APIKey
		want storage.Key
	}{
		{APIKey{ID: "key_1"}, storage.Key{Table: storage.Registrations, PK: "L#keys", SK: "key_1"}},
		{APIKey{ID: "key_1", Tenant: "ten_1"}, storage.Key{Table: storage.Registrations, PK: "T#ten_1", SK: "K#key_1"}},
		{APIKey{ID: "key_1", Group: "grp_1"}, storage.Key{Table: storage.Registrations, PK: "G#grp_1", SK: "K#key_1"}},
	} {
		if got := LocationOf(tt.key); got != tt.want {
			t.Errorf("PlaceOf(%+v) = %v, want %v", tt.key, got, tt.want)
		}
	}
}

func TestScopeOfAnAPIKeyFitsWhoseItIs(t *testing.T) {
	tenant := Caller{Scope: ScopeFull, Tenant: "ten_1"}
	for _, tt := range []struct {
		name   string
		caller Caller
		key    APIKey
		want   error
	}{
		{"full of a tenant", tenant, APIKey{Scope: ScopeFull, Tenant: "ten_1"}, nil},
		{"read of a tenant", tenant, APIKey{Scope: ScopeRead, Tenant: "ten_1"}, nil},
		{"set_http_callback of a tenant", tenant, APIKey{Scope: ScopeSetHTTP, Tenant: "ten_1"}, nil},
		{"an operator's by a tenant", tenant, APIKey{Scope: ScopeOperator}, ErrForbidden},
		{"a group owner's by a tenant", tenant, APIKey{Scope: ScopeGroupOwner, Group: "grp_1"}, ErrForbidden},
		{"full of a tenant by the operator", Operator(), APIKey{Scope: ScopeFull, Tenant: "ten_1"}, nil},
		{"full of nobody", Operator(), APIKey{Scope: ScopeFull}, storage.ErrInvalid},
		{"full of a tenant and a group", Operator(), APIKey{Scope: ScopeFull, Tenant: "ten_1", Group: "grp_1"}, storage.ErrInvalid},
		{"read of a group", Operator(), APIKey{Scope: ScopeRead, Group: "grp_1"}, storage.ErrInvalid},
		{"a group owner's", Operator(), APIKey{Scope: ScopeGroupOwner, Group: "grp_1"}, nil},
		{"a group owner's without group", Operator(), APIKey{Scope: ScopeGroupOwner}, storage.ErrInvalid},
		{"a group owner's of a tenant", Operator(), APIKey{Scope: ScopeGroupOwner, Group: "grp_1", Tenant: "ten_1"}, storage.ErrInvalid},
		{"an operator's", Operator(), APIKey{Scope: ScopeOperator}, nil},
		{"an operator's of a tenant", Operator(), APIKey{Scope: ScopeOperator, Tenant: "ten_1"}, storage.ErrInvalid},
		{"an operator's of a group", Operator(), APIKey{Scope: ScopeOperator, Group: "grp_1"}, storage.ErrInvalid},
		{"one without a scope", Operator(), APIKey{Tenant: "ten_1"}, storage.ErrInvalid},
	} {
		switch err := tt.key.CheckScope(tt.caller); {
		case tt.want == nil && err != nil, tt.want != nil && !errors.Is(err, tt.want):
			t.Errorf("%s: CheckScope(%+v) = %v, want %v", tt.name, tt.key, err, tt.want)
		}
	}
}

func TestAPIKeyThatCannotBeIsNotMade(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted("smartbots")
	removed := w.group(s.ID, "removed")
	w.OK(w.DeleteGroup(t.Context(), removed.ID))
	for _, tt := range []struct {
		name   string
		caller Caller
		key    APIKey
		want   error
	}{
		{"too long a name", c, APIKey{Scope: ScopeRead, Name: strings.Repeat("x", gateway.MaxName+1)}, storage.ErrInvalid},
		{"an end that is now", c, APIKey{Scope: ScopeRead, Expires: w.Now}, storage.ErrInvalid},
		{"an end that is over", c, APIKey{Scope: ScopeRead, Expires: w.Now.Add(-time.Hour)}, storage.ErrInvalid},
		{"an operator's by a tenant", c, APIKey{Scope: ScopeOperator}, ErrForbidden},
		{"of no such tenant", Operator(), APIKey{Scope: ScopeRead, Tenant: "ten_9"}, storage.ErrNotFound},
		{"of no such group", Operator(), APIKey{Scope: ScopeGroupOwner, Group: "grp_9"}, storage.ErrNotFound},
		{"of a removed group", Operator(), APIKey{Scope: ScopeGroupOwner, Group: removed.ID}, storage.ErrNotFound},
	} {
		w.WantUnwritten(tt.name, func() {
			_, text, err := w.CreateAPIKey(t.Context(), tt.caller, w.ID("key"), tt.key)
			if w.WantErr(tt.name, err, tt.want); text != "" {
				t.Errorf("%s: a text is told", tt.name)
			}
		})
	}
	for _, tt := range []struct {
		name string
		key  APIKey
	}{
		{"the longest name", APIKey{Scope: ScopeRead, Name: strings.Repeat("x", gateway.MaxName)}},
		{"the nearest end", APIKey{Scope: ScopeRead, Expires: w.Now.Add(time.Millisecond)}},
	} {
		_, _, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), tt.key)
		w.WantErr(tt.name, err, nil)
	}
}

func TestAPIKeyIsWhoCalls(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted("smartbots")
	of := w.group(s.ID, "group")
	w.WantErr("ChangeTenant", gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Limits: &gateway.Limits{Jobs: 7}})), nil)
	byDefault := gateway.Limits{}.OrDefault()
	for _, tt := range []struct {
		name   string
		caller Caller
		key    APIKey
		want   Caller
	}{
		{"a tenant's", c, APIKey{Scope: ScopeRead, Tenant: "another", Group: "another"},
			Caller{Scope: ScopeRead, Tenant: c.Tenant, Limits: gateway.Limits{Jobs: 7}.OrDefault()}},
		{"a group owner's", Operator(), APIKey{Scope: ScopeGroupOwner, Group: of.ID}, Caller{Scope: ScopeGroupOwner, Group: of.ID, Limits: byDefault}},
		{"an operator's", Operator(), APIKey{Scope: ScopeOperator}, Caller{Scope: ScopeOperator, Limits: byDefault}},
	} {
		id := w.ID("key")
		k, text, err := w.CreateAPIKey(t.Context(), tt.caller, id, tt.key)
		w.OK(err)
		if k.ID != id || !k.Created.Equal(w.Now) || k.Hash != gateway.Digest(text) {
			t.Errorf("%s: made %+v at %v", tt.name, k, w.Now)
		}
		if bare := strings.TrimPrefix(id, "key_"); !strings.HasPrefix(text, "rbk_"+bare+"_") || len(text) != len("rbk_"+bare+"_")+32 {
			t.Errorf("%s: the text has the form of %d characters %s…, want rbk_<id>_<32 characters>", tt.name, len(text), text[:8])
		}
		tt.want.Key = id
		got, key, err := w.CallerOf(t.Context(), text)
		if w.WantErr(tt.name, err, nil); got != tt.want || key.ID != id {
			t.Errorf("%s: CallerOf = %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestTextThatIsNoAPIKeyIsUnauthorized(t *testing.T) {
	w := newWorld(t)
	long := apiKeyPrefix + strings.Repeat("x", gateway.MaxName-len(apiKeyPrefix))
	for _, text := range []string{"", "x", "rbk", "rbk_", "sk_" + long[3:103], long, long + "x"} {
		_, _, err := w.CallerOf(t.Context(), text)
		w.WantErr("CallerOf "+text, err, ErrUnauthorized)
	}
	for text, want := range map[string]error{long: storagetest.ErrBroken, long + "x": ErrUnauthorized, "x": ErrUnauthorized} {
		w.Store.FailAt(1)
		_, _, err := w.CallerOf(t.Context(), text)
		w.WantErr("CallerOf, without a Store, "+text, err, want)
	}
}

func TestAPIKeyEndsWithItsTimeAndItsTenant(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	_, text, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), APIKey{Scope: ScopeRead, Expires: w.Now.Add(time.Hour)})
	w.OK(err)
	_, lasting, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), APIKey{Scope: ScopeRead})
	w.OK(err)
	calls := func(what, text string, want error) {
		t.Helper()
		_, _, err := w.CallerOf(t.Context(), text)
		w.WantErr(what, err, want)
	}
	w.Pass(time.Hour - time.Millisecond)
	calls("just before its end", text, nil)
	w.Pass(time.Millisecond)
	calls("at its end", text, ErrUnauthorized)
	calls("one without end", lasting, nil)

	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(true)})))
	calls("of a disabled tenant", lasting, ErrUnauthorized)
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)})))
	calls("of a tenant that is enabled again", lasting, nil)

	w.Store.FailAt(2)
	calls("if the tenant cannot be read", lasting, storagetest.ErrBroken)
	w.Store.Heal()
	w.OK(w.Store.Delete(t.Context(), gateway.TenantKey(c.Tenant), storage.AnyRev))
	calls("of a tenant that is gone", lasting, ErrUnauthorized)
}

func TestAPIKeyMadeAgainEndsTheOneBefore(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	id := w.ID("key")
	first, old, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead, Name: "first"})
	w.OK(err)
	_, text, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead, Name: "second"})
	w.OK(err)
	_, _, err = w.CallerOf(t.Context(), old)
	w.WantErr("the first text", err, ErrUnauthorized)
	_, _, err = w.CallerOf(t.Context(), text)
	w.WantErr("the second text", err, nil)
	if w.Stored(gateway.APIKeyRow(first.Hash)) {
		t.Error("the row of the first text is left")
	}
	l := gatewaytest.Must(w.APIKey(t.Context(), c, "", id))(w)
	if l.Name != "second" || len(l.Old) != 0 {
		t.Errorf("listed as %+v, want the second alone", l)
	}
}

func TestRotatedAPIKeyHoldsForTheOverlap(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	id := w.ID("key")
	expires := w.Now.Add(1000 * time.Hour)
	made, first, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead, Name: "n", Expires: expires})
	w.OK(err)
	w.Pass(time.Hour)
	k, second, err := w.RotateAPIKey(t.Context(), c, "", id, 10*time.Hour)
	w.OK(err)
	if k.ID != id || k.Name != "n" || k.Scope != ScopeRead || !k.Expires.Equal(expires) || !k.Created.Equal(w.Now) || k.Hash != gateway.Digest(second) {
		t.Errorf("rotated: %+v, want all of %+v but secret and time", k, made)
	}
	l := gatewaytest.Must(w.APIKey(t.Context(), c, c.Tenant, id))(w)
	if l.Hash != k.Hash || len(l.Old) != 1 || l.Old[0].Hash != made.Hash || !l.Old[0].Expires.Equal(w.Now.Add(10*time.Hour)) {
		t.Errorf("listed as %+v, want the new one and the old with its end", l)
	}
	if row, ok := w.Row(gateway.APIKeyRow(made.Hash)); !ok || !row.Expires.Equal(w.Now.Add(10*time.Hour)) {
		t.Errorf("the old row expires at %v (%v), want in 10h", row.Expires, ok)
	}
	w.Pass(time.Hour)
	_, third, err := w.RotateAPIKey(t.Context(), c, "", id, 20*time.Hour) // the first keeps its earlier end
	w.OK(err)
	w.Pass(9 * time.Hour)
	for _, tt := range []struct {
		what, text string
		want       error
	}{{"first", first, ErrUnauthorized}, {"second", second, nil}, {"third", third, nil}} {
		_, _, err := w.CallerOf(t.Context(), tt.text)
		w.WantErr("10h after the first rotation, the "+tt.what, err, tt.want)
	}
	if l = gatewaytest.Must(w.APIKey(t.Context(), c, "", id))(w); len(l.Old) != 1 || l.Old[0].Hash != k.Hash {
		t.Errorf("listed with %+v, want the second as the only old one", l.Old)
	}
	_, fourth, err := w.RotateAPIKey(t.Context(), c, "", id, 0)
	w.OK(err)
	for _, tt := range []struct {
		what, text string
		want       error
	}{{"second", second, ErrUnauthorized}, {"third", third, ErrUnauthorized}, {"fourth", fourth, nil}} {
		_, _, err := w.CallerOf(t.Context(), tt.text)
		w.WantErr("after a rotation without overlap, the "+tt.what, err, tt.want)
	}
}

func TestAPIKeyThatEndsBeforeTheOverlapKeepsItsEnd(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	id := w.ID("key")
	expires := w.Now.Add(time.Hour)
	made, _, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead, Expires: expires})
	w.OK(err)
	before, _ := w.Row(gateway.APIKeyRow(made.Hash))
	_, _, err = w.RotateAPIKey(t.Context(), c, "", id, 2*time.Hour)
	w.OK(err)
	if after, _ := w.Row(gateway.APIKeyRow(made.Hash)); after.Rev != before.Rev {
		t.Error("the key that ends before the overlap was written anew")
	}
	if l := gatewaytest.Must(w.APIKey(t.Context(), c, "", id))(w); len(l.Old) != 1 || l.Old[0].Hash != made.Hash || !l.Old[0].Expires.Equal(expires) {
		t.Errorf("the old one is listed as %+v, want its end at %v", l.Old, expires)
	}
}

func TestDeletedAPIKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	c, other := w.tenant(), w.tenant()
	id := w.ID("key")
	k, first, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
	w.OK(err)
	_, second, err := w.RotateAPIKey(t.Context(), c, "", id, time.Hour)
	w.OK(err)
	operators := w.ID("key")
	_, _, err = w.CreateAPIKey(t.Context(), Operator(), operators, APIKey{Scope: ScopeOperator})
	w.OK(err)
	w.WantUnwritten("another's", func() {
		w.WantErr("DeleteAPIKey by another", w.DeleteAPIKey(t.Context(), other, "", id), storage.ErrNotFound)
		w.WantErr("DeleteAPIKey by another, of the tenant", w.DeleteAPIKey(t.Context(), other, c.Tenant, id), storage.ErrNotFound)
		_, _, err := w.RotateAPIKey(t.Context(), other, c.Tenant, id, 0)
		w.WantErr("RotateAPIKey by another", err, storage.ErrNotFound)
		_, err = w.APIKey(t.Context(), other, c.Tenant, id)
		w.WantErr("APIKey by another", err, storage.ErrNotFound)
		_, err = w.APIKey(t.Context(), other, c.Tenant, operators)
		w.WantErr("APIKey of the operator, by another", err, storage.ErrNotFound)
	})
	w.WantErr("DeleteAPIKey", w.DeleteAPIKey(t.Context(), Operator(), c.Tenant, id), nil)
	for _, text := range []string{first, second} {
		_, _, err := w.CallerOf(t.Context(), text)
		w.WantErr("CallerOf with a deleted key", err, ErrUnauthorized)
	}
	if w.Stored(LocationOf(APIKey{ID: id, Tenant: c.Tenant})) || w.Stored(gateway.APIKeyRow(k.Hash)) {
		t.Error("rows of the deleted key are left")
	}
	w.WantErr("DeleteAPIKey again", w.DeleteAPIKey(t.Context(), c, "", id), storage.ErrNotFound)
	_, err = w.APIKey(t.Context(), c, "", id)
	w.WantErr("APIKey", err, storage.ErrNotFound)
}

func TestAPIKeysAreListedByPages(t *testing.T) {
	w := newWorld(t)
	c := w.tenant() // with its first key
	w.tenant()
	var want []string
	for range 3 {
		id := w.ID("key")
		_, _, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
		w.OK(err)
		want = append(want, id)
	}
	want = append(want, FirstKeyID(c.Tenant))
	slices.Sort(want)
	operators := w.ID("key")
	_, _, err := w.CreateAPIKey(t.Context(), Operator(), operators, APIKey{Scope: ScopeOperator})
	w.OK(err)
	got := pages(w, func(at storage.PageRequest) ([]ListedKey, string, error) { return w.APIKeys(t.Context(), c, "", at) })
	if ids := gatewaytest.IDs(got, func(l ListedKey) string { return l.ID }); !slices.Equal(ids, want) {
		t.Errorf("APIKeys of a tenant: %v, want %v", ids, want)
	}
	got = pages(w, func(at storage.PageRequest) ([]ListedKey, string, error) {
		return w.APIKeys(t.Context(), Operator(), "", at)
	})
	if ids := gatewaytest.IDs(got, func(l ListedKey) string { return l.ID }); !slices.Equal(ids, []string{operators}) {
		t.Errorf("APIKeys of the operator: %v, want %v", ids, operators)
	}
	got, _, err = w.APIKeys(t.Context(), Operator(), c.Tenant, storage.PageRequest{})
	if w.WantErr("APIKeys of a tenant, by the operator", err, nil); len(got) != 4 {
		t.Errorf("APIKeys of a tenant, by the operator: %d, want 4", len(got))
	}
	_, _, err = w.APIKeys(t.Context(), c, "ten_9", storage.PageRequest{})
	w.WantErr("APIKeys of another tenant", err, storage.ErrNotFound)

	w.OK(w.Store.Delete(t.Context(), gateway.APIKeyRow(got[0].Hash), storage.AnyRev))
	if got, _, err = w.APIKeys(t.Context(), c, "", storage.PageRequest{}); err != nil || len(got) != 3 {
		t.Errorf("APIKeys after the row of one ended: %d, %v, want 3", len(got), err)
	}
	for n := 1; n <= 2; n++ {
		w.Store.FailAt(n)
		_, _, err = w.APIKeys(t.Context(), c, "", storage.PageRequest{})
		w.WantErr("APIKeys without a Store", err, storagetest.ErrBroken)
	}
	w.Store.Heal()
	w.PutNewer(LocationOf(APIKey{ID: "key_9", Tenant: c.Tenant}))
	if _, _, err = w.APIKeys(t.Context(), c, "", storage.PageRequest{}); err == nil {
		t.Error("APIKeys with one of a newer release: no error")
	}
}

func TestFirstKeyIsTheSameEachTime(t *testing.T) {
	if a, b := FirstKeyID("ten_1"), FirstKeyID("ten_1"); a != b || !strings.HasPrefix(a, "key_") {
		t.Errorf("FirstKeyID(ten_1) = %s, then %s, want the same key_…", a, b)
	}
	if a, b := FirstKeyID("ten_1"), FirstKeyID("ten_2"); a == b {
		t.Errorf("FirstKeyID is %s for two tenants", a)
	}
}

func TestFaultWhileAKeyIsMadeOrEndedIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted("smartbots")
	of := w.group(s.ID, "group")
	w.WantFaultsReported("CreateAPIKey", func() storagetest.Operation {
		id, text := w.ID("key"), ""
		_, old, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
		w.OK(err)
		return storagetest.Operation{
			Do: func() (err error) {
				_, text, err = w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
				return err
			},
			Done: func() {
				_, _, err := w.CallerOf(t.Context(), text)
				w.WantErr("the key that was made in the end", err, nil)
				_, _, err = w.CallerOf(t.Context(), old)
				w.WantErr("the key before", err, ErrUnauthorized)
			},
		}
	})
	w.WantFaultsReported("CreateAPIKey of a group's owner", func() storagetest.Operation {
		id := w.ID("key")
		return storagetest.Operation{Do: func() error {
			_, _, err := w.CreateAPIKey(t.Context(), Operator(), id, APIKey{Scope: ScopeGroupOwner, Group: of.ID})
			return err
		}}
	})
	w.WantFaultsReported("RotateAPIKey", func() storagetest.Operation {
		id := w.ID("key")
		_, old, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
		w.OK(err)
		text := ""
		return storagetest.Operation{
			Do: func() (err error) { _, text, err = w.RotateAPIKey(t.Context(), c, "", id, 0); return err },
			Done: func() {
				_, _, err := w.CallerOf(t.Context(), text)
				w.WantErr("the key after a rotation", err, nil)
				_, _, err = w.CallerOf(t.Context(), old)
				w.WantErr("the key before a rotation", err, ErrUnauthorized)
			},
		}
	})
	w.WantFaultsReported("DeleteAPIKey", func() storagetest.Operation {
		id := w.ID("key")
		_, text, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
		w.OK(err)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteAPIKey(t.Context(), c, "", id)) },
			Done: func() {
				_, _, err = w.CallerOf(t.Context(), text)
				w.WantErr("a deleted key", err, ErrUnauthorized)
			},
		}
	})
	_, text, err := w.CreateAPIKey(t.Context(), c, w.ID("key"), APIKey{Scope: ScopeRead})
	w.OK(err)
	w.WantFaultsReported("CallerOf", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { _, _, err := w.CallerOf(t.Context(), text); return err }}
	})
}
