// Package samples installs what the Lambda inputs in events/ speak to. It is no
// part of package app, since what takes callbacks links no control.
package samples

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// What the Lambda inputs in events/ speak to. The secrets are public, so such
// sources are for trying out alone.
const (
	Tenant = "ten_00000000000000000000sample"

	sampleSDKAppID = 1400000001
	sampleLogin    = "sample"
	samplePassword = "sample:password" // a colon, as Direct allows
)

// sampleSources are one source of each provider. Tencent's has no token, since
// a signature is stale after a minute. Direct's key has a label, as each of
// Direct's tenants has a key of its own.
var sampleSources = [...]struct{ id, provider, label, secret string }{
	{"src-smartb0t", "smartbots", "", "sample0smartbots0not0a0secret000"},
	{"src-tencent0", "tencent-chat", "", "sample0tencent0not0a0secret00000"},
	{"src-direct00", "direct", "sample", "sample0direct0not0a0secret000000"},
}

// Install makes the sources that the Lambda inputs in events/ speak to, under
// fixed ids and callback keys, and Tenant with a grant of each. What is
// there already stays as it is, so it may be called again. The error wraps
// storage.ErrConflict if another source has the sample's SDKAppID.
func Install(ctx context.Context, c *control.Control) error {
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
	return nil
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
