package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

// A Caller is the owner of a valid API key.
type Caller struct {
	Key    string // id of the API key; "operator" is the operator's own
	Scope  Scope
	Tenant string         // of full, read and set_http_callback
	Group  string         // of group-owner
	Limits gateway.Limits // of the tenant; without zero fields
}

// Operator returns the caller with the operator's own key.
func Operator() Caller { return Caller{Key: "operator", Scope: ScopeOperator} }

// who returns the name space of c's idempotency keys and jobs.
func (c Caller) who() string { return cmp.Or(c.Tenant, c.Group, "operator") }

// Owns returns nil if c may use what belongs to tenant. Otherwise it returns storage.ErrNotFound, so that a caller
// cannot tell another tenant's resource from a missing one.
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

// TenantIn returns the tenant that c's request is about: its own, or for the operator the one named.
func (c Caller) TenantIn(named string) (string, error) {
	if c.Scope == ScopeOperator {
		return named, nil
	}
	if named != "" && named != c.Tenant {
		return "", storage.ErrNotFound
	}
	return c.Tenant, nil
}

// anyGrant returns nil if the tenant has a grant on source, and an error wrapping storage.ErrNotFound otherwise.
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
	ScopeSetHTTP    Scope = "set_http_callback" // that call only
	ScopeGroupOwner Scope = "group-owner"       // its group only
	ScopeOperator   Scope = "operator"          // everything of the operator
)
