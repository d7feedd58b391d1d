package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

const (
	maxRows  = 20_000
	rowGrace = time.Hour // that a row is stored beyond its last effect
	// maxSkew is how far ahead a right clock may be. A row of a clock further ahead does not count.
	maxSkew = time.Minute
	// maxPause is the longest time between two writes of a process.
	maxPause = time.Second / 2
)

// A value is what a row holds: a rate, or leases.
type value struct {
	rate
	leases
}

// expires returns when v has no effect any more.
func (v value) expires() time.Time { return limiter.Later(v.rate.expires(), v.leases.expires()) }

type rows struct {
	store  storage.Store
	clock  func() time.Time
	mu     sync.Mutex
	cached *lru.Cache[string, *row] // by rowName
}

func newRows(s storage.Store, clock func() time.Time) *rows {
	rs := &rows{store: s, clock: clock}
	rs.cached, _ = lru.New[string, *row](maxRows)
	return rs
}

// A record is the Data of a row.
type record struct {
	At    time.Time `json:"at"` // by the fastest clock that the writer knows of
	Value value     `json:"value"`
}

// A row is a row of the Store as this process last saw it; another may have changed it since.
type row struct {
	writing   chan struct{} // full while somebody writes; he owns all fields that mu does not guard
	last      record
	rev       string
	clockLead time.Duration // of the fastest clock over ours
	// The least time between two writes of this process; it grows while other processes are faster.
	pause   time.Duration
	wroteAt time.Time

	mu      sync.Mutex
	changes []*pendingChange
	block   block // of a rate
}

// A pendingChange is what one caller wants to change in a row.
type pendingChange struct {
	apply func(v value, now time.Time) (after value, changed bool)
	done  bool
	err   error
}

func (rs *rows) row(k storage.Key) *row {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r, ok := rs.cached.Get(rowName(k))
	if !ok {
		r = &row{writing: make(chan struct{}, 1)}
		rs.cached.Add(rowName(k), r)
	}
	return r
}

// rowName is k as the key of a cache. (Caches by string are compiled once.)
func rowName(k storage.Key) string { return k.PK + " " + k.SK }

// change applies a change to the row under k, and writes the row if apply reports that it changed. Callers that come
// while a write is under way share the next one, which comes at least interval after it. If another process was faster,
// apply is called again with what is stored then. Its now is by the fastest clock, so that a row follows one clock.
func (rs *rows) change(ctx context.Context, k storage.Key, interval time.Duration, apply func(v value, now time.Time) (value, bool)) error {
	r, own := rs.row(k), &pendingChange{apply: apply}
	r.mu.Lock()
	r.changes = append(r.changes, own)
	r.mu.Unlock()
	if err := r.waitToWrite(ctx, own, interval); err != nil {
		return err
	}
	defer func() { <-r.writing }()
	if own.done {
		return own.err
	}
	r.mu.Lock()
	changes := r.changes
	r.changes = nil
	r.mu.Unlock()
	err := rs.write(ctx, k, r, changes)
	if err != nil && ctx.Err() != nil { // the other callers have more time
		r.mu.Lock()
		r.changes = append(slices.DeleteFunc(changes, func(a *pendingChange) bool { return a == own }), r.changes...)
		r.mu.Unlock()
		return err
	}
	for _, a := range changes {
		a.done, a.err = true, err
	}
	return err
}

// waitToWrite waits until another caller has done own, or it is this caller's turn to write. Unless it returns an
// error, the caller must receive from r.writing.
func (r *row) waitToWrite(ctx context.Context, own *pendingChange, interval time.Duration) error {
	select {
	case r.writing <- struct{}{}:
		if r.pause = max(r.pause, interval); own.done {
			return nil
		}
		t := time.NewTimer(r.pause - time.Since(r.wroteAt))
		defer t.Stop()
		select {
		case <-t.C:
			return nil
		case <-ctx.Done():
			<-r.writing
		}
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = slices.DeleteFunc(r.changes, func(a *pendingChange) bool { return a == own })
	return ctx.Err()
}

// write writes the row with changes applied. It assumes that the row is as last seen: mostly it is, and otherwise the
// Store says so.
func (rs *rows) write(ctx context.Context, k storage.Key, r *row, changes []*pendingChange) error {
	tries, fresh := 0, false
	err := storage.CompareAndSwap(ctx, func() error {
		next, changed := rs.apply(r, changes)
		if !changed && !fresh {
			stored, err := rs.store.Get(ctx, k)
			if err != nil {
				return fmt.Errorf("get %s %s: %w", k.PK, k.SK, err)
			}
			if err := r.loaded(append(stored, storage.Row{})[0]); err != nil {
				return err
			}
			next, changed = rs.apply(r, changes)
		}
		if fresh = true; !changed {
			return nil
		}
		tries++
		data, err := storage.Encode(next)
		if err != nil {
			return err
		}
		to := storage.Row{Key: k, Rev: storage.NewRev(), Data: data, Expires: limiter.Later(next.Value.expires(), next.At).Add(rowGrace)}
		err = storage.Retry(ctx, func() error { return rs.store.Put(ctx, to, r.rev) })
		var lost *storage.ConflictError
		switch {
		case err == nil:
			r.last, r.rev = next, to.Rev
			return nil
		case errors.As(err, &lost):
			if bad := r.loaded(lost.Stored); bad != nil {
				return bad
			}
			return err
		}
		return fmt.Errorf("put %s %s: %w", k.PK, k.SK, err)
	})
	if r.wroteAt, r.pause = time.Now(), r.pause/2; tries > 1 {
		r.pause = min(4*r.pause, maxPause)
	}
	return err
}

// apply returns the row with changes applied.
func (rs *rows) apply(r *row, changes []*pendingChange) (next record, changed bool) {
	next.At = rs.clock()
	if ahead := r.last.At.Sub(next.At); ahead <= maxSkew { // otherwise that clock was wrong
		next.Value, r.clockLead = r.last.Value, max(r.clockLead, ahead)
	}
	next.At = next.At.Add(r.clockLead)
	for _, a := range changes {
		v, different := a.apply(next.Value, next.At)
		next.Value, changed = v, changed || different
	}
	return next, changed
}

// loaded sets r to the stored row; a zero one means that there is none.
func (r *row) loaded(stored storage.Row) error {
	r.last, r.rev = record{}, stored.Rev
	if stored.Rev == "" {
		return nil
	}
	return storage.Decode(stored, &r.last)
}
