package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"ringback/shared/provider"
	"ringback/shared/storage"
)

// hiddenText is shown in place of what is write-only; sent back it means unchanged.
const hiddenText = "***"

// DefaultOverlap is how long an old secret holds beside the new one unless the
// caller says otherwise.
const DefaultOverlap = 24 * time.Hour

// DirectOverlap is the default for Direct's callback keys and Basic: its
// callback URLs travel inside messages, whose callbacks come for 25 h and more.
const DirectOverlap = 30 * 24 * time.Hour

// RotateToken gives a tencent-chat source the token that its console has now.
func (g *Gateway) RotateToken(ctx context.Context, id, token string, overlap time.Duration) (Source, error) {
	if err := (SourceChange{Token: &token}).check(tencentChat); err != nil {
		return Source{}, err
	}
	return g.rotateSource(ctx, id, tencentChat, overlap, func(s *Source, pk string, now time.Time) {
		s.Tokens = rotate(s.Tokens, g.Keys.Seal(pk, "token", token), now, overlap)
	})
}

// RotateBasic gives a direct source another login and password.
func (g *Gateway) RotateBasic(ctx context.Context, id string, l provider.Login, overlap time.Duration) (Source, error) {
	if err := checkLogin(l); err != nil {
		return Source{}, err
	}
	return g.rotateSource(ctx, id, direct, overlap, func(s *Source, pk string, now time.Time) {
		s.Basic = rotate(s.Basic, g.Keys.Seal(pk, "basic", loginText(l)), now, overlap)
	})
}

func (g *Gateway) rotateSource(ctx context.Context, id, provider string, overlap time.Duration, f func(s *Source, pk string, now time.Time)) (Source, error) {
	if err := checkOverlap(overlap); err != nil {
		return Source{}, err
	}
	s, err := g.Source(ctx, id)
	if err != nil {
		return s, err
	}
	if !mayHave(s.Provider, provider) {
		return s, fmt.Errorf("rotate: %w: only sources of %s have that", storage.ErrInvalid, provider)
	}
	return g.changeSource(ctx, id, func(s *Source) { f(s, sourceKey(id).PK, g.now()) })
}

// RotateSecret gives a registration a new signing secret and returns it.
func (g *Gateway) RotateSecret(ctx context.Context, c Caller, id string, overlap time.Duration) (Registration, string, error) {
	if err := checkOverlap(overlap); err != nil {
		return Registration{}, "", err
	}
	secret := newSigningSecret()
	r, err := g.changeRegistration(ctx, c, id, func(r *Registration) error {
		r.Secrets = rotate(r.Secrets, g.Keys.Seal(registrationKey(id).PK, "secret", secret), g.now(), overlap)
		return nil
	})
	return r, secret, err
}

// RotateRawToken gives a raw registration on a tencent-chat source another
// token with which its deliveries are signed as Tencent does.
func (g *Gateway) RotateRawToken(ctx context.Context, c Caller, id, token string, overlap time.Duration) (Registration, error) {
	if err := checkOverlap(overlap); err != nil {
		return Registration{}, err
	}
	if err := checkToken(token); err != nil {
		return Registration{}, fmt.Errorf("raw_%w", err)
	}
	return g.changeRegistration(ctx, c, id, func(r *Registration) error {
		if len(r.RawTokens) == 0 {
			return fmt.Errorf("raw_token: %w: the registration has none; change it instead", storage.ErrInvalid)
		}
		r.RawTokens = rotate(r.RawTokens, g.Keys.Seal(registrationKey(id).PK, "raw_token", token), g.now(), overlap)
		return nil
	})
}

// Holding returns those of secrets that hold now, newest first.
func (g *Gateway) Holding(secrets []Secret) []Secret {
	now := g.now()
	return slices.DeleteFunc(slices.Clone(secrets), func(s Secret) bool { return !s.Valid(now) })
}

// newSigningSecret returns whsec_ and the base64 of 32 random bytes (Standard
// Webhooks 1.0, "Signature scheme", symmetric: 24 to 64 bytes).
func newSigningSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}
