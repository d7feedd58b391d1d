package gateway

import (
	"errors"
	"testing"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A case of may: what of the world is other than usual.
type permission struct {
	name   string
	change func(w *world, r *Registration, e *provider.Event)
	may    Status
	why    string
	see    bool // the tenant may look at the event
}

const (
	aGroup     = "grp_1"
	aGroupUUID = "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11"
)

// byCode makes r a registration by the code of a group that e is of.
func byCode(w *world, r *Registration, e *provider.Event) {
	w.put(GroupKey(aGroup), Group{ID: aGroup, Source: w.source, UUID: aGroupUUID, Rev: 3})
	r.Group, r.GroupRev = aGroup, 3
	e.Keys = map[string][]string{"group": {"another", aGroupUUID}}
}

func noGrant(w *world, _ *Registration, _ *provider.Event) {
	if err := w.Store.Delete(w.t.Context(), GrantKey(w.source, w.tenant, "grt_1"), storage.AnyRev); err != nil {
		w.t.Fatal(err)
	}
}

func grantOf(m Match) func(w *world, r *Registration, e *provider.Event) {
	return func(w *world, _ *Registration, _ *provider.Event) {
		w.put(GrantKey(w.source, w.tenant, "grt_1"), Grant{ID: "grt_1", Source: w.source, Tenant: w.tenant, Match: m})
	}
}

// each does one change after the other.
func each(changes ...func(w *world, r *Registration, e *provider.Event)) func(w *world, r *Registration, e *provider.Event) {
	return func(w *world, r *Registration, e *provider.Event) {
		for _, f := range changes {
			f(w, r, e)
		}
	}
}

func group(change func(*Group)) func(w *world, r *Registration, e *provider.Event) {
	return func(w *world, _ *Registration, _ *provider.Event) {
		g := Group{ID: aGroup, Source: w.source, UUID: aGroupUUID, Rev: 3}
		change(&g)
		w.put(GroupKey(aGroup), g)
	}
}

func event(change func(e *provider.Event)) func(w *world, r *Registration, e *provider.Event) {
	return func(_ *world, _ *Registration, e *provider.Event) { change(e) }
}

func registration(change func(r *Registration)) func(w *world, r *Registration, e *provider.Event) {
	return func(_ *world, r *Registration, _ *provider.Event) { change(r) }
}

func forIt(_ *world, r *Registration, e *provider.Event) { e.Recipient = r.ID }

func disconnected(e *provider.Event) { e.Type = sourceDisconnected }

var permissions = []permission{
	{"a grant of the source", each(), Pending, "", true},
	{"no grant", noGrant, Cancelled, reasonNotGranted, false},
	{"a grant of the group", each(grantOf(Match{"group": {"g"}}), event(func(e *provider.Event) { e.Keys = map[string][]string{"group": {"g"}} })), Pending, "", true},
	{"a grant of another group", each(grantOf(Match{"group": {"g"}}), event(func(e *provider.Event) { e.Keys = map[string][]string{"group": {"h"}} })), Cancelled, reasonNotGranted, false},
	{"an event that was set aside", event(func(e *provider.Event) { e.Unreadable = true }), Pending, "", false},

	{"disabled", registration(func(r *Registration) { r.State = Disabled }), Held, reasonDisabled, true},
	{"disabled, no grant", each(registration(func(r *Registration) { r.State = Disabled }), noGrant), Cancelled, reasonNotGranted, false},
	{"removed", registration(func(r *Registration) { r.State = Removed }), Cancelled, ReasonDeleted, true},
	{"a disabled tenant", func(w *world, r *Registration, _ *provider.Event) {
		w.put(TenantKey(w.tenant), Tenant{ID: w.tenant, Disabled: true})
		r.State = Disabled
	}, Held, reasonTenant, true},
	{"no tenant", func(w *world, _ *Registration, _ *provider.Event) {
		if err := w.Store.Delete(w.t.Context(), TenantKey(w.tenant), storage.AnyRev); err != nil {
			w.t.Fatal(err)
		}
	}, Cancelled, ReasonNoTenant, true},

	{"by code, no grant", each(byCode, noGrant), Pending, "", true},
	{"by an older code", each(byCode, registration(func(r *Registration) { r.GroupRev = 2 })), Cancelled, ReasonCode, false},
	{"by code, of a group that was removed", each(byCode, group(func(g *Group) { g.Removed = true })), Cancelled, ReasonCode, false},
	{"by code, of a group that is gone", each(byCode, registration(func(r *Registration) { r.Group = "grp_2" })), Cancelled, ReasonCode, false},
	{"by code, an event of another group", each(byCode, event(func(e *provider.Event) { e.Keys = map[string][]string{"group": {"another"}} })), Cancelled, reasonNotGranted, false},
	{"by code, an event of no group for it alone", each(byCode, forIt, event(func(e *provider.Event) { e.Keys = nil })), Pending, "", true},
	{"by code, disabled", each(byCode, registration(func(r *Registration) { r.State = Disabled })), Held, reasonDisabled, true},

	{"for it alone, no grant", each(forIt, noGrant), Pending, "", true},
	{"for another alone", event(func(e *provider.Event) { e.Recipient = "reg_other" }), Pending, "", false},
	{"operational, of the tenant, no grant", each(noGrant, func(w *world, _ *Registration, e *provider.Event) {
		e.Type, e.Tenant = registrationFailing, w.tenant
	}), Pending, "", true},
	{"operational, of another tenant", event(func(e *provider.Event) { e.Type, e.Tenant = registrationFailing, "ten_other" }), Cancelled, reasonNotGranted, false},
	{"operational, of no tenant", event(func(e *provider.Event) { e.Type = registrationFailing }), Pending, "", false},
	{"of the source itself", event(disconnected), Pending, "", true},
	{"of the source itself, with a grant of a part", each(event(disconnected), grantOf(Match{"group": {"g"}}),
		event(func(e *provider.Event) { e.Keys = map[string][]string{"group": {"g"}} })), Cancelled, reasonNotGranted, false},

	{"the end of a registration, to it", each(forIt, event(func(e *provider.Event) { e.Type = CallbackRemoved }), registration(func(r *Registration) { r.State = Removed })), Pending, "", true},
	{"the end of a registration that was set again", each(forIt, event(func(e *provider.Event) { e.Type = CallbackRemoved })), Cancelled, "callback_set", true},
	{"the end of a registration whose row is gone", each(forIt, event(func(e *provider.Event) { e.Type = CallbackRemoved }),
		registration(func(r *Registration) { r.ID = "" })), Cancelled, ReasonDeleted, true},
	{"the end of another, to a removed one", each(event(func(e *provider.Event) { e.Type = CallbackRemoved }), registration(func(r *Registration) { r.State = Removed })), Cancelled, ReasonDeleted, true},
}

// TestRegistrationMayHaveWhatItsTenantMay asks what is to become of an event, and
// whether the tenant may look at it.
func TestRegistrationMayHaveWhatItsTenantMay(t *testing.T) {
	db := newStore(t)
	for _, tt := range permissions {
		t.Run(tt.name, func(t *testing.T) {
			w := worldOn(t, db)
			r, e := w.register(), anEvent(w)
			tt.change(w, &r, e)
			if r.ID == "" { // its row is gone
				r.ID = "reg_gone"
				e.Recipient = r.ID
			} else {
				w.put(RegistrationKey(r.ID), r)
			}
			w.publish()
			v, err := w.Generation(t.Context(), w.source)
			if err != nil {
				t.Fatal(err)
			}
			for _, time := range []string{"first", "second, from what is remembered"} {
				may, why, err := w.matcher.eligibility(t.Context(), v.Rev, e, &r)
				see, errSee := w.Visible(t.Context(), &r, e)
				if may != tt.may || why != tt.why || see != tt.see || err != nil || errSee != nil {
					t.Errorf("the %s time: %q because of %q, seen %v, %v, %v; want %q because of %q, seen %v", time, may, why, see, err, errSee, tt.may, tt.why, tt.see)
				}
			}
		})
	}
}

// TestNothingIsAllowedWhileTheStoreIsAway has each row fail that is asked for.
func TestNothingIsAllowedWhileTheStoreIsAway(t *testing.T) {
	db := newStore(t)
	for _, tt := range []struct {
		name   string
		change func(w *world, r *Registration, e *provider.Event)
		call   string
		pk     string
		unseen bool // Visible asks for it too
	}{
		{"grants", each(), "list", "S#", true},
		{"the group", byCode, "get", "G#", true},
		{"the tenant", each(), "get", "T#", false},
		{"the registration", each(forIt, event(func(e *provider.Event) { e.Type = CallbackRemoved })), "get", "R#", false},
	} {
		w := worldOn(t, db)
		r, e := w.register(), anEvent(w)
		tt.change(w, &r, e)
		w.store.failOn(tt.call, tt.pk)
		if may, _, err := w.matcher.eligibility(t.Context(), "rev", e, &r); !errors.Is(err, errOutage) || may != "" {
			t.Errorf("without an answer on %s: %q, %v; want the outage", tt.name, may, err)
		}
		if see, err := w.Visible(t.Context(), &r, e); tt.unseen != errors.Is(err, errOutage) || tt.unseen && see {
			t.Errorf("without an answer on %s: visible %v, %v; want the outage: %v", tt.name, see, err, tt.unseen)
		}
		w.store.failOn("get", "S#")
		w.put(SourceKey("src-00000009"), Source{}) // another source is not known
		e.Source = "src-00000009"
		if see, err := w.Visible(t.Context(), &r, e); !errors.Is(err, errOutage) || see {
			t.Errorf("without an answer on the source: visible %v, %v; want the outage", see, err)
		}
	}
}

// TestGrantsAreReadOnceForEachVersion counts what is asked for.
func TestGrantsAreReadOnceForEachVersion(t *testing.T) {
	w := newWorld(t)
	r, e := w.register(), anEvent(w)
	lists := 0
	w.store.fail(func(call string, k storage.Key) error {
		if call == "list" && k == (storage.Key{Table: storage.Registrations, PK: "S#" + w.source, SK: "G#" + w.tenant + "#"}) {
			lists++
		}
		return nil
	})
	for i, step := range []struct {
		rev  string
		want int
	}{{"one", 1}, {"one", 1}, {"two", 2}, {"two", 2}} {
		tenants := w.store.got("T#")
		if may, _, err := w.matcher.eligibility(t.Context(), step.rev, e, &r); may != Pending || err != nil || lists != step.want {
			t.Errorf("look %d, under %q: %q, %v after %d lists; want %d", i, step.rev, may, err, lists, step.want)
		}
		if got, want := w.store.got("T#")-tenants, 1-i%2; got != want {
			t.Errorf("look %d, under %q: the tenant was read %d times, want %d", i, step.rev, got, want)
		}
	}
	w.spoil(GrantKey(w.source, w.tenant, "grt_1"))
	if may, _, err := w.matcher.eligibility(t.Context(), "three", e, &r); err == nil {
		t.Errorf("with a grant that cannot be read: %q, want an error", may)
	}
}

func TestEventsOfTheSourceItselfAreThoseOfNobody(t *testing.T) {
	for _, tt := range []struct {
		e    provider.Event
		want bool
	}{
		{provider.Event{Type: sourceDisconnected}, true},
		{provider.Event{Type: sourceDisconnected, Recipient: "reg_1"}, false},
		{provider.Event{Type: sourceDisconnected, Tenant: "ten_1"}, false},
		{provider.Event{Type: registrationFailing}, false},
		{provider.Event{Type: CallbackSet, Provider: SmartBots}, true},
		{provider.Event{Type: CallbackRemoved, Provider: SmartBots}, true},
		{provider.Event{Type: CallbackRemoved, Provider: SmartBots, Recipient: "reg_1"}, false},
		{provider.Event{Type: CallbackRemoved, Provider: "direct"}, false},
		{provider.Event{Type: "group_chat", Provider: SmartBots}, false},
	} {
		if got := aboutSource(&tt.e); got != tt.want {
			t.Errorf("%+v is of the source itself: %v, want %v", tt.e, got, tt.want)
		}
	}
}

func TestGrantCoversWhatItNames(t *testing.T) {
	g := map[string][]string{"group": {"g"}}
	for _, tt := range []struct {
		name string
		m    Match
		e    provider.Event
		want bool
	}{
		{"all of a source", nil, provider.Event{Type: "a"}, true},
		{"all of a source, and the source itself", nil, provider.Event{Type: sourceDisconnected}, true},
		{"a group", Match{"group": {"g"}}, provider.Event{Type: "a", Keys: g}, true},
		{"another group", Match{"group": {"h"}}, provider.Event{Type: "a", Keys: g}, false},
		{"a group, and not the source itself", Match{"group": {"g"}}, provider.Event{Type: sourceDisconnected, Keys: g}, false},
	} {
		if got := (Grant{Match: tt.m}).covers(&tt.e); got != tt.want {
			t.Errorf("a grant of %s covers %+v: %v, want %v", tt.name, tt.e, got, tt.want)
		}
	}
}

// TestReplayGoesBackToTheStartOfTheGrant has an event come around the instant at
// which a grant, or a registration by code, was made.
func TestReplayGoesBackToTheStartOfTheGrant(t *testing.T) {
	db := newStore(t)
	grant := func(id string, m Match, at time.Time) func(w *world, r *Registration, e *provider.Event) {
		return func(w *world, _ *Registration, _ *provider.Event) {
			w.put(GrantKey(w.source, w.tenant, id), Grant{ID: id, Source: w.source, Tenant: w.tenant, Match: m, Created: at})
		}
	}
	created := func(at time.Time) func(w *world, r *Registration, e *provider.Event) {
		return registration(func(r *Registration) { r.Created = at })
	}
	for _, tt := range []struct {
		name   string
		change func(w *world, r *Registration, e *provider.Event)
		want   bool
	}{
		{"at the start of the grant", grant("grt_1", nil, noon), true},
		{"before it", grant("grt_1", nil, noon.Add(1)), false},
		{"before one, after another", each(grant("grt_1", nil, noon.Add(1)), grant("grt_2", nil, noon)), true},
		{"after one that does not cover it", each(grant("grt_1", nil, noon.Add(1)), grant("grt_2", Match{"group": {"g"}}, noon)), false},
		{"without a grant", noGrant, false},
		{"of a registration that is disabled", each(grant("grt_1", nil, noon), registration(func(r *Registration) { r.State = Disabled })), true},
		{"by code, at its start", each(byCode, noGrant, created(noon)), true},
		{"by code, before it", each(byCode, grant("grt_1", nil, noon), created(noon.Add(1))), false},
		{"by an older code", each(byCode, created(noon), registration(func(r *Registration) { r.GroupRev = 2 })), false},
	} {
		w := worldOn(t, db)
		r, e := w.register(), anEvent(w)
		tt.change(w, &r, e)
		if got, err := w.MayReplay(t.Context(), "rev", e, &r); got != tt.want || err != nil {
			t.Errorf("%s: may be replayed %v, %v; want %v", tt.name, got, err, tt.want)
		}
		w.store.failOn("get", "T#")
		if got, err := w.MayReplay(t.Context(), "another rev", e, &r); got || tt.want && !errors.Is(err, errOutage) {
			t.Errorf("%s, without an answer: %v, %v; want the outage", tt.name, got, err)
		}
	}
}
