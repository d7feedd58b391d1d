package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"ringback/shared/egress"
	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// The providers whose sources have settings of their own.
const (
	tencentChat = "tencent-chat"
	direct      = "direct"
)

// mayHave reports whether sources of a provider may have a credential that sources of another, known one
// have. Of a provider that is not known here they may: its Verify reads Credentials.
func mayHave(provider, owner string) bool {
	return provider == owner || provider != tencentChat && provider != direct && provider != gateway.SmartBots
}

// A SourceChange names what a source is to have; what is nil stays, or is nothing for a new source.
type SourceChange struct {
	Provider         string // of a new source
	Name             *string
	SDKAppID         *uint64         // tencent-chat
	Token            *string         // tencent-chat and others, for a new source only; later RotateToken
	Basic            *provider.Login // direct and others, for a new source only; later RotateBasic
	Allow            *[]string       // direct and others
	Upstream         *UpstreamChange // smartbots
	IgnoreEventTypes *[]string
	History          *gateway.History
}

// An UpstreamChange names what a source's upstream is to have; what is nil stays, and what is empty goes.
type UpstreamChange struct {
	APIKey  *string // in clear; *** stays too
	BaseURL *string
}

// check returns an error wrapping storage.ErrInvalid if ch names what sources of the
// provider do not have, or what cannot be.
func (ch SourceChange) check(provider string) error {
	fits := func(name, owner string, set, may bool) error {
		if set && !may {
			return fmt.Errorf("%s: %w: only sources of %s have it", name, storage.ErrInvalid, owner)
		}
		return nil
	}
	return cmp.Or(
		fits("sdk_app_id", tencentChat, ch.SDKAppID != nil, provider == tencentChat),
		fits("token", tencentChat, ch.Token != nil, mayHave(provider, tencentChat)),
		fits("basic", direct, ch.Basic != nil, mayHave(provider, direct)),
		fits("allow", direct, ch.Allow != nil, mayHave(provider, direct)),
		fits("upstream", gateway.SmartBots, ch.Upstream != nil, provider == gateway.SmartBots),
		ch.checkCommon(),
		given(ch.Name, func(name string) error { return CheckName("name", strings.TrimSpace(name), gateway.MaxName) }),
		given(ch.Token, func(token string) error { return gateway.CheckText("token", token, 1, gateway.MaxName) }),
		given(ch.Basic, checkLogin),
		given(ch.Allow, func(allow []string) error { _, err := prefixes(allow); return err }),
		given(ch.Upstream, UpstreamChange.check),
	)
}

func (ch SourceChange) checkCommon() error {
	switch {
	case ch.Name != nil && strings.TrimSpace(*ch.Name) == "":
		return fmt.Errorf("name: %w: want one", storage.ErrInvalid)
	case ch.SDKAppID != nil && *ch.SDKAppID == 0:
		return fmt.Errorf("sdk_app_id: %w: want the number of the application", storage.ErrInvalid)
	case ch.History != nil && *ch.History != gateway.FullHistory && *ch.History != gateway.FailureHistory:
		return fmt.Errorf("history: %w: want full or failures", storage.ErrInvalid)
	case ch.IgnoreEventTypes != nil:
		if err := gateway.CheckEventTypes(*ch.IgnoreEventTypes); err != nil {
			return fmt.Errorf("ignore_%w", err)
		}
	}
	return nil
}

// checkLogin returns an error wrapping storage.ErrInvalid if no Basic authorization can
// carry l (RFC 7617, section 2: no colon in the name, no control character).
func checkLogin(l provider.Login) error {
	if strings.Contains(l.Name, ":") {
		return fmt.Errorf("basic.login: %w: want no colon in it", storage.ErrInvalid)
	}
	return cmp.Or(gateway.CheckText("basic.login", l.Name, 1, 2*gateway.MaxName), gateway.CheckText("basic.password", l.Password, 1, 2*gateway.MaxName-len(l.Name)))
}

func (u UpstreamChange) check() error {
	err := given(u.APIKey, func(key string) error { return gateway.CheckText("upstream.api_key", key, 0, gateway.MaxName) })
	if err != nil || u.BaseURL == nil || *u.BaseURL == "" {
		return err
	}
	at, err := url.Parse(*u.BaseURL)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || len(*u.BaseURL) > 2048 {
		return fmt.Errorf("upstream.base_url: %w: want an http or https URL without login and password", storage.ErrInvalid)
	}
	return nil
}

// allowed reads what may call: a prefix, or an address alone, which is how
// Direct's page names the one that it calls from.
func allowed(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return a.Prefix(a.BitLen())
	}
	return netip.ParsePrefix(text)
}

// prefixes returns what may call as prefixes alone.
func prefixes(allow []string) ([]string, error) {
	out := make([]string, 0, len(allow))
	for _, text := range allow {
		p, err := allowed(text)
		if err != nil {
			return nil, fmt.Errorf("allow: %w: want addresses such as 192.0.2.1, or prefixes such as 192.0.2.0/24", storage.ErrInvalid)
		}
		out = append(out, p.String())
	}
	return out, nil
}

// CreateSource makes a source under id and its first callback key, without a label. The error wraps
// storage.ErrInvalid, or storage.ErrConflict if another source has the SDKAppID.
func (ss *sources) CreateSource(ctx context.Context, id string, ch SourceChange) (gateway.Source, error) {
	s := gateway.Source{ID: id, Provider: ch.Provider, Created: ss.gw.Clock()}
	switch {
	case ss.gw.Providers[ch.Provider] == nil:
		return s, fmt.Errorf("provider: %w: want %s", storage.ErrInvalid, strings.Join(slices.Sorted(maps.Keys(ss.gw.Providers)), ", "))
	case ch.Name == nil:
		return s, fmt.Errorf("name: %w: want 1 to %d bytes", storage.ErrInvalid, gateway.MaxName)
	case ch.Provider == tencentChat && ch.SDKAppID == nil:
		return s, fmt.Errorf("sdk_app_id: %w: want the number of the application", storage.ErrInvalid)
	}
	if err := ch.check(s.Provider); err != nil {
		return s, err
	}
	if err := ss.ReserveSDKAppID(ctx, s, ch); err != nil {
		return s, err
	}
	s = ss.changed(s, ch)
	if err := ss.PutLinked(ctx, gateway.ListKey("sources", id), gateway.SourceKey(id), id, s); err != nil {
		return s, err
	}
	if _, _, err := ss.CreateCallbackKey(ctx, ident.From("cbk", time.Time{}, "first "+id), id, ""); err != nil {
		return s, err
	}
	return s, ss.gw.Publish(ctx, id)
}

// CheckSource returns an error wrapping storage.ErrInvalid unless s could be made.
func (ss *sources) CheckSource(s gateway.Source) error {
	if ss.gw.Providers[s.Provider] == nil {
		return fmt.Errorf("provider: %w: there is no such provider here", storage.ErrInvalid)
	}
	ch := SourceChange{Name: &s.Name, IgnoreEventTypes: &s.IgnoreEventTypes}
	if s.History != "" {
		ch.History = &s.History
	}
	if s.SDKAppID != 0 {
		ch.SDKAppID = &s.SDKAppID
	}
	if s.Allow != nil {
		ch.Allow = &s.Allow
	}
	if s.Upstream != (gateway.Upstream{}) {
		ch.Upstream = &UpstreamChange{BaseURL: &s.Upstream.BaseURL}
	}
	return ch.check(s.Provider)
}

// changed returns s as ch wants it, its secrets sealed.
func (ss *sources) changed(s gateway.Source, ch SourceChange) gateway.Source {
	pk, now := gateway.SourceKey(s.ID).PK, ss.gw.Clock()
	if ch.Name != nil {
		s.Name = strings.TrimSpace(*ch.Name)
	}
	assign(&s.SDKAppID, ch.SDKAppID)
	if ch.Token != nil {
		s.Tokens = []keyring.Secret{{Sealed: ss.gw.Keys.Seal(pk, "token", *ch.Token), Since: now}}
	}
	if ch.Basic != nil {
		s.Basic = []keyring.Secret{{Sealed: ss.gw.Keys.Seal(pk, "basic", loginText(*ch.Basic)), Since: now}}
	}
	if ch.Allow != nil {
		s.Allow, _ = prefixes(*ch.Allow) // they were checked
	}
	if ch.Upstream != nil {
		s.Upstream = ss.upstream(pk, s.Upstream, *ch.Upstream)
	}
	assign(&s.IgnoreEventTypes, ch.IgnoreEventTypes)
	assign(&s.History, ch.History)
	return s
}

func (ss *sources) upstream(pk string, u gateway.Upstream, ch UpstreamChange) gateway.Upstream {
	assign(&u.BaseURL, ch.BaseURL)
	switch key := ch.APIKey; {
	case key == nil || *key == hiddenText:
	case *key == "":
		u.APIKey = ""
	default:
		u.APIKey = ss.gw.Keys.Seal(pk, "upstream", *key)
	}
	return u
}

func loginText(l provider.Login) string {
	b, _ := json.Marshal(l) // two strings cannot fail
	return string(b)
}

// ReserveSDKAppID reserves the SDKAppID in ch for s. Two sources with one SDKAppID would each accept the other's
// callbacks.
func (ss *sources) ReserveSDKAppID(ctx context.Context, s gateway.Source, ch SourceChange) error {
	if ch.SDKAppID == nil || *ch.SDKAppID == s.SDKAppID {
		return nil
	}
	err := ss.reserveName(ctx, gateway.SDKAppIDKey(*ch.SDKAppID), s.ID, gateway.SourceKey)
	if errors.Is(err, storage.ErrConflict) {
		return fmt.Errorf("sdk_app_id: %w: another source has it", storage.ErrConflict)
	}
	return err
}

// Source returns a source.
func (ss *sources) Source(ctx context.Context, id string) (gateway.Source, error) {
	s, _, err := storage.Load[gateway.Source](ctx, ss.gw.Store, gateway.SourceKey(id))
	if err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	return s, nil
}

// Sources returns a page of all sources.
func (ss *sources) Sources(ctx context.Context, at storage.PageRequest) ([]gateway.Source, string, error) {
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.ListKey("sources", "").PK}, "")
	return storage.ListPage(ctx, ss.gw.Store, q, func(r storage.Row) (gateway.Source, error) { return ss.Source(ctx, r.SK) })
}

// ChangeSource changes a source. Token and Basic are changed by rotating them.
func (ss *sources) ChangeSource(ctx context.Context, id string, ch SourceChange) (gateway.Source, error) {
	before, err := ss.Source(ctx, id)
	if err != nil {
		return before, err
	}
	if err := ch.check(before.Provider); err != nil {
		return before, err
	}
	if err := ss.ReserveSDKAppID(ctx, before, ch); err != nil {
		return before, err
	}
	s, err := ss.changeSource(ctx, id, func(s *gateway.Source) error {
		after := ss.changed(*s, ch)
		if u := after.Upstream; u.APIKey != "" && u.APIKey == s.Upstream.APIKey && u.BaseURL != "" && u.BaseURL != s.Upstream.BaseURL && !egress.SameOrigin(u.BaseURL, s.Upstream.BaseURL) {
			return fmt.Errorf("upstream: %w: a base_url with another scheme, host or port needs its api_key again", storage.ErrInvalid)
		}
		*s = after
		return nil
	})
	if err != nil || s.SDKAppID == before.SDKAppID || before.SDKAppID == 0 {
		return s, err
	}
	return s, ss.FreeName(ctx, gateway.SDKAppIDKey(before.SDKAppID), id)
}

func (ss *sources) changeSource(ctx context.Context, id string, f func(*gateway.Source) error) (gateway.Source, error) {
	s, err := storage.Change(ctx, ss.gw.Store, gateway.SourceKey(id), func(s *gateway.Source, _ *storage.Row) error {
		if s.ID == "" {
			return fmt.Errorf("source: %w", storage.ErrNotFound)
		}
		return f(s)
	})
	if err != nil {
		return s, err
	}
	return s, ss.gw.Publish(ctx, id)
}
