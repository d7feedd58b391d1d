package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringback/shared/gateway"
	"ringback/shared/ident"
	"ringback/shared/storage"
)

// How long a create is remembered, and how long one may run before a repeated call takes over.
const (
	idempotencyTTL   = 24 * time.Hour
	idempotencyLease = 30 * time.Second
)

// MaxIdempotencyKey is the length of the longest Idempotency-Key in bytes.
const MaxIdempotencyKey = 255

// A Create is a create that runs at most once per key.
type Create struct {
	Key    string // Idempotency-Key; empty: create each time
	Body   string // method, path and body; a repeat of the key with another one is an error
	Prefix string // of the id; gateway.SourcePrefix makes source ids
}

// An IdempotencyRecord is the row of a create with an idempotency key.
type IdempotencyRecord struct {
	ID    string    `json:"id"`
	Body  string    `json:"body"` // signed with the key ring, since a body may hold a guessable secret
	At    time.Time `json:"at"`   // of the first call
	Lease time.Time `json:"lease,omitzero"`
	Done  bool      `json:"done,omitempty"`
}

// Idempotent calls create with a new id and returns that id. If c's call with the same key succeeded in the last 24 h,
// it returns that call's id and true. A call that crashed is done again with the same id, so create must overwrite what
// it has written. The error wraps storage.ErrInvalid if the key came with another body and storage.ErrConflict if the
// first call still runs; otherwise it is create's.
func (b *base) Idempotent(ctx context.Context, c Caller, what Create, create func(id string) error) (string, bool, error) {
	if what.Key == "" {
		id := ident.NewFrom(what.Prefix, b.gw.Clock(), storage.NewRev()+storage.NewRev())
		return id, false, create(id)
	}
	if len(what.Key) > MaxIdempotencyKey {
		return "", false, fmt.Errorf("Idempotency-Key: %w: want at most %d bytes", storage.ErrInvalid, MaxIdempotencyKey)
	}
	key := gateway.IdempotencyKey(c.who(), what.Key)
	o, err := b.beginIdempotent(ctx, key, what)
	if err != nil || o.Done {
		return o.ID, o.Done, err
	}
	if err := create(o.ID); err != nil {
		return "", false, errors.Join(err, b.endIdempotent(ctx, key, o, err))
	}
	o.Done = true
	return o.ID, false, storage.PutRow(ctx, b.gw.Store, storage.Row{Key: key, Expires: o.At.Add(idempotencyTTL)}, o, storage.AnyRev)
}

// endIdempotent releases the key after create failed with err: for a corrected call if nothing was created,
// otherwise for a repeated one.
func (b *base) endIdempotent(ctx context.Context, key storage.Key, o IdempotencyRecord, err error) error {
	if rejected(err) {
		return storage.Delete(ctx, b.gw.Store, key, storage.AnyRev)
	}
	o.Lease = time.Time{}
	return storage.PutRow(ctx, b.gw.Store, storage.Row{Key: key, Expires: o.At.Add(idempotencyTTL)}, o, storage.AnyRev)
}

// beginIdempotent claims the key for this call, or returns the record of a create that is done.
func (b *base) beginIdempotent(ctx context.Context, key storage.Key, what Create) (IdempotencyRecord, error) {
	now := b.gw.Clock()
	return storage.Change(ctx, b.gw.Store, key, func(o *IdempotencyRecord, r *storage.Row) error {
		const signed = "idempotency" // or, by a release before, hashed
		switch {
		case o.ID == "" || !now.Before(o.At.Add(idempotencyTTL)):
			*o = IdempotencyRecord{ID: ident.NewFrom(what.Prefix, now, key.PK), Body: b.gw.Keys.Sign(signed, []byte(what.Body)), At: now}
		case !b.gw.Keys.Signed(signed, []byte(what.Body), o.Body) && o.Body != gateway.Digest(what.Body):
			return fmt.Errorf("Idempotency-Key: %w: it was used for another request", storage.ErrInvalid)
		case o.Done:
			return storage.ErrUnchanged
		case now.Before(o.Lease):
			return fmt.Errorf("Idempotency-Key: %w: the first request with it still runs", storage.ErrConflict)
		}
		o.Lease = now.Add(idempotencyLease)
		r.Expires = o.At.Add(idempotencyTTL)
		return nil
	})
}

// rejected reports whether err rejects the call before anything was created.
func rejected(err error) bool {
	return errors.Is(err, storage.ErrInvalid) || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) ||
		errors.Is(err, ErrLimit) || errors.Is(err, ErrForbidden) || errors.Is(err, storage.ErrTooLarge)
}
