package gateway

import (
	"cmp"
	"slices"
	"time"

	"ringback/shared/keyring"
	"ringback/shared/pace"
	"ringback/shared/provider"
	"ringback/shared/schedule"
)

// A State is what becomes of a registration's events.
type State string

const (
	Enabled  State = "enabled"
	Disabled State = "disabled" // events are held
	Removed  State = "removed"  // a tombstone: deliveries stay listable
)

// A Format is how a delivery looks.
type Format string

const (
	Standard Format = "standard" // Standard Webhooks 1.0
	Raw      Format = "raw"      // as the provider sends it
)

// An Endpoint is where a registration's deliveries go. URL and header values
// may hold credentials, so they are sealed; Shown and Names are for people.
type Endpoint struct {
	URL     string            `json:"url"`               // sealed field "url"
	Shown   string            `json:"shown"`             // egress.Redact of the URL
	Headers map[string]string `json:"headers,omitempty"` // canonical name → sealed field "header"
	Proven  time.Time         `json:"proven,omitzero"`   // the endpoint consented to deliveries under this URL; zero: it was not asked, or did not
}

// A Registration is a tenant's wish: events of a source to an endpoint.
type Registration struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Source      string    `json:"source"`
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	Rev         int       `json:"rev"` // grows with every change

	State State     `json:"state"`
	Why   string    `json:"why,omitempty"`  // disabled or removed by whom or what
	Since time.Time `json:"since,omitzero"` // of the state

	Indexed time.Time `json:"indexed,omitzero"` // when its entries of the match index last changed

	EventTypes []string          `json:"event_types"` // patterns; never empty
	Match      Match             `json:"match,omitempty"`
	Endpoint   Endpoint          `json:"endpoint"`
	Format     Format            `json:"format"`
	Schedule   schedule.Schedule `json:"schedule"`
	Timeout    time.Duration     `json:"timeout,omitempty"` // of one attempt; zero: 15 s
	Secrets    []keyring.Secret  `json:"secrets"`           // whsec_; sealed field "secret"
	RawTokens  []keyring.Secret  `json:"raw_tokens,omitempty"`

	// Limits asked for by the tenant, within those of Limits; zero: none of its own.
	Rate        float64 `json:"rate,omitempty"`        // deliveries/s
	Concurrency int     `json:"concurrency,omitempty"` // POSTs at once

	Ordered bool   `json:"ordered,omitempty"` // one at a time per group
	Release string `json:"release,omitempty"` // of an ordered one: the job that puts what was held back into the lanes, which are closed until then

	// Of a registration made by set_http_callback.
	Group    string `json:"group,omitempty"`     // id
	GroupRev int    `json:"group_rev,omitempty"` // of the code that it was made with
	AppName  string `json:"app_name,omitempty"`
	AppUUID  string `json:"app_uuid,omitempty"` // never shown to the group's owner
}

// Wants reports whether r asks for e. Whether it may have e is another question.
func (r *Registration) Wants(e *provider.Event) bool {
	if e.Only != "" {
		return e.Only == r.ID
	}
	if Own(e) {
		return r.Source == e.Source && (r.Tenant == e.Tenant || ofWhole(e)) && WantsType(r.EventTypes, e.Type)
	}
	return !e.Unreadable && r.Source == e.Source && WantsType(r.EventTypes, e.Type) && r.Match.Accepts(e.Keys)
}

// Hint is an entry of the match index: a routing key in use and a pattern.
type Hint struct{ RoutingKey, Pattern string }

func compareHints(a, b Hint) int {
	return cmp.Or(cmp.Compare(a.RoutingKey, b.RoutingKey), cmp.Compare(a.Pattern, b.Pattern))
}

// hintKeys returns the routing keys under which r is indexed, each once.
func (r *Registration) hintKeys() []string {
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

// TooManyHints reports whether r has more than MaxHints index entries. It makes none.
func (r *Registration) TooManyHints() bool {
	keys, n := len(r.hintKeys()), 0
	for _, p := range r.EventTypes {
		if slices.Contains(operational, p) {
			n++
		} else {
			n += keys
		}
	}
	return n > MaxHints
}

// Hints returns the index entries of r.
func (r *Registration) Hints() []Hint {
	keys := r.hintKeys()
	var out []Hint
	for _, p := range r.EventTypes {
		if slices.Contains(operational, p) {
			out = append(out, Hint{"*", p}) // they have no routing keys
			continue
		}
		for _, k := range keys {
			out = append(out, Hint{k, p})
		}
	}
	slices.SortFunc(out, compareHints)
	return slices.Compact(out)
}

// Published returns the entries of the match index that r needs.
func (r Registration) Published() []Hint {
	if r.State == Removed || r.ID == "" {
		return nil
	}
	return r.Hints()
}

// allowance returns what r may use of a process that makes so many POSTs at once:
// whatever the limits, half of them are left to others.
func (r *Registration) allowance(l Limits, atOnce int) pace.Allowance {
	l = l.OrDefault()
	a := pace.Allowance{AtOnce: min(l.Concurrency, max(atOnce/2, 1)), Rate: l.DeliveriesPerSecond}
	if r.Concurrency > 0 {
		a.AtOnce = min(a.AtOnce, r.Concurrency)
	}
	if r.Rate > 0 && (a.Rate == 0 || r.Rate < a.Rate) {
		a.Rate = r.Rate
	}
	return a
}
