package control

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestGrantThatCannotBeIsNotMade(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	for _, tt := range []struct {
		name, source, tenant string
		match                gateway.Match
		want                 error
	}{
		{"no such source", ident.NewSource(), c.Tenant, nil, storage.ErrNotFound},
		{"no such tenant", s.ID, "ten_9", nil, storage.ErrInvalid},
		{"an empty match", s.ID, c.Tenant, gateway.Match{}, storage.ErrInvalid},
		{"a routing key of another provider", s.ID, c.Tenant, gateway.Match{"bot": {"b"}}, storage.ErrInvalid},
	} {
		w.WantUnwritten(tt.name, func() {
			_, err := w.CreateGrant(t.Context(), w.ID("grt"), tt.source, tt.tenant, tt.match)
			w.WantErr("CreateGrant with "+tt.name, err, tt.want)
		})
	}
}

func TestGrantIsFoundFromItsSourceAndItsTenant(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	id, match := w.ID("grt"), gateway.Match{"label": {"a"}}
	var gr gateway.Grant
	w.wantPublished("CreateGrant", s.ID, true, func() { gr = gatewaytest.Must(w.CreateGrant(t.Context(), id, s.ID, c.Tenant, match))(w) })
	want := gateway.Grant{ID: id, Source: s.ID, Tenant: c.Tenant, Match: match, Created: w.Now}
	if diff := cmp.Diff(want, gr); diff != "" {
		t.Errorf("CreateGrant (-want +got):\n%s", diff)
	}
	for n := range 4 {
		w.grant(s.ID, w.tenant(), gateway.Match{"label": {string(rune('b' + n))}})
	}
	if got := gatewaytest.Must(w.Grant(t.Context(), s.ID, id))(w); cmp.Diff(want, got) != "" {
		t.Errorf("Grant = %+v, want %+v", got, want)
	}
	if !slices.Contains(w.rows(gateway.TenantKey(c.Tenant).PK), "G#"+s.ID+"#"+id) {
		t.Errorf("rows of the tenant: %v, want the grant among them", w.rows(gateway.TenantKey(c.Tenant).PK))
	}
	all := pages(w, func(at storage.PageRequest) ([]gateway.Grant, string, error) { return w.Grants(t.Context(), s.ID, at) })
	if len(all) != 5 || !slices.ContainsFunc(all, func(g gateway.Grant) bool { return cmp.Equal(g, want) }) {
		t.Errorf("Grants = %+v, want 5, and %+v among them", all, want)
	}
	_, err := w.Grant(t.Context(), s.ID, "grt_9")
	w.WantErr("Grant that is not there", err, storage.ErrNotFound)
	_, err = w.Grant(t.Context(), s.ID, "")
	w.WantErr("Grant without a name", err, storage.ErrNotFound)
	_, _, err = w.Grants(t.Context(), ident.NewSource(), storage.PageRequest{})
	w.WantErr("Grants of no source", err, storage.ErrNotFound)
}

func TestRevokedGrantIsGone(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	gr, other := w.grant(s.ID, c, nil), w.grant(s.ID, c, gateway.Match{"label": {"a"}})
	w.wantPublished("DeleteGrant", s.ID, true, func() { w.OK(w.DeleteGrant(t.Context(), s.ID, gr.ID)) })
	if w.Stored(gateway.GrantKey(s.ID, c.Tenant, gr.ID)) || w.Stored(gateway.TenantLinkKey(c.Tenant, "G", s.ID+"#"+gr.ID)) {
		t.Error("rows of the revoked grant are left")
	}
	if !w.Stored(gateway.GrantKey(s.ID, c.Tenant, other.ID)) || !w.Stored(gateway.TenantLinkKey(c.Tenant, "G", s.ID+"#"+other.ID)) {
		t.Error("the other grant is gone")
	}
	w.wantPublished("DeleteGrant again, as after a crash", s.ID, true, func() {
		w.WantErr("DeleteGrant again", w.DeleteGrant(t.Context(), s.ID, gr.ID), storage.ErrNotFound)
	})
	w.WantUnwritten("no source", func() {
		w.WantErr("DeleteGrant of no source", w.DeleteGrant(t.Context(), ident.NewSource(), gr.ID), storage.ErrNotFound)
	})
}

func TestGrantedSourcesAreListedWithTheirMatches(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.source(direct), w.source(gateway.SmartBots), w.source(direct)
	if b.ID < a.ID {
		a, b = b, a
	}
	tenant, other := w.tenant(), w.tenant()
	match := gateway.Match{"label": {"a"}}
	w.grant(a.ID, tenant, nil)
	w.Pass(time.Second)
	w.grant(a.ID, tenant, match)
	w.grant(b.ID, tenant, match)
	w.grant(c.ID, other, nil)
	w.Put(gateway.TenantLinkKey(tenant.Tenant, "G", c.ID+"#grt_9"), gateway.Link{ID: "grt_9"}) // revoked; its link goes next
	gone := ident.NewSource()
	w.Put(gateway.TenantLinkKey(tenant.Tenant, "G", gone+"#grt_8"), gateway.Link{ID: "grt_8"})
	w.Put(gateway.GrantKey(gone, tenant.Tenant, "grt_8"), gateway.Grant{ID: "grt_8", Source: gone, Tenant: tenant.Tenant})
	got := gatewaytest.Must(w.GrantedSources(t.Context(), tenant.Tenant))(w)
	want := []GrantedSource{
		{ID: a.ID, Provider: a.Provider, Name: "a source", Matches: []gateway.Match{nil, match}},
		{ID: b.ID, Provider: b.Provider, Name: "a source", Matches: []gateway.Match{match}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("GrantedSources (-want +got):\n%s", diff)
	}
	w.WantFaultsReported("GrantedSources", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.GrantedSources(t.Context(), tenant.Tenant)) }}
	})
}

func TestFaultWhileAGrantIsMadeOrRevokedIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.source(direct), w.tenant()
	w.WantFaultsReported("CreateGrant", func() storagetest.Operation {
		id, before := w.ID("grt"), w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return gatewaytest.ErrOf(w.CreateGrant(t.Context(), id, s.ID, c.Tenant, nil)) },
			Done: func() {
				if !w.Stored(gateway.GrantKey(s.ID, c.Tenant, id)) || !w.Stored(gateway.TenantLinkKey(c.Tenant, "G", s.ID+"#"+id)) || w.published(s.ID) == before {
					t.Error("the grant is not stored, listed and published")
				}
			},
		}
	})
	w.WantFaultsReported("DeleteGrant", func() storagetest.Operation {
		gr := w.grant(s.ID, c, nil)
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteGrant(t.Context(), s.ID, gr.ID)) },
			Done: func() {
				if w.Stored(gateway.GrantKey(s.ID, c.Tenant, gr.ID)) || w.published(s.ID) == before {
					t.Error("the grant is not revoked and that published")
				}
			},
		}
	})
	w.WantFaultsReported("DeleteGrant again", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return known(w.DeleteGrant(t.Context(), s.ID, "grt_9")) }}
	})
	w.PutNewer(gateway.GrantKey(s.ID, c.Tenant, "grt_8"))
	if _, err := w.Grant(t.Context(), s.ID, "grt_8"); err == nil || errors.Is(err, storage.ErrNotFound) {
		t.Errorf("Grant of a newer release: %v, want that it cannot be read", err)
	}
	w.OK(w.Store.Delete(t.Context(), gateway.GrantKey(s.ID, c.Tenant, "grt_8"), storage.AnyRev))
	w.WantFaultsReported("Grants", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { _, _, err := w.Grants(t.Context(), s.ID, storage.PageRequest{}); return err }}
	})
}
