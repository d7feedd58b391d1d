package provider

import "time"

// Limits on what is accepted, the same on both backends.
const (
	MaxCallbackBytes   = 4 << 20   // of a callback's body
	MaxPayloadBytes    = 256 << 10 // of one event
	MaxUnreadableBytes = 4 << 10   // of an item that was set aside
	MaxItems           = 10_000    // of a callback
	MaxUnreadable      = 20        // items of a callback that are set aside; one more counts the rest
)

// Limits on a Reading besides payloads, so that an event's row holds both: JSON may need six bytes for one.
const (
	MaxContentTypeBytes = 1 << 10
	MaxQueryBytes       = 4 << 10
	MaxKeysBytes        = 8 << 10 // all values of an item's routing keys
)

// An Event is one thing that happened.
type Event struct {
	ID          string              // evt_…: idempotency key, row key, sorts by time
	Source      string              // src-…
	Provider    string              // smartbots, tencent-chat, direct
	Label       string              // of the callback key; may be empty
	Type        string              // the provider's name for it, verbatim
	Received    time.Time           // when the callback arrived; UTC, to the millisecond
	Time        time.Time           // when it happened, by the provider; zero: unknown
	Keys        map[string][]string // routing keys, label included
	ContentType string              // of Payload
	Query       string              // Reading.Query
	Payload     []byte              // verbatim
	Via         []string            // gateways that it passed, the first one first
	Unreadable  bool                // set aside; for the operator alone
	Recipient   string              // the only registration that gets it; empty: all that match
	Tenant      string              // of an operational event: whom it concerns
}

const (
	MaxEventTypeBytes = 200
	MaxMatchValue     = 1024
)
