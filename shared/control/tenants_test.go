package control

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/limiter"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestTenantThatCannotBeIsNotMade(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	for _, tt := range []struct {
		name, tenant string
		limits       gateway.Limits
		fits         bool
	}{
		{"no name", "", gateway.Limits{}, false},
		{"a blank name", " \n", gateway.Limits{}, false},
		{"too long a name", strings.Repeat("x", gateway.MaxName+1), gateway.Limits{}, false},
		{"the longest name", strings.Repeat("x", gateway.MaxName), gateway.Limits{}, true},
		{"blanks around the longest name", " " + strings.Repeat("x", gateway.MaxName) + " ", gateway.Limits{}, true},
		{"registrations below 0", "x", gateway.Limits{RegistrationsPerSource: -1}, false},
		{"calls below 0", "x", gateway.Limits{APICallsPerSecond: -1}, false},
		{"one call and one delivery an hour", "x", gateway.Limits{APICallsPerSecond: limiter.MinRate, DeliveriesPerSecond: limiter.MinRate}, true},
		{"fewer calls", "x", gateway.Limits{APICallsPerSecond: limiter.MinRate * 0.999}, false},
		{"fewer deliveries", "x", gateway.Limits{DeliveriesPerSecond: limiter.MinRate * 0.999}, false},
		{"deliveries below 0", "x", gateway.Limits{DeliveriesPerSecond: -1}, false},
		{"concurrency below 0", "x", gateway.Limits{Concurrency: -1}, false},
		{"jobs below 0", "x", gateway.Limits{Jobs: -1}, false},
		{"limits", "x", gateway.Limits{RegistrationsPerSource: 1, APICallsPerSecond: 1, DeliveriesPerSecond: 1, Concurrency: 1, Jobs: 1}, true},
	} {
		want := storage.ErrInvalid
		if tt.fits {
			want = nil
		}
		make := func() {
			_, text, err := w.CreateTenant(t.Context(), w.ID("ten"), tt.tenant, tt.limits)
			if w.WantErr("CreateTenant with "+tt.name, err, want); (text != "") != tt.fits {
				t.Errorf("CreateTenant with %s tells a key: %v, want %v", tt.name, text != "", tt.fits)
			}
			_, err = w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Name: &tt.tenant, Limits: &tt.limits})
			w.WantErr("ChangeTenant to "+tt.name, err, want)
		}
		if tt.fits {
			make()
			continue
		}
		w.WantUnwritten(tt.name, make)
	}
}

func TestTenantIsMadeWithItsFirstKey(t *testing.T) {
	w := newWorld(t)
	id, limits := w.ID("ten"), gateway.Limits{Jobs: 3}
	tn, text, err := w.CreateTenant(t.Context(), id, " acme ", limits)
	w.OK(err)
	want := gateway.Tenant{ID: id, Name: "acme", Created: w.Now, Limits: limits}
	if got := gatewaytest.Must(w.Tenant(t.Context(), id))(w); tn != want || got != want {
		t.Errorf("CreateTenant = %+v, Tenant = %+v, want %+v", tn, got, want)
	}
	c, k, err := w.CallerOf(t.Context(), text)
	w.OK(err)
	if c.Scope != ScopeFull || c.Tenant != id || c.Limits != limits.OrDefault() || k.ID != FirstKeyID(id) || k.Name != "first" {
		t.Errorf("its key is %+v, of %+v; want its first, of scope full", k, c)
	}
	_, err = w.Tenant(t.Context(), "ten_9")
	w.WantErr("Tenant that is not there", err, storage.ErrNotFound)
}

func TestTenantsAreListedByPages(t *testing.T) {
	w := newWorld(t)
	want := []string{}
	for range 5 {
		want = append(want, w.tenant().Tenant)
	}
	w.Put(gateway.ListKey("tenants", "ten_0"), gateway.Link{ID: "ten_0"}) // of a create that crashed
	got := gatewaytest.IDs(pages(w, func(at storage.PageRequest) ([]gateway.Tenant, string, error) { return w.Tenants(t.Context(), at) }), func(tn gateway.Tenant) string { return tn.ID })
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("Tenants = %v, want %v", got, want)
	}
	w.Store.FailAt(2)
	_, _, err := w.Tenants(t.Context(), storage.PageRequest{})
	w.WantErr("Tenants without a Store", err, storagetest.ErrBroken)
}

func TestChangeOfATenantLeavesWhatItDoesNotName(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	on := w.source(direct) // it is on it by a registration alone
	gr := w.grant(on.ID, c, nil)
	w.register(c, on.ID, RegistrationChange{})
	w.OK(w.DeleteGrant(t.Context(), on.ID, gr.ID))
	other := w.source(direct)
	want := gatewaytest.Must(w.Tenant(t.Context(), c.Tenant))(w)
	w.Pass(time.Hour)
	for _, tt := range []struct {
		name    string
		change  TenantChange
		change2 func(*gateway.Tenant)
	}{
		{"nothing", TenantChange{}, func(*gateway.Tenant) {}},
		{"the name", TenantChange{Name: new(" new ")}, func(tn *gateway.Tenant) { tn.Name = "new" }},
		{"the limits", TenantChange{Limits: &gateway.Limits{Jobs: 2}}, func(tn *gateway.Tenant) { tn.Limits = gateway.Limits{Jobs: 2} }},
		{"enabled, as it is", TenantChange{Disabled: new(false)}, func(*gateway.Tenant) {}},
		{"disabled", TenantChange{Disabled: new(true)}, func(tn *gateway.Tenant) { tn.Disabled, tn.Since = true, w.Now }},
		{"disabled, as it is", TenantChange{Disabled: new(true)}, func(tn *gateway.Tenant) { w.Pass(time.Hour) }},
		{"enabled", TenantChange{Disabled: new(false)}, func(tn *gateway.Tenant) { tn.Disabled, tn.Since = false, w.Now }},
	} {
		tt.change2(&want)
		for source, known := range map[string]bool{s.ID: true, on.ID: true, other.ID: false} {
			w.wantPublished("ChangeTenant, "+tt.name, source, known, func() {
				got, err := w.ChangeTenant(t.Context(), c.Tenant, tt.change)
				w.OK(err)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("ChangeTenant, %s (-want +got):\n%s", tt.name, diff)
				}
			})
		}
		if got := gatewaytest.Must(w.Tenant(t.Context(), c.Tenant))(w); got != want {
			t.Errorf("Tenant after a change of %s = %+v, want %+v", tt.name, got, want)
		}
	}
	w.WantUnwritten("no tenant", func() {
		_, err := w.ChangeTenant(t.Context(), "ten_9", TenantChange{Name: new("x")})
		w.WantErr("ChangeTenant of none", err, storage.ErrNotFound)
		_, err = w.RemoveTenant(t.Context(), "ten_9")
		w.WantErr("RemoveTenant of none", err, storage.ErrNotFound)
	})
}

func TestSourcesOfATenantAreEachNamedOnce(t *testing.T) {
	w := newWorld(t)
	c := w.tenant()
	var want []string
	for range 3 {
		s := w.source(direct)
		w.grant(s.ID, c, nil)
		w.register(c, s.ID, RegistrationChange{})
		w.register(c, s.ID, RegistrationChange{})
		want = append(want, s.ID)
	}
	slices.Sort(want)
	if got := gatewaytest.Must(w.sourcesOf(t.Context(), c.Tenant))(w); !slices.Equal(got, want) {
		t.Errorf("sourcesOf = %v, want %v", got, want)
	}
	w.PutNewer(gateway.TenantLinkKey(c.Tenant, "R", "reg_9"))
	if got, err := w.sourcesOf(t.Context(), c.Tenant); err == nil {
		t.Errorf("sourcesOf with a registration of a newer release = %v, want an error", got)
	}
}

func TestTenantThatIsEnabledIsReleased(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r, held := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	w.WantErr("DisableRegistration", gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, held.ID)), nil)
	w.Pass(time.Hour)
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(true)})))
	w.Pass(time.Hour)
	if js := gatewaytest.MustPage(w.Jobs(t.Context(), Operator(), c.Tenant, storage.PageRequest{}))(w); len(js) != 0 {
		t.Errorf("jobs of a tenant that was disabled: %+v, want none", js)
	}
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)})))
	js := gatewaytest.MustPage(w.Jobs(t.Context(), Operator(), c.Tenant, storage.PageRequest{}))(w)
	if len(js) != 1 || js[0].Kind != gateway.JobRelease || js[0].Registration != r.ID || js[0].Source != s.ID || js[0].Tenant != c.Tenant ||
		!js[0].Since.Equal(w.Now.Add(-w.gw.Retention.Held)) {
		t.Fatalf("jobs of a tenant that was enabled: %+v, want the release of its enabled registration", js)
	}
	w.Pass(gateway.RepairWindow - time.Millisecond)
	w.OK(w.Store.Delete(t.Context(), gateway.JobKey(js[0].ID), storage.AnyRev)) // as if the process had ended before it
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)})))
	if again := gatewaytest.MustPage(w.Jobs(t.Context(), Operator(), c.Tenant, storage.PageRequest{}))(w); len(again) != 1 || again[0].ID != js[0].ID {
		t.Errorf("jobs after another enabling within a day: %+v, want the same once", again)
	}
	w.OK(w.Store.Delete(t.Context(), gateway.JobKey(js[0].ID), storage.AnyRev))
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Name: new("x")})))
	w.Pass(time.Millisecond)
	w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)})))
	if again := gatewaytest.MustPage(w.Jobs(t.Context(), Operator(), c.Tenant, storage.PageRequest{}))(w); len(again) != 0 {
		t.Errorf("jobs after an enabling a day later, and a change of the name: %+v, want none", again)
	}
}

func TestTenantThatIsRemovedIsDisabledAtOnce(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	var j gateway.Job
	w.wantPublished("RemoveTenant", s.ID, true, func() { j = gatewaytest.Must(w.RemoveTenant(t.Context(), c.Tenant))(w) })
	if tn := gatewaytest.Must(w.Tenant(t.Context(), c.Tenant))(w); !tn.Disabled || !tn.Removing {
		t.Errorf("Tenant = %+v, want it disabled and being removed", tn)
	}
	if j.Kind != gateway.JobRemoval || j.Tenant != c.Tenant || !strings.HasPrefix(j.ID, "job_") || j.Status != gateway.JobRunning {
		t.Errorf("RemoveTenant = %+v, want the running job of its removal", j)
	}
	if js := gatewaytest.MustPage(w.Jobs(t.Context(), Operator(), "", storage.PageRequest{}))(w); len(js) != 1 || js[0].ID != j.ID {
		t.Errorf("Jobs of the operator = %+v, want the removal", js)
	}
	w.WantUnwritten("a tenant that is being removed", func() {
		_, err := w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)})
		w.WantErr("ChangeTenant", err, storage.ErrConflict)
		_, err = w.CreateGrant(t.Context(), w.ID("grt"), s.ID, c.Tenant, nil)
		w.WantErr("CreateGrant", err, storage.ErrConflict)
	})
	_, err := w.RemoveTenant(t.Context(), c.Tenant)
	w.WantErr("RemoveTenant again", err, nil)
}

func TestFaultWhileATenantIsMadeOrChangedIsTold(t *testing.T) {
	w := newWorld(t)
	s := w.source(direct)
	w.WantFaultsReported("CreateTenant", func() storagetest.Operation {
		id, text := w.ID("ten"), ""
		return storagetest.Operation{
			Do: func() (err error) {
				_, text, err = w.CreateTenant(t.Context(), id, "acme", gateway.Limits{})
				return err
			},
			Done: func() {
				_, _, err := w.CallerOf(t.Context(), text)
				w.WantErr("CallerOf with the first key", err, nil)
				if !w.Stored(gateway.ListKey("tenants", id)) {
					t.Error("the tenant is not listed")
				}
			},
		}
	})
	w.WantFaultsReported("ChangeTenant", func() storagetest.Operation {
		c := w.tenant()
		w.grant(s.ID, c, nil)
		r := w.register(c, s.ID, RegistrationChange{})
		w.OK(gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(true)})))
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error {
				return gatewaytest.ErrOf(w.ChangeTenant(t.Context(), c.Tenant, TenantChange{Disabled: new(false)}))
			},
			Done: func() {
				js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w)
				if len(js) != 1 || js[0].Registration != r.ID || w.published(s.ID) == before {
					t.Errorf("jobs %+v, published %v, want the release and that published", js, w.published(s.ID) != before)
				}
			},
		}
	})
	w.WantFaultsReported("RemoveTenant", func() storagetest.Operation {
		c := w.tenant()
		w.grant(s.ID, c, nil)
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.RemoveTenant(t.Context(), c.Tenant)) }}
	})
}
