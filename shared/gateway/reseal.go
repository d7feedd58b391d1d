package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ringback/shared/storage"
)

// Rows with sealed fields call f for each of those that may still be opened:
// not for secrets that have ended. f may put another text in place.
type sealedRow interface {
	eachSealed(now time.Time, f func(field string, text *string) error) error
}

func (s *Source) eachSealed(now time.Time, f func(string, *string) error) error {
	err := errors.Join(eachSecret(s.Tokens, "token", now, f), eachSecret(s.Basic, "basic", now, f))
	if err == nil && s.Upstream.APIKey != "" {
		err = f("upstream", &s.Upstream.APIKey)
	}
	return err
}

func (k *CallbackKey) eachSealed(now time.Time, f func(string, *string) error) error {
	if !k.Until.IsZero() && !now.Before(k.Until) {
		return nil
	}
	return f("callback_key", &k.Sealed)
}

func (r *Registration) eachSealed(now time.Time, f func(string, *string) error) error {
	err := errors.Join(f("url", &r.Endpoint.URL), eachSecret(r.Secrets, "secret", now, f), eachSecret(r.RawTokens, "raw_token", now, f))
	for name, text := range r.Endpoint.Headers {
		err = errors.Join(err, f("header", &text))
		r.Endpoint.Headers[name] = text
	}
	return err
}

func eachSecret(secrets []Secret, field string, now time.Time, f func(string, *string) error) error {
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

// StartReseal starts the job that seals all secrets anew under the key that
// seals now. When it is done with nothing skipped, and every process has that
// key first in its ring, the other keys can go. Old rows stay readable
// meanwhile.
func (g *Gateway) StartReseal(ctx context.Context, id string) (Job, error) {
	return g.startListed(ctx, Job{ID: id, Kind: JobReseal, Key: g.Keys.current})
}

// resealed are the lists below which there are sealed fields. Registrations
// are found by their tenants, which list removed ones too.
func resealed() []tourPart {
	return []tourPart{{"sources", sourceKey, "C#"}, {"tenants", tenantKey, "R#"}}
}

// resealStep seals the secrets of a page of rows under the job's key. A process
// with another ring fails, so that another one does the chunk.
func (g *Gateway) resealStep(ctx context.Context, j *Job) (time.Time, bool, error) {
	if j.Key != g.Keys.current {
		return time.Time{}, false, errors.New("this process seals with another key")
	}
	at, err := parseStop(j.Cursor)
	if err != nil {
		return time.Time{}, false, err
	}
	at, done, err := g.tour(ctx, resealed(), at, func(r storage.Row) error { return g.reseal(ctx, j, r) })
	j.Cursor = at.String()
	return time.Time{}, done, err
}

// reseal seals the secrets of one row that a tour shows. One that does not open
// stays as it is: the job counts it, and the log names it.
func (g *Gateway) reseal(ctx context.Context, j *Job, row storage.Row) error {
	changed, err := g.resealRow(ctx, row)
	var lost *unopenedError
	switch {
	case errors.As(err, &lost):
		g.Log.Warn("job", "id", j.ID, "outcome", "skipped", "why", lost.Error())
		j.Skipped++
		return nil
	case changed:
		j.Done++
	}
	return err
}

func (g *Gateway) resealRow(ctx context.Context, row storage.Row) (changed bool, err error) {
	switch kind, id, _ := strings.Cut(row.SK, "#"); kind {
	case "S":
		return resealAs[Source](ctx, g, row.Key)
	case "C":
		return resealAs[CallbackKey](ctx, g, row.Key)
	case "R":
		return resealAs[Registration](ctx, g, registrationKey(id))
	}
	return false, nil // a tenant
}

// resealAs seals what the row under k holds under another key than the current
// one, and reports whether there was any. It is no change of the thing itself:
// its revision stays.
func resealAs[T any, P interface {
	*T
	sealedRow
}](ctx context.Context, g *Gateway, k storage.Key) (changed bool, err error) {
	_, err = storage.Change(ctx, g.Store, k, func(v *T, r *storage.Row) error {
		if changed = false; r.Rev == "" {
			return storage.ErrUnchanged // removed since
		}
		err := P(v).eachSealed(g.now(), func(field string, text *string) error {
			if g.Keys.Current(*text) {
				return nil
			}
			plain, err := g.Keys.Open(k.PK, field, *text)
			if err != nil {
				return &unopenedError{err}
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

// An unopenedError says that no key of the ring opens a text.
type unopenedError struct{ err error }

func (e *unopenedError) Error() string { return fmt.Sprintf("reseal: %v", e.err) }
