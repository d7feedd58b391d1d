package api

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// A validity is the time in which one of several secrets holds.
type validity struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero" doc:"when it ends; absent: it is the current one"`
}

func (s *server) validities(secrets []keyring.Secret) []validity {
	var out []validity
	for _, secret := range s.control.ValidSecrets(secrets) {
		out = append(out, validity{secret.Since, secret.Until})
	}
	return out
}

type upstream struct {
	APIKey  *string `json:"api_key,omitempty" doc:"write-only; shown as ***, which sent back means unchanged"`
	BaseURL *string `json:"base_url,omitempty" doc:"empty: SmartBots' own"`
}

type login struct {
	Login    string `json:"login"`
	Password string `json:"password"`
}

// A source is a source as the operator sees it; tenants see the first fields.
type source struct {
	ID         string              `json:"id"`
	Provider   string              `json:"provider"`
	Name       string              `json:"name"`
	EventTypes []eventType         `json:"event_types,omitempty" doc:"the documented ones; others occur"`
	Match      map[string][]string `json:"match,omitempty" doc:"of the tenant's grant; absent: the whole source"`
	Matches    []gateway.Match     `json:"matches,omitempty" doc:"of the tenant's grants, if there are several"`

	Created          time.Time  `json:"created,omitzero"`
	CallbackURL      string     `json:"callback_url,omitempty" doc:"of the oldest callback key; a secret"`
	SDKAppID         uint64     `json:"sdk_app_id,omitempty"`
	Tokens           []validity `json:"tokens,omitempty"`
	Basic            []validity `json:"basic,omitempty"`
	Allow            []string   `json:"allow,omitempty"`
	Upstream         *upstream  `json:"upstream,omitempty"`
	IgnoreEventTypes []string   `json:"ignore_event_types,omitempty"`
	History          string     `json:"history,omitempty"`
	Note             string     `json:"note,omitempty"`
}

type eventType struct {
	Name   string          `json:"name"`
	About  string          `json:"about"`
	Sample json.RawMessage `json:"sample,omitempty"`
}

func (s *server) eventTypes(provider string) []eventType {
	p := s.g.Providers[provider]
	if p == nil {
		return nil
	}
	var out []eventType
	for _, t := range p.EventTypes() {
		out = append(out, eventType{t.Name, t.About, t.Sample})
	}
	return out
}

// sourceView returns src as the operator sees it: secrets only with their validity, or as ***.
func (s sourceAPI) sourceView(ctx context.Context, src gateway.Source) (source, error) {
	url, err := s.control.FirstCallbackURL(ctx, src)
	v := source{
		ID: src.ID, Provider: src.Provider, Name: src.Name, Created: src.Created, CallbackURL: url, SDKAppID: src.SDKAppID,
		Tokens: s.validities(src.Tokens), Basic: s.validities(src.Basic), Allow: src.Allow,
		IgnoreEventTypes: src.IgnoreEventTypes, History: "full",
	}
	if src.History != gateway.FullHistory {
		v.History = string(src.History)
	}
	if src.Upstream != (gateway.Upstream{}) {
		v.Upstream = &upstream{BaseURL: &src.Upstream.BaseURL}
		if src.Upstream.APIKey != "" {
			v.Upstream.APIKey = new(hidden)
		}
	}
	return v, err
}

// hidden is shown in place of a write-only value.
const hidden = "***"

// grantedView shows a source to a tenant.
func (s sourceAPI) grantedView(g control.GrantedSource) source {
	v := source{ID: g.ID, Provider: g.Provider, Name: g.Name, EventTypes: s.eventTypes(g.Provider)}
	if len(g.Matches) == 1 {
		v.Match = g.Matches[0]
		return v
	}
	for _, m := range g.Matches {
		if m == nil { // one grant of the whole source makes the others say nothing
			return v
		}
		v.Matches = append(v.Matches, m)
	}
	return v
}

// A SourceFields holds the fields of a source that can be set and changed.
type SourceFields struct {
	Name             *string   `json:"name,omitempty"`
	SDKAppID         *uint64   `json:"sdk_app_id,omitempty" doc:"tencent-chat"`
	Allow            *[]string `json:"allow,omitempty" doc:"direct: addresses and prefixes that may call; empty: all"`
	Upstream         *upstream `json:"upstream,omitempty" doc:"smartbots: the account with which unknown groups and security codes are looked up"`
	IgnoreEventTypes *[]string `json:"ignore_event_types,omitempty" doc:"acknowledged and counted, not stored; * may end an entry"`
	History          *string   `json:"history,omitempty" doc:"full or failures"`
}

type newSource struct {
	Provider string  `json:"provider"`
	Token    *string `json:"token,omitempty" doc:"tencent-chat: the authentication token of the console"`
	Basic    *login  `json:"basic,omitempty" doc:"direct: the login and password that callbacks must bring"`
	SourceFields
}

func (f SourceFields) change() control.SourceChange {
	ch := control.SourceChange{
		Name: f.Name, SDKAppID: f.SDKAppID, Allow: f.Allow, Upstream: (*control.UpstreamChange)(f.Upstream), IgnoreEventTypes: f.IgnoreEventTypes,
	}
	if f.History != nil {
		h := gateway.History(*f.History)
		if h == "full" {
			h = gateway.FullHistory
		}
		ch.History = &h
	}
	return ch
}

type createSourceInput struct {
	Once
	Body newSource
}

func (s sourceAPI) createSource(ctx context.Context, _ control.Caller, in *createSourceInput) (*created[source], error) {
	ch := in.Body.change()
	ch.Provider, ch.Token = in.Body.Provider, in.Body.Token
	if in.Body.Basic != nil {
		ch.Basic = &provider.Login{Name: in.Body.Basic.Login, Password: in.Body.Basic.Password}
	}
	made, err := createOnce(ctx, s.server, in.Once, "src", in, func(id string) (gateway.Source, error) {
		return s.control.CreateSource(ctx, id, ch)
	}, func(id string) (gateway.Source, error) {
		return s.control.Source(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	v, err := s.sourceView(ctx, made.Body)
	return &created[source]{made.Replayed, v}, err
}

func (s sourceAPI) listSources(ctx context.Context, c control.Caller, in *ListParameters) (*body[page[source]], error) {
	if c.Scope != control.ScopeOperator {
		granted, err := s.control.GrantedSources(ctx, c.Tenant)
		return pageOf(granted, "", s.grantedView), err
	}
	found, next, err := s.control.Sources(ctx, in.pageRequest())
	out := pageOf(found, next, func(src gateway.Source) source {
		v, viewErr := s.sourceView(ctx, src)
		if viewErr != nil {
			err = viewErr
		}
		return v
	})
	return out, err
}

func (s sourceAPI) getSource(ctx context.Context, c control.Caller, in *ByID) (*body[source], error) {
	if c.Scope != control.ScopeOperator {
		granted, err := s.control.GrantedSources(ctx, c.Tenant)
		for _, g := range granted {
			if g.ID == in.ID {
				return &body[source]{s.grantedView(g)}, err
			}
		}
		return nil, cmp.Or(err, storage.ErrNotFound)
	}
	src, err := s.control.Source(ctx, in.ID)
	return s.shown(ctx, src, err)
}

// shown returns a source as it stands, to the operator.
func (s sourceAPI) shown(ctx context.Context, src gateway.Source, err error) (*body[source], error) {
	if err != nil {
		return nil, err
	}
	v, err := s.sourceView(ctx, src)
	v.EventTypes = s.eventTypes(src.Provider)
	return &body[source]{v}, err
}

type changeSourceInput struct {
	ByID
	Body SourceFields
}

func (s sourceAPI) changeSource(ctx context.Context, _ control.Caller, in *changeSourceInput) (*body[source], error) {
	src, err := s.control.ChangeSource(ctx, in.ID, in.Body.change())
	return s.shown(ctx, src, err)
}

type deleteSourceInput struct {
	ByID
	Force bool `query:"force" doc:"remove its registrations too"`
}

func (s sourceAPI) deleteSource(ctx context.Context, _ control.Caller, in *deleteSourceInput) (*empty, error) {
	return nil, s.control.DeleteSource(ctx, in.ID, in.Force)
}

type rotateTokenInput struct {
	ByID
	Body struct {
		Token   string `json:"token"`
		Overlap string `json:"overlap,omitempty" doc:"how long the old one stays valid; default 24h"`
	}
}

func (s sourceAPI) rotateToken(ctx context.Context, _ control.Caller, in *rotateTokenInput) (*body[source], error) {
	overlap, err := duration("overlap", in.Body.Overlap, control.DefaultOverlap)
	if err != nil {
		return nil, err
	}
	src, err := s.control.RotateToken(ctx, in.ID, in.Body.Token, overlap)
	return s.shown(ctx, src, err)
}

type rotateBasicInput struct {
	ByID
	Body struct {
		Basic   login  `json:"basic"`
		Overlap string `json:"overlap,omitempty" doc:"how long the old ones stay valid; default 720h"`
	}
}

func (s sourceAPI) rotateBasic(ctx context.Context, _ control.Caller, in *rotateBasicInput) (*body[source], error) {
	overlap, err := duration("overlap", in.Body.Overlap, control.DirectOverlap)
	if err != nil {
		return nil, err
	}
	src, err := s.control.RotateBasic(ctx, in.ID, provider.Login{Name: in.Body.Basic.Login, Password: in.Body.Basic.Password}, overlap)
	return s.shown(ctx, src, err)
}
