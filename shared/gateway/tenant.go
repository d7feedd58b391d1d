package gateway

import (
	"cmp"
	"math"
	"time"

	"ringback/shared/limiter"
)

// A Tenant is a customer of the operator.
type Tenant struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Disabled bool      `json:"disabled,omitempty"` // its API keys are invalid, its deliveries held
	Since    time.Time `json:"since,omitzero"`     // it was disabled, or enabled again
	Removing bool      `json:"removing,omitempty"` // a job takes its rows away
	Limits   Limits    `json:"limits,omitzero"`
}

// Limits bound what a tenant may use. A zero field means the default.
type Limits struct {
	RegistrationsPerSource int     `json:"registrations_per_source,omitempty"` // default 50
	APICallsPerSecond      float64 `json:"api_calls_per_second,omitempty"`     // at least one an hour; default 20
	DeliveriesPerSecond    float64 `json:"deliveries_per_second,omitempty"`    // per registration, at least one an hour; default: no limit
	Concurrency            int     `json:"concurrency,omitempty"`              // POSTs at once per registration and process; default 50
	Jobs                   int     `json:"jobs,omitempty"`                     // running at once; default 1
	RequireChallenge       bool    `json:"require_challenge,omitempty"`        // endpoints must consent before anything is sent; see challenge.go
}

// RateTooLow reports whether a rate is neither 0, which sets none, nor at least
// limiter.MinRate, one an hour. NaN is too low, and infinity is no rate.
func RateTooLow(perSecond float64) bool {
	return perSecond != 0 && !(perSecond >= limiter.MinRate && perSecond <= math.MaxFloat64)
}

// OrDefault returns l with its zero fields filled.
func (l Limits) OrDefault() Limits {
	l.RegistrationsPerSource = cmp.Or(l.RegistrationsPerSource, 50)
	l.APICallsPerSecond = cmp.Or(l.APICallsPerSecond, 20)
	l.Concurrency = cmp.Or(l.Concurrency, 50)
	l.Jobs = cmp.Or(l.Jobs, 1)
	return l
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

// MaxName is the length of the longest name, label or description in bytes.
const MaxName = 200
