package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"ringback/shared/storage"
)

// How long a create is remembered, and how long one may run before a repeat
// takes it over.
const (
	onceKept  = 24 * time.Hour
	onceLease = 30 * time.Second
)

// MaxIdempotencyKey is the length of the longest Idempotency-Key in bytes.
const MaxIdempotencyKey = 255

// A Create asks that something be made at most once per key.
type Create struct {
	Key    string // Idempotency-Key; empty: made each time
	Body   string // method, path and body; the same key with another is refused
	Prefix string // of the id; sourcePrefix makes source ids
}

// sourcePrefix as Create.Prefix asks for the id of a source.
const sourcePrefix = "src"

// A once is a create that must not run twice.
type once struct {
	ID    string    `json:"id"`
	Body  string    `json:"body"` // digest
	At    time.Time `json:"at"`   // of the first call
	Lease time.Time `json:"lease,omitzero"`
	Done  bool      `json:"done,omitempty"`
}

// Once calls create with a new id and returns that id, unless c was answered
// under the same key in the last 24 h: then it returns the id of then, and
// true. A call that crashed is done again with the same id, so create must
// write over what it wrote before. The error wraps storage.ErrInvalid if the key came
// with another body, storage.ErrConflict if the first call still runs, else it is
// create's.
func (g *Gateway) Once(ctx context.Context, c Caller, what Create, create func(id string) error) (string, bool, error) {
	if what.Key == "" {
		id := newIDOf(what.Prefix, g.now(), storage.NewRev()+storage.NewRev())
		return id, false, create(id)
	}
	if len(what.Key) > MaxIdempotencyKey {
		return "", false, fmt.Errorf("Idempotency-Key: %w: want at most %d bytes", storage.ErrInvalid, MaxIdempotencyKey)
	}
	key := onceKey(c.who(), what.Key)
	o, err := g.beginOnce(ctx, key, what)
	if err != nil || o.Done {
		return o.ID, o.Done, err
	}
	if err := create(o.ID); err != nil {
		return "", false, errors.Join(err, g.endOnce(ctx, key, o, err))
	}
	o.Done = true
	return o.ID, false, storage.PutRow(ctx, g.Store, storage.Row{Key: key, Expires: o.At.Add(onceKept)}, o, storage.AnyRev)
}

// endOnce gives the key up after a create that failed with err: to a corrected
// call if nothing was made, else to a repeat.
func (g *Gateway) endOnce(ctx context.Context, key storage.Key, o once, err error) error {
	if answered(err) {
		return storage.Delete(ctx, g.Store, key, storage.AnyRev)
	}
	o.Lease = time.Time{}
	return storage.PutRow(ctx, g.Store, storage.Row{Key: key, Expires: o.At.Add(onceKept)}, o, storage.AnyRev)
}

// beginOnce takes the key for this call, or returns the once that is done.
func (g *Gateway) beginOnce(ctx context.Context, key storage.Key, what Create) (once, error) {
	now := g.now()
	return storage.Change(ctx, g.Store, key, func(o *once, r *storage.Row) error {
		body := digest(what.Body)
		switch {
		case o.ID == "" || !now.Before(o.At.Add(onceKept)):
			*o = once{ID: newIDOf(what.Prefix, now, key.PK), Body: body, At: now}
		case o.Body != body:
			return fmt.Errorf("Idempotency-Key: %w: it was used for another request", storage.ErrInvalid)
		case o.Done:
			return storage.ErrUnchanged
		case now.Before(o.Lease):
			return fmt.Errorf("Idempotency-Key: %w: the first request with it still runs", storage.ErrConflict)
		}
		o.Lease = now.Add(onceLease)
		r.Expires = o.At.Add(onceKept)
		return nil
	})
}

// answered reports whether err is an answer to the caller, given before
// anything was made.
func answered(err error) bool {
	return errors.Is(err, storage.ErrInvalid) || errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict) ||
		errors.Is(err, ErrLimit) || errors.Is(err, ErrForbidden) || errors.Is(err, storage.ErrTooLarge)
}

// newIDOf returns an id that depends on the time and a text alone.
func newIDOf(prefix string, at time.Time, text string) string {
	if prefix != sourcePrefix {
		return idFrom(prefix, at, text)
	}
	sum := sha256.Sum256([]byte(at.Format(time.RFC3339Nano) + text))
	return sourcePrefix + "-" + ordered.EncodeToString(sum[:5])
}

func onceKey(who, key string) storage.Key {
	return storage.Key{Table: storage.Registrations, PK: "I#" + digest(who+"\x00"+key), SK: "I"}
}
