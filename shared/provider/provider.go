// Package provider is the contract between the gateway and those who call it back. A Provider (provider.go) says of a
// Callback whether it is genuine, which Items are in it and how it wants to be answered; errors.go and reply.go tell it
// what became of it. What was taken in is an Event (event.go), which a Provider writes as a delivery's body.
//
// A new provider is a folder below, which imports this package and, if they help, form, item and jsonscan;
// package all lists it, and package providertest proves it.
package provider

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"time"
)

// A Callback is one HTTP request from a provider.
type Callback struct {
	Method   string
	Query    string      // raw, as it came
	Header   http.Header // canonical names
	Body     []byte      // as it came
	From     netip.Addr  // who called; invalid if unknown
	Received time.Time   // UTC

	// Read reads Body, which is done once source, key and method are right; nil: it
	// is there. Its error wraps one of this package's.
	Read func() ([]byte, error)
}

// Credentials are what a source's caller must prove, opened, each list holding
// those that are valid now. An empty list asks for no proof of that kind.
type Credentials struct {
	SDKAppID uint64         // tencent-chat
	Tokens   []string       // tencent-chat: the console's authentication token; others
	Basic    []Login        // direct, others
	Allow    []netip.Prefix // direct: addresses that may call; empty: all; others
}

// A Login is a name and password of HTTP Basic authorization.
type Login struct{ Name, Password string }

// An Item is one thing that a callback reports, before it is an Event.
type Item struct {
	Type          string              // the provider's own name, verbatim; <provider>.unnamed or <provider>.unreadable
	NaturalKey    string              // the same for a repeat and only for it within the source and label; empty: there is none
	StableTime    time.Time           // a time that is part of NaturalKey; zero: there is none, and NaturalKey counts only if it is unique for ever
	UniqueForever bool                // the provider says that NaturalKey, which has no time, is never used again
	Time          time.Time           // when it happened, by the provider; zero: unknown
	Keys          map[string][]string // routing keys but label
	Payload       []byte              // the item's own bytes, verbatim; part of Callback.Body
	Unreadable    bool                // set aside: the operator sees it, no tenant gets it
}

// A Reading is what a Provider found in a callback. Its texts, and those of its items, are UTF-8 within
// MaxContentTypeBytes, MaxQueryBytes, MaxKeysBytes and MaxEventTypeBytes.
type Reading struct {
	Items       []Item // may be empty: acknowledged, nothing to store
	ContentType string // of each item; for raw deliveries
	Query       string // the documented query parameters without proofs (Sign, RequestTime); raw
}

// A Reply is the answer that a provider expects.
type Reply struct {
	StatusCode  int
	ContentType string // empty: no body
	Header      map[string]string
	Body        []byte
}

// A RawRequest is an event as its provider would have sent it alone.
type RawRequest struct {
	Query       string // to be put after the endpoint's own; raw
	ContentType string
	Body        []byte
}

// A Provider knows one kind of upstream: who may call, what it says, how it wants to be answered. It holds no
// state and does no I/O. providertest.Provider tells what must hold.
type Provider interface {
	// Verify returns nil if cb proves that it comes from the account of c, else an error wrapping
	// ErrSignature, ErrUnauthorized, ErrForbidden or ErrUnreadable, without what was wanted or got.
	Verify(cb *Callback, c Credentials) error

	// Parse splits cb into items. The error wraps ErrUnreadable if nothing in cb can be
	// used. It neither changes cb nor keeps anything but its Body.
	Parse(cb *Callback) (Reading, error)

	// Reply answers a callback of which err became; nil is success. It holds nothing of the callback.
	Reply(err error) Reply

	// Data returns e's payload as the JSON value data of a standard delivery.
	Data(e *Event) (json.RawMessage, error)

	// Parameters returns the JSON object parameters of a standard delivery; nil if the provider has none.
	Parameters(e *Event) (json.RawMessage, error)

	// Raw returns e as the provider would have sent it alone at now. A provider
	// that signs does so with token unless that is empty.
	Raw(e *Event, token string, now time.Time) RawRequest

	// KeyKinds returns the routing keys that its items can have, label excepted.
	KeyKinds() []string

	// EventTypes returns the documented events; others occur.
	EventTypes() []EventType

	// DefaultEventTypes is what a registration without event_types gets; nil if it must name some.
	DefaultEventTypes() []string

	// Decides reports whether the provider waits for a decision on events of
	// this type, which a tenant's answer cannot give.
	Decides(eventType string) bool
}
