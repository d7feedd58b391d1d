package gateway

import "time"

// A Tenant is a customer of the operator.
type Tenant struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled,omitempty"` // its keys are refused, its deliveries held
	Since    time.Time `json:"since,omitzero"`     // it was disabled, or enabled again
	Removing bool      `json:"removing,omitempty"` // a job takes its rows away
	Limits   Limits    `json:"limits,omitzero"`
}

// Limits bound what a tenant may use. A zero field means the default.
type Limits struct {
	RegistrationsPerSource int     `json:"registrations_per_source,omitempty"` // default 50
	APICallsPerSecond      float64 `json:"api_calls_per_second,omitempty"`     // default 20
	DeliveriesPerSecond    float64 `json:"deliveries_per_second,omitempty"`    // per registration; default: no limit
	Concurrency            int     `json:"concurrency,omitempty"`              // POSTs at once per registration and process; default 50
	Jobs                   int     `json:"jobs,omitempty"`                     // running at once; default 1
	RequireChallenge       bool    `json:"require_challenge,omitempty"`        // endpoints must consent before anything is sent; see challenge.go
}

// OrDefault returns l with its zero fields filled.
func (l Limits) OrDefault() Limits {
	if l.RegistrationsPerSource == 0 {
		l.RegistrationsPerSource = 50
	}
	if l.APICallsPerSecond == 0 {
		l.APICallsPerSecond = 20
	}
	if l.Concurrency == 0 {
		l.Concurrency = 50
	}
	if l.Jobs == 0 {
		l.Jobs = 1
	}
	return l
}

// A Scope is what an API key may do.
type Scope string

const (
	ScopeOperator   Scope = "operator"          // everything of the operator
	ScopeFull       Scope = "full"              // everything of its tenant
	ScopeRead       Scope = "read"              // see what its tenant has; no secret
	ScopeSetHTTP    Scope = "set_http_callback" // that call alone
	ScopeGroupOwner Scope = "group-owner"       // its group alone
)

// An APIKey is who calls the API. The key itself, rbk_<id>_<secret>, is not
// kept: the row is found by its SHA-256.
type APIKey struct {
	ID      string    `json:"id"`
	Scope   Scope     `json:"scope"`
	Tenant  string    `json:"tenant,omitempty"` // of full, read and set_http_callback
	Group   string    `json:"group,omitempty"`  // of group-owner
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Hash    string    `json:"hash"` // of the row key; so that the row is found from the list
}

// A Grant is what a tenant may receive of a source.
type Grant struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Tenant  string    `json:"tenant"`
	Match   Match     `json:"match,omitempty"` // nil: the whole source
	Created time.Time `json:"created"`
}

// A Group is a SmartBots group of a source.
type Group struct {
	ID      string    `json:"id"`
	Source  string    `json:"source"`
	Name    string    `json:"name"`
	UUID    string    `json:"uuid"`     // Second Life's; lower case
	GroupID string    `json:"group_id"` // SmartBots' persistent string id
	Code    string    `json:"code"`     // slow salted hash of the SHA-1 of the Group Security Code
	Rev     int       `json:"rev"`      // of the code; an older registration by code is void
	Removed bool      `json:"removed,omitempty"`
	Created time.Time `json:"created"`
}
