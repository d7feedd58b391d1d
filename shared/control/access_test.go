package control

import (
	"testing"

	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
)

func TestCallerOwnsWhatIsItsTenants(t *testing.T) {
	for _, tt := range []struct {
		name   string
		caller Caller
		tenant string
		want   error
	}{
		{"the operator a tenant's", Operator(), "ten_1", nil},
		{"the operator its own", Operator(), "", nil},
		{"a tenant its own", Caller{Scope: ScopeFull, Tenant: "ten_1"}, "ten_1", nil},
		{"a tenant another's", Caller{Scope: ScopeFull, Tenant: "ten_1"}, "ten_2", storage.ErrNotFound},
		{"a tenant the operator's", Caller{Scope: ScopeFull, Tenant: "ten_1"}, "", storage.ErrNotFound},
		{"a group's owner the operator's", Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "", storage.ErrNotFound},
		{"a group's owner a tenant's", Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "ten_1", storage.ErrNotFound},
	} {
		if err := tt.caller.Owns(tt.tenant); err != tt.want {
			t.Errorf("%s: Owns(%q) = %v, want %v", tt.name, tt.tenant, err, tt.want)
		}
	}
}

func TestCallerOwnsItsGroup(t *testing.T) {
	for _, tt := range []struct {
		name   string
		caller Caller
		group  string
		want   error
	}{
		{"the operator any", Operator(), "grp_1", nil},
		{"an owner its own", Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "grp_1", nil},
		{"an owner another's", Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "grp_2", storage.ErrNotFound},
		{"a tenant one without a name", Caller{Scope: ScopeFull, Tenant: "ten_1"}, "", storage.ErrNotFound},
		{"a tenant any", Caller{Scope: ScopeFull, Tenant: "ten_1"}, "grp_1", storage.ErrNotFound},
	} {
		if err := tt.caller.OwnsGroup(tt.group); err != tt.want {
			t.Errorf("%s: OwnsGroup(%q) = %v, want %v", tt.name, tt.group, err, tt.want)
		}
	}
}

func TestCallerAsksAboutItsOwnTenant(t *testing.T) {
	tenant := Caller{Scope: ScopeRead, Tenant: "ten_1"}
	for _, tt := range []struct {
		name   string
		caller Caller
		named  string
		want   string
		err    error
	}{
		{"the operator the one it names", Operator(), "ten_1", "ten_1", nil},
		{"the operator none", Operator(), "", "", nil},
		{"a tenant none", tenant, "", "ten_1", nil},
		{"a tenant itself", tenant, "ten_1", "ten_1", nil},
		{"a tenant another", tenant, "ten_2", "", storage.ErrNotFound},
		{"a group's owner a tenant", Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "ten_1", "", storage.ErrNotFound},
	} {
		if got, err := tt.caller.TenantIn(tt.named); got != tt.want || err != tt.err {
			t.Errorf("%s: TenantIn(%q) = %q, %v, want %q, %v", tt.name, tt.named, got, err, tt.want, tt.err)
		}
	}
}

func TestIdempotencyKeysAreKeptApartByTheirCaller(t *testing.T) {
	for _, tt := range []struct {
		caller Caller
		want   string
	}{
		{Operator(), "operator"},
		{Caller{Scope: ScopeFull, Tenant: "ten_1"}, "ten_1"},
		{Caller{Scope: ScopeGroupOwner, Group: "grp_1"}, "grp_1"},
	} {
		if got := tt.caller.who(); got != tt.want {
			t.Errorf("who() of %+v = %q, want %q", tt.caller, got, tt.want)
		}
	}
	if c := Operator(); c.Scope != ScopeOperator || c.Key != "operator" {
		t.Errorf("Operator() = %+v, want the scope and key of the operator", c)
	}
}

func TestSourceWithoutAGrantIsNotThere(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other := w.tenant()
	w.WantErr("anyGrant of who has one", w.anyGrant(t.Context(), s.ID, c.Tenant), nil)
	w.WantErr("anyGrant of another", w.anyGrant(t.Context(), s.ID, other.Tenant), storage.ErrNotFound)
	w.WantErr("anyGrant of a tenant whose id begins alike", w.anyGrant(t.Context(), s.ID, c.Tenant[:len(c.Tenant)-1]), storage.ErrNotFound)
	w.WantErr("anyGrant on another source", w.anyGrant(t.Context(), ident.NewSource(), c.Tenant), storage.ErrNotFound)
	w.Store.FailAt(1)
	w.WantErr("anyGrant without a Store", w.anyGrant(t.Context(), s.ID, c.Tenant), storagetest.ErrBroken)
}
