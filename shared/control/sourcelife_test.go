package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

func TestSourceThatCannotBeIsNotMade(t *testing.T) {
	w := newWorld(t)
	name, app := new("chat"), new(uint64(1))
	for _, tt := range []struct {
		name   string
		change SourceChange
		fits   bool
	}{
		{"no provider", SourceChange{Name: name}, false},
		{"an unknown provider", SourceChange{Provider: "pigeon", Name: name}, false},
		{"no name", SourceChange{Provider: direct}, false},
		{"an empty name", SourceChange{Provider: direct, Name: new("")}, false},
		{"a blank name", SourceChange{Provider: direct, Name: new(" \t")}, false},
		{"too long a name", SourceChange{Provider: direct, Name: new(strings.Repeat("x", gateway.MaxName+1))}, false},
		{"the longest name", SourceChange{Provider: direct, Name: new(strings.Repeat("x", gateway.MaxName))}, true},
		{"tencent-chat without application", SourceChange{Provider: tencentChat, Name: name}, false},
		{"an application that is none", SourceChange{Provider: tencentChat, Name: name, SDKAppID: new(uint64(0))}, false},
		{"tencent-chat with an application", SourceChange{Provider: tencentChat, Name: name, SDKAppID: app}, true},
		{"direct with an application", SourceChange{Provider: direct, Name: name, SDKAppID: app}, false},
		{"an empty token", SourceChange{Provider: tencentChat, Name: name, SDKAppID: new(uint64(2)), Token: new("")}, false},
		{"too long a token", SourceChange{Provider: tencentChat, Name: name, SDKAppID: new(uint64(2)), Token: new(strings.Repeat("x", gateway.MaxName+1))}, false},
		{"the longest token", SourceChange{Provider: tencentChat, Name: name, SDKAppID: new(uint64(2)), Token: new(strings.Repeat("x", gateway.MaxName))}, true},
		{"a token of direct", SourceChange{Provider: direct, Name: name, Token: new("token")}, false},
		{"a login with a colon", SourceChange{Provider: direct, Name: name, Basic: &provider.Login{Name: "a:b", Password: "p"}}, false},
		{"a login", SourceChange{Provider: direct, Name: name, Basic: &provider.Login{Name: "a", Password: "p"}}, true},
		{"addresses that are none", SourceChange{Provider: direct, Name: name, Allow: &[]string{"192.0.2.1", "tenant.example"}}, false},
		{"addresses", SourceChange{Provider: direct, Name: name, Allow: &[]string{"192.0.2.1", "2001:db8::/32"}}, true},
		{"an upstream of direct", SourceChange{Provider: direct, Name: name, Upstream: &UpstreamChange{}}, false},
		{"an upstream", SourceChange{Provider: gateway.SmartBots, Name: name, Upstream: &UpstreamChange{BaseURL: new("https://upstream.example")}}, true},
		{"an upstream that is no URL", SourceChange{Provider: gateway.SmartBots, Name: name, Upstream: &UpstreamChange{BaseURL: new("upstream")}}, false},
		{"an unknown history", SourceChange{Provider: direct, Name: name, History: new(gateway.History("some"))}, false},
		{"a history of failures", SourceChange{Provider: direct, Name: name, History: new(gateway.FailureHistory)}, true},
		{"a full history", SourceChange{Provider: direct, Name: name, History: new(gateway.FullHistory)}, true},
		{"ignored types that are none", SourceChange{Provider: direct, Name: name, IgnoreEventTypes: &[]string{"a*b"}}, false},
		{"ignored types", SourceChange{Provider: direct, Name: name, IgnoreEventTypes: &[]string{"sent"}}, true},
	} {
		make := func() {
			id := ident.NewSource()
			_, err := w.CreateSource(t.Context(), id, tt.change)
			if (err == nil) != tt.fits || err != nil && !errors.Is(err, storage.ErrInvalid) {
				t.Errorf("CreateSource with %s: %v, want it made: %v", tt.name, err, tt.fits)
			}
			if _, err := w.Source(t.Context(), id); (err == nil) != tt.fits {
				t.Errorf("Source with %s: %v, want it there: %v", tt.name, err, tt.fits)
			}
		}
		if tt.fits {
			make()
			continue
		}
		w.WantUnwritten(tt.name, make)
	}
}

func TestProvidersAreNamedToWhoNamesNone(t *testing.T) {
	w := newWorld(t)
	for range 20 { // of the six orders that a map may have
		_, err := w.CreateSource(t.Context(), ident.NewSource(), SourceChange{Name: new("x")})
		if err == nil || !strings.HasSuffix(err.Error(), "direct, smartbots, tencent-chat") {
			t.Fatalf("CreateSource without provider: %v, want the three, sorted", err)
		}
	}
}

func TestLimitsOfLoginsAndUpstreams(t *testing.T) {
	for _, tt := range []struct {
		name string
		l    provider.Login
		fits bool
	}{
		{"the longest", provider.Login{Name: "n", Password: strings.Repeat("x", 2*gateway.MaxName-1)}, true},
		{"too long", provider.Login{Name: "nn", Password: strings.Repeat("x", 2*gateway.MaxName-1)}, false},
		{"a control character in the name", provider.Login{Name: "n\x00", Password: "p"}, false},
		{"a deleted character", provider.Login{Name: "n", Password: "p\x7f"}, false},
		{"blanks alone", provider.Login{Name: " ", Password: " "}, false},
		{"a blank within", provider.Login{Name: "n n", Password: "p p"}, true},
		{"no text in the name", provider.Login{Name: "n\xff", Password: "p"}, false},
		{"no text in the password", provider.Login{Name: "n", Password: "p\xff"}, false},
	} {
		if err := checkLogin(tt.l); (err == nil) != tt.fits {
			t.Errorf("checkLogin of %s: %v, want it to fit: %v", tt.name, err, tt.fits)
		}
	}
	long := "https://upstream.example/"
	for _, tt := range []struct {
		url  string
		fits bool
	}{
		{"", true},
		{"https://upstream.example/api", true},
		{"http://upstream.example", true},
		{"ftp://upstream.example", false},
		{"https:///api", false},
		{"https://login@upstream.example", false},
		{"https://upstream example", false},
		{"://", false},
		{long + strings.Repeat("x", 2048-len(long)), true},
		{long + strings.Repeat("x", 2049-len(long)), false},
	} {
		if err := (UpstreamChange{BaseURL: &tt.url}).check(); (err == nil) != tt.fits || err != nil && !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("check of the upstream %.40q (%d bytes): %v, want it to fit: %v", tt.url, len(tt.url), err, tt.fits)
		}
	}
	if err := (UpstreamChange{APIKey: new("key")}).check(); err != nil {
		t.Errorf("check of an upstream with a key alone: %v", err)
	}
}

func TestAllowedAddressesAreKeptAsPrefixes(t *testing.T) {
	got, err := prefixes([]string{"192.0.2.1", "::ffff:192.0.2.2", "192.0.2.0/24", "2001:db8::1"})
	want := []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "2001:db8::1/128"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("prefixes: %v (-want +got):\n%s", err, diff)
	}
	if _, err := prefixes([]string{"192.0.2.1", "no address"}); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("prefixes of what is no address: %v, want an invalid one", err)
	}
}

func TestSourceIsAsItWasAsked(t *testing.T) {
	w := newWorld(t)
	id := ident.NewSource()
	var s gateway.Source
	w.wantPublished("CreateSource", id, true, func() {
		s = gatewaytest.Must(w.CreateSource(t.Context(), id, SourceChange{
			Provider: direct, Name: new(" sms "), Basic: &provider.Login{Name: "login", Password: "pass"},
			Allow: &[]string{"192.0.2.1"}, IgnoreEventTypes: &[]string{"sent"}, History: new(gateway.FailureHistory),
		}))(w)
	})
	want := gateway.Source{
		ID: id, Provider: direct, Name: "sms", Created: w.Now, Basic: s.Basic, Allow: []string{"192.0.2.1/32"},
		IgnoreEventTypes: []string{"sent"}, History: gateway.FailureHistory,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("CreateSource (-want +got):\n%s", diff)
	}
	if got := gatewaytest.Must(w.Source(t.Context(), id))(w); cmp.Diff(want, got) != "" {
		t.Errorf("Source = %+v, want %+v", got, want)
	}
	if len(s.Basic) != 1 || !s.Basic[0].Since.Equal(w.Now) || w.open(id, "basic", s.Basic[0].Sealed) != `{"Name":"login","Password":"pass"}` {
		t.Errorf("login: %+v", s.Basic)
	}
	chat := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{
		Provider: tencentChat, Name: new("chat"), SDKAppID: new(uint64(14)), Token: new("token"),
	}))(w)
	if chat.SDKAppID != 14 || len(chat.Tokens) != 1 || !chat.Tokens[0].Since.Equal(w.Now) || w.open(chat.ID, "token", chat.Tokens[0].Sealed) != "token" {
		t.Errorf("CreateSource of tencent-chat: %+v", chat)
	}
	bots := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{
		Provider: gateway.SmartBots, Name: new("bots"), Upstream: &UpstreamChange{APIKey: new("key"), BaseURL: new("https://upstream.example")},
	}))(w)
	if bots.Upstream.BaseURL != "https://upstream.example" || w.open(bots.ID, "upstream", bots.Upstream.APIKey) != "key" {
		t.Errorf("CreateSource of smartbots: %+v", bots)
	}
	sealed := bots.Upstream.APIKey
	for _, tt := range []struct {
		name   string
		change UpstreamChange
		want   gateway.Upstream
	}{
		{"nothing", UpstreamChange{}, gateway.Upstream{APIKey: sealed, BaseURL: "https://upstream.example"}},
		{"the key as it is shown", UpstreamChange{APIKey: new(hiddenText)}, gateway.Upstream{APIKey: sealed, BaseURL: "https://upstream.example"}},
		{"no URL", UpstreamChange{BaseURL: new("")}, gateway.Upstream{APIKey: sealed}},
		{"no key", UpstreamChange{APIKey: new("")}, gateway.Upstream{}},
	} {
		s := gatewaytest.Must(w.ChangeSource(t.Context(), bots.ID, SourceChange{Upstream: &tt.change}))(w)
		if s.Upstream != tt.want {
			t.Errorf("upstream after a change of %s: %+v, want %+v", tt.name, s.Upstream, tt.want)
		}
	}
}

// open opens what is sealed in a source's row.
func (w *world) open(source, field, sealed string) string {
	w.t.Helper()
	return gatewaytest.Must(w.gw.Keys.Open(gateway.SourceKey(source).PK, field, sealed))(w)
}

func TestChangeOfASourceLeavesWhatItDoesNotName(t *testing.T) {
	w := newWorld(t)
	s := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{
		Provider: direct, Name: new("sms"), Basic: &provider.Login{Name: "login", Password: "pass"},
		Allow: &[]string{"192.0.2.1"}, IgnoreEventTypes: &[]string{"sent"}, History: new(gateway.FailureHistory),
	}))(w)
	w.Pass(time.Hour)
	var got gateway.Source
	w.wantPublished("ChangeSource", s.ID, true, func() { got = gatewaytest.Must(w.ChangeSource(t.Context(), s.ID, SourceChange{Name: new("other")}))(w) })
	want := s
	want.Name = "other"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ChangeSource of the name (-want +got):\n%s", diff)
	}
	got = gatewaytest.Must(w.ChangeSource(t.Context(), s.ID, SourceChange{Allow: &[]string{}, IgnoreEventTypes: &[]string{}, History: new(gateway.FullHistory)}))(w)
	if len(got.Allow) != 0 || len(got.IgnoreEventTypes) != 0 || got.History != gateway.FullHistory || got.Name != "other" {
		t.Errorf("ChangeSource = %+v", got)
	}
	w.WantUnwritten("refused changes", func() {
		_, err := w.ChangeSource(t.Context(), s.ID, SourceChange{Token: new("token")})
		w.WantErr("ChangeSource of the token of direct", err, storage.ErrInvalid)
		_, err = w.ChangeSource(t.Context(), s.ID, SourceChange{Name: new("")})
		w.WantErr("ChangeSource of the name to none", err, storage.ErrInvalid)
		_, err = w.ChangeSource(t.Context(), ident.NewSource(), SourceChange{Name: new("x")})
		w.WantErr("ChangeSource of no source", err, storage.ErrNotFound)
		_, err = w.changeSource(t.Context(), ident.NewSource(), func(*gateway.Source) error { t.Error("changed"); return nil })
		w.WantErr("changeSource of no source", err, storage.ErrNotFound)
	})
}

func TestSDKAppIDIsOneSources(t *testing.T) {
	w := newWorld(t)
	create := func(app uint64) (gateway.Source, error) {
		return w.CreateSource(t.Context(), ident.NewSource(), SourceChange{Provider: tencentChat, Name: new("chat"), SDKAppID: &app})
	}
	s := gatewaytest.Must(create(1))(w)
	w.Pass(time.Hour)
	if err := gatewaytest.ErrOf(create(1)); !errors.Is(err, storage.ErrConflict) || !strings.HasPrefix(err.Error(), "sdk_app_id: ") {
		t.Errorf("CreateSource with another's SDKAppID: %v, want ErrConflict that names it", err)
	}
	other := gatewaytest.Must(create(2))(w)
	w.WantUnwritten("refused", func() {
		w.WantErr("ChangeSource to another's SDKAppID", gatewaytest.ErrOf(w.ChangeSource(t.Context(), other.ID, SourceChange{SDKAppID: new(uint64(1))})), storage.ErrConflict)
	})
	before, _ := w.Row(gateway.SDKAppIDKey(2))
	w.WantErr("ChangeSource to its own SDKAppID", gatewaytest.ErrOf(w.ChangeSource(t.Context(), other.ID, SourceChange{SDKAppID: new(uint64(2))})), nil)
	if after, ok := w.Row(gateway.SDKAppIDKey(2)); !ok || after.Rev != before.Rev {
		t.Errorf("the SDKAppID of %s was written anew (%v)", other.ID, ok)
	}
	w.WantErr("ChangeSource of the name alone", gatewaytest.ErrOf(w.ChangeSource(t.Context(), other.ID, SourceChange{Name: new("x")})), nil)
	if !w.Stored(gateway.SDKAppIDKey(2)) {
		t.Error("a change of the name freed the SDKAppID")
	}
	moved := gatewaytest.Must(w.ChangeSource(t.Context(), s.ID, SourceChange{SDKAppID: new(uint64(3))}))(w)
	if moved.SDKAppID != 3 || w.Stored(gateway.SDKAppIDKey(1)) || !w.Stored(gateway.SDKAppIDKey(3)) {
		t.Errorf("ChangeSource to a free SDKAppID = %+v; the old one is taken: %v", moved, w.Stored(gateway.SDKAppIDKey(1)))
	}
	w.WantErr("CreateSource with the SDKAppID that was given up", gatewaytest.ErrOf(create(1)), nil)
}

func TestSourcesAreListedByPages(t *testing.T) {
	w := newWorld(t)
	var want []string
	for range 5 {
		want = append(want, w.source(direct).ID)
	}
	w.Put(gateway.ListKey("sources", "src-00000000"), gateway.Link{ID: "src-00000000"}) // of a create that crashed
	got := gatewaytest.IDs(pages(w, func(at storage.PageRequest) ([]gateway.Source, string, error) { return w.Sources(t.Context(), at) }), func(s gateway.Source) string { return s.ID })
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("Sources = %v, want %v", got, want)
	}
	_, err := w.Source(t.Context(), "src-00000000")
	w.WantErr("Source that is not there", err, storage.ErrNotFound)
	for n := 1; n <= 2; n++ {
		w.Store.FailAt(n)
		_, _, err := w.Sources(t.Context(), storage.PageRequest{})
		w.WantErr("Sources without a Store", err, storagetest.ErrBroken)
	}
}

func TestFaultWhileASourceIsMadeOrChangedIsTold(t *testing.T) {
	w := newWorld(t)
	n := uint64(100)
	w.WantFaultsReported("CreateSource", func() storagetest.Operation {
		n++
		id, app := ident.NewSource(), n
		return storagetest.Operation{
			Do: func() error {
				return gatewaytest.ErrOf(w.CreateSource(t.Context(), id, SourceChange{Provider: tencentChat, Name: new("chat"), SDKAppID: &app}))
			},
			Done: func() {
				_, keys, _, err := w.CallbackKeys(t.Context(), id, storage.PageRequest{})
				if w.WantErr("CallbackKeys", err, nil); len(keys) != 1 {
					t.Errorf("%d callback keys, want 1", len(keys))
				}
				if s := gatewaytest.Must(w.Source(t.Context(), id))(w); s.SDKAppID != app || !w.Stored(gateway.ListKey("sources", id)) {
					t.Errorf("Source = %+v, want it listed with its SDKAppID", s)
				}
			},
		}
	})
	w.WantFaultsReported("ChangeSource", func() storagetest.Operation {
		n += 2
		to := n - 1
		s := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{Provider: tencentChat, Name: new("chat"), SDKAppID: new(n)}))(w)
		before := w.published(s.ID)
		return storagetest.Operation{
			Do: func() error { return gatewaytest.ErrOf(w.ChangeSource(t.Context(), s.ID, SourceChange{SDKAppID: &to})) },
			Done: func() {
				if got := gatewaytest.Must(w.Source(t.Context(), s.ID))(w); got.SDKAppID != to || w.published(s.ID) == before {
					t.Errorf("Source = %+v, want the SDKAppID %d, and that published", got, to)
				}
			},
		}
	})
}
