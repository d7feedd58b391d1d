package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// CreateCallbackKey creates another callback URL of a source under id. If the id has one, that is returned.
func (ss *sources) CreateCallbackKey(ctx context.Context, id, source, label string) (gateway.CallbackKey, string, error) {
	s, err := ss.Source(ctx, source)
	if err != nil {
		return gateway.CallbackKey{}, "", err
	}
	if err := gateway.CheckText("label", label, 0, gateway.MaxName); err != nil {
		return gateway.CallbackKey{}, "", err
	}
	keys, err := ss.callbackKeys(ctx, source)
	if err != nil {
		return gateway.CallbackKey{}, "", err
	}
	for _, k := range keys {
		if k.ID == id {
			url, err := ss.CallbackURL(s, k.CallbackKey)
			return k.CallbackKey, url, err
		}
	}
	k := gateway.CallbackKey{ID: id, Source: source, Label: label, Created: ss.gw.Clock()}
	return ss.putCallbackKey(ctx, s, k)
}

// PutCallbackKey makes a callback URL of a source under id whose last part is secret, and returns it. It is for the
// sources of committed samples: a secret that others know does not prove who calls. A key that exists under this id and
// secret stays as it is. The error wraps storage.ErrInvalid unless secret is 20 to 64 characters of [a-z0-9-],
// storage.ErrConflict if another key of the source has it, storage.ErrNotFound if there is no such source.
func (ss *sources) PutCallbackKey(ctx context.Context, id, source, label, secret string) (string, error) {
	if err := CheckCallbackKey(label, secret); err != nil {
		return "", err
	}
	s, err := ss.Source(ctx, source)
	if err != nil {
		return "", err
	}
	k := gateway.CallbackKey{ID: id, Source: source, Label: label, Created: ss.gw.Clock()}
	k.Sealed = ss.gw.Keys.Seal(gateway.SourceKey(s.ID).PK, "callback_key", secret)
	err = storage.Put(ctx, ss.gw.Store, gateway.CallbackKeyKey(s.ID, secret), k, "")
	there, conflict := errors.AsType[*storage.ConflictError](err)
	if !conflict {
		return ss.callbackURL(s, secret), err
	}
	if k, err = storage.Decoded[gateway.CallbackKey](there.Stored); err == nil && k.ID != id {
		err = fmt.Errorf("callback key: %w: another has this secret", storage.ErrConflict)
	}
	return ss.callbackURL(s, secret), err
}

// secretForm is the form of a callback URL's last part: Tencent's console takes no other characters.
var secretForm = regexp.MustCompile(`^[a-z0-9-]{20,64}$`)

// CheckCallbackKey returns an error wrapping storage.ErrInvalid unless a callback key can have a label and a secret.
func CheckCallbackKey(label, secret string) error {
	if !secretForm.MatchString(secret) {
		return fmt.Errorf("secret: %w: want 20 to 64 characters of [a-z0-9-]", storage.ErrInvalid)
	}
	return gateway.CheckText("label", label, 0, gateway.MaxName)
}

func (ss *sources) putCallbackKey(ctx context.Context, s gateway.Source, k gateway.CallbackKey) (gateway.CallbackKey, string, error) {
	secret := ident.NewCallbackSecret()
	k.Sealed = ss.gw.Keys.Seal(gateway.SourceKey(s.ID).PK, "callback_key", secret)
	return k, ss.callbackURL(s, secret), storage.Put(ctx, ss.gw.Store, gateway.CallbackKeyKey(s.ID, secret), k, "")
}

func (ss *sources) callbackURL(s gateway.Source, secret string) string {
	return ss.gw.PublicURL + "/callbacks/" + s.Provider + "/" + s.ID + "/" + secret
}

// CallbackURL returns the URL of k, a key of s. It is a secret.
func (ss *sources) CallbackURL(s gateway.Source, k gateway.CallbackKey) (string, error) {
	secret, err := ss.gw.Keys.Open(gateway.SourceKey(s.ID).PK, "callback_key", k.Sealed)
	if err != nil {
		return "", err
	}
	return ss.callbackURL(s, secret), nil
}

// FirstCallbackURL returns the URL of the oldest valid key; empty if there is none.
func (ss *sources) FirstCallbackURL(ctx context.Context, s gateway.Source) (string, error) {
	keys, err := ss.callbackKeys(ctx, s.ID)
	if err != nil {
		return "", err
	}
	keys = slices.DeleteFunc(keys, func(k keptKey) bool { return !k.Until.IsZero() })
	if len(keys) == 0 {
		return "", nil
	}
	first := slices.MinFunc(keys, func(a, b keptKey) int { return cmp.Compare(a.ID, b.ID) })
	return ss.CallbackURL(s, first.CallbackKey)
}

// CallbackKeys returns a page of a source's callback keys. Keys that are being replaced have an end.
func (ss *sources) CallbackKeys(ctx context.Context, source string, at storage.PageRequest) (gateway.Source, []gateway.CallbackKey, string, error) {
	s, err := ss.Source(ctx, source)
	if err != nil {
		return s, nil, "", err
	}
	now := ss.gw.Clock()
	q := at.Query(storage.Query{Table: storage.Registrations, PK: gateway.SourceKey(source).PK}, "C#")
	keys, next, err := storage.ListPage(ctx, ss.gw.Store, q, func(r storage.Row) (gateway.CallbackKey, error) {
		if r.Expired(now) {
			return gateway.CallbackKey{}, storage.ErrNotFound
		}
		return storage.Decoded[gateway.CallbackKey](r)
	})
	return s, keys, next, err
}

type keptKey struct {
	gateway.CallbackKey
	row storage.Row
}

// callbackKeys returns all valid callback keys of a source.
func (ss *sources) callbackKeys(ctx context.Context, source string) ([]keptKey, error) {
	var out []keptKey
	now := ss.gw.Clock()
	err := ss.each(ctx, gateway.SourceKey(source).PK, "C#", func(_ string, r storage.Row) error {
		k, err := storage.Decoded[gateway.CallbackKey](r)
		if err == nil && !r.Expired(now) {
			out = append(out, keptKey{k, r})
		}
		return err
	})
	return out, err
}

// RotateCallbackKey gives the key a new URL. The old ones are valid for overlap. The error wraps
// storage.ErrNotFound if the key is deleted concurrently.
func (ss *sources) RotateCallbackKey(ctx context.Context, source, id string, overlap time.Duration) (gateway.CallbackKey, string, error) {
	if err := checkOverlap(overlap); err != nil {
		return gateway.CallbackKey{}, "", err
	}
	var k gateway.CallbackKey
	var url string
	err := storage.CompareAndSwap(ctx, func() error {
		s, old, err := ss.callbackKey(ctx, source, id)
		if err == nil && overlap > 0 {
			err = checkValidSecrets(len(old) + 1)
		}
		if err != nil {
			return err
		}
		now := ss.gw.Clock()
		k, url, err = ss.putCallbackKey(ctx, s, gateway.CallbackKey{ID: id, Source: source, Label: old[0].Label, Created: now})
		for _, o := range old {
			if err == nil {
				err = ss.endCallbackKey(ctx, o, now.Add(overlap))
			}
		}
		if _, lost := errors.AsType[*storage.ConflictError](err); lost { // another rotated or deleted the key
			secret := url[strings.LastIndex(url, "/")+1:]
			err = cmp.Or(storage.Delete(ctx, ss.gw.Store, gateway.CallbackKeyKey(source, secret), storage.AnyRev), err)
		}
		return err
	})
	if err != nil {
		return k, "", err
	}
	return k, url, ss.gw.Publish(ctx, source)
}

func (ss *sources) callbackKey(ctx context.Context, source, id string) (gateway.Source, []keptKey, error) {
	s, err := ss.Source(ctx, source)
	if err != nil {
		return s, nil, err
	}
	keys, err := ss.callbackKeys(ctx, source)
	if err != nil {
		return s, nil, err
	}
	keys = slices.DeleteFunc(keys, func(k keptKey) bool { return k.ID != id })
	if len(keys) == 0 {
		return s, nil, fmt.Errorf("callback key: %w", storage.ErrNotFound)
	}
	return s, keys, nil
}

// endCallbackKey ends k at a time, or when it ends anyway if that is earlier. The error is a
// *storage.ConflictError if k's row has changed since it was read.
func (ss *sources) endCallbackKey(ctx context.Context, k keptKey, end time.Time) error {
	if !k.Until.IsZero() && k.Until.Before(end) {
		return nil
	}
	k.Until, k.row.Expires = end, end
	return storage.PutRow(ctx, ss.gw.Store, k.row, k.CallbackKey, k.row.Rev)
}

// DeleteCallbackKey ends a callback URL, in other processes within 30 s, with URLs that a concurrent rotation adds.
func (ss *sources) DeleteCallbackKey(ctx context.Context, source, id string) error {
	err := storage.CompareAndSwap(ctx, func() error {
		_, keys, err := ss.callbackKey(ctx, source, id)
		if err != nil {
			return err
		}
		for _, last := range []bool{false, true} { // last the key without an end: while that exists the delete can be repeated
			for _, k := range keys {
				if k.Until.IsZero() == last && err == nil {
					err = storage.Delete(ctx, ss.gw.Store, k.row.Key, k.row.Rev)
				}
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return ss.gw.Publish(ctx, source)
}
