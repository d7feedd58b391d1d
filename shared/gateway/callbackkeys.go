package gateway

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ringback/shared/storage"
)

// CreateCallbackKey makes one more callback URL of a source under id and
// returns it. A key that is there already under the id is returned as it is.
func (g *Gateway) CreateCallbackKey(ctx context.Context, id, source, label string) (CallbackKey, string, error) {
	s, err := g.Source(ctx, source)
	if err != nil {
		return CallbackKey{}, "", err
	}
	if err := checkLabel(label); err != nil {
		return CallbackKey{}, "", err
	}
	keys, err := g.callbackKeys(ctx, source)
	if err != nil {
		return CallbackKey{}, "", err
	}
	for _, k := range keys {
		if k.ID == id {
			url, err := g.CallbackURL(s, k)
			return k, url, err
		}
	}
	k := CallbackKey{ID: id, Source: source, Label: label, Created: g.now()}
	return g.putCallbackKey(ctx, s, k)
}

// PutCallbackKey makes a callback URL of a source under id whose last part is
// secret, and returns it. It is for sources that committed samples speak to: a
// secret that others know proves nothing about who calls. A key that is there
// already under id and secret stays as it is. The error wraps storage.ErrInvalid unless
// secret is 20 to 64 characters of [a-z0-9-], storage.ErrConflict if another key of the
// source has it, storage.ErrNotFound if there is no such source.
func (g *Gateway) PutCallbackKey(ctx context.Context, id, source, label, secret string) (string, error) {
	if !secretForm.MatchString(secret) {
		return "", fmt.Errorf("secret: %w: want 20 to 64 characters of [a-z0-9-]", storage.ErrInvalid)
	}
	if err := checkLabel(label); err != nil {
		return "", err
	}
	s, err := g.Source(ctx, source)
	if err != nil {
		return "", err
	}
	k := CallbackKey{ID: id, Source: source, Label: label, Created: g.now()}
	k.Sealed = g.Keys.Seal(sourceKey(s.ID).PK, "callback_key", secret)
	err = storage.Put(ctx, g.Store, callbackKeyKey(s.ID, secret), k, "")
	var there *storage.ConflictError
	if !errors.As(err, &there) {
		return g.callbackURL(s, secret), err
	}
	if k, err = storage.Decoded[CallbackKey](there.Stored); err == nil && k.ID != id {
		err = fmt.Errorf("callback key: %w: another has this secret", storage.ErrConflict)
	}
	return g.callbackURL(s, secret), err
}

// secretForm is how the last part of a callback URL may look: Tencent's console
// takes no other characters.
var secretForm = regexp.MustCompile(`^[a-z0-9-]{20,64}$`)

func checkLabel(label string) error {
	if len(label) > MaxName || !utf8.ValidString(label) || strings.ContainsFunc(label, unicode.IsControl) {
		return fmt.Errorf("label: %w: want at most %d bytes of UTF-8 without control characters", storage.ErrInvalid, MaxName)
	}
	return nil
}

// putCallbackKey writes k with a new secret.
func (g *Gateway) putCallbackKey(ctx context.Context, s Source, k CallbackKey) (CallbackKey, string, error) {
	secret := NewCallbackSecret()
	k.Sealed = g.Keys.Seal(sourceKey(s.ID).PK, "callback_key", secret)
	return k, g.callbackURL(s, secret), storage.Put(ctx, g.Store, callbackKeyKey(s.ID, secret), k, "")
}

func (g *Gateway) callbackURL(s Source, secret string) string {
	return g.PublicURL + "/callbacks/" + s.Provider + "/" + s.ID + "/" + secret
}

// CallbackURL returns the URL of k, a key of s. It is a secret.
func (g *Gateway) CallbackURL(s Source, k CallbackKey) (string, error) {
	secret, err := g.Keys.Open(sourceKey(s.ID).PK, "callback_key", k.Sealed)
	if err != nil {
		return "", err
	}
	return g.callbackURL(s, secret), nil
}

// FirstCallbackURL returns the URL of the oldest key that holds, empty if there
// is none.
func (g *Gateway) FirstCallbackURL(ctx context.Context, s Source) (string, error) {
	keys, err := g.callbackKeys(ctx, s.ID)
	if err != nil {
		return "", err
	}
	var first CallbackKey
	for _, k := range keys {
		if k.Until.IsZero() && (first.ID == "" || k.ID < first.ID) {
			first = k
		}
	}
	if first.ID == "" {
		return "", nil
	}
	return g.CallbackURL(s, first)
}

// CallbackKeys returns a page of a source's callback keys; those that are being
// replaced have an end.
func (g *Gateway) CallbackKeys(ctx context.Context, source string, at storage.Place) (Source, []CallbackKey, string, error) {
	s, err := g.Source(ctx, source)
	if err != nil {
		return s, nil, "", err
	}
	now := g.now()
	q := at.Query(storage.Query{Table: storage.Registrations, PK: sourceKey(source).PK}, "C#")
	keys, next, err := storage.Listed(ctx, g.Store, q, func(r storage.Row) (CallbackKey, error) {
		if r.Expired(now) {
			return CallbackKey{}, storage.ErrNotFound
		}
		return storage.Decoded[CallbackKey](r)
	})
	return s, keys, next, err
}

// callbackKeys returns all callback keys of a source that hold.
func (g *Gateway) callbackKeys(ctx context.Context, source string) ([]CallbackKey, error) {
	var out []CallbackKey
	now := g.now()
	q := storage.Query{Table: storage.Registrations, PK: sourceKey(source).PK, Consistent: true}.Prefix("C#")
	err := storage.Each(ctx, g.Store, q, func(r storage.Row) error {
		k, err := storage.Decoded[CallbackKey](r)
		if err == nil && !r.Expired(now) {
			out = append(out, k)
		}
		return err
	})
	return out, err
}

// RotateCallbackKey gives the key a new URL and returns it. The old ones hold
// for overlap.
func (g *Gateway) RotateCallbackKey(ctx context.Context, source, id string, overlap time.Duration) (CallbackKey, string, error) {
	if err := checkOverlap(overlap); err != nil {
		return CallbackKey{}, "", err
	}
	s, old, err := g.callbackKey(ctx, source, id)
	if err != nil {
		return CallbackKey{}, "", err
	}
	now := g.now()
	k, url, err := g.putCallbackKey(ctx, s, CallbackKey{ID: id, Source: source, Label: old[0].Label, Created: now})
	if err != nil {
		return k, "", err
	}
	for _, o := range old {
		if err := g.endCallbackKey(ctx, s, o, now.Add(overlap)); err != nil {
			return k, "", err
		}
	}
	return k, url, g.publish(ctx, source)
}

// callbackKey returns all rows of one key.
func (g *Gateway) callbackKey(ctx context.Context, source, id string) (Source, []CallbackKey, error) {
	s, err := g.Source(ctx, source)
	if err != nil {
		return s, nil, err
	}
	keys, err := g.callbackKeys(ctx, source)
	if err != nil {
		return s, nil, err
	}
	var out []CallbackKey
	for _, k := range keys {
		if k.ID == id {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return s, nil, fmt.Errorf("callback key: %w", storage.ErrNotFound)
	}
	return s, out, nil
}

func (g *Gateway) endCallbackKey(ctx context.Context, s Source, k CallbackKey, end time.Time) error {
	secret, err := g.Keys.Open(sourceKey(s.ID).PK, "callback_key", k.Sealed)
	if err != nil {
		return err
	}
	_, err = storage.Change(ctx, g.Store, callbackKeyKey(s.ID, secret), func(k *CallbackKey, r *storage.Row) error {
		if k.ID == "" || !k.Until.IsZero() && k.Until.Before(end) {
			return storage.ErrUnchanged
		}
		k.Until, r.Expires = end, end
		return nil
	})
	return err
}

// DeleteCallbackKey ends a callback URL, within 30 s in other processes.
func (g *Gateway) DeleteCallbackKey(ctx context.Context, source, id string) error {
	s, keys, err := g.callbackKey(ctx, source, id)
	if err != nil {
		return err
	}
	for _, k := range keys {
		secret, err := g.Keys.Open(sourceKey(s.ID).PK, "callback_key", k.Sealed)
		if err != nil {
			return err
		}
		if err := storage.Delete(ctx, g.Store, callbackKeyKey(s.ID, secret), storage.AnyRev); err != nil {
			return err
		}
	}
	return g.publish(ctx, source)
}
