package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/shared/storage"
)

// apiKeyPrefix begins every API key: rbk_<id>_<secret>.
const apiKeyPrefix = "rbk_"

// MaxName is the length of the longest name, label or description in bytes.
const MaxName = 200

// keyPlace is where the rows of an API key are found from. While one is
// rotated it has two rows with one id.
type keyPlace struct {
	ID     string   `json:"id"`
	Hashes []string `json:"hashes"` // newest first
}

// placeOf returns the row that lists k under its tenant, its group or the operator.
func placeOf(k APIKey) storage.Key {
	switch {
	case k.Group != "":
		return storage.Key{Table: storage.Registrations, PK: groupKey(k.Group).PK, SK: "K#" + k.ID}
	case k.Tenant != "":
		return ofTenant(k.Tenant, "K", k.ID)
	}
	return listKey("keys", k.ID)
}

// A ListedKey is an API key with those that it replaced and that still hold.
type ListedKey struct {
	APIKey
	Old []APIKey
}

// CreateAPIKey makes k under id and returns it with its text, which is told
// once. A key that was made under the same id before ends. The error wraps
// storage.ErrInvalid, storage.ErrNotFound if its tenant or group is not there, ErrForbidden if
// c may not make such keys.
func (g *Gateway) CreateAPIKey(ctx context.Context, c Caller, id string, k APIKey) (APIKey, string, error) {
	k.ID, k.Created = id, g.now()
	if c.Scope != ScopeOperator {
		k.Tenant, k.Group = c.Tenant, ""
	}
	if err := g.checkAPIKey(ctx, c, k); err != nil {
		return k, "", err
	}
	return g.putAPIKey(ctx, k)
}

func (g *Gateway) checkAPIKey(ctx context.Context, c Caller, k APIKey) error {
	if err := k.checkScope(c); err != nil {
		return err
	}
	switch {
	case len(k.Name) > MaxName:
		return fmt.Errorf("name: %w: want at most %d bytes", storage.ErrInvalid, MaxName)
	case !k.Expires.IsZero() && !k.Expires.After(k.Created):
		return fmt.Errorf("expires: %w: want a time to come", storage.ErrInvalid)
	case k.Tenant != "":
		_, err := g.Tenant(ctx, k.Tenant)
		return err
	case k.Group != "":
		_, err := g.liveGroup(ctx, k.Group)
		return err
	}
	return nil
}

// checkScope judges whose key k is, and whether c may make it.
func (k APIKey) checkScope(c Caller) error {
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

// putAPIKey writes k with a new secret in place of all that k.ID had.
func (g *Gateway) putAPIKey(ctx context.Context, k APIKey) (APIKey, string, error) {
	text := newAPIKeyText(k.ID)
	k.Hash = digest(text)
	var old []string
	_, err := storage.Change(ctx, g.Store, placeOf(k), func(p *keyPlace, _ *storage.Row) error {
		old = p.Hashes
		p.ID, p.Hashes = k.ID, []string{k.Hash}
		return nil
	})
	if err != nil {
		return k, "", err
	}
	if err := storage.Put(ctx, g.Store, keyRow(k.Hash), k, storage.AnyRev); err != nil {
		return k, "", err
	}
	return k, text, g.deleteKeyRows(ctx, old)
}

// RotateAPIKey gives the key a new secret and returns its text. The old ones
// end after overlap.
func (g *Gateway) RotateAPIKey(ctx context.Context, c Caller, tenant, id string, overlap time.Duration) (APIKey, string, error) {
	listed, err := g.APIKey(ctx, c, tenant, id)
	if err != nil {
		return APIKey{}, "", err
	}
	if err := checkOverlap(overlap); err != nil {
		return APIKey{}, "", err
	}
	now := g.now()
	k := listed.APIKey
	text := newAPIKeyText(id)
	k.Hash, k.Created = digest(text), now
	if err := storage.Put(ctx, g.Store, keyRow(k.Hash), k, storage.AnyRev); err != nil {
		return k, "", err
	}
	if _, err := storage.Change(ctx, g.Store, placeOf(k), func(p *keyPlace, _ *storage.Row) error {
		p.Hashes = append([]string{k.Hash}, p.Hashes...)
		return nil
	}); err != nil {
		return k, "", err
	}
	return k, text, g.endKeys(ctx, append(listed.Old, listed.APIKey), now.Add(overlap))
}

// endKeys lets keys end at a time, unless they end before.
func (g *Gateway) endKeys(ctx context.Context, old []APIKey, end time.Time) error {
	var errs []error
	for _, k := range old {
		_, err := storage.Change(ctx, g.Store, keyRow(k.Hash), func(k *APIKey, r *storage.Row) error {
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

// DeleteAPIKey ends the key and all that it replaced.
func (g *Gateway) DeleteAPIKey(ctx context.Context, c Caller, tenant, id string) error {
	listed, err := g.APIKey(ctx, c, tenant, id)
	if err != nil {
		return err
	}
	p, _, err := storage.Load[keyPlace](ctx, g.Store, placeOf(listed.APIKey))
	if err != nil {
		return err
	}
	if err := g.deleteKeyRows(ctx, p.Hashes); err != nil {
		return err
	}
	return storage.Delete(ctx, g.Store, placeOf(listed.APIKey), storage.AnyRev)
}

func (g *Gateway) deleteKeyRows(ctx context.Context, hashes []string) error {
	for _, h := range hashes {
		if err := storage.Delete(ctx, g.Store, keyRow(h), storage.AnyRev); err != nil {
			return err
		}
	}
	return nil
}

// APIKey returns a key of the caller's, or for the operator of a tenant or, if
// that is empty, its own.
func (g *Gateway) APIKey(ctx context.Context, c Caller, tenant, id string) (ListedKey, error) {
	tenant, err := c.tenantIn(tenant)
	if err != nil {
		return ListedKey{}, err
	}
	p, _, err := storage.Load[keyPlace](ctx, g.Store, placeOf(APIKey{ID: id, Tenant: tenant}))
	if err != nil {
		return ListedKey{}, fmt.Errorf("API key: %w", err)
	}
	return g.listedKey(ctx, p)
}

// APIKeys returns a page of the keys of the caller's tenant, or for the
// operator of a tenant or, if that is empty, its own.
func (g *Gateway) APIKeys(ctx context.Context, c Caller, tenant string, at storage.Place) ([]ListedKey, string, error) {
	tenant, err := c.tenantIn(tenant)
	if err != nil {
		return nil, "", err
	}
	k := placeOf(APIKey{Tenant: tenant, ID: "x"})
	q := at.Query(storage.Query{Table: storage.Registrations, PK: k.PK}, strings.TrimSuffix(k.SK, "x"))
	return storage.Listed(ctx, g.Store, q, func(r storage.Row) (ListedKey, error) {
		var p keyPlace
		if err := storage.Decode(r, &p); err != nil {
			return ListedKey{}, err
		}
		return g.listedKey(ctx, p)
	})
}

// listedKey reads the rows of a key. It is storage.ErrNotFound if all have ended.
func (g *Gateway) listedKey(ctx context.Context, p keyPlace) (ListedKey, error) {
	now := g.now()
	var l ListedKey
	for _, h := range p.Hashes {
		k, _, err := storage.Load[APIKey](ctx, g.Store, keyRow(h))
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return l, err
		}
		switch {
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

// CallerOf returns who calls with the text of an API key. The error wraps
// ErrUnauthorized if there is no such key, it has expired, or its tenant is
// disabled. It reads rows each time.
func (g *Gateway) CallerOf(ctx context.Context, text string) (Caller, APIKey, error) {
	if !strings.HasPrefix(text, apiKeyPrefix) || len(text) > MaxName {
		return Caller{}, APIKey{}, ErrUnauthorized
	}
	k, _, err := storage.Load[APIKey](ctx, g.Store, apiKeyKey(text))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Caller{}, k, ErrUnauthorized
	case err != nil:
		return Caller{}, k, err
	case !k.valid(g.now()):
		return Caller{}, k, fmt.Errorf("expired: %w", ErrUnauthorized)
	}
	c := Caller{Key: k.ID, Scope: k.Scope, Tenant: k.Tenant, Group: k.Group, Limits: Limits{}.OrDefault()}
	if k.Tenant == "" {
		return c, k, nil
	}
	t, err := g.Tenant(ctx, k.Tenant)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return c, k, ErrUnauthorized
	case err != nil:
		return c, k, err
	case t.Disabled:
		return c, k, fmt.Errorf("tenant is disabled: %w", ErrUnauthorized)
	}
	c.Limits = t.Limits.OrDefault()
	return c, k, nil
}

func (k APIKey) valid(now time.Time) bool { return k.Expires.IsZero() || now.Before(k.Expires) }

// firstKeyID returns the id of the key that is made with a tenant or group, the
// same if that is made again after a crash.
func firstKeyID(of string) string { return idFrom("key", time.Time{}, "first "+of) }

func keyRow(hash string) storage.Key {
	return storage.Key{Table: storage.Registrations, PK: "K#" + hash, SK: "K"}
}

// newAPIKeyText returns a new key with 160 random bits.
func newAPIKeyText(id string) string {
	_, bare, _ := strings.Cut(id, "_")
	return apiKeyPrefix + bare + "_" + NewCallbackSecret()
}

// MaxOverlap is how long an old secret may hold beside the new one.
const MaxOverlap = 90 * 24 * time.Hour

func checkOverlap(d time.Duration) error {
	if d < 0 || d > MaxOverlap {
		return fmt.Errorf("overlap: %w: want 0s to 2160h", storage.ErrInvalid)
	}
	return nil
}
