package control

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
)

// RotateToken gives a tencent-chat source the token that its console has now.
func (ss *sources) RotateToken(ctx context.Context, id, token string, overlap time.Duration) (gateway.Source, error) {
	if err := (SourceChange{Token: &token}).check(tencentChat); err != nil {
		return gateway.Source{}, err
	}
	return ss.rotateSource(ctx, id, tencentChat, overlap, func(s *gateway.Source, pk string, now time.Time) (err error) {
		s.Tokens, err = rotated(s.Tokens, ss.gw.Keys.Seal(pk, "token", token), now, overlap)
		return err
	})
}

// RotateBasic gives a direct source another login and password.
func (ss *sources) RotateBasic(ctx context.Context, id string, l provider.Login, overlap time.Duration) (gateway.Source, error) {
	if err := checkLogin(l); err != nil {
		return gateway.Source{}, err
	}
	return ss.rotateSource(ctx, id, direct, overlap, func(s *gateway.Source, pk string, now time.Time) (err error) {
		s.Basic, err = rotated(s.Basic, ss.gw.Keys.Seal(pk, "basic", loginText(l)), now, overlap)
		return err
	})
}

func (ss *sources) rotateSource(ctx context.Context, id, provider string, overlap time.Duration, f func(s *gateway.Source, pk string, now time.Time) error) (gateway.Source, error) {
	if err := checkOverlap(overlap); err != nil {
		return gateway.Source{}, err
	}
	s, err := ss.Source(ctx, id)
	if err != nil {
		return s, err
	}
	if !mayHave(s.Provider, provider) {
		return s, fmt.Errorf("rotate: %w: only sources of %s have that", storage.ErrInvalid, provider)
	}
	return ss.changeSource(ctx, id, func(s *gateway.Source) error { return f(s, gateway.SourceKey(id).PK, ss.gw.Clock()) })
}

// RotateSecret gives a registration a new signing secret and returns it.
func (rr *registrations) RotateSecret(ctx context.Context, c Caller, id string, overlap time.Duration) (gateway.Registration, string, error) {
	if err := checkOverlap(overlap); err != nil {
		return gateway.Registration{}, "", err
	}
	secret := NewSigningSecret()
	r, err := rr.changeRegistration(ctx, c, id, func(r *gateway.Registration) (err error) {
		r.Secrets, err = rotated(r.Secrets, rr.gw.Keys.Seal(gateway.RegistrationKey(id).PK, "secret", secret), rr.gw.Clock(), overlap)
		return err
	})
	return r, secret, err
}

// RotateRawToken gives a raw registration on a tencent-chat source another
// token with which its deliveries are signed as Tencent does.
func (rr *registrations) RotateRawToken(ctx context.Context, c Caller, id, token string, overlap time.Duration) (gateway.Registration, error) {
	if err := checkOverlap(overlap); err != nil {
		return gateway.Registration{}, err
	}
	if err := gateway.CheckText("raw_token", token, 1, gateway.MaxName); err != nil {
		return gateway.Registration{}, err
	}
	return rr.changeRegistration(ctx, c, id, func(r *gateway.Registration) (err error) {
		if len(r.RawTokens) == 0 {
			return fmt.Errorf("raw_token: %w: the registration has none; change it instead", storage.ErrInvalid)
		}
		r.RawTokens, err = rotated(r.RawTokens, rr.gw.Keys.Seal(gateway.RegistrationKey(id).PK, "raw_token", token), rr.gw.Clock(), overlap)
		return err
	})
}

// rotated is keyring.Rotate. The error wraps ErrLimit if too many hold at once.
func rotated(secrets []keyring.Secret, sealed string, now time.Time, overlap time.Duration) ([]keyring.Secret, error) {
	out := keyring.Rotate(secrets, sealed, now, overlap)
	return out, checkValidSecrets(len(out))
}

// checkValidSecrets returns an error wrapping ErrLimit if n secrets of a kind are more than may hold at once.
func checkValidSecrets(n int) error {
	if n > keyring.MaxValidSecrets {
		return fmt.Errorf("rotate: %w: at most %d hold at once; rotate with overlap 0s to end the old ones", ErrLimit, keyring.MaxValidSecrets)
	}
	return nil
}

// ValidSecrets returns those of secrets that hold now, newest first.
func (rr *registrations) ValidSecrets(secrets []keyring.Secret) []keyring.Secret {
	now := rr.gw.Clock()
	return slices.DeleteFunc(slices.Clone(secrets), func(s keyring.Secret) bool { return !s.Valid(now) })
}

// NewSigningSecret returns whsec_ and the base64 of 32 random bytes (Standard
// Webhooks 1.0, "Signature scheme", symmetric: 24 to 64 bytes).
func NewSigningSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}
