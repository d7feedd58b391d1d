// Package provider is the contract between the gateway and the services that call it back. A Provider (provider.go)
// verifies a Callback, splits it into Items and makes the Reply (reply.go) to its result, nil or an error (errors.go).
// Each Item becomes an Event (event.go), which the Provider encodes as the body of deliveries.
//
// A new provider is a folder below, which imports this package and, where useful, form, item and jsonscan. Package all
// lists it, and package providertest tests it.
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
	Query    string      // raw, verbatim
	Header   http.Header // canonical names
	Body     []byte      // verbatim; see Read
	From     netip.Addr  // the caller's address; invalid if unknown
	Received time.Time   // UTC

	// Read fetches the Body, once source, key and method are known to be right; nil: Body is there. Its error wraps
	// one of this package's.
	Read func() ([]byte, error)
}

// Credentials are what a source's callers must prove, decrypted. Each list holds what is valid now; an empty one asks
// for no such proof.
type Credentials struct {
	SDKAppID uint64         // tencent-chat
	Tokens   []string       // tencent-chat: the console's authentication tokens
	Basic    []Login        // direct
	Allow    []netip.Prefix // direct: addresses that may call; empty: all
}

// A Login is a name and password of HTTP Basic authorization.
type Login struct{ Name, Password string }

// An Item is one thing that a callback reports, before it is stored as an Event.
type Item struct {
	Type          string              // the provider's name for it, verbatim; or <provider>.unnamed, <provider>.unreadable
	NaturalKey    string              // equal in repeats of this item, and in no other of the source and label; empty: there is none
	StableTime    time.Time           // a time that is part of NaturalKey; zero: NaturalKey counts only if UniqueForever
	UniqueForever bool                // the provider never uses NaturalKey again, which has no time
	Time          time.Time           // when it happened, by the provider; zero: unknown
	Keys          map[string][]string // routing keys without label
	Payload       []byte              // the item's own bytes, a part of Callback.Body, verbatim
	Unreadable    bool                // set aside: the operator sees it, no tenant gets it
}

// A Reading is what Parse found in a callback. Its texts, and those of its items, are UTF-8 within
// MaxContentTypeBytes, MaxQueryBytes, MaxKeysBytes and MaxEventTypeBytes.
type Reading struct {
	Items       []Item // may be empty: nothing to store
	ContentType string // of each item; for raw deliveries
	Query       string // documented parameters without proofs such as Sign and RequestTime; raw
}

// A Reply is the HTTP response that a provider expects.
type Reply struct {
	StatusCode  int
	ContentType string // empty: no body
	Header      map[string]string
	Body        []byte
}

// A RawRequest is an event as its provider would have sent it alone.
type RawRequest struct {
	Query       string // raw; appended to the endpoint's own
	ContentType string
	Body        []byte
}

// A Provider knows one kind of upstream: who may call, what is reported, which response is expected. It holds no state
// and does no I/O. providertest.Provider tests what must hold.
type Provider interface {
	// Verify returns nil if cb proves that it comes from the account of c, otherwise an error wrapping ErrSignature,
	// ErrUnauthorized, ErrForbidden or ErrUnreadable, which quotes neither the expected nor the given proof.
	Verify(cb *Callback, c Credentials) error

	// Parse splits cb into items. The error wraps ErrUnreadable if nothing in cb is usable. Parse must not change cb,
	// and may keep nothing of it except parts of Body.
	Parse(cb *Callback) (Reading, error)

	// Reply returns the response to a callback that ended with err; nil is success. It holds nothing of the callback.
	Reply(err error) Reply

	// Data returns e's payload as the JSON value data of a standard delivery.
	Data(e *Event) (json.RawMessage, error)

	// Parameters returns the JSON object parameters of a standard delivery; nil if the provider has none.
	Parameters(e *Event) (json.RawMessage, error)

	// Raw returns e as the provider would have sent it alone at now. A provider that signs does so with token, unless
	// token is empty.
	Raw(e *Event, token string, now time.Time) RawRequest

	// KeyKinds returns the kinds of routing keys that its items can have, without label.
	KeyKinds() []string

	// EventTypes returns the documented event types; others may occur.
	EventTypes() []EventType

	// DefaultEventTypes are those of a registration without event_types; nil if it must name some.
	DefaultEventTypes() []string

	// Decides reports whether the provider waits for a decision on events of this type, which a tenant cannot give.
	Decides(eventType string) bool
}
