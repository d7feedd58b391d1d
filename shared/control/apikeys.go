package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// apiKeyPrefix begins every API key: rbk_<id>_<secret>.
const apiKeyPrefix = "rbk_"

// A KeyLocation says where the rows of an API key are. During a rotation a key has two rows.
type KeyLocation struct {
	ID     string   `json:"id"`
	Hashes []string `json:"hashes"` // newest first
}

// LocationOf returns the row that lists k under its tenant, its group or the operator.
func LocationOf(k APIKey) storage.Key {
	switch {
	case k.Group != "":
		return storage.Key{Table: storage.Registrations, PK: gateway.GroupKey(k.Group).PK, SK: "K#" + k.ID}
	case k.Tenant != "":
		return gateway.TenantLinkKey(k.Tenant, "K", k.ID)
	}
	return gateway.ListKey("keys", k.ID)
}

// A ListedKey is an API key with the earlier secrets that are still valid.
type ListedKey struct {
	APIKey
	Old []APIKey
}

// CreateAPIKey stores k under id and returns it with its text, which is never shown again. A key that existed
// under the same id ends. The error wraps storage.ErrInvalid, storage.ErrNotFound if its tenant or group does not
// exist, ErrForbidden if c may not create such keys, or ErrLimit.
func (ts *tenants) CreateAPIKey(ctx context.Context, c Caller, id string, k APIKey) (APIKey, string, error) {
	k.ID, k.Created = id, ts.gw.Clock()
	if c.Scope != ScopeOperator {
		k.Tenant, k.Group = c.Tenant, ""
	}
	if err := cmp.Or(ts.checkAPIKey(ctx, c, k), ts.checkKeyLimit(ctx, k)); err != nil {
		return k, "", err
	}
	return ts.putAPIKey(ctx, k)
}

// maxAPIKeys is the limit of a tenant's API keys. Concurrent creates may exceed it by their number.
const maxAPIKeys = 100

// checkKeyLimit returns an error wrapping ErrLimit if k's tenant has as many other keys as it may.
func (ts *tenants) checkKeyLimit(ctx context.Context, k APIKey) error {
	n := 0
	if k.Tenant == "" {
		return nil
	}
	err := ts.each(ctx, gateway.TenantKey(k.Tenant).PK, "K#", func(id string, _ storage.Row) error {
		if id != k.ID {
			n++
		}
		return nil
	})
	if err == nil && n >= maxAPIKeys {
		return fmt.Errorf("keys: %w: at most %d of a tenant", ErrLimit, maxAPIKeys)
	}
	return err
}

func (ts *tenants) checkAPIKey(ctx context.Context, c Caller, k APIKey) error {
	if err := cmp.Or(k.CheckScope(c), CheckName("name", k.Name, gateway.MaxName)); err != nil {
		return err
	}
	switch {
	case !k.Expires.IsZero() && !k.Expires.After(k.Created):
		return fmt.Errorf("expires: %w: want a time to come", storage.ErrInvalid)
	case k.Tenant != "":
		_, err := ts.Tenant(ctx, k.Tenant)
		return err
	case k.Group != "":
		_, err := ts.LiveGroup(ctx, k.Group)
		return err
	}
	return nil
}

// CheckScope checks k's tenant and group for its scope, and that c may create it.
func (k APIKey) CheckScope(c Caller) error {
	if c.Scope != ScopeOperator && (k.Scope == ScopeOperator || k.Scope == ScopeGroupOwner) {
		return fmt.Errorf("scope: %w: only the operator makes such keys", ErrForbidden)
	}
	switch k.Scope {
	case ScopeFull, ScopeRead, ScopeSetHTTP:
		if k.Tenant == "" || k.Group != "" {
			return fmt.Errorf("tenant: %w: want one for a key of this scope", storage.ErrInvalid)
		}
	case ScopeGroupOwner:
		if k.Group == "" || k.Tenant != "" {
			return fmt.Errorf("group: %w: want one for a key of this scope", storage.ErrInvalid)
		}
	case ScopeOperator:
		if k.Tenant != "" || k.Group != "" {
			return fmt.Errorf("scope: %w: an operator's key has neither tenant nor group", storage.ErrInvalid)
		}
	default:
		return fmt.Errorf("scope: %w: want full, read, set_http_callback, group-owner or operator", storage.ErrInvalid)
	}
	return nil
}

// putAPIKey stores k with a new secret, in place of all secrets of k.ID.
func (ts *tenants) putAPIKey(ctx context.Context, k APIKey) (APIKey, string, error) {
	var old []string
	k, text, err := ts.addSecret(ctx, LocationOf(k), k.ID, func(p *KeyLocation) (APIKey, error) {
		old = p.Hashes
		p.ID, p.Hashes = k.ID, nil
		return k, nil
	})
	if err != nil {
		return k, "", err
	}
	return k, text, ts.deleteKeyRows(ctx, old)
}

// addSecret stores the key that f returns with a new secret and returns the secret's text. The secret is valid
// once the key's location, at, lists it; that single write decides between concurrent calls.
func (ts *tenants) addSecret(ctx context.Context, at storage.Key, id string, f func(p *KeyLocation) (APIKey, error)) (k APIKey, text string, err error) {
	text = newAPIKeyText(id)
	hash := gateway.Digest(text)
	_, err = storage.Change(ctx, ts.gw.Store, at, func(p *KeyLocation, _ *storage.Row) error {
		if k, err = f(p); err != nil {
			return err
		}
		k.Hash, p.Hashes = hash, append([]string{hash}, p.Hashes...)
		return storage.Put(ctx, ts.gw.Store, gateway.APIKeyRow(hash), k, storage.AnyRev)
	})
	if err != nil {
		return k, "", errors.Join(err, ts.deleteKeyRows(ctx, []string{hash}))
	}
	return k, text, nil
}

// RotateAPIKey gives the key a new secret and returns its text. The old secrets end after overlap.
func (ts *tenants) RotateAPIKey(ctx context.Context, c Caller, tenant, id string, overlap time.Duration) (APIKey, string, error) {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return APIKey{}, "", err
	}
	if err := checkOverlap(overlap); err != nil {
		return APIKey{}, "", err
	}
	var old []string
	now := ts.gw.Clock()
	k, text, err := ts.addSecret(ctx, LocationOf(APIKey{ID: id, Tenant: tenant}), id, func(p *KeyLocation) (APIKey, error) {
		l, err := ts.listedKey(ctx, *p)
		old, p.Hashes = p.Hashes, nil
		for _, o := range append([]APIKey{l.APIKey}, l.Old...) {
			if overlap > 0 && o.valid(now) {
				p.Hashes = append(p.Hashes, o.Hash)
			}
		}
		l.Created = now
		return l.APIKey, cmp.Or(err, checkValidSecrets(len(p.Hashes)+1))
	})
	if err != nil {
		return k, "", err
	}
	return k, text, ts.endKeys(ctx, old, now.Add(overlap))
}

// endKeys ends the keys of these hashes at a time, or when they end anyway if that is earlier.
func (ts *tenants) endKeys(ctx context.Context, hashes []string, end time.Time) error {
	var errs []error
	for _, h := range hashes {
		_, err := storage.Change(ctx, ts.gw.Store, gateway.APIKeyRow(h), func(k *APIKey, r *storage.Row) error {
			if k.ID == "" || !k.Expires.IsZero() && k.Expires.Before(end) {
				return storage.ErrUnchanged
			}
			k.Expires, r.Expires = end, end
			return nil
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// DeleteAPIKey ends the key with all its secrets.
func (ts *tenants) DeleteAPIKey(ctx context.Context, c Caller, tenant, id string) error {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return err
	}
	at := LocationOf(APIKey{ID: id, Tenant: tenant})
	if _, _, err := storage.Load[KeyLocation](ctx, ts.gw.Store, at); err != nil {
		return fmt.Errorf("API key: %w", err)
	}
	return ts.deleteKeysAt(ctx, at)
}

// deleteKeysAt ends the key at a location, with secrets that a concurrent rotation adds.
func (ts *tenants) deleteKeysAt(ctx context.Context, at storage.Key) error {
	return storage.CompareAndSwap(ctx, func() error {
		p, row, err := storage.Load[KeyLocation](ctx, ts.gw.Store, at)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = ts.deleteKeyRows(ctx, p.Hashes)
		}
		if err != nil {
			return err
		}
		return storage.Delete(ctx, ts.gw.Store, at, row.Rev)
	})
}

func (ts *tenants) deleteKeyRows(ctx context.Context, hashes []string) error {
	for _, h := range hashes {
		if err := storage.Delete(ctx, ts.gw.Store, gateway.APIKeyRow(h), storage.AnyRev); err != nil {
			return err
		}
	}
	return nil
}

// APIKey returns a key of the caller's, or for the operator of a tenant or, if that is empty, its own.
func (ts *tenants) APIKey(ctx context.Context, c Caller, tenant, id string) (ListedKey, error) {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return ListedKey{}, err
	}
	p, _, err := storage.Load[KeyLocation](ctx, ts.gw.Store, LocationOf(APIKey{ID: id, Tenant: tenant}))
	if err != nil {
		return ListedKey{}, fmt.Errorf("API key: %w", err)
	}
	return ts.listedKey(ctx, p)
}

// APIKeys returns a page of the keys of the caller's tenant, or for the
// operator of a tenant or, if that is empty, its own.
func (ts *tenants) APIKeys(ctx context.Context, c Caller, tenant string, at storage.PageRequest) ([]ListedKey, string, error) {
	tenant, err := c.TenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	k := LocationOf(APIKey{Tenant: tenant, ID: "x"})
	q := at.Query(storage.Query{Table: storage.Registrations, PK: k.PK}, strings.TrimSuffix(k.SK, "x"))
	return storage.ListPage(ctx, ts.gw.Store, q, func(r storage.Row) (ListedKey, error) {
		p, err := storage.Decoded[KeyLocation](r)
		if err != nil {
			return ListedKey{}, err
		}
		return ts.listedKey(ctx, p)
	})
}

// listedKey reads the rows of a key. The error is storage.ErrNotFound if all have expired.
func (ts *tenants) listedKey(ctx context.Context, p KeyLocation) (ListedKey, error) {
	now := ts.gw.Clock()
	var l ListedKey
	keys := make([]storage.Key, len(p.Hashes))
	for i, h := range p.Hashes {
		keys[i] = gateway.APIKeyRow(h)
	}
	rows, err := storage.GetAll(ctx, ts.gw.Store, keys)
	if err != nil {
		return l, fmt.Errorf("API key: %w", err)
	}
	slices.SortFunc(rows, func(a, b storage.Row) int { return cmp.Compare(slices.Index(keys, a.Key), slices.Index(keys, b.Key)) })
	for _, r := range rows {
		k, err := storage.Decoded[APIKey](r)
		switch {
		case err != nil:
			return l, err
		case l.ID == "":
			l.APIKey = k
		case k.valid(now):
			l.Old = append(l.Old, k)
		}
	}
	if l.ID == "" {
		return l, fmt.Errorf("API key: %w", storage.ErrNotFound)
	}
	return l, nil
}

// CallerOf returns the caller with an API key's text. The error wraps ErrUnauthorized if the key does not exist or
// has expired, or its tenant is disabled or its group removed. It reads the rows each time.
func (ts *tenants) CallerOf(ctx context.Context, text string) (Caller, APIKey, error) {
	if !strings.HasPrefix(text, apiKeyPrefix) || len(text) > gateway.MaxName {
		return Caller{}, APIKey{}, ErrUnauthorized
	}
	k, _, err := storage.Load[APIKey](ctx, ts.gw.Store, gateway.APIKeyKey(text))
	if err == nil && !k.valid(ts.gw.Clock()) {
		return Caller{}, k, fmt.Errorf("expired: %w", ErrUnauthorized)
	}
	c := Caller{Key: k.ID, Scope: k.Scope, Tenant: k.Tenant, Group: k.Group, Limits: gateway.Limits{}.OrDefault()}
	if err == nil {
		err = ts.holds(ctx, k)
	}
	if err == nil && k.Tenant != "" {
		var t gateway.Tenant
		if t, err = ts.Tenant(ctx, k.Tenant); err == nil && t.Disabled {
			err = fmt.Errorf("tenant is disabled: %w", ErrUnauthorized)
		}
		c.Limits = t.Limits.OrDefault()
	}
	if errors.Is(err, storage.ErrNotFound) {
		err = ErrUnauthorized
	}
	return c, k, err
}

// holds returns storage.ErrNotFound unless k's location lists it. A row without that, left by a crash or a
// concurrent call, is not a valid key.
func (ts *tenants) holds(ctx context.Context, k APIKey) error {
	p, _, err := storage.Load[KeyLocation](ctx, ts.gw.Store, LocationOf(k))
	if err == nil && !slices.Contains(p.Hashes, k.Hash) {
		err = storage.ErrNotFound
	}
	if err == nil && k.Group != "" {
		_, err = ts.LiveGroup(ctx, k.Group)
	}
	return err
}

func (k APIKey) valid(now time.Time) bool { return k.Expires.IsZero() || now.Before(k.Expires) }

// FirstKeyID returns the id of the first key of a tenant or group, so that a create repeated after a crash makes
// the same key.
func FirstKeyID(owner string) string { return ident.From("key", time.Time{}, "first "+owner) }

// newAPIKeyText returns a new key with 160 random bits.
func newAPIKeyText(id string) string {
	_, bare, _ := strings.Cut(id, "_")
	return apiKeyPrefix + bare + "_" + ident.NewCallbackSecret()
}

// An APIKey is the stored part of an API key: its text, rbk_<id>_<secret>, is not stored, only found by its SHA-256.
type APIKey struct {
	ID      string    `json:"id"`
	Scope   Scope     `json:"scope"`
	Tenant  string    `json:"tenant,omitempty"` // of full, read and set_http_callback
	Group   string    `json:"group,omitempty"`  // of group-owner
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Hash    string    `json:"hash"` // of the row's key, to find the row from the list
}
