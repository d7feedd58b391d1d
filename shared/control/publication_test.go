package control

import (
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
	"ringback/shared/test/proofs"
)

func TestEntriesThatAreNotNeededEndLater(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{Match: &gateway.Match{"status": {"a", "b"}}})
	entry := func(value string) (time.Time, bool) {
		row, ok := w.Row(gateway.IndexKey(s.ID, "status="+value, "delivered", r.ID))
		return row.Expires, ok
	}
	w.Pass(time.Hour)
	indexed := w.Now
	got := gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: &gateway.Match{"status": {"b", "c"}}}))(w)
	for value, want := range map[string]time.Time{"a": w.Now.Add(time.Hour), "b": {}, "c": {}} {
		if at, ok := entry(value); !ok || !at.Equal(want) {
			t.Errorf("the entry of %s is there %v, until %v, want until %v", value, ok, at, want)
		}
	}
	if !got.Indexed.Equal(indexed) {
		t.Errorf("indexed %v, want %v", got.Indexed, indexed)
	}
	w.Pass(time.Minute)
	if got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("x")}))(w); !got.Indexed.Equal(indexed) {
		t.Errorf("a change of the description says that entries changed at %v, want %v", got.Indexed, indexed)
	}
	got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: &gateway.Match{"status": {"a", "b", "c"}}}))(w)
	if at, ok := entry("a"); !ok || !at.IsZero() || !got.Indexed.Equal(w.Now) {
		t.Errorf("the entry that is needed again is there %v, until %v, want it without end", ok, at)
	}
	w.Pass(time.Minute)
	got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: &gateway.Match{"status": {"a", "c"}}}))(w)
	if !got.Indexed.Equal(w.Now) {
		t.Errorf("a change that only drops an entry: indexed %v, want %v", got.Indexed, w.Now)
	}
	w.Pass(time.Minute)
	got = gatewaytest.Must(w.DisableRegistration(t.Context(), c, r.ID))(w)
	if at, ok := entry("a"); !ok || !at.IsZero() || got.Indexed.Equal(w.Now) {
		t.Errorf("the entry of a disabled registration is there %v, until %v, want it without end", ok, at)
	}
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	for _, value := range []string{"a", "c"} {
		if _, ok := entry(value); ok {
			t.Errorf("the entry of %s is left of a removed registration", value)
		}
	}
}

func TestEntryThatIsNeededAgainMeanwhileStays(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{Match: &gateway.Match{"status": {"a", "b"}}})
	key := gateway.IndexKey(s.ID, "status=a", "delivered", r.ID)
	w.Store.OnPut = func(row storage.Row) { // of the registration: its entries have been read
		if row.Key == gateway.RegistrationKey(r.ID) {
			w.Store.OnPut = nil
			w.Put(key, gateway.Link{ID: r.ID})
		}
	}
	w.WantErr("ChangeRegistration", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: &gateway.Match{"status": {"b"}}})), nil)
	if row, ok := w.Row(key); !ok || !row.Expires.IsZero() {
		t.Errorf("the entry that another wrote meanwhile is there %v, until %v, want it without end", ok, row.Expires)
	}
}

func TestManyEntriesAreDroppedInParts(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	var values []string
	for n := range storage.MaxPageRows + 1 {
		values = append(values, string(rune('a'+n/26))+string(rune('a'+n%26)))
	}
	r := w.register(c, s.ID, RegistrationChange{Match: &gateway.Match{"status": values}})
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	for _, v := range values {
		if w.Stored(gateway.IndexKey(s.ID, "status="+v, "delivered", r.ID)) {
			t.Errorf("the entry of %s is left", v)
		}
	}
}

func TestChangeIsPublishedOnceMoreForNewEntries(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	listed, _ := w.Row(gateway.SourceLinkKey(s.ID, r.ID))
	for _, tt := range []struct {
		name   string
		change RegistrationChange
		want   int
	}{
		{"the description", RegistrationChange{Description: new("x")}, 1},
		{"the match", RegistrationChange{Match: &gateway.Match{"status": {"a"}}}, 2},
		{"nothing", RegistrationChange{}, 1},
	} {
		times := 0
		w.Store.OnPut = func(row storage.Row) {
			if row.PK == gateway.SourceKey(s.ID).PK && row.SK == "V" {
				times++
			}
		}
		w.OK(gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, tt.change)))
		if times != tt.want {
			t.Errorf("a change of %s is published %d times, want %d", tt.name, times, tt.want)
		}
	}
	w.Store.OnPut = nil
	if row, ok := w.Row(gateway.SourceLinkKey(s.ID, r.ID)); !ok || row.Rev != listed.Rev {
		t.Errorf("a change lists the registration anew (%v)", ok)
	}
}

func TestRegistrationThatIsSetAgainIsListedAgain(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	r := w.app(c, w.group(s.ID, "club"), "app")
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	old, row, err := storage.Load[gateway.Registration](t.Context(), w.Store, gateway.RegistrationKey(r.ID))
	w.OK(err)
	again := old
	again.State, again.Reason, again.Since = gateway.Enabled, "", w.Now
	again = gatewaytest.Must(w.PutRegistration(t.Context(), old, row, again))(w)
	if again.Rev != old.Rev+1 || !w.Stored(gateway.SourceLinkKey(s.ID, r.ID)) {
		t.Errorf("set again it is %+v, on its source's list: %v", again, w.Stored(gateway.SourceLinkKey(s.ID, r.ID)))
	}
	for _, k := range []storage.Key{gateway.RegistrationKey(r.ID), gateway.TenantLinkKey(c.Tenant, "R", r.ID), gateway.IndexKey(s.ID, "group=5b1f0000-0000-4000-8000-000000000001", "group_chat", r.ID)} {
		if row, ok := w.Row(k); !ok || !row.Expires.IsZero() {
			t.Errorf("set again, %v is there %v, until %v, want it without end", k, ok, row.Expires)
		}
	}
	if rs, _, err := w.ListRegistrations(t.Context(), c, "", "", storage.PageRequest{}); err != nil || len(rs) != 1 {
		t.Errorf("ListRegistrations = %+v, %v, want it", rs, err)
	}
}

func TestRemovedRegistrationIsATombstone(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.Pass(time.Hour)
	w.wantPublished("DeleteRegistration", s.ID, true, func() { w.OK(w.DeleteRegistration(t.Context(), c, r.ID)) })
	got := w.registration(r.ID)
	if got.State != gateway.Removed || got.Reason != gateway.ReasonDeleted || !got.Since.Equal(w.Now) || got.Rev != r.Rev+1 {
		t.Errorf("Registration = %+v, want it removed now, because it was deleted", got)
	}
	if row, _ := w.Row(gateway.RegistrationKey(r.ID)); !row.Expires.Equal(w.Now.Add(tombstone)) {
		t.Errorf("the tombstone lasts until %v, want 30 days", row.Expires)
	}
	if row, ok := w.Row(gateway.TenantLinkKey(c.Tenant, "R", r.ID)); !ok || !row.Expires.Equal(w.Now.Add(tombstone)) {
		t.Errorf("it stays on its tenant's list %v, until %v, want 30 days", ok, row.Expires)
	}
	if w.Stored(gateway.SourceLinkKey(s.ID, r.ID)) {
		t.Error("it stays on its source's list")
	}
	w.wantPublished("DeleteRegistration again, as after a crash", s.ID, true, func() {
		w.WantErr("DeleteRegistration again", w.DeleteRegistration(t.Context(), c, r.ID), storage.ErrNotFound)
	})
	w.WantErr("DeleteRegistration by another", w.DeleteRegistration(t.Context(), w.other(), r.ID), storage.ErrNotFound)
	w.WantErr("EnableRegistration of a removed one", gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)), storage.ErrNotFound)
	w.WantErr("DisableRegistration of a removed one", gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)), storage.ErrNotFound)
	w.wantPublished("removeRegistration of a removed one", s.ID, true, func() {
		w.WantErr("removeRegistration of a removed one", w.removeRegistration(t.Context(), r.ID, "again"), nil)
	})
	if got := w.registration(r.ID); got.Reason != gateway.ReasonDeleted {
		t.Errorf("a removed registration says %q after another removal, want %q", got.Reason, gateway.ReasonDeleted)
	}
	w.WantErr("removeRegistration of none", w.removeRegistration(t.Context(), "reg_9", "x"), storage.ErrNotFound)
}

func TestRegistrationIsDisabledByRequest(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.Pass(time.Hour)
	since := w.Now
	w.wantPublished("DisableRegistration", s.ID, true, func() {
		got := gatewaytest.Must(w.DisableRegistration(t.Context(), c, r.ID))(w)
		if got.State != gateway.Disabled || got.Reason != "by request" || !got.Since.Equal(since) || got.Rev != r.Rev+1 {
			t.Errorf("DisableRegistration = %+v, want it disabled by request, now", got)
		}
	})
	w.Pass(time.Hour)
	w.wantPublished("DisableRegistration again", s.ID, true, func() {
		got := gatewaytest.Must(w.DisableRegistration(t.Context(), c, r.ID))(w)
		if got.Rev != r.Rev+1 || !got.Since.Equal(since) {
			t.Errorf("DisableRegistration again = %+v, want it as it was", got)
		}
	})
	w.Put(gateway.HealthKey(r.ID), gateway.Link{ID: "failures"})
	w.OK(gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("x")})))
	if !w.Stored(gateway.HealthKey(r.ID)) {
		t.Error("a change of a disabled registration forgets its failures")
	}
	w.WantErr("DisableRegistration by another", gatewaytest.ErrOf(w.DisableRegistration(t.Context(), w.other(), r.ID)), storage.ErrNotFound)
	if js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w); len(js) != 0 {
		t.Errorf("jobs %+v, want none", js)
	}
}

func TestEnablingForgetsFailuresAndReleasesTheLastMoment(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	w.Put(gateway.HealthKey(r.ID), gateway.Link{ID: "failures"})
	w.Pass(time.Hour)
	since := w.Now
	var got gateway.Registration
	w.wantPublished("EnableRegistration", s.ID, true, func() { got = gatewaytest.Must(w.EnableRegistration(t.Context(), c, r.ID))(w) })
	if got.State != gateway.Enabled || got.Reason != "" || !got.Since.Equal(since) || got.Release != "" || got.Rev != r.Rev+2 {
		t.Errorf("EnableRegistration = %+v, want it enabled now", got)
	}
	if w.Stored(gateway.HealthKey(r.ID)) {
		t.Error("the health of before outlives the enabling")
	}
	js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w)
	if len(js) != 1 || js[0].Kind != gateway.JobRelease || js[0].Tenant != c.Tenant || js[0].Registration != r.ID || js[0].Source != s.ID || !js[0].Since.Equal(since.Add(-heldBefore)) {
		t.Fatalf("jobs %+v, want the release of the last 5 s", js)
	}

	w.Pass(gateway.RepairWindow) // whoever enabled it may have ended at once
	w.OK(w.Store.Delete(t.Context(), gateway.JobKey(js[0].ID), storage.AnyRev))
	w.Put(gateway.HealthKey(r.ID), gateway.Link{ID: "failures"})
	w.wantPublished("EnableRegistration again", s.ID, true, func() {
		if again := gatewaytest.Must(w.EnableRegistration(t.Context(), c, r.ID))(w); again.Rev != got.Rev {
			t.Errorf("EnableRegistration again = %+v, want it as it was", again)
		}
	})
	if again := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w); len(again) != 1 || again[0].ID != js[0].ID || w.Stored(gateway.HealthKey(r.ID)) {
		t.Errorf("jobs after another enabling within a day: %+v, want the same", again)
	}
	w.Put(gateway.HealthKey(r.ID), gateway.Link{ID: "failures"})
	w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)))
	if !w.Stored(gateway.HealthKey(r.ID)) {
		t.Error("an enabling whose release has begun forgets what failed since")
	}
	w.OK(w.Store.Delete(t.Context(), gateway.JobKey(js[0].ID), storage.AnyRev))
	w.Pass(time.Millisecond)
	w.wantPublished("EnableRegistration a day later", s.ID, true, func() { w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID))) })
	if again := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w); len(again) != 0 || !w.Stored(gateway.HealthKey(r.ID)) {
		t.Errorf("jobs after another enabling, a day later: %+v, want none", again)
	}
	w.WantErr("EnableRegistration by another", gatewaytest.ErrOf(w.EnableRegistration(t.Context(), w.other(), r.ID)), storage.ErrNotFound)
}

// TestFailuresOfBeforeAnEnableDisableNothing has an endpoint fail for longer than
// registrations are disabled after, be enabled, and fail once more.
func TestFailuresOfBeforeAnEnableDisableNothing(t *testing.T) {
	proofs.Long(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Respond = gatewaytest.Fails
		s, c := w.granted(direct)
		r := w.register(c, s.ID, RegistrationChange{Schedule: &schedule.Schedule{Waits: []time.Duration{}}})
		for day := range 8 {
			w.delivered(s, "first "+string(rune('a'+day)))
			w.Pass(24 * time.Hour)
			time.Sleep(24 * time.Hour) // both clocks: failures count only while they go alike
		}
		if got := w.registration(r.ID); got.State != gateway.Disabled {
			t.Fatalf("after eight days of failures the registration is %s, want disabled", got.State)
		}
		w.OK(gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)))
		w.Pass(time.Hour)
		w.delivered(s, "second")
		if got := w.registration(r.ID); got.State != gateway.Enabled {
			t.Errorf("after the first failure since it was enabled the registration is %s (%s), want enabled", got.State, got.Reason)
		}
	})
}

func TestEnableAndReleaseReleasesAll(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{Ordered: new(true)})
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	w.Pass(time.Hour)
	got := gatewaytest.Must(w.EnableAndRelease(t.Context(), c, r.ID))(w)
	js := gatewaytest.MustPage(w.Jobs(t.Context(), c, "", storage.PageRequest{}))(w)
	if len(js) != 1 || js[0].Kind != gateway.JobRelease || !js[0].Since.IsZero() || got.Release != js[0].ID || got.State != gateway.Enabled {
		t.Errorf("EnableAndRelease = %+v with the jobs %+v, want the release of all, which the registration names", got, js)
	}
	w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
	w.Pass(time.Hour)
	if got = gatewaytest.Must(w.EnableRegistration(t.Context(), c, r.ID))(w); got.Release != "" {
		t.Errorf("EnableRegistration after it: the release %q is left, want none", got.Release)
	}
}

func TestFaultOfAnEnableOrDisableIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	c.Limits.RegistrationsPerSource = 1_000
	w.WantFaultsReported("EnableRegistration", func() storagetest.Operation {
		r := w.register(c, s.ID, RegistrationChange{})
		w.OK(gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)))
		w.Put(gateway.HealthKey(r.ID), gateway.Link{ID: "failures"})
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, r.ID)) },
			Done: func() {
				after := w.registration(r.ID)
				_, err := w.gw.Job(t.Context(), ident.From("job", after.Since, "enable "+r.ID))
				if after.State != gateway.Enabled || w.Stored(gateway.HealthKey(r.ID)) || w.published(s.ID) == before || err != nil {
					t.Errorf("after all it is %s, published %v, its release %v", after.State, w.published(s.ID) != before, err)
				}
			},
		}
	})
	w.WantFaultsReported("DisableRegistration", func() storagetest.Operation {
		r := w.register(c, s.ID, RegistrationChange{})
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, r.ID)) },
			Done: func() {
				if after := w.registration(r.ID); after.State != gateway.Disabled || w.published(s.ID) == before {
					t.Errorf("after all it is %s, published %v", after.State, w.published(s.ID) != before)
				}
			},
		}
	})
	for name, again := range map[string]func(id string) error{
		"EnableRegistration":  func(id string) error { return gatewaytest.ErrOf(w.EnableRegistration(t.Context(), c, id)) },
		"DisableRegistration": func(id string) error { return gatewaytest.ErrOf(w.DisableRegistration(t.Context(), c, id)) },
		"DeleteRegistration":  func(id string) error { return known(w.DeleteRegistration(t.Context(), c, id)) },
	} {
		w.WantFaultsReported(name+" again", func() storagetest.Operation {
			r := w.register(c, s.ID, RegistrationChange{})
			w.OK(again(r.ID))
			return storagetest.Operation{Do: func() error { return again(r.ID) }}
		})
	}
	w.WantFaultsReported("removeRegistration", func() storagetest.Operation {
		r := w.register(c, s.ID, RegistrationChange{})
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return w.removeRegistration(t.Context(), r.ID, "why") },
			Done: func() {
				if after := w.registration(r.ID); after.State != gateway.Removed || w.published(s.ID) == before {
					t.Errorf("after all it is %s, published %v", after.State, w.published(s.ID) != before)
				}
				w.wantUnlisted(r)
			},
		}
	})
}

// wantUnlisted fails the test unless a removed registration stands on its
// tenant's list as such, and not on its source's.
func (w *world) wantUnlisted(r gateway.Registration) {
	w.t.Helper()
	row, ok := w.Row(gateway.TenantLinkKey(r.Tenant, "R", r.ID))
	if of, err := storage.Decoded[TenantRegistration](row); !ok || err != nil || !of.Removed || row.Expires.IsZero() {
		w.t.Errorf("on its tenant's list the removed registration is %+v until %v, %v, want it removed", of, row.Expires, err)
	}
	if w.Stored(gateway.SourceLinkKey(r.Source, r.ID)) {
		w.t.Error("the removed registration is on its source's list")
	}
}
