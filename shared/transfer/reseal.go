package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/shared/control"
	"ringback/shared/gateway"
	"ringback/shared/keyring"
	"ringback/shared/storage"
)

// eachSealed calls f for each encrypted field of a row whose secret has not ended. f may replace the text. v points to
// what the row holds; rows other than sources, callback keys, registrations and the ring's seal have no such field.
func eachSealed(v any, now time.Time, f func(field string, text *string) error) error {
	switch v := v.(type) {
	case *gateway.Source:
		err := errors.Join(eachSecret(v.Tokens, "token", now, f), eachSecret(v.Basic, "basic", now, f))
		if err == nil && v.Upstream.APIKey != "" {
			err = f("upstream", &v.Upstream.APIKey)
		}
		return err
	case *gateway.CallbackKey:
		if v.Until.IsZero() || now.Before(v.Until) {
			return f("callback_key", &v.Sealed)
		}
	case *gateway.RingSeal:
		return f("ring", &v.Sealed)
	case *gateway.Registration:
		err := errors.Join(f("url", &v.Endpoint.URL), eachSecret(v.Secrets, "secret", now, f), eachSecret(v.RawTokens, "raw_token", now, f))
		for name, text := range v.Endpoint.Headers {
			err = errors.Join(err, f("header", &text))
			v.Endpoint.Headers[name] = text
		}
		return err
	}
	return nil
}

func eachSecret(secrets []keyring.Secret, field string, now time.Time, f func(string, *string) error) error {
	for i := range secrets {
		if !secrets[i].Valid(now) {
			continue
		}
		if err := f(field, &secrets[i].Sealed); err != nil {
			return err
		}
	}
	return nil
}

// StartReseal starts the job that encrypts all secrets again, under the current key. When it is done with nothing
// skipped, and every process has that key first in its ring, the other keys can go. Rows stay readable meanwhile.
func (tr *Transfer) StartReseal(ctx context.Context, id string) (gateway.Job, error) {
	return tr.control.StartListed(ctx, gateway.Job{ID: id, Kind: gateway.JobReseal, Key: tr.gw.Keys.CurrentID()})
}

// resealed are the lists whose rows have encrypted fields. Registrations are found through their tenants, which
// list removed ones too.
var resealed = []scanPart{{"sources", gateway.SourceKey, "C#"}, {"tenants", gateway.TenantKey, "R#"}}

// resealStep encrypts the secrets of a page of rows under the job's key. A process with another ring fails, so
// that another process does the chunk.
func (tr *Transfer) resealStep(ctx context.Context, j *gateway.Job) (time.Time, bool, error) {
	if j.Key != tr.gw.Keys.CurrentID() {
		return time.Time{}, false, errors.New("this process seals with another key")
	}
	at, err := parseScanCursor(j.Cursor)
	if err == nil && at == (scanCursor{}) {
		err = tr.reseal(ctx, j, storage.Row{Key: gateway.RingKey()})
	}
	if err != nil {
		return time.Time{}, false, err
	}
	at, done, err := tr.scan(ctx, resealed, at, func(r storage.Row) error { return tr.reseal(ctx, j, r) })
	j.Cursor = at.String()
	return time.Time{}, done, err
}

// reseal encrypts the secrets of one scanned row again. A secret that cannot be decrypted stays: the job counts it
// and the log names it.
func (tr *Transfer) reseal(ctx context.Context, j *gateway.Job, row storage.Row) error {
	changed, err := tr.resealRow(ctx, row)
	switch lost, unopened := errors.AsType[*undecryptableError](err); {
	case unopened:
		tr.gw.Log.Warn("job", "id", j.ID, "outcome", "skipped", "why", lost.Error())
		j.Skipped++
		return nil
	case changed:
		j.Done++
	}
	return err
}

func (tr *Transfer) resealRow(ctx context.Context, row storage.Row) (changed bool, err error) {
	switch kind, id, _ := strings.Cut(row.SK, "#"); kind {
	case "S":
		return resealAs[gateway.Source](ctx, tr.gw, row.Key)
	case "C":
		return resealAs[gateway.CallbackKey](ctx, tr.gw, row.Key)
	case "ring":
		return resealAs[gateway.RingSeal](ctx, tr.gw, row.Key)
	case "R":
		return resealAs[gateway.Registration](ctx, tr.gw, gateway.RegistrationKey(id))
	}
	return false, nil // a tenant
}

// resealAs encrypts the fields of the row under k that are not under the current key, and reports whether there
// were any. The object's revision stays.
func resealAs[T any](ctx context.Context, g *gateway.Gateway, k storage.Key) (changed bool, err error) {
	_, err = storage.Change(ctx, g.Store, k, func(v *T, r *storage.Row) error {
		if changed = false; r.Rev == "" {
			return storage.ErrUnchanged // removed since
		}
		err := eachSealed(v, g.Clock(), func(field string, text *string) error {
			if g.Keys.Current(*text) {
				return nil
			}
			plain, err := g.Keys.Open(k.PK, field, *text)
			if err != nil {
				return &undecryptableError{err}
			}
			*text, changed = g.Keys.Seal(k.PK, field, plain), true
			return nil
		})
		if err == nil && !changed {
			return storage.ErrUnchanged
		}
		return err
	})
	return changed && err == nil, err
}

// An undecryptableError says that no key of the ring decrypts a text.
type undecryptableError struct{ err error }

func (e *undecryptableError) Error() string { return fmt.Sprintf("reseal: %v", e.err) }

// ErrOtherRing says that a Store's secrets belong to another key ring.
var ErrOtherRing = errors.New("the database was sealed by another key ring: put its key ring back")

var errOpened = errors.New("a secret was opened")

// CheckRing returns ErrOtherRing unless g's key ring decrypts the seal of the Store's first ring: one read. A
// Store without a seal gets one, if it has no source, or a source's secret can be decrypted.
func CheckRing(ctx context.Context, g *gateway.Gateway) error {
	k := gateway.RingKey()
	v, _, err := storage.Load[gateway.RingSeal](ctx, g.Store, k)
	switch {
	case err == nil:
		if _, err := g.Keys.Open(k.PK, "ring", v.Sealed); err != nil {
			return ErrOtherRing
		}
		return nil
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if err := New(control.New(g)).opensAny(ctx); err != nil {
		return err
	}
	return storage.PutRow(ctx, g.Store, storage.Row{Key: k}, gateway.RingSeal{Sealed: g.Keys.Seal(k.PK, "ring", "ringback")}, storage.AnyRev)
}

// opensAny returns ErrOtherRing if sources have secrets and none can be decrypted.
func (tr *Transfer) opensAny(ctx context.Context) (err error) {
	sealed, at, done := false, scanCursor{}, false
	for !done {
		at, done, err = tr.scan(ctx, resealed[:1], at, func(r storage.Row) error {
			var v any = &gateway.CallbackKey{}
			if r.SK == "S" {
				v = &gateway.Source{}
			}
			if err := storage.Decode(r, v); err != nil {
				return err
			}
			return eachSealed(v, time.Time{}, func(field string, text *string) error {
				sealed = true
				if _, err := tr.gw.Keys.Open(r.PK, field, *text); err == nil {
					return errOpened
				}
				return nil
			})
		})
		if errors.Is(err, errOpened) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if sealed {
		return ErrOtherRing
	}
	return nil
}
