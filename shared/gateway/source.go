package gateway

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"ringback/shared/keyring"
	"ringback/shared/provider"
)

// A Source is one configured account at a provider, as its row holds it.
type Source struct {
	ID       string    `json:"id"`
	Provider string    `json:"provider"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`

	SDKAppID uint64           `json:"sdk_app_id,omitempty"` // tencent-chat
	Tokens   []keyring.Secret `json:"tokens,omitempty"`     // tencent-chat; sealed field "token"
	Basic    []keyring.Secret `json:"basic,omitempty"`      // direct; sealed field "basic": JSON of a Login
	Allow    []string         `json:"allow,omitempty"`      // direct: prefixes that may call
	Upstream Upstream         `json:"upstream,omitzero"`    // smartbots

	IgnoreEventTypes []string `json:"ignore_event_types,omitempty"` // acknowledged, counted, not queued; patterns
	History          History  `json:"history,omitempty"`
}

// History says which of a source's deliveries have rows: all, or the failed ones.
type History string

const (
	FullHistory    History = ""         // every event and delivery
	FailureHistory History = "failures" // what was not delivered at once
)

// An Upstream is the developer account at SmartBots with which unknown groups and codes are asked for.
type Upstream struct {
	APIKey  string `json:"api_key,omitempty"`  // sealed field "upstream"
	BaseURL string `json:"base_url,omitempty"` // empty: SmartBots' own
}

// A CallbackKey is one unguessable URL of a source. A rotated key has two rows with one id until the old one ends.
type CallbackKey struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Label   string    `json:"label,omitempty"`
	Sealed  string    `json:"sealed"` // field "callback_key"
	Created time.Time `json:"created"`
	Until   time.Time `json:"until,omitzero"`
}

// credentials opens what a caller of the source must prove at now.
func (s Source) credentials(keys *keyring.Ring, now time.Time) (provider.Credentials, error) {
	c := provider.Credentials{SDKAppID: s.SDKAppID}
	var err error
	pk := SourceKey(s.ID).PK
	if c.Tokens, err = keys.OpenValid(pk, "token", s.Tokens, now); err != nil {
		return c, err
	}
	logins, err := keys.OpenValid(pk, "basic", s.Basic, now)
	if err != nil {
		return c, err
	}
	for _, text := range logins {
		var l provider.Login
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return c, fmt.Errorf("basic of %s: not a login", s.ID)
		}
		c.Basic = append(c.Basic, l)
	}
	for _, text := range s.Allow {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return c, fmt.Errorf("allow of %s: %w", s.ID, err)
		}
		c.Allow = append(c.Allow, p)
	}
	return c, nil
}
