package gateway

import (
	"cmp"
	"slices"
	"time"

	"ringback/shared/keyring"
	"ringback/shared/limiter"
	"ringback/shared/provider"
	"ringback/shared/schedule"
)

// A State says whether a registration receives events.
type State string

const (
	Enabled  State = "enabled"
	Disabled State = "disabled" // events are held
	Removed  State = "removed"  // a tombstone: deliveries stay listable
)

// A Format is the form of a delivery.
type Format string

const (
	Standard Format = "standard" // Standard Webhooks 1.0
	Raw      Format = "raw"      // as the provider sends it
)

// An Endpoint is where a registration's deliveries go. URL and header values may hold credentials, so they are
// encrypted; people see RedactedURL.
type Endpoint struct {
	URL         string            `json:"url"`               // sealed field "url"
	RedactedURL string            `json:"shown"`             // egress.Redact of the URL
	Headers     map[string]string `json:"headers,omitempty"` // canonical name → sealed field "header"
	ConsentedAt time.Time         `json:"proven,omitzero"`   // when the endpoint consented to deliveries under this URL; zero: it did not
}

// A Registration is an endpoint with a subscription: which events of a source a tenant wants, and where to.
type Registration struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Source      string    `json:"source"`
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	Rev         int       `json:"rev"` // grows with every change

	State  State     `json:"state"`
	Reason string    `json:"why,omitempty"`  // why it is disabled or removed
	Since  time.Time `json:"since,omitzero"` // of the state

	Indexed time.Time `json:"indexed,omitzero"` // when its index entries last changed

	EventTypes []string          `json:"event_types"` // patterns; never empty
	Match      Match             `json:"match,omitempty"`
	Endpoint   Endpoint          `json:"endpoint"`
	Format     Format            `json:"format"`
	Schedule   schedule.Schedule `json:"schedule"`
	Timeout    time.Duration     `json:"timeout,omitempty"` // of one attempt; zero: 15 s
	Secrets    []keyring.Secret  `json:"secrets"`           // whsec_; sealed field "secret"
	RawTokens  []keyring.Secret  `json:"raw_tokens,omitempty"`

	// Limits that the tenant asked for, within those of Limits; zero: none.
	Rate        float64 `json:"rate,omitempty"`        // deliveries/s
	Concurrency int     `json:"concurrency,omitempty"` // POSTs at once

	Ordered bool   `json:"ordered,omitempty"` // one delivery at a time per group
	Release string `json:"release,omitempty"` // of an ordered one: the job that puts held deliveries back into the lanes, which are blocked until then

	// Of a registration made by set_http_callback.
	Group    string `json:"group,omitempty"`     // id
	GroupRev int    `json:"group_rev,omitempty"` // the security code's revision that it was made with
	AppName  string `json:"app_name,omitempty"`
	AppUUID  string `json:"app_uuid,omitempty"` // never shown to the group's owner
}

// Wants reports whether r asks for e. Whether it may have e is decided by eligibility.
func (r *Registration) Wants(e *provider.Event) bool {
	if e.Recipient != "" {
		return e.Recipient == r.ID
	}
	if OwnEvent(e) {
		return r.Source == e.Source && (r.Tenant == e.Tenant || aboutSource(e)) && WantsType(r.EventTypes, e.Type)
	}
	return !e.Unreadable && r.Source == e.Source && WantsType(r.EventTypes, e.Type) && r.Match.Accepts(e.Keys)
}

// An IndexEntry is an entry of the match index: a routing key and an event type pattern.
type IndexEntry struct{ RoutingKey, Pattern string }

func compareIndexEntries(a, b IndexEntry) int {
	return cmp.Or(cmp.Compare(a.RoutingKey, b.RoutingKey), cmp.Compare(a.Pattern, b.Pattern))
}

// indexKeys returns the routing keys that r is indexed under, without duplicates.
func (r *Registration) indexKeys() []string {
	kind := r.Match.indexKind()
	if kind == "" {
		return []string{"*"}
	}
	keys := make([]string, len(r.Match[kind]))
	for i, v := range r.Match[kind] {
		keys[i] = kind + "=" + v
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// TooManyIndexEntries reports whether r has more than MaxIndexEntries, without making them.
func (r *Registration) TooManyIndexEntries() bool {
	keys, n := len(r.indexKeys()), 0
	for _, p := range r.EventTypes {
		if slices.Contains(operational, p) {
			n++
		} else {
			n += keys
		}
	}
	return n > MaxIndexEntries
}

// IndexEntries returns the index entries of r.
func (r *Registration) IndexEntries() []IndexEntry {
	keys := r.indexKeys()
	var out []IndexEntry
	for _, p := range r.EventTypes {
		if slices.Contains(operational, p) {
			out = append(out, IndexEntry{"*", p}) // operational events have no routing keys
			continue
		}
		for _, k := range keys {
			out = append(out, IndexEntry{k, p})
		}
	}
	slices.SortFunc(out, compareIndexEntries)
	return slices.Compact(out)
}

// PublishedEntries returns the index entries that r must have.
func (r Registration) PublishedEntries() []IndexEntry {
	if r.State == Removed || r.ID == "" {
		return nil
	}
	return r.IndexEntries()
}

// allowance returns r's limits in a process with atOnce POSTs in flight at most. Half of these are left to others
// in any case.
func (r *Registration) allowance(l Limits, atOnce int) limiter.Allowance {
	l = l.OrDefault()
	a := limiter.Allowance{Concurrency: min(l.Concurrency, max(atOnce/2, 1)), Rate: l.DeliveriesPerSecond}
	if r.Concurrency > 0 {
		a.Concurrency = min(a.Concurrency, r.Concurrency)
	}
	if r.Rate > 0 && (a.Rate == 0 || r.Rate < a.Rate) {
		a.Rate = r.Rate
	}
	return a
}
