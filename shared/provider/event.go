package provider

import "time"

// Limits on what is taken in, the same on both backends.
const (
	MaxCallbackBytes   = 4 << 20   // of a callback's body
	MaxPayloadBytes    = 256 << 10 // of one event
	MaxUnreadableBytes = 4 << 10   // of an item that was set aside
	MaxItems           = 10_000    // of a callback
	MaxUnreadable      = 20        // of its items that are set aside; one more says how many others there were
)

// Limits on what a Reading tells of an item besides its payload, so that the
// event's row holds both: JSON makes up to six bytes of one.
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
	Label       string              // of the callback key that was called; may be empty
	Type        string              // the provider's own name, verbatim
	Received    time.Time           // when the callback came; UTC, to the millisecond
	Time        time.Time           // when it happened, by the provider; zero: unknown
	Keys        map[string][]string // routing keys, label included
	ContentType string              // of Payload
	Query       string              // Reading.Query
	Payload     []byte              // verbatim
	Via         []string            // gateways that it came through, the first one first
	Unreadable  bool                // set aside; for the operator alone
	Recipient   string              // the one registration it is for; empty: all that match
	Tenant      string              // of an operational event: the tenant it is for
}

const (
	MaxEventTypeBytes = 200
	MaxMatchValue     = 1024
)
