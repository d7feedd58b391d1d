package control

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestRegistrationIsAsItWasAsked(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(tencentChat)
	id := w.ID("reg")
	ch := RegistrationChange{
		URL: new("https://login:pass@tenant.example/in?a=b"), Headers: map[string]string{"x-key": "k"},
		EventTypes: &[]string{"Bot.*", "Bot.*", "Group.CallbackAfterSendMsg"}, Match: &gateway.Match{"group": {"g"}},
		Format: new(gateway.Raw), Schedule: &schedule.Schedule{Name: "every-5-minutes"}, Timeout: new(2 * time.Second),
		Description: new("mine"), RawToken: new("token"), Rate: new(1.5), Concurrency: new(3), Ordered: new(true),
	}
	var r gateway.Registration
	var secret string
	w.wantPublished("CreateRegistration", s.ID, true, func() {
		var err error
		r, secret, err = w.CreateRegistration(t.Context(), c, id, s.ID, ch)
		w.OK(err)
	})
	want := gateway.Registration{
		ID: id, Tenant: c.Tenant, Source: s.ID, Created: w.Now, Description: "mine", Rev: 1, State: gateway.Enabled, Since: w.Now, Indexed: w.Now,
		EventTypes: []string{"Bot.*", "Group.CallbackAfterSendMsg"}, Match: gateway.Match{"group": {"g"}}, Format: gateway.Raw,
		Schedule: schedule.Schedule{Name: "every-5-minutes"}, Timeout: 2 * time.Second, Rate: 1.5, Concurrency: 3, Ordered: true,
	}
	sealed := cmpopts.IgnoreFields(gateway.Registration{}, "Endpoint", "Secrets", "RawTokens")
	if diff := cmp.Diff(want, r, sealed); diff != "" {
		t.Errorf("CreateRegistration (-want +got):\n%s", diff)
	}
	if got := gatewaytest.Must(w.Registration(t.Context(), c, id))(w); cmp.Diff(r, got) != "" {
		t.Errorf("Registration (-made +got):\n%s", cmp.Diff(r, got))
	}
	if got := w.opened(r, "url", r.Endpoint.URL); got != *ch.URL || r.Endpoint.RedactedURL != "https://***@tenant.example/in?a=b" {
		t.Errorf("the URL is kept as %q and shown as %q", got, r.Endpoint.RedactedURL)
	}
	if got := w.opened(r, "header", r.Endpoint.Headers["X-Key"]); got != "k" || len(r.Endpoint.Headers) != 1 {
		t.Errorf("headers %v, X-Key: %q, want k", r.Endpoint.Headers, got)
	}
	if got := w.opened(r, "secret", r.Secrets[0].Sealed); got != secret || !strings.HasPrefix(secret, "whsec_") || len(r.Secrets) != 1 || !r.Secrets[0].Since.Equal(w.Now) {
		t.Errorf("secret %+v, want the one that was told", r.Secrets)
	}
	if got := w.opened(r, "raw_token", r.RawTokens[0].Sealed); got != "token" || len(r.RawTokens) != 1 || !r.RawTokens[0].Since.Equal(w.Now) {
		t.Errorf("raw token %+v, want the one that was given", r.RawTokens)
	}
	for _, k := range []storage.Key{gateway.SourceLinkKey(s.ID, id), gateway.TenantLinkKey(c.Tenant, "R", id),
		gateway.IndexKey(s.ID, "group=g", "Bot.*", id), gateway.IndexKey(s.ID, "group=g", "Group.CallbackAfterSendMsg", id)} {
		if !w.Stored(k) {
			t.Errorf("%v is not stored", k)
		}
	}
	plain := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}})
	if plain.Format != gateway.Standard || plain.Match != nil || plain.RawTokens != nil || plain.Endpoint.Headers != nil || plain.Ordered {
		t.Errorf("a registration by default: %+v", plain)
	}
}

// opened opens what is sealed in a registration's row.
func (w *world) opened(r gateway.Registration, field, sealed string) string {
	w.t.Helper()
	return gatewaytest.Must(w.gw.Keys.Open(gateway.RegistrationKey(r.ID).PK, field, sealed))(w)
}

func TestRegistrationThatCannotBeIsRefused(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	chat, withheld := w.source(tencentChat), w.source(direct)
	w.grant(chat.ID, c, nil)
	w.grant(withheld.ID, w.tenant(), nil)
	limited := c
	limited.Limits = gateway.Limits{DeliveriesPerSecond: 10, Concurrency: 5}
	values := func(n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprint(i))
		}
		return out
	}
	waits := func(n int, d time.Duration) *schedule.Schedule {
		return &schedule.Schedule{Waits: slices.Repeat([]time.Duration{d}, n)}
	}
	changed := map[string]gateway.Registration{
		s.ID:    w.register(c, s.ID, RegistrationChange{}),
		chat.ID: w.register(c, chat.ID, RegistrationChange{EventTypes: &[]string{"*"}}),
	}
	for _, tt := range []struct {
		name   string
		source string
		change RegistrationChange
		fits   bool
	}{
		{"nothing else", s.ID, RegistrationChange{}, true},
		{"an empty URL", s.ID, RegistrationChange{URL: new("")}, false},
		{"a URL that is none", s.ID, RegistrationChange{URL: new("tenant.example")}, false},
		{"the URL of a special address", s.ID, RegistrationChange{URL: new("http://127.0.0.1/")}, false},
		{"no event types", s.ID, RegistrationChange{EventTypes: &[]string{}}, false},
		{"an event type that is none", s.ID, RegistrationChange{EventTypes: &[]string{"a*b"}}, false},
		{"an unknown routing key", s.ID, RegistrationChange{Match: &gateway.Match{"bot": {"b"}}}, false},
		{"an empty match", s.ID, RegistrationChange{Match: &gateway.Match{}}, false},
		{"a match", s.ID, RegistrationChange{Match: &gateway.Match{"status": {"delivered"}}}, true},
		{"no match", s.ID, RegistrationChange{Match: new(gateway.Match)}, true},
		{"as many entries as there may be", s.ID, RegistrationChange{Match: &gateway.Match{"status": values(gateway.MaxIndexEntries / 2)}, EventTypes: &[]string{"a", "b"}}, true},
		{"one more entry", s.ID, RegistrationChange{Match: &gateway.Match{"status": values(gateway.MaxIndexEntries + 1)}, EventTypes: &[]string{"a"}}, false},
		{"an unknown format", s.ID, RegistrationChange{Format: new(gateway.Format("xml"))}, false},
		{"raw", s.ID, RegistrationChange{Format: new(gateway.Raw)}, true},
		{"standard", s.ID, RegistrationChange{Format: new(gateway.Standard)}, true},
		{"an unknown schedule", s.ID, RegistrationChange{Schedule: &schedule.Schedule{Name: "never"}}, false},
		{"too short a wait", s.ID, RegistrationChange{Schedule: waits(1, schedule.MinWait-1)}, false},
		{"a schedule", s.ID, RegistrationChange{Schedule: waits(2, schedule.MinWait)}, true},
		{"no time at all", s.ID, RegistrationChange{Timeout: new(time.Duration(0))}, true},
		{"too short a time", s.ID, RegistrationChange{Timeout: new(time.Second - 1)}, false},
		{"a time below 0", s.ID, RegistrationChange{Timeout: new(-time.Second)}, false},
		{"the shortest time", s.ID, RegistrationChange{Timeout: new(time.Second)}, true},
		{"the longest time", s.ID, RegistrationChange{Timeout: new(gateway.AttemptTime)}, true},
		{"too long a time", s.ID, RegistrationChange{Timeout: new(gateway.AttemptTime + 1)}, false},
		{"the longest description", s.ID, RegistrationChange{Description: new(strings.Repeat("x", 5*gateway.MaxName))}, true},
		{"too long a description", s.ID, RegistrationChange{Description: new(strings.Repeat("x", 5*gateway.MaxName+1))}, false},
		{"no rate", s.ID, RegistrationChange{Rate: new(0.0)}, true},
		{"one delivery an hour", s.ID, RegistrationChange{Rate: new(limiter.MinRate)}, true},
		{"fewer", s.ID, RegistrationChange{Rate: new(limiter.MinRate * 0.999)}, false},
		{"a rate that is no number", s.ID, RegistrationChange{Rate: new(math.NaN())}, false},
		{"a rate whose interval no duration holds", s.ID, RegistrationChange{Rate: new(1e-11)}, false},
		{"a rate below 0", s.ID, RegistrationChange{Rate: new(-0.5)}, false},
		{"the highest rate", s.ID, RegistrationChange{Rate: new(10.0)}, true},
		{"too high a rate", s.ID, RegistrationChange{Rate: new(10.5)}, false},
		{"no concurrency", s.ID, RegistrationChange{Concurrency: new(0)}, true},
		{"a concurrency below 0", s.ID, RegistrationChange{Concurrency: new(-1)}, false},
		{"the highest concurrency", s.ID, RegistrationChange{Concurrency: new(5)}, true},
		{"too high a concurrency", s.ID, RegistrationChange{Concurrency: new(6)}, false},
		{"a token of direct", s.ID, RegistrationChange{RawToken: new("token"), Format: new(gateway.Raw)}, false},
		{"no token of direct", s.ID, RegistrationChange{RawToken: new(""), Format: new(gateway.Raw)}, false},
		{"a header of ours", s.ID, RegistrationChange{Headers: map[string]string{"Webhook-Id": "x"}}, false},
		{"event types", chat.ID, RegistrationChange{EventTypes: &[]string{"Bot.*"}}, true},
		{"a token", chat.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new("token")}, true},
		{"a token with the standard format", chat.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Standard), RawToken: new("token")}, false},
		{"too long a token", chat.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new(strings.Repeat("x", gateway.MaxName+1))}, false},
		{"the longest token", chat.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new(strings.Repeat("x", gateway.MaxName))}, true},
	} {
		do := func() {
			want := storage.ErrInvalid
			if tt.fits {
				want = nil
			}
			create := tt.change
			if create.URL == nil {
				create.URL = new(endpointURL)
			}
			_, _, err := w.CreateRegistration(t.Context(), limited, w.ID("reg"), tt.source, create)
			w.WantErr("CreateRegistration with "+tt.name, err, want)
			w.WantErr("ChangeRegistration to "+tt.name, gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), limited, changed[tt.source].ID, 0, tt.change)), want)
		}
		if tt.fits {
			do()
			continue
		}
		w.WantUnwritten(tt.name, do)
	}
	w.WantUnwritten("refused creates", func() {
		_, _, err := w.CreateRegistration(t.Context(), c, w.ID("reg"), s.ID, RegistrationChange{})
		if w.WantErr("CreateRegistration without URL", err, storage.ErrInvalid); err == nil || !strings.HasSuffix(err.Error(), "want one") {
			t.Errorf("CreateRegistration without URL: %v, want it to say so", err)
		}
		for name, source := range map[string]string{"that is not granted": withheld.ID, "that is not there": w.source2()} {
			_, _, err = w.CreateRegistration(t.Context(), c, w.ID("reg"), source, RegistrationChange{URL: new(endpointURL)})
			w.WantErr("CreateRegistration on a source "+name, err, storage.ErrNotFound)
		}
		_, _, err = w.CreateRegistration(t.Context(), c, w.ID("reg"), chat.ID, RegistrationChange{URL: new(endpointURL)})
		if w.WantErr("CreateRegistration of tencent-chat without event types", err, storage.ErrInvalid); err == nil || !strings.Contains(err.Error(), `"`+w.gw.Providers[tencentChat].EventTypes()[0].Name+`"`) {
			t.Errorf("CreateRegistration of tencent-chat without event types: %v, want an example", err)
		}
	})
	if r := w.registration(changed[s.ID].ID); !slices.Equal(r.EventTypes, []string{"a", "b"}) {
		t.Errorf("a change that names no event types made them %v", r.EventTypes)
	}
	unlimited := c
	unlimited.Limits = gateway.Limits{}
	w.WantErr("ChangeRegistration to a rate without limit", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), unlimited, changed[s.ID].ID, 0, RegistrationChange{Rate: new(1e6)})), nil)
	w.WantErr("ChangeRegistration to the concurrency by default", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), unlimited, changed[s.ID].ID, 0, RegistrationChange{Concurrency: new(50)})), nil)
	w.WantErr("ChangeRegistration to more than it", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), unlimited, changed[s.ID].ID, 0, RegistrationChange{Concurrency: new(51)})), storage.ErrInvalid)
}

// source2 is the id of a source that nobody made.
func (w *world) source2() string { return ident.NewSource() }

func TestExampleOfAnEventType(t *testing.T) {
	if got := exampleType(speechless{}); got != `"*"` {
		t.Errorf("exampleType of a provider that documents none = %s", got)
	}
	if strange, _ := undocumented([]string{"happened"}, nil); strange != "" {
		t.Errorf("%s is strange of a provider that documents none", strange)
	}
}

// speechless is a provider that documents no event types.
type speechless struct{ provider.Provider }

func (speechless) EventTypes() []provider.EventType { return nil }

func TestRawTokenIsChangedAndTakenAway(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(tencentChat)
	r := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new("token")})
	other := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw)})
	change := func(id, token string) (gateway.Registration, error) {
		return w.ChangeRegistration(t.Context(), c, id, 0, RegistrationChange{RawToken: &token})
	}
	if got := gatewaytest.Must(change(r.ID, hiddenText))(w); !cmp.Equal(got.RawTokens, r.RawTokens) {
		t.Errorf("raw token sent back as it is shown: %+v, want %+v", got.RawTokens, r.RawTokens)
	}
	w.WantErr("the hidden text where there is none", gatewaytest.ErrOf(change(other.ID, hiddenText)), storage.ErrInvalid)
	if got := gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("x")}))(w); !cmp.Equal(got.RawTokens, r.RawTokens) {
		t.Errorf("raw token after a change of the description: %+v, want %+v", got.RawTokens, r.RawTokens)
	}
	w.Pass(time.Hour)
	got := gatewaytest.Must(change(r.ID, "new"))(w)
	if len(got.RawTokens) != 1 || !got.RawTokens[0].Since.Equal(w.Now) || w.opened(got, "raw_token", got.RawTokens[0].Sealed) != "new" {
		t.Errorf("raw token after a change: %+v, want the new one alone", got.RawTokens)
	}
	if got := gatewaytest.Must(change(r.ID, ""))(w); got.RawTokens != nil {
		t.Errorf("raw token after it was taken away: %+v", got.RawTokens)
	}
}

func TestTenantHasRoomForSoManyRegistrations(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other := w.source(direct)
	w.grant(other.ID, c, nil)
	c.Limits = gateway.Limits{RegistrationsPerSource: 2}
	w.register(c, other.ID, RegistrationChange{})
	first, secondOne := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	w.WantUnwritten("too many", func() {
		_, _, err := w.CreateRegistration(t.Context(), c, w.ID("reg"), s.ID, RegistrationChange{URL: new(endpointURL)})
		w.WantErr("CreateRegistration of one too many", err, ErrLimit)
	})
	w.WantErr("RoomFor one of them, made again", w.CheckRegistrationLimit(t.Context(), c, s.ID, secondOne.ID), nil)
	w.WantErr("RoomFor one on another source", w.CheckRegistrationLimit(t.Context(), c, other.ID, w.ID("reg")), nil)
	w.OK(w.DeleteRegistration(t.Context(), c, first.ID))
	w.WantErr("RoomFor one after another was removed", w.CheckRegistrationLimit(t.Context(), c, s.ID, w.ID("reg")), nil)
	by := c
	by.Limits = gateway.Limits{}
	w.WantErr("RoomFor one by default", w.CheckRegistrationLimit(t.Context(), by, s.ID, w.ID("reg")), nil)
	w.Store.FailAt(1)
	w.WantErr("RoomFor without a Store", w.CheckRegistrationLimit(t.Context(), c, s.ID, w.ID("reg")), storagetest.ErrBroken)
}

// TestTenantMakesRegistrationsNoFasterThanItMay has a tenant make and delete the
// last of a hundred.
func TestTenantMakesRegistrationsNoFasterThanItMay(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	for range createBurst - 1 {
		w.OK(w.TakeCreateToken(t.Context(), c))
	}
	create := func(c Caller, ch RegistrationChange) error {
		_, _, err := w.CreateRegistration(t.Context(), c, w.ID("reg"), s.ID, ch)
		return err
	}
	good := RegistrationChange{URL: new(endpointURL)}
	w.WantErr("CreateRegistration of what is wrong", create(c, RegistrationChange{URL: new("no url")}), storage.ErrInvalid)
	r := w.register(c, s.ID, good)
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	w.WantUnwritten("too soon", func() {
		err := create(c, good)
		var tooOften *RateLimitError
		if !errors.As(err, &tooOften) || tooOften.RetryAfter != createInterval || tooOften.Code != "too_many_registrations" {
			t.Errorf("CreateRegistration too soon: %v, want a *TooOftenError, and that it may again after %v", err, createInterval)
		}
		w.WantErr("CreateRegistration too soon", err, ErrLimit)
	})
	operator := c
	operator.Scope = ScopeOperator
	w.WantErr("CreateRegistration by the operator", create(operator, good), nil)
	other := w.tenant()
	w.grant(s.ID, other, nil)
	w.WantErr("CreateRegistration by another tenant", create(other, good), nil)
	w.Pass(createInterval)
	w.WantErr("CreateRegistration in time", create(c, good), nil)
	w.WantErr("CreateRegistration right after it", create(c, good), ErrLimit)
	w.Pass(createBurst * createInterval)
	for range createBurst {
		w.OK(w.TakeCreateToken(t.Context(), c))
	}
	w.WantErr("SpendCreate after a hundred more", w.TakeCreateToken(t.Context(), c), ErrLimit)
	w.Store.FailAt(1)
	w.WantErr("SpendCreate without a Store", w.TakeCreateToken(t.Context(), c), storagetest.ErrBroken)
}

func TestRegistrationsOfATenantAreCountedUntilTheyExpire(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	a, b := w.register(c, s.ID, RegistrationChange{}), w.register(c, s.ID, RegistrationChange{})
	w.OK(w.DeleteRegistration(t.Context(), c, a.ID))
	list := func() map[string]TenantRegistration {
		out := map[string]TenantRegistration{}
		w.OK(w.EachRegistrationOf(t.Context(), c.Tenant, func(id string, of TenantRegistration) { out[id] = of }))
		return out
	}
	want := map[string]TenantRegistration{a.ID: {Source: s.ID, Removed: true}, b.ID: {Source: s.ID}}
	w.Pass(tombstone - time.Millisecond)
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Errorf("registrations of a tenant (-want +got):\n%s", diff)
	}
	w.WantErr("Registration of one that is removed", gatewaytest.ErrOf(w.Registration(t.Context(), c, a.ID)), nil)
	w.Pass(time.Millisecond)
	delete(want, a.ID)
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Errorf("registrations of a tenant, a month after one was removed (-want +got):\n%s", diff)
	}
	w.WantErr("Registration of one that was removed a month ago", gatewaytest.ErrOf(w.Registration(t.Context(), c, a.ID)), storage.ErrNotFound)
	_, err := w.changeRegistration(t.Context(), c, a.ID, func(*gateway.Registration) error { return nil })
	w.WantErr("a change of it", err, storage.ErrNotFound)
}

func TestRegistrationsAreListedByPages(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	other, another := w.source(direct), w.tenant()
	w.grant(other.ID, c, nil)
	w.grant(s.ID, another, nil)
	var mine, on []string
	for range 3 {
		mine = append(mine, w.register(c, s.ID, RegistrationChange{}).ID)
	}
	gone := w.register(c, s.ID, RegistrationChange{}).ID
	w.OK(w.DeleteRegistration(t.Context(), c, gone))
	elsewhere, theirs := w.register(c, other.ID, RegistrationChange{}).ID, w.register(another, s.ID, RegistrationChange{}).ID
	on = append(slices.Clone(mine), theirs)
	for _, tt := range []struct {
		name           string
		caller         Caller
		tenant, source string
		want           []string
	}{
		{"of a tenant", c, "", "", append(slices.Clone(mine), elsewhere)},
		{"of a tenant, by the operator", Operator(), c.Tenant, "", append(slices.Clone(mine), elsewhere)},
		{"of a tenant on a source", c, "", s.ID, mine},
		{"of a tenant on a source, by the operator", Operator(), c.Tenant, other.ID, []string{elsewhere}},
		{"on a source", Operator(), "", s.ID, on},
	} {
		got := gatewaytest.IDs(pages(w, func(at storage.PageRequest) ([]gateway.Registration, string, error) {
			return w.ListRegistrations(t.Context(), tt.caller, tt.tenant, tt.source, at)
		}), func(r gateway.Registration) string { return r.ID })
		slices.Sort(tt.want)
		if slices.Sort(got); !slices.Equal(got, tt.want) {
			t.Errorf("ListRegistrations %s = %v, want %v", tt.name, got, tt.want)
		}
	}
	_, _, err := w.ListRegistrations(t.Context(), Operator(), "", "", storage.PageRequest{})
	w.WantErr("ListRegistrations of neither tenant nor source", err, storage.ErrInvalid)
	_, _, err = w.ListRegistrations(t.Context(), c, another.Tenant, "", storage.PageRequest{})
	w.WantErr("ListRegistrations of another tenant", err, storage.ErrNotFound)
	w.Store.FailAt(2)
	_, _, err = w.ListRegistrations(t.Context(), c, "", "", storage.PageRequest{})
	w.WantErr("ListRegistrations without a Store", err, storagetest.ErrBroken)
	w.Store.Heal()

	_, err = w.Registration(t.Context(), another, mine[0])
	w.WantErr("Registration of another", err, storage.ErrNotFound)
	_, err = w.Registration(t.Context(), Operator(), "reg_9")
	w.WantErr("Registration that is not there", err, storage.ErrNotFound)
}

func TestChangeOfARegistrationLeavesWhatItDoesNotName(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{
		Headers: map[string]string{"X-Key": "k"}, Match: &gateway.Match{"status": {"delivered"}}, Schedule: &schedule.Schedule{Name: "every-5-minutes"},
		Timeout: new(2 * time.Second), Rate: new(2.0), Concurrency: new(3), Ordered: new(true), Description: new("mine"),
	})
	w.Pass(time.Hour)
	var got gateway.Registration
	w.wantPublished("ChangeRegistration", s.ID, true, func() {
		got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, r.Rev, RegistrationChange{Description: new("other")}))(w)
	})
	want := r
	want.Description, want.Rev = "other", r.Rev+1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ChangeRegistration (-want +got):\n%s", diff)
	}
	if stored := w.registration(r.ID); cmp.Diff(want, stored) != "" {
		t.Errorf("Registration after it (-want +got):\n%s", cmp.Diff(want, stored))
	}
	got = gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{
		Match: new(gateway.Match), Schedule: &schedule.Schedule{}, Timeout: new(time.Duration(0)), Rate: new(0.0), Concurrency: new(0), Ordered: new(false),
		Headers: map[string]string{}, Format: new(gateway.Raw), EventTypes: &[]string{"sent"},
	}))(w)
	want = gateway.Registration{
		ID: r.ID, Tenant: c.Tenant, Source: s.ID, Created: r.Created, Description: "other", Rev: r.Rev + 2, State: gateway.Enabled, Since: r.Since,
		Indexed: w.Now, EventTypes: []string{"sent"}, Format: gateway.Raw, Secrets: r.Secrets,
		Endpoint: gateway.Endpoint{URL: r.Endpoint.URL, RedactedURL: r.Endpoint.RedactedURL},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("ChangeRegistration of all (-want +got):\n%s", diff)
	}
}

func TestChangeOfARegistrationAtAnotherRevisionIsRefused(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	w.WantErr("a change at its revision", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 1, RegistrationChange{Description: new("x")})), nil)
	w.WantUnwritten("refused", func() {
		w.WantErr("a change at the revision before", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 1, RegistrationChange{Description: new("y")})), storage.ErrConflict)
		w.WantErr("a change by another", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), w.other(), r.ID, 0, RegistrationChange{Description: new("y")})), storage.ErrNotFound)
		w.WantErr("a change of none", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, "reg_9", 0, RegistrationChange{Description: new("y")})), storage.ErrNotFound)
	})
	w.OK(w.DeleteRegistration(t.Context(), c, r.ID))
	w.WantErr("a change of a removed one", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("y")})), storage.ErrNotFound)
}

// other is a caller with another tenant's key.
func (w *world) other() Caller { return Caller{Scope: ScopeFull, Tenant: "ten_9"} }

func TestChangeThatLostToAnotherIsMadeOverIt(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	r := w.register(c, s.ID, RegistrationChange{})
	rival := func() {
		w.Store.OnPut = func(row storage.Row) {
			if row.Key != gateway.RegistrationKey(r.ID) {
				return
			}
			w.Store.OnPut = nil
			gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Rate: new(7.0)}))(w)
		}
	}
	rival()
	got := gatewaytest.Must(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Description: new("x")}))(w)
	if got.Rate != 7 || got.Description != "x" || got.Rev != 3 {
		t.Errorf("ChangeRegistration beside another = %+v, want both changes", got)
	}
	rival()
	_, err := w.ChangeRegistration(t.Context(), c, r.ID, got.Rev, RegistrationChange{Description: new("y")})
	w.WantErr("ChangeRegistration at a revision beside another", err, storage.ErrConflict)
}

// TestWarningNamesTheNearestEventType registers for types that nobody documents.
func TestWarningNamesTheNearestEventType(t *testing.T) {
	w := newWorld(t)
	chat, sms := w.source(tencentChat), w.source(direct)
	for _, tt := range []struct {
		source  gateway.Source
		types   []string
		nearest string // empty: there is no warning
	}{
		{chat, []string{"Bot.OnGroupMesage"}, "Bot.OnGroupMessage"},
		{chat, []string{"bot.ongroupmessage"}, "Bot.OnGroupMessage"},
		{chat, []string{"Bot.OnC2CMessages"}, "Bot.OnC2CMessage"},
		{chat, []string{"State.*", "Follows.*"}, "Follow.CallbackAfterFollowAdd"},
		{chat, []string{"C2C.CallbackAfterModifiedMsg"}, "C2C.CallbackAfterModifyMsg"},
		{sms, []string{"delivered", "Deliverd"}, "delivered"},
		{chat, []string{"*"}, ""},
		{chat, []string{"Bot.*", "Group.CallbackAfterModifyMsg", "registration.failing", "source.disconnected"}, ""},
		{sms, []string{"delivered", "sent*"}, ""},
	} {
		got, err := w.Warnings(t.Context(), gateway.Registration{Source: tt.source.ID, Format: gateway.Standard, EventTypes: tt.types})
		named := len(got) == 1 && strings.Contains(got[0], tt.types[len(tt.types)-1]+",") && strings.HasSuffix(got[0], " "+tt.nearest)
		if w.WantErr("Warnings", err, nil); tt.nearest == "" && len(got) > 0 || tt.nearest != "" && !named {
			t.Errorf("Warnings of %q = %q, want one that names %q and its nearest, %q", tt.types, got, tt.types[len(tt.types)-1], tt.nearest)
		}
	}
}

func TestWarningsNameCallbacksThatWantADecision(t *testing.T) {
	w := newWorld(t)
	bots, sms := w.source(gateway.SmartBots), w.source(direct)
	for _, tt := range []struct {
		name string
		r    gateway.Registration
		want bool
	}{
		{"raw invitations", gateway.Registration{Source: bots.ID, Format: gateway.Raw, EventTypes: []string{"group_invite"}}, true},
		{"raw everything", gateway.Registration{Source: bots.ID, Format: gateway.Raw, EventTypes: []string{"*"}}, true},
		{"standard everything", gateway.Registration{Source: bots.ID, Format: gateway.Standard, EventTypes: []string{"*"}}, false},
		{"raw chat", gateway.Registration{Source: bots.ID, Format: gateway.Raw, EventTypes: []string{"group_chat"}}, false},
		{"raw everything of direct", gateway.Registration{Source: sms.ID, Format: gateway.Raw, EventTypes: []string{"*"}}, false},
	} {
		got, err := w.Warnings(t.Context(), tt.r)
		if w.WantErr("Warnings", err, nil); (len(got) == 1 && strings.Contains(got[0], "group_invite")) != tt.want || len(got) > 1 {
			t.Errorf("Warnings of %s = %q, want one that names group_invite: %v", tt.name, got, tt.want)
		}
	}
	chat := w.source(tencentChat)
	got, err := w.Warnings(t.Context(), gateway.Registration{Source: chat.ID, Format: gateway.Raw, EventTypes: []string{"X.CallbackBeforeUnknown"}})
	if err != nil || len(got) != 2 || !strings.Contains(got[0], "X.CallbackBeforeUnknown") || !strings.Contains(got[1], "X.CallbackBeforeUnknown") {
		t.Errorf("Warnings of a type that nobody documents = %q, %v, want two that name it", got, err)
	}
	_, err = w.Warnings(t.Context(), gateway.Registration{Source: w.source2(), Format: gateway.Raw})
	w.WantErr("Warnings on no source", err, storage.ErrNotFound)
}

func TestMatchOfARegistrationByCodeStays(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(gateway.SmartBots)
	r := w.app(c, w.group(s.ID, "club"), "app")
	for name, ch := range map[string]RegistrationChange{
		"event types": {EventTypes: &[]string{"*"}},
		"match":       {Match: new(gateway.Match)},
		"format":      {Format: new(gateway.Standard)},
	} {
		w.WantUnwritten(name, func() {
			w.WantErr("a change of its "+name, gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, ch)), storage.ErrInvalid)
		})
	}
	w.WantErr("a change of its URL", gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{URL: new("https://tenant.example/new")})), nil)
}

func TestFaultWhileARegistrationIsMadeOrChangedIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	c.Limits.RegistrationsPerSource = 1_000
	entries := func(r gateway.Registration) {
		t.Helper()
		for _, h := range r.PublishedEntries() {
			if row, ok := w.Row(gateway.IndexKey(s.ID, h.RoutingKey, h.Pattern, r.ID)); !ok || !row.Expires.IsZero() {
				t.Errorf("the entry %v of %s is not there, or ends", h, r.ID)
			}
		}
	}
	w.WantFaultsReported("CreateRegistration", func() storagetest.Operation {
		id, before := w.ID("reg"), w.published(s.ID)
		return storagetest.Operation{
			Do: func() error {
				_, _, err := w.CreateRegistration(t.Context(), c, id, s.ID, RegistrationChange{URL: new(endpointURL), Match: &gateway.Match{"status": {"a"}}})
				return err
			},
			Done: func() {
				r := w.registration(id)
				if entries(r); !w.Stored(gateway.SourceLinkKey(s.ID, id)) || !w.Stored(gateway.TenantLinkKey(c.Tenant, "R", id)) || w.published(s.ID) == before {
					t.Error("the registration is not listed and published")
				}
			},
		}
	})
	w.WantFaultsReported("ChangeRegistration", func() storagetest.Operation {
		r := w.register(c, s.ID, RegistrationChange{Match: &gateway.Match{"status": {"a", "b"}}})
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error {
				return gatewaytest.ErrOf(w.ChangeRegistration(t.Context(), c, r.ID, 0, RegistrationChange{Match: &gateway.Match{"status": {"b", "c"}}}))
			},
			Done: func() {
				if after := w.registration(r.ID); w.published(s.ID) == before {
					t.Error("the change is not published")
				} else {
					entries(after)
				}
			},
		}
	})
	w.WantFaultsReported("DeleteRegistration", func() storagetest.Operation {
		r := w.register(c, s.ID, RegistrationChange{})
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return known(w.DeleteRegistration(t.Context(), c, r.ID)) },
			Done: func() {
				if after := w.registration(r.ID); after.State != gateway.Removed || w.published(s.ID) == before {
					t.Error("the registration is not removed and that published")
				}
				w.wantUnlisted(r)
			},
		}
	})
	w.WantFaultsReported("Warnings", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error {
			return gatewaytest.ErrOf(w.Warnings(t.Context(), gateway.Registration{Source: s.ID, Format: gateway.Raw}))
		}}
	})
}

func TestRegistrationThatIsMadeAgainHasALaterRevision(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	id := w.ID("reg")
	for want := 1; want <= 2; want++ { // the second after a crash
		r, _, err := w.CreateRegistration(t.Context(), c, id, s.ID, RegistrationChange{URL: new(endpointURL)})
		if w.WantErr("CreateRegistration", err, nil); r.Rev != want || w.registration(id).Rev != want {
			t.Errorf("CreateRegistration: revision %d, want %d", r.Rev, want)
		}
	}
	w.PutNewer(gateway.TenantLinkKey(c.Tenant, "R", "reg_9"))
	if err := w.CheckRegistrationLimit(t.Context(), c, s.ID, w.ID("reg")); err == nil || errors.Is(err, ErrLimit) {
		t.Errorf("RoomFor one beside one of a newer release: %v, want that it cannot be read", err)
	}
}

func TestConflictOfACreateIsTold(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(direct)
	id := w.ID("reg")
	w.Store.OnPut = func(row storage.Row) {
		if row.Key == gateway.RegistrationKey(id) {
			w.Store.OnPut = nil
			w.Put(row.Key, gateway.Registration{ID: id})
		}
	}
	_, _, err := w.CreateRegistration(t.Context(), c, id, s.ID, RegistrationChange{URL: new(endpointURL)})
	if !errors.Is(err, storage.ErrConflict) {
		t.Errorf("CreateRegistration beside the same: %v, want ErrConflict", err)
	}
}
