// Package limit keeps the attempts of a registration or a tenant within its rate and concurrency limits over all
// processes, in rows that each process changes by compare-and-swap.
//
// limit.go acquires the right to make an attempt. rate.go decides when attempts may begin, lease.go how many may run;
// both are values that a row holds. row.go writes a row once for all who ask in this process at the same time, and
// bucket.go limits what is rare, such as API calls.
package limit

import (
	"context"
	"time"

	"ringback/shared/storage"
)

const (
	// permitTTL is how long after it was granted an attempt may begin. A process that was frozen meanwhile, as
	// Lambda's are between invocations, must ask again.
	permitTTL = time.Second
	// maxTries is how often an attempt that could not begin in time asks again.
	maxTries = 3
	// leaseMargin is how much longer than its attempt a lease lasts.
	leaseMargin = 5 * time.Second
	// leaseWriteInterval is the time between two writes of a process, in which other processes have theirs.
	leaseWriteInterval = 10 * time.Millisecond
	// releaseTimeout bounds the release of a lease, for which the end of an attempt waits.
	releaseTimeout = 2 * time.Second
	// MaxLeases is the greatest concurrency that a row enforces.
	MaxLeases = 50
)

// Limits stores its state in the rows of a Store. It is safe for concurrent use.
type Limits struct {
	clock func() time.Time
	rows  *rows
}

// New returns the limits in s. clock is the wall clock.
func New(s storage.Store, clock func() time.Time) *Limits { return &Limits{clock, newRows(s, clock)} }

// A Request is an attempt that wants to begin.
type Request struct {
	Rate       storage.Key // the row of its rate
	PerSecond  float64     // attempts a second; 0: no limit
	Reserved   bool        // it has waited until the retryAt that it was given
	IgnoreRate bool        // the rate does not count

	Leases      storage.Key   // the row of its leases
	Concurrency int           // 0, or more than MaxLeases: no limit
	Timeout     time.Duration // of the attempt, at most
}

// Acquire asks for the right to make an attempt, which must begin at once, and returns the function that releases it.
// Without the right release is nil, and the attempt may ask again at retryAt or, if that is zero, when others have
// ended. A Request without limits reads and writes nothing.
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

// lease takes a lease for r's attempt and returns the function that releases it, nil if all are taken. A lease that is
// not released expires when the attempt must be over.
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
		}) // if that fails, the lease expires
	}, nil
}
