// Package samples installs the sources, the tenant and the group that the Lambda inputs in events/ name. It is not part
// of package app, since the ingest functions must not link control.
package samples

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/groups"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// Names and secrets in the Lambda inputs of events/. The secrets are public: install the samples only where nobody else
// can reach the gateway.
const (
	Tenant      = "ten_00000000000000000000sample"
	TenantKey   = "rbk_sample_of_a_tenants_key" // of scope set_http_callback
	OperatorKey = "the-operator-key-of-the-committed-samples"
	PublicURL   = "https://ringback.example"

	sampleSDKAppID = 1400000001
	sampleLogin    = "sample"
	samplePassword = "sample:password" // a colon, as Direct allows
)

// sampleSources has one source of each provider. Tencent's has no token, since a committed signature would be too old
// after a minute. Direct's callback key has a label, as each of Direct's tenants has a key of its own.
var sampleSources = [...]struct{ id, provider, label, secret string }{
	{"src-smartb0t", "smartbots", "", "sample0smartbots0not0a0secret000"},
	{"src-tencent0", "tencent-chat", "", "sample0tencent0not0a0secret00000"},
	{"src-direct00", "direct", "sample", "sample0direct0not0a0secret000000"},
}

// Install makes three sources with fixed ids and callback keys, Tenant with a grant of each and with TenantKey, and the
// group Harbor Crew. It does not change what exists, so it may be called again. The error wraps storage.ErrConflict if
// another source has the sample's SDKAppID.
func Install(ctx context.Context, g *gateway.Gateway) error {
	c := control.New(g)
	if err := installTenant(ctx, c); err != nil {
		return fmt.Errorf("sample tenant: %w", err)
	}
	for _, s := range sampleSources {
		if err := installSource(ctx, c, s.id, s.provider); err != nil {
			return fmt.Errorf("sample source %s: %w", s.id, err)
		}
		if _, err := c.PutCallbackKey(ctx, "cbk_00000000000000000000sample", s.id, s.label, s.secret); err != nil {
			return fmt.Errorf("callback key of %s: %w", s.id, err)
		}
		if err := installGrant(ctx, c, s.id); err != nil {
			return fmt.Errorf("grant of %s: %w", s.id, err)
		}
	}
	if err := installKey(ctx, g.Store); err != nil {
		return fmt.Errorf("sample key: %w", err)
	}
	return installGroup(ctx, groups.New(c, ""))
}

// installKey writes the rows of an API key whose text is TenantKey. Control makes only keys with random texts.
func installKey(ctx context.Context, s storage.Store) error {
	k := control.APIKey{ID: "key_00000000000000000000sample", Scope: control.ScopeSetHTTP, Tenant: Tenant, Name: "Sample", Hash: gateway.Digest(TenantKey)}
	return errors.Join(
		storage.Put(ctx, s, control.LocationOf(k), control.KeyLocation{ID: k.ID, Hashes: []string{k.Hash}}, storage.AnyRev),
		storage.Put(ctx, s, gateway.APIKeyRow(k.Hash), k, storage.AnyRev))
}

func installGroup(ctx context.Context, gs *groups.Groups) error {
	_, _, err := gs.CreateGroup(ctx, "grp_00000000000000000000sample", groups.GroupChange{
		Source: sampleSources[0].id, Name: "Harbor Crew", UUID: "5b1f0c52-0a5e-4a0c-9a5a-1f6d2f0e7c11", GroupID: "harbor-crew", Code: "open-the-dock",
	})
	if errors.Is(err, storage.ErrConflict) {
		return nil // the group exists
	}
	return err
}

func installTenant(ctx context.Context, c *control.Control) error {
	_, err := c.Tenant(ctx, Tenant)
	if errors.Is(err, storage.ErrNotFound) {
		_, _, err = c.CreateTenant(ctx, Tenant, "Sample", gateway.Limits{})
	}
	return err
}

func installSource(ctx context.Context, c *control.Control, id, providerName string) error {
	_, err := c.Source(ctx, id)
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	ch := control.SourceChange{Provider: providerName, Name: new("Sample of " + providerName)}
	switch providerName {
	case "tencent-chat":
		ch.SDKAppID = new(uint64(sampleSDKAppID))
	case "direct":
		ch.Basic = &provider.Login{Name: sampleLogin, Password: samplePassword}
	}
	_, err = c.CreateSource(ctx, id, ch)
	return err
}

func installGrant(ctx context.Context, c *control.Control, source string) error {
	const id = "grt_00000000000000000000sample"
	_, err := c.Grant(ctx, source, id)
	if errors.Is(err, storage.ErrNotFound) {
		_, err = c.CreateGrant(ctx, id, source, Tenant, nil)
	}
	return err
}
