package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/limit"
	"ringback/shared/provider"
	"ringback/shared/schedule"
	"ringback/shared/storage"
)

// A TenantRegistration lists a registration in its tenant's partition.
type TenantRegistration struct {
	Source  string `json:"source"`
	Removed bool   `json:"removed,omitempty"`
}

// A RegistrationChange holds the new values of a registration. Nil means no change, or the default of a new
// registration.
type RegistrationChange struct {
	URL         *string
	Headers     map[string]string // all of them; nil: unchanged
	EventTypes  *[]string
	Match       *gateway.Match // a nil Match is everything granted
	Format      *gateway.Format
	Schedule    *schedule.Schedule
	Timeout     *time.Duration
	Description *string
	RawToken    *string // empty: remove it
	Rate        *float64
	Concurrency *int
	Ordered     *bool
}

// CreateRegistration makes a registration of c's tenant on a source, under id, and returns it with its signing secret,
// which no later call returns. If its endpoint must consent and does not, it is disabled. The error wraps storage.ErrNotFound if
// the source is not granted, storage.ErrInvalid, or ErrLimit, as a *TooOftenError if it is too soon.
func (rr *registrations) CreateRegistration(ctx context.Context, c Caller, id, source string, ch RegistrationChange) (gateway.Registration, string, error) {
	now := rr.gw.Clock()
	r := gateway.Registration{ID: id, Tenant: c.Tenant, Source: source, Created: now, State: gateway.Enabled, Since: now, Format: gateway.Standard}
	if err := rr.anyGrant(ctx, source, c.Tenant); err != nil {
		return r, "", err
	}
	if ch.URL == nil {
		return r, "", fmt.Errorf("url: %w: want one", storage.ErrInvalid)
	}
	if err := rr.CheckRegistrationLimit(ctx, c, source, id); err != nil {
		return r, "", err
	}
	secret := NewSigningSecret()
	r.Secrets = []keyring.Secret{{Sealed: rr.gw.Keys.Seal(gateway.RegistrationKey(id).PK, "secret", secret), Since: now}}
	r, err := rr.Altered(ctx, c, r, ch)
	if err == nil {
		err = rr.TakeCreateToken(ctx, c)
	}
	if err == nil {
		r, err = rr.consentForNew(ctx, r)
	}
	if err != nil {
		return r, "", err
	}
	old, row, err := storage.Load[gateway.Registration](ctx, rr.gw.Store, gateway.RegistrationKey(id))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return r, "", err
	}
	r.Rev = old.Rev
	r, err = rr.PutRegistration(ctx, old, row, r)
	return r, secret, err
}

// CheckRegistrationLimit returns an error wrapping ErrLimit if c's tenant has as many registrations on the source
// as it may. Concurrent creates may exceed it by their number.
func (rr *registrations) CheckRegistrationLimit(ctx context.Context, c Caller, source, id string) error {
	n := 0
	err := rr.EachRegistrationOf(ctx, c.Tenant, func(other string, listed TenantRegistration) {
		if listed.Source == source && !listed.Removed && other != id {
			n++
		}
	})
	if most := c.Limits.OrDefault().RegistrationsPerSource; err == nil && n >= most {
		return fmt.Errorf("registrations: %w: at most %d per source", ErrLimit, most)
	}
	return err
}

// A tenant may create a burst of registrations, for example when it moves to this gateway. The rate after that is low,
// since a new registration's endpoint is not yet known to be slow: a tenant could otherwise escape the slow path with
// ever new ones.
const (
	createBurst    = 100
	createInterval = 2 * time.Second
)

// TakeCreateToken counts a create by c. The error is a *RateLimitError if it made too many lately; the operator
// always may.
func (rr *registrations) TakeCreateToken(ctx context.Context, c Caller) error {
	if c.Scope == ScopeOperator {
		return nil
	}
	after, err := limit.TakeToken(ctx, rr.gw.Store, gateway.CreateRateKey(c.Tenant), limit.Bucket{Size: createBurst, Every: createInterval}, rr.gw.Clock)
	switch {
	case err != nil:
		return fmt.Errorf("creates of %s: %w", c.Tenant, err)
	case after > 0:
		most := fmt.Sprintf("%d at once, and then one in %v", createBurst, createInterval)
		return &RateLimitError{"too_many_registrations", "registrations", most, after}
	}
	return nil
}

// Altered returns r with the changes of ch, checked.
func (rr *registrations) Altered(ctx context.Context, c Caller, r gateway.Registration, ch RegistrationChange) (gateway.Registration, error) {
	s, err := rr.Source(ctx, r.Source)
	if err != nil {
		return r, err
	}
	if r.Group != "" && (ch.EventTypes != nil || ch.Match != nil || ch.Format != nil) {
		return r, fmt.Errorf("event_types: %w: match, event types and format of a registration made by set_http_callback stay", storage.ErrInvalid)
	}
	sent := ""
	if ch.URL != nil {
		if sent = *ch.URL; sent == "" {
			return r, fmt.Errorf("url: %w: want one", storage.ErrInvalid)
		}
	}
	if r.Endpoint, err = rr.endpoint(r.ID, r.Endpoint, sent, ch.Headers); err != nil {
		return r, err
	}
	assign(&r.Match, ch.Match)
	assign(&r.Format, ch.Format)
	assign(&r.Schedule, ch.Schedule)
	assign(&r.Timeout, ch.Timeout)
	assign(&r.Description, ch.Description)
	assign(&r.Rate, ch.Rate)
	assign(&r.Concurrency, ch.Concurrency)
	assign(&r.Ordered, ch.Ordered)
	if ch.EventTypes != nil {
		if r.EventTypes = unique(*ch.EventTypes); len(r.EventTypes) == 0 {
			return r, fmt.Errorf("event_types: %w: want at least one, or none named for the default", storage.ErrInvalid)
		}
	}
	p := rr.gw.Providers[s.Provider]
	if len(r.EventTypes) == 0 {
		r.EventTypes = p.DefaultEventTypes()
	}
	if err := checkFor(r, p, c.Limits.OrDefault()); err != nil {
		return r, err
	}
	return rr.withRawToken(r, s, ch.RawToken)
}

// CheckRegistration returns an error wrapping storage.ErrInvalid unless r, with its endpoint, could be on a source of
// p; if p is nil, it is not judged what r may match. The tenant's limits hold besides when deliveries are made.
func (rr *registrations) CheckRegistration(r gateway.Registration, p provider.Provider) error {
	return cmp.Or(rr.checkEndpoint(r.ID, r.Endpoint), checkFor(r, p, gateway.Limits{Concurrency: math.MaxInt}))
}

// checkFor returns an error wrapping storage.ErrInvalid unless r is valid on a source of p, within the tenant's limits.
func checkFor(r gateway.Registration, p provider.Provider, l gateway.Limits) error {
	if len(r.EventTypes) == 0 {
		return fmt.Errorf("event_types: %w: want at least one, such as %s", storage.ErrInvalid, exampleType(p))
	}
	err := cmp.Or(gateway.CheckEventTypes(r.EventTypes), r.Schedule.Check())
	if err == nil && p != nil {
		err = r.Match.Check(p.KeyKinds())
	}
	if err != nil {
		return err
	}
	switch {
	case r.TooManyIndexEntries():
		return fmt.Errorf("match: %w: want at most %d pairs of an event type and a value", storage.ErrInvalid, gateway.MaxIndexEntries)
	case r.Format != gateway.Standard && r.Format != gateway.Raw:
		return fmt.Errorf("format: %w: want standard or raw", storage.ErrInvalid)
	case r.Timeout != 0 && (r.Timeout < time.Second || r.Timeout > gateway.AttemptTime):
		return fmt.Errorf("timeout: %w: want 1s to %v", storage.ErrInvalid, gateway.AttemptTime)
	case gateway.RateTooLow(r.Rate) || l.DeliveriesPerSecond > 0 && r.Rate > l.DeliveriesPerSecond:
		return fmt.Errorf("rate: %w: want deliveries per second, at least one an hour (1/3600) and within the tenant's limit, or 0 for none of its own", storage.ErrInvalid)
	case r.Concurrency < 0 || r.Concurrency > l.Concurrency:
		return fmt.Errorf("concurrency: %w: want at most %d, the tenant's limit", storage.ErrInvalid, l.Concurrency)
	}
	return CheckName("description", r.Description, 5*gateway.MaxName)
}

func exampleType(p provider.Provider) string {
	if p != nil && len(p.EventTypes()) > 0 {
		return `"` + p.EventTypes()[0].Name + `"`
	}
	return `"*"`
}

// withRawToken returns r with a raw_token; without one if it is empty.
func (rr *registrations) withRawToken(r gateway.Registration, s gateway.Source, token *string) (gateway.Registration, error) {
	switch {
	case token == nil || *token == hiddenText && len(r.RawTokens) > 0:
		return r, nil
	case s.Provider != tencentChat:
		return r, fmt.Errorf("raw_token: %w: only registrations on sources of %s have one", storage.ErrInvalid, tencentChat)
	case *token == "":
		r.RawTokens = nil
		return r, nil
	case *token == hiddenText:
		return r, fmt.Errorf("raw_token: %w: there is none to keep", storage.ErrInvalid)
	case r.Format != gateway.Raw:
		return r, fmt.Errorf("raw_token: %w: only deliveries in raw format are signed with it", storage.ErrInvalid)
	}
	if err := gateway.CheckText("raw_token", *token, 1, gateway.MaxName); err != nil {
		return r, err
	}
	r.RawTokens = []keyring.Secret{{Sealed: rr.gw.Keys.Seal(gateway.RegistrationKey(r.ID).PK, "raw_token", *token), Since: rr.gw.Clock()}}
	return r, nil
}

// Warnings returns sentences about what is probably wrong in r.
func (rr *registrations) Warnings(ctx context.Context, r gateway.Registration) (out []string, err error) {
	s, err := rr.Source(ctx, r.Source)
	if err != nil {
		return nil, err
	}
	p := rr.gw.Providers[s.Provider]
	if strange, nearest := undocumented(r.EventTypes, p.EventTypes()); strange != "" {
		out = append(out, "event_types name "+strange+", which is not documented; the nearest that is documented is "+nearest)
	}
	if r.Format != gateway.Raw {
		return out, nil
	}
	names := slices.Clone(r.EventTypes)
	for _, t := range p.EventTypes() {
		if gateway.WantsType(r.EventTypes, t.Name) {
			names = append(names, t.Name)
		}
	}
	for _, name := range unique(names) {
		if p.Decides(name) {
			return append(out, "event_types name callbacks that the provider wants a decision on, such as "+name+
				": the provider has its response before your endpoint is called, so your endpoint's response decides nothing"), nil
		}
	}
	return out, nil
}

// undocumented returns the first of patterns that matches no documented event type, and the type nearest to it.
func undocumented(patterns []string, types []provider.EventType) (strange, nearest string) {
	for _, p := range patterns {
		if len(types) == 0 || gateway.OwnEvent(&provider.Event{Type: p}) || slices.ContainsFunc(types, func(t provider.EventType) bool { return gateway.MatchesType(p, t.Name) }) {
			continue
		}
		start := strings.ToLower(strings.TrimSuffix(p, "*"))
		return p, slices.MinFunc(types, func(a, b provider.EventType) int {
			return cmp.Compare(distance(start, a.Name), distance(start, b.Name))
		}).Name
	}
	return "", ""
}

// distance is the number of letters to add, remove or replace to turn start into a prefix of name (Levenshtein).
func distance(start, name string) int {
	name = strings.ToLower(name[:min(len(name), len(start))])
	row := make([]int, len(name)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(start) {
		replaced := row[0]
		row[0] = i + 1
		for j := range len(name) {
			if start[i] != name[j] {
				replaced++
			}
			replaced, row[j+1] = row[j+1], min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(name)]
}

// Registration returns a registration of c's, removed ones included.
func (rr *registrations) Registration(ctx context.Context, c Caller, id string) (gateway.Registration, error) {
	r, row, err := storage.Load[gateway.Registration](ctx, rr.gw.Store, gateway.RegistrationKey(id))
	switch {
	case err != nil:
		return r, fmt.Errorf("registration: %w", err)
	case row.Expired(rr.gw.Clock()):
		return r, fmt.Errorf("registration: %w", storage.ErrNotFound)
	}
	return r, c.Owns(r.Tenant)
}

// ListRegistrations returns a page of a tenant's registrations, or for the
// operator those on a source; removed ones left out.
func (rr *registrations) ListRegistrations(ctx context.Context, c Caller, tenant, source string, at storage.PageRequest) ([]gateway.Registration, string, error) {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	pk := gateway.TenantKey(tenant).PK
	if tenant == "" {
		if source == "" {
			return nil, "", fmt.Errorf("tenant: %w: want one, or a source", storage.ErrInvalid)
		}
		pk = gateway.SourceKey(source).PK
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: pk}, "R#")
	return storage.ListPage(ctx, rr.gw.Store, q, func(row storage.Row) (gateway.Registration, error) {
		r, err := rr.Registration(ctx, c, strings.TrimPrefix(row.SK, "R#"))
		if err == nil && (r.State == gateway.Removed || source != "" && r.Source != source) {
			err = storage.ErrNotFound
		}
		return r, err
	})
}

// ChangeRegistration changes a registration if its revision is ifRev or ifRev is 0; otherwise the error wraps
// storage.ErrConflict. If a new endpoint must consent and does not, the error wraps storage.ErrInvalid. A registration
// that is disabled for want of consent is enabled when its endpoint consents.
func (rr *registrations) ChangeRegistration(ctx context.Context, c Caller, id string, ifRev int, ch RegistrationChange) (gateway.Registration, error) {
	enabled := false
	r, err := rr.changeRegistration(ctx, c, id, func(r *gateway.Registration) error {
		if ifRev != 0 && r.Rev != ifRev {
			return fmt.Errorf("registration: %w: it is at another revision", storage.ErrConflict)
		}
		after, err := rr.Altered(ctx, c, *r, ch)
		if err == nil && (ch.URL != nil || ch.Format != nil) {
			after, err = rr.consentForChange(ctx, after)
		}
		if err != nil {
			return err
		}
		enabled = after.State == gateway.Enabled && r.State != gateway.Enabled
		*r = after
		return nil
	})
	if err != nil || !enabled {
		return r, err
	}
	return r, rr.wasEnabled(ctx, r)
}

// changeRegistration has f change the registration and publishes it, again after a conflict.
func (rr *registrations) changeRegistration(ctx context.Context, c Caller, id string, f func(*gateway.Registration) error) (gateway.Registration, error) {
	var r gateway.Registration
	err := storage.CompareAndSwap(ctx, func() error {
		old, row, err := storage.Load[gateway.Registration](ctx, rr.gw.Store, gateway.RegistrationKey(id))
		r = old
		switch {
		case err != nil:
			return fmt.Errorf("registration: %w", err)
		case c.Owns(old.Tenant) != nil || old.State == gateway.Removed || row.Expired(rr.gw.Clock()):
			return fmt.Errorf("registration: %w", storage.ErrNotFound)
		}
		switch err := f(&r); {
		case errors.Is(err, storage.ErrUnchanged):
			r = old
			return nil
		case err != nil:
			r = old
			return err
		}
		r, err = rr.PutRegistration(ctx, old, row, r)
		return err
	})
	return r, err
}
