package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// tombstone is how long a removed registration stays, so that its deliveries
// can be listed and its app told.
const tombstone = 30 * 24 * time.Hour

// tenantRegistration says in the tenant's partition that a registration is its.
type tenantRegistration struct {
	Source  string `json:"source"`
	Removed bool   `json:"removed,omitempty"`
}

// A RegistrationChange names what a registration is to have; what is nil stays,
// or is the default for a new one.
type RegistrationChange struct {
	URL         *string
	Headers     map[string]string // all of them; nil: unchanged
	EventTypes  *[]string
	Match       *Match // the nil Match is the whole of what is granted
	Format      *Format
	Schedule    *Schedule
	Timeout     *time.Duration
	Description *string
	RawToken    *string // empty: none any more
	Rate        *float64
	Concurrency *int
	Ordered     *bool
}

// CreateRegistration makes a registration of c's tenant on a source, under id,
// and returns it with its signing secret, which is told once. If its endpoint
// must consent and does not, it is disabled. The error wraps storage.ErrNotFound if the
// source is not granted, storage.ErrInvalid, or ErrLimit.
func (g *Gateway) CreateRegistration(ctx context.Context, c Caller, id, source string, ch RegistrationChange) (Registration, string, error) {
	now := g.now()
	r := Registration{ID: id, Tenant: c.Tenant, Source: source, Created: now, State: Enabled, Since: now, Format: Standard}
	if err := g.anyGrant(ctx, source, c.Tenant); err != nil {
		return r, "", err
	}
	if ch.URL == nil {
		return r, "", fmt.Errorf("url: %w: want one", storage.ErrInvalid)
	}
	if err := g.roomFor(ctx, c, source, id); err != nil {
		return r, "", err
	}
	secret := newSigningSecret()
	r.Secrets = []Secret{{Sealed: g.Keys.Seal(registrationKey(id).PK, "secret", secret), Since: now}}
	r, err := g.altered(ctx, c, r, ch)
	if err == nil {
		r, err = g.provenNew(ctx, r)
	}
	if err != nil {
		return r, "", err
	}
	old, row, err := storage.Load[Registration](ctx, g.Store, registrationKey(id))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return r, "", err
	}
	r.Rev = old.Rev
	r, err = g.putRegistration(ctx, old, row, r)
	return r, secret, err
}

// roomFor returns an error wrapping ErrLimit if c's tenant has as many
// registrations on the source as it may. Creates at the same moment may go over
// it by their number.
func (g *Gateway) roomFor(ctx context.Context, c Caller, source, id string) error {
	n := 0
	err := g.eachRegistrationOf(ctx, c.Tenant, func(other string, of tenantRegistration) {
		if of.Source == source && !of.Removed && other != id {
			n++
		}
	})
	if most := c.Limits.OrDefault().RegistrationsPerSource; err == nil && n >= most {
		return fmt.Errorf("registrations: %w: at most %d per source", ErrLimit, most)
	}
	return err
}

// eachRegistrationOf calls f for each registration of a tenant, in order of
// their making; removed ones included.
func (g *Gateway) eachRegistrationOf(ctx context.Context, tenant string, f func(id string, of tenantRegistration)) error {
	now := g.now()
	q := storage.Query{Table: storage.Registrations, PK: tenantKey(tenant).PK, Consistent: true}.Prefix("R#")
	return storage.Each(ctx, g.Store, q, func(r storage.Row) error {
		of, err := storage.Decoded[tenantRegistration](r)
		if err == nil && !r.Expired(now) {
			f(strings.TrimPrefix(r.SK, "R#"), of)
		}
		return err
	})
}

// altered returns r as ch wants it, checked.
func (g *Gateway) altered(ctx context.Context, c Caller, r Registration, ch RegistrationChange) (Registration, error) {
	s, err := g.Source(ctx, r.Source)
	if err != nil {
		return r, err
	}
	if err := ch.checkByCode(r); err != nil {
		return r, err
	}
	sent := ""
	if ch.URL != nil {
		if sent = *ch.URL; sent == "" {
			return r, fmt.Errorf("url: %w: want one", storage.ErrInvalid)
		}
	}
	if r.Endpoint, err = g.endpoint(r.ID, r.Endpoint, sent, ch.Headers); err != nil {
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
	p := g.Providers[s.Provider]
	if len(r.EventTypes) == 0 {
		r.EventTypes = p.DefaultEventTypes()
	}
	if err := r.checkFor(p, c.Limits.OrDefault()); err != nil {
		return r, err
	}
	return g.withRawToken(r, s, ch.RawToken)
}

// checkByCode refuses what would change what a registration made by
// set_http_callback is.
func (ch RegistrationChange) checkByCode(r Registration) error {
	if r.Group != "" && (ch.EventTypes != nil || ch.Match != nil || ch.Format != nil) {
		return fmt.Errorf("event_types: %w: match, event types and format of a registration made by set_http_callback stay", storage.ErrInvalid)
	}
	return nil
}

func assign[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// unique returns texts without repeats, in their order.
func unique(texts []string) []string {
	var out []string
	for _, t := range texts {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// checkFor returns an error wrapping storage.ErrInvalid unless r can be on a source of
// p, within the tenant's limits.
func (r Registration) checkFor(p provider.Provider, l Limits) error {
	if len(r.EventTypes) == 0 {
		return fmt.Errorf("event_types: %w: want at least one, such as %s", storage.ErrInvalid, exampleType(p))
	}
	if err := CheckEventTypes(r.EventTypes); err != nil {
		return err
	}
	if err := r.Match.Check(p.KeyKinds()); err != nil {
		return err
	}
	if err := r.Schedule.Check(); err != nil {
		return err
	}
	switch {
	case len(r.hints()) > MaxHints:
		return fmt.Errorf("match: %w: want at most %d pairs of an event type and a value", storage.ErrInvalid, MaxHints)
	case r.Format != Standard && r.Format != Raw:
		return fmt.Errorf("format: %w: want standard or raw", storage.ErrInvalid)
	case r.Timeout != 0 && (r.Timeout < time.Second || r.Timeout > attemptTime):
		return fmt.Errorf("timeout: %w: want 1s to %v", storage.ErrInvalid, attemptTime)
	case len(r.Description) > 5*MaxName:
		return fmt.Errorf("description: %w: want at most %d bytes", storage.ErrInvalid, 5*MaxName)
	case r.Rate < 0 || l.DeliveriesPerSecond > 0 && r.Rate > l.DeliveriesPerSecond:
		return fmt.Errorf("rate: %w: want a number of deliveries per second within the tenant's limit", storage.ErrInvalid)
	case r.Concurrency < 0 || r.Concurrency > l.Concurrency:
		return fmt.Errorf("concurrency: %w: want at most %d, the tenant's limit", storage.ErrInvalid, l.Concurrency)
	}
	return nil
}

func exampleType(p provider.Provider) string {
	if types := p.EventTypes(); len(types) > 0 {
		return `"` + types[0].Name + `"`
	}
	return `"*"`
}

// withRawToken returns r with a raw_token, or without if it is empty.
func (g *Gateway) withRawToken(r Registration, s Source, token *string) (Registration, error) {
	switch {
	case token == nil || *token == hiddenText && len(r.RawTokens) > 0:
		return r, nil
	case s.Provider != tencentChat:
		return r, fmt.Errorf("raw_token: %w: only registrations on sources of %s have one", storage.ErrInvalid, tencentChat)
	case *token == "":
		r.RawTokens = nil
		return r, nil
	case r.Format != Raw:
		return r, fmt.Errorf("raw_token: %w: only deliveries in raw format are signed with it", storage.ErrInvalid)
	}
	if err := checkToken(*token); err != nil || *token == hiddenText {
		return r, fmt.Errorf("raw_token: %w: want 1 to %d bytes", storage.ErrInvalid, MaxName)
	}
	r.RawTokens = []Secret{{Sealed: g.Keys.Seal(registrationKey(r.ID).PK, "raw_token", *token), Since: g.now()}}
	return r, nil
}

// Warnings returns what is odd about r, in sentences.
func (g *Gateway) Warnings(ctx context.Context, r Registration) ([]string, error) {
	if r.Format != Raw {
		return nil, nil
	}
	s, err := g.Source(ctx, r.Source)
	if err != nil {
		return nil, err
	}
	p := g.Providers[s.Provider]
	names := slices.Clone(r.EventTypes)
	for _, t := range p.EventTypes() {
		if wantsType(r.EventTypes, t.Name) {
			names = append(names, t.Name)
		}
	}
	for _, name := range unique(names) {
		if p.Decides(name) {
			return []string{"event_types name callbacks that the provider wants a decision on, such as " + name +
				": it has been answered before your endpoint is called, so what your endpoint answers decides nothing"}, nil
		}
	}
	return nil, nil
}

// Registration returns a registration of c's, removed ones included.
func (g *Gateway) Registration(ctx context.Context, c Caller, id string) (Registration, error) {
	r, row, err := storage.Load[Registration](ctx, g.Store, registrationKey(id))
	switch {
	case err != nil:
		return r, fmt.Errorf("registration: %w", err)
	case row.Expired(g.now()):
		return r, fmt.Errorf("registration: %w", storage.ErrNotFound)
	}
	return r, c.owns(r.Tenant)
}

// ListRegistrations returns a page of a tenant's registrations, or for the
// operator those on a source; removed ones left out.
func (g *Gateway) ListRegistrations(ctx context.Context, c Caller, tenant, source string, at storage.Place) ([]Registration, string, error) {
	tenant, err := c.tenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	pk := tenantKey(tenant).PK
	if tenant == "" {
		if source == "" {
			return nil, "", fmt.Errorf("tenant: %w: want one, or a source", storage.ErrInvalid)
		}
		pk = sourceKey(source).PK
	}
	q := at.Query(storage.Query{Table: storage.Registrations, PK: pk}, "R#")
	return storage.Listed(ctx, g.Store, q, func(row storage.Row) (Registration, error) {
		r, err := g.Registration(ctx, c, strings.TrimPrefix(row.SK, "R#"))
		if err == nil && (r.State == Removed || source != "" && r.Source != source) {
			err = storage.ErrNotFound
		}
		return r, err
	})
}

// ChangeRegistration changes a registration, if its revision is ifRev or that
// is 0; else the error wraps storage.ErrConflict. If another endpoint must consent and
// does not, the error wraps storage.ErrInvalid; one that was waited for is enabled when
// it does.
func (g *Gateway) ChangeRegistration(ctx context.Context, c Caller, id string, ifRev int, ch RegistrationChange) (Registration, error) {
	enabled := false
	r, err := g.changeRegistrationIf(ctx, c, id, ifRev, func(r *Registration) error {
		after, err := g.altered(ctx, c, *r, ch)
		if err == nil && (ch.URL != nil || ch.Format != nil) {
			after, err = g.provenAgain(ctx, after)
		}
		if err != nil {
			return err
		}
		enabled = after.State == Enabled && r.State != Enabled
		*r = after
		return nil
	})
	if err != nil || !enabled {
		return r, err
	}
	return r, g.wasEnabled(ctx, r)
}

func (g *Gateway) changeRegistration(ctx context.Context, c Caller, id string, f func(*Registration) error) (Registration, error) {
	return g.changeRegistrationIf(ctx, c, id, 0, f)
}

// changeRegistrationIf lets f alter the registration and publishes it, again if
// another was faster and ifRev is 0.
func (g *Gateway) changeRegistrationIf(ctx context.Context, c Caller, id string, ifRev int, f func(*Registration) error) (Registration, error) {
	var r Registration
	err := storage.CompareAndSwap(ctx, func() error {
		old, row, err := storage.Load[Registration](ctx, g.Store, registrationKey(id))
		r = old
		switch {
		case err != nil:
			return fmt.Errorf("registration: %w", err)
		case c.owns(old.Tenant) != nil || old.State == Removed || row.Expired(g.now()):
			return fmt.Errorf("registration: %w", storage.ErrNotFound)
		case ifRev != 0 && old.Rev != ifRev:
			return fmt.Errorf("registration: %w: it is at another revision", storage.ErrConflict)
		}
		switch err := f(&r); {
		case errors.Is(err, storage.ErrUnchanged):
			r = old
			return nil
		case err != nil:
			r = old
			return err
		}
		r, err = g.putRegistration(ctx, old, row, r)
		return err
	})
	return r, err
}
