package app

import (
	"context"
	"errors"
	"fmt"

	"ringback/shared/gateway"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// What the Lambda inputs in events/ speak to. The secrets are public, so such
// sources are for trying out alone.
const (
	SampleTenant = "ten_00000000000000000000sample"

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

// Sample makes the sources that the Lambda inputs in events/ speak to, under
// fixed ids and callback keys, and SampleTenant with a grant of each. What is
// there already stays as it is, so it may be called again. The error wraps
// storage.ErrConflict if another source has the sample's SDKAppID.
func Sample(ctx context.Context, g *gateway.Gateway) error {
	if err := sampleTenant(ctx, g); err != nil {
		return fmt.Errorf("sample tenant: %w", err)
	}
	for _, s := range sampleSources {
		if err := sampleSource(ctx, g, s.id, s.provider); err != nil {
			return fmt.Errorf("sample source %s: %w", s.id, err)
		}
		if _, err := g.PutCallbackKey(ctx, "cbk_00000000000000000000sample", s.id, s.label, s.secret); err != nil {
			return fmt.Errorf("callback key of %s: %w", s.id, err)
		}
		if err := sampleGrant(ctx, g, s.id); err != nil {
			return fmt.Errorf("grant of %s: %w", s.id, err)
		}
	}
	return nil
}

func sampleTenant(ctx context.Context, g *gateway.Gateway) error {
	_, err := g.Tenant(ctx, SampleTenant)
	if errors.Is(err, storage.ErrNotFound) {
		_, _, err = g.CreateTenant(ctx, SampleTenant, "Sample", gateway.Limits{})
	}
	return err
}

func sampleSource(ctx context.Context, g *gateway.Gateway, id, providerName string) error {
	_, err := g.Source(ctx, id)
	if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	name := "Sample of " + providerName
	ch := gateway.SourceChange{Provider: providerName, Name: &name}
	switch providerName {
	case "tencent-chat":
		ch.SDKAppID = new(uint64(sampleSDKAppID))
	case "direct":
		ch.Basic = &provider.Login{Name: sampleLogin, Password: samplePassword}
	}
	_, err = g.CreateSource(ctx, id, ch)
	return err
}

func sampleGrant(ctx context.Context, g *gateway.Gateway, source string) error {
	const id = "grt_00000000000000000000sample"
	_, err := g.Grant(ctx, source, id)
	if errors.Is(err, storage.ErrNotFound) {
		_, err = g.CreateGrant(ctx, id, source, SampleTenant, nil)
	}
	return err
}
