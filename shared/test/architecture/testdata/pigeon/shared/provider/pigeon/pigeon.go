// Package pigeon speaks with Pigeon Post, which calls back when a pigeon lands.
package pigeon

import (
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"ringback/shared/provider"
	"ringback/shared/provider/item"
)

const name = "pigeon"

// Provider is Pigeon Post.
type Provider struct{}

// Verify reports whether cb brings the login of the source as HTTP Basic
// authorization. The error wraps provider.ErrUnauthorized.
func (Provider) Verify(cb *provider.Callback, c provider.Credentials) error {
	login, password, _ := (&http.Request{Header: cb.Header}).BasicAuth()
	for _, l := range c.Basic {
		if hmac.Equal([]byte(login+":"+password), []byte(l.Name+":"+l.Password)) {
			return nil
		}
	}
	return provider.ErrUnauthorized
}

// Parse reads one JSON object. It has no id, so its bytes with the time in them
// are its natural key.
func (Provider) Parse(cb *provider.Callback) (provider.Reading, error) {
	var p struct {
		Event, Loft string
		At          time.Time
	}
	if !item.Usable(cb.Body) || json.Unmarshal(cb.Body, &p) != nil {
		return provider.Reading{}, fmt.Errorf("body: %w: want an object", provider.ErrUnreadable)
	}
	it := provider.Item{
		Type: item.Type(name, p.Event), NaturalKey: item.Hash(cb.Body), StableTime: item.Time(p.At), Time: item.Time(p.At), Keys: map[string][]string{}, Payload: cb.Body,
	}
	item.AddKey(it.Keys, "loft", p.Loft)
	return provider.Reading{Items: []provider.Item{it}, ContentType: item.ContentType(cb, "application/json")}, nil
}

// Reply answers with the status alone.
func (Provider) Reply(err error) provider.Reply { return provider.ReplyFor(err) }

// Data returns the payload's own bytes.
func (Provider) Data(e *provider.Event) (json.RawMessage, error) { return item.JSON(e) }

// Parameters returns nil: there are none.
func (Provider) Parameters(*provider.Event) (json.RawMessage, error) { return nil, nil }

// Raw returns what came.
func (Provider) Raw(e *provider.Event, _ string, _ time.Time) provider.RawRequest {
	return provider.RawRequest{Query: e.Query, ContentType: e.ContentType, Body: e.Payload}
}

// KeyKinds returns the loft.
func (Provider) KeyKinds() []string { return []string{"loft"} }

// EventTypes returns the one that there is.
func (Provider) EventTypes() []provider.EventType {
	return []provider.EventType{{
		Name: "pigeon.landed", About: "A pigeon came home.",
		Sample: json.RawMessage(`{"event":"pigeon.landed","loft":"North Tower","at":"2026-03-01T09:15:09Z"}`),
	}}
}

// DefaultEventTypes returns all.
func (Provider) DefaultEventTypes() []string { return []string{"*"} }

// Decides returns false: Pigeon Post waits for nothing.
func (Provider) Decides(string) bool { return false }
