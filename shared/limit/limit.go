// Package limit keeps what a registration or a tenant may use within its limits over all processes, in rows
// that each of them changes over the revision that it read.
//
// limit.go asks for the right to make an attempt. rate.go decides when attempts may begin, lease.go how many
// may be under way; both are values that a row holds. row.go writes a row for all who ask in this process at
// the same time, and spend.go one that is seldom asked for.
package limit

import (
	"context"
	"time"

	"ringback/shared/storage"
)

const (
	// permitTTL is how long after it was taken a place may be used. A process that
	// was frozen meanwhile, as Lambda's are between invocations, asks anew.
	permitTTL = time.Second
	// maxTries is how often a place is asked for anew that was not used in time.
	maxTries = 3
	// leaseMargin is how much longer than its attempt a lease lasts.
	leaseMargin = 5 * time.Second
	// leaseWriteInterval is the time between two writes of a process, in which others have theirs.
	leaseWriteInterval = 10 * time.Millisecond
	// releaseTimeout bounds giving a lease back, which an attempt's end waits for.
	releaseTimeout = 2 * time.Second
	// MaxLeases is the greatest concurrency that a row keeps.
	MaxLeases = 50
)

// Limits are kept in the rows of a Store. They are safe for concurrent use.
type Limits struct {
	clock func() time.Time
	rows  *rows
}

// New returns the limits in s. clock is the wall clock.
func New(s storage.Store, clock func() time.Time) *Limits { return &Limits{clock, newRows(s, clock)} }

// A Request is an attempt that wants to begin.
type Request struct {
	Rate       storage.Key // the row of its rate
	PerSecond  float64     // 0: as many as come
	Reserved   bool        // it waited for the turn that it was given
	IgnoreRate bool        // its rate does not count

	Leases      storage.Key   // the row of its leases
	Concurrency int           // 0, or more than MostLeases: as many as come
	Timeout     time.Duration // of the attempt, at most
}

// Acquire asks for the right to make an attempt, which must begin at once. It returns what gives it back, nil
// without the right: then the attempt may ask again at its turn, or if that is zero when others have ended.
// Of a turn without rate and concurrency nothing is read and written.
func (l *Limits) Acquire(ctx context.Context, r Request) (release func(), retryAt time.Time, err error) {
	for range maxTries {
		until := time.Time{}
		if r.PerSecond > 0 && !r.IgnoreRate {
			if until, retryAt, err = l.acquireRate(ctx, r.Rate, r.PerSecond, r.Reserved); err != nil || !retryAt.IsZero() {
				return nil, retryAt, err
			}
		}
		release = func() {}
		if r.Concurrency > 0 && r.Concurrency <= MaxLeases {
			start := l.clock()
			if release, err = l.lease(ctx, r); err != nil || release == nil {
				return nil, time.Time{}, err
			}
			if until.IsZero() {
				until = start.Add(permitTTL)
			}
		}
		if until.IsZero() || l.clock().Before(until) {
			return release, time.Time{}, nil
		}
		release()
		r.Reserved = true
	}
	return nil, l.clock(), nil
}

// lease takes a lease for t's attempt and returns what gives it back, nil if all are taken. One that is not
// given back ends by itself when the attempt must be over.
func (l *Limits) lease(ctx context.Context, r Request) (func(), error) {
	id, acquired := storage.NewRev()[:8], false
	err := l.rows.change(ctx, r.Leases, leaseWriteInterval, func(v value, now time.Time) (value, bool) {
		v.leases, acquired = v.leases.acquire(id, r.Concurrency, now, now.Add(r.Timeout+permitTTL+leaseMargin))
		return v, acquired
	})
	if err != nil || !acquired {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		_ = l.rows.change(ctx, r.Leases, leaseWriteInterval, func(v value, _ time.Time) (_ value, changed bool) {
			v.leases, changed = v.leases.release(id)
			return v, changed
		}) // else it ends by itself
	}, nil
}
