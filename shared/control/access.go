package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A Caller is who calls the API: a key that was found good.
type Caller struct {
	Key    string // id of the API key; "operator" is the operator's own
	Scope  Scope
	Tenant string         // of full, read and set_http_callback
	Group  string         // of group-owner
	Limits gateway.Limits // of the tenant; without zero fields
}

// Operator returns the caller with the operator's own key.
func Operator() Caller { return Caller{Key: "operator", Scope: ScopeOperator} }

// who names c among those whose idempotency keys and jobs are kept apart.
func (c Caller) who() string { return cmp.Or(c.Tenant, c.Group, "operator") }

// Owns returns nil if c may deal with what belongs to tenant, else storage.ErrNotFound: another's thing is not there.
func (c Caller) Owns(tenant string) error {
	if c.Scope == ScopeOperator || c.Tenant != "" && c.Tenant == tenant {
		return nil
	}
	return storage.ErrNotFound
}

// OwnsGroup is Owns for a group.
func (c Caller) OwnsGroup(id string) error {
	if c.Scope == ScopeOperator || c.Group != "" && c.Group == id {
		return nil
	}
	return storage.ErrNotFound
}

// TenantIn returns the tenant that c asks about: its own, or for the operator the one that it names.
func (c Caller) TenantIn(named string) (string, error) {
	if c.Scope == ScopeOperator {
		return named, nil
	}
	if named != "" && named != c.Tenant {
		return "", storage.ErrNotFound
	}
	return c.Tenant, nil
}

// anyGrant returns nil if a grant lets the tenant have anything of source, else an error wrapping storage.ErrNotFound.
func (b *base) anyGrant(ctx context.Context, source, tenant string) error {
	found := errors.New("found")
	err := b.each(ctx, gateway.SourceKey(source).PK, "G#"+tenant+"#", func(string, storage.Row) error { return found })
	switch {
	case errors.Is(err, found):
		return nil
	case err != nil:
		return fmt.Errorf("grants of %s: %w", tenant, err)
	}
	return fmt.Errorf("source: %w", storage.ErrNotFound)
}

// A Scope is what an API key may do.
type Scope string

const (
	ScopeFull       Scope = "full"              // everything of its tenant
	ScopeRead       Scope = "read"              // see what its tenant has; no secret
	ScopeSetHTTP    Scope = "set_http_callback" // that call alone
	ScopeGroupOwner Scope = "group-owner"       // its group alone
	ScopeOperator   Scope = "operator"          // everything of the operator
)
