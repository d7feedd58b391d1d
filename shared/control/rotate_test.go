package control

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/keyring"
	"ringback/shared/provider"
	"ringback/shared/storage"
	"ringback/shared/storage/storagetest"
	"ringback/shared/test/gatewaytest"
)

// rotations are the calls that rotate what chat, sms, r and r's tenant have.
func (w *world) rotations(chat, sms gateway.Source, r gateway.Registration) map[string]func(overlap time.Duration) error {
	ctx, c := w.t.Context(), Caller{Scope: ScopeFull, Tenant: r.Tenant}
	return map[string]func(overlap time.Duration) error{
		"RotateToken": func(o time.Duration) error { return gatewaytest.ErrOf(w.RotateToken(ctx, chat.ID, "token", o)) },
		"RotateBasic": func(o time.Duration) error {
			return gatewaytest.ErrOf(w.RotateBasic(ctx, sms.ID, provider.Login{Name: "n", Password: "p"}, o))
		},
		"RotateSecret":   func(o time.Duration) error { _, _, err := w.RotateSecret(ctx, c, r.ID, o); return err },
		"RotateRawToken": func(o time.Duration) error { return gatewaytest.ErrOf(w.RotateRawToken(ctx, c, r.ID, "token", o)) },
		"RotateAPIKey": func(o time.Duration) error {
			_, _, err := w.RotateAPIKey(ctx, c, "", FirstKeyID(c.Tenant), o)
			return err
		},
	}
}

func TestOverlapHasLimits(t *testing.T) {
	w := newWorld(t)
	chat, sms := w.source(tencentChat), w.source(direct)
	s, c := w.granted(tencentChat)
	r := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new("token")})
	for name, f := range w.rotations(chat, sms, r) {
		w.WantUnwritten(name, func() {
			w.WantErr(name+" with an overlap below 0", f(-1), storage.ErrInvalid)
			w.WantErr(name+" with too long an overlap", f(MaxOverlap+1), storage.ErrInvalid)
		})
		w.WantErr(name+" with the longest overlap", f(MaxOverlap), nil)
		w.WantErr(name+" without overlap", f(0), nil)
	}
	if DefaultOverlap != 24*time.Hour || DirectOverlap != 30*24*time.Hour || MaxOverlap != 90*24*time.Hour {
		t.Errorf("overlaps are %v, %v and at most %v", DefaultOverlap, DirectOverlap, MaxOverlap)
	}
}

func TestCredentialsOfASourceRotate(t *testing.T) {
	w := newWorld(t)
	chat := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{
		Provider: tencentChat, Name: new("chat"), SDKAppID: new(uint64(1)), Token: new("first"),
	}))(w)
	sms := gatewaytest.Must(w.CreateSource(t.Context(), ident.NewSource(), SourceChange{
		Provider: direct, Name: new("sms"), Basic: &provider.Login{Name: "login", Password: "first"},
	}))(w)
	w.Pass(time.Hour)
	check := func(what, source, field string, secrets []keyring.Secret, want string) {
		t.Helper()
		if len(secrets) != 2 || !secrets[0].Since.Equal(w.Now) || !secrets[0].Until.IsZero() || !secrets[1].Until.Equal(w.Now.Add(2*time.Hour)) {
			t.Fatalf("%s: %+v, want a new one, and the old with its end", what, secrets)
		}
		if got := w.open(source, field, secrets[0].Sealed); got != want {
			t.Errorf("%s: the new one is %q, want %q", what, got, want)
		}
	}
	w.wantPublished("RotateToken", chat.ID, true, func() {
		s := gatewaytest.Must(w.RotateToken(t.Context(), chat.ID, "second", 2*time.Hour))(w)
		check("RotateToken", s.ID, "token", s.Tokens, "second")
	})
	w.wantPublished("RotateBasic", sms.ID, true, func() {
		s := gatewaytest.Must(w.RotateBasic(t.Context(), sms.ID, provider.Login{Name: "login", Password: "second"}, 2*time.Hour))(w)
		check("RotateBasic", s.ID, "basic", s.Basic, `{"Name":"login","Password":"second"}`)
	})
	none := ident.NewSource()
	w.WantUnwritten("refused", func() {
		w.WantErr("RotateToken of direct", gatewaytest.ErrOf(w.RotateToken(t.Context(), sms.ID, "x", 0)), storage.ErrInvalid)
		w.WantErr("RotateToken to none", gatewaytest.ErrOf(w.RotateToken(t.Context(), chat.ID, "", 0)), storage.ErrInvalid)
		w.WantErr("RotateToken to a long one", gatewaytest.ErrOf(w.RotateToken(t.Context(), chat.ID, strings.Repeat("x", gateway.MaxName+1), 0)), storage.ErrInvalid)
		w.WantErr("RotateToken of no source", gatewaytest.ErrOf(w.RotateToken(t.Context(), none, "x", 0)), storage.ErrNotFound)
		w.WantErr("RotateBasic of tencent-chat", gatewaytest.ErrOf(w.RotateBasic(t.Context(), chat.ID, provider.Login{Name: "n", Password: "p"}, 0)), storage.ErrInvalid)
		w.WantErr("RotateBasic to none", gatewaytest.ErrOf(w.RotateBasic(t.Context(), sms.ID, provider.Login{}, 0)), storage.ErrInvalid)
		w.WantErr("RotateBasic of no source", gatewaytest.ErrOf(w.RotateBasic(t.Context(), none, provider.Login{Name: "n", Password: "p"}, 0)), storage.ErrNotFound)
	})
	w.WantFaultsReported("RotateToken", func() storagetest.Operation {
		return storagetest.Operation{Do: func() error { return gatewaytest.ErrOf(w.RotateToken(t.Context(), chat.ID, "x", 0)) }}
	})
}

func TestSecretsOfARegistrationRotate(t *testing.T) {
	w := newWorld(t)
	s, c := w.granted(tencentChat)
	other := w.tenant()
	id := w.ID("reg")
	r, first, err := w.CreateRegistration(t.Context(), c, id, s.ID, RegistrationChange{
		URL: new(endpointURL), EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new("first"),
	})
	w.OK(err)
	plain := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}})
	pk := gateway.RegistrationKey(id).PK
	if got := gatewaytest.Must(w.gw.Keys.Open(pk, "secret", r.Secrets[0].Sealed))(w); got != first || !r.Secrets[0].Since.Equal(w.Now) {
		t.Errorf("the secret that was told is not the one that is kept: %+v", r.Secrets)
	}
	w.Pass(time.Hour)
	w.wantPublished("RotateSecret", s.ID, true, func() {
		after, secret, err := w.RotateSecret(t.Context(), c, id, 2*time.Hour)
		w.OK(err)
		if len(after.Secrets) != 2 || !after.Secrets[0].Since.Equal(w.Now) || !after.Secrets[1].Until.Equal(w.Now.Add(2*time.Hour)) || after.Rev != r.Rev+1 ||
			gatewaytest.Must(w.gw.Keys.Open(pk, "secret", after.Secrets[0].Sealed))(w) != secret || secret == first {
			t.Errorf("RotateSecret: %+v, want a new one, and the old with its end", after.Secrets)
		}
	})
	w.wantPublished("RotateRawToken", s.ID, true, func() {
		after := gatewaytest.Must(w.RotateRawToken(t.Context(), c, id, "second", 2*time.Hour))(w)
		if len(after.RawTokens) != 2 || !after.RawTokens[0].Since.Equal(w.Now) || !after.RawTokens[1].Until.Equal(w.Now.Add(2*time.Hour)) ||
			gatewaytest.Must(w.gw.Keys.Open(pk, "raw_token", after.RawTokens[0].Sealed))(w) != "second" {
			t.Errorf("RotateRawToken: %+v, want a new one, and the old with its end", after.RawTokens)
		}
	})
	w.WantUnwritten("refused", func() {
		_, _, err := w.RotateSecret(t.Context(), other, id, 0)
		w.WantErr("RotateSecret by another", err, storage.ErrNotFound)
		w.WantErr("RotateRawToken by another", gatewaytest.ErrOf(w.RotateRawToken(t.Context(), other, id, "x", 0)), storage.ErrNotFound)
		w.WantErr("RotateRawToken to none", gatewaytest.ErrOf(w.RotateRawToken(t.Context(), c, id, "", 0)), storage.ErrInvalid)
		w.WantErr("RotateRawToken of one without", gatewaytest.ErrOf(w.RotateRawToken(t.Context(), c, plain.ID, "x", 0)), storage.ErrInvalid)
	})
}

func TestSecretsThatHoldAreListed(t *testing.T) {
	w := newWorld(t)
	secrets := []keyring.Secret{
		{Sealed: "new"}, {Sealed: "ends", Until: w.Now.Add(time.Millisecond)}, {Sealed: "ended", Until: w.Now}, {Sealed: "long ended", Until: w.Now.Add(-time.Hour)},
	}
	got := gatewaytest.IDs(w.ValidSecrets(secrets), func(s keyring.Secret) string { return s.Sealed })
	if strings.Join(got, " ") != "new ends" {
		t.Errorf("Holding = %v, want new and ends", got)
	}
	if secrets[3].Sealed != "long ended" {
		t.Error("Holding changed the list that it was given")
	}
}

func TestSigningSecretIsOfStandardWebhooks(t *testing.T) {
	a, b := NewSigningSecret(), NewSigningSecret()
	bytes, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "whsec_"))
	if !strings.HasPrefix(a, "whsec_") || err != nil || len(bytes) != 32 || a == b || strings.Count(string(bytes), "\x00") == 32 {
		t.Errorf("NewSigningSecret: %d bytes (%v), and another: %v; want whsec_ and 32 random bytes", len(bytes), err, a != b)
	}
}

// TestFiveSecretsHoldAtOnce rotates each kind while all old ones hold.
func TestFiveSecretsHoldAtOnce(t *testing.T) {
	w := newWorld(t)
	chat, sms := w.source(tencentChat), w.source(direct)
	w.OK(gatewaytest.ErrOf(w.RotateToken(t.Context(), chat.ID, "first", 0)))
	w.OK(gatewaytest.ErrOf(w.RotateBasic(t.Context(), sms.ID, provider.Login{Name: "n", Password: "first"}, 0)))
	s, c := w.granted(tencentChat)
	r := w.register(c, s.ID, RegistrationChange{EventTypes: &[]string{"*"}, Format: new(gateway.Raw), RawToken: new("token")})
	callback := w.ID("cbk")
	_, _, err := w.CreateCallbackKey(t.Context(), callback, sms.ID, "")
	w.OK(err)
	rotations := w.rotations(chat, sms, r)
	rotations["RotateCallbackKey"] = func(o time.Duration) error {
		_, _, err := w.RotateCallbackKey(t.Context(), sms.ID, callback, o)
		return err
	}
	for name, rotate := range rotations {
		for n := 2; n <= 5; n++ {
			w.WantErr(fmt.Sprintf("%s to %d that hold", name, n), rotate(time.Hour), nil)
		}
		w.WantErr(name+" to six that hold", rotate(time.Hour), ErrLimit)
		w.WantErr(name+" without overlap", rotate(0), nil)
		for n := 2; n <= 5; n++ {
			w.WantErr(fmt.Sprintf("%s to %d that hold, again", name, n), rotate(time.Hour), nil)
		}
		w.Pass(time.Hour)
		w.WantErr(name+" after the old ones ended", rotate(time.Hour), nil)
	}
	l := gatewaytest.Must(w.APIKey(t.Context(), c, "", FirstKeyID(c.Tenant)))(w)
	p := gatewaytest.Must(storage.Decoded[KeyLocation](gatewaytest.Must(w.Store.Get(t.Context(), LocationOf(l.APIKey)))(w)[0]))(w)
	if len(p.Hashes) != 2 {
		t.Errorf("%d hashes of an API key are kept, want the two that hold", len(p.Hashes))
	}
}

func TestTenantHasAHundredAPIKeys(t *testing.T) {
	w := newWorld(t)
	c := w.tenant() // with its first key
	create := func(id string) error {
		_, _, err := w.CreateAPIKey(t.Context(), c, id, APIKey{Scope: ScopeRead})
		return err
	}
	last := ""
	for range 99 {
		last = w.ID("key")
		w.OK(create(last))
	}
	w.WantUnwritten("one more", func() { w.WantErr("the 101st key", create(w.ID("key")), ErrLimit) })
	w.WantErr("the 100th key, made again", create(last), nil)
	w.OK(w.DeleteAPIKey(t.Context(), c, "", last))
	w.WantErr("one in place of one that was deleted", create(w.ID("key")), nil)
}
