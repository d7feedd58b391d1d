package limit

import (
	"context"
	"time"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

const (
	// blockInterval is the longest interval of a rate of which a process takes slots in blocks: ten a second.
	blockInterval = time.Second / 10
	// blockTTL is how long a block may be used.
	blockTTL = time.Second
	// batchWait is the time between two writes of a process, in which requests for slots gather.
	batchWait = 100 * time.Millisecond
)

// A rate is the row of a rate limit (GCRA, ITU-T I.371, annex A): Next is the theoretical arrival time, when the next
// attempt may begin. Attempts that must wait get reservations, one after another up to Reserved. A reservation is no
// slot, only the time to ask again: so an attempt that never returns, or late, costs the others nothing, and none asks
// in vain for ever where all are late. Example: at one a second, of three at 12:00:00 one begins; the two others
// reserve about :01 and :02, and the next one gets :03.
type rate struct {
	Next     time.Time     `json:"next,omitzero"`
	Reserved time.Time     `json:"end,omitzero"`    // end of the reservations
	Every    time.Duration `json:"every,omitempty"` // interval between attempts
}

// reserve returns r after a request at now, and when to ask again if the attempt may not begin. Requests without a
// reservation begin after those that have one.
func (r rate) reserve(now time.Time, every time.Duration, reserved bool) (_ rate, retryAt time.Time) {
	r = r.withInterval(now, every)
	early := time.Duration(0)
	if reserved || every <= blockInterval {
		early = tolerance(every)
	}
	if !r.Next.After(now.Add(early)) && (reserved || !r.Reserved.After(now)) {
		r.Next = limiter.Later(r.Next, now).Add(every)
		return r, time.Time{}
	}
	retryAt = limiter.Later(r.Reserved, r.Next)
	r.Reserved = retryAt.Add(reservationInterval(every))
	return r, retryAt
}

// extra returns r with up to n more slots taken that nobody else waits for: as many as are free at now.
func (r rate) extra(now time.Time, n int) (rate, int) {
	if r.Reserved.After(now) {
		return r, 0
	}
	n = max(min(n, int(now.Add(tolerance(r.Every)/2).Sub(r.Next)/r.Every)), 0)
	r.Next = r.Next.Add(time.Duration(n) * r.Every)
	return r, n
}

// withInterval returns r under another rate: as many reservations as before, and no wait for a slot at the old rate.
func (r rate) withInterval(now time.Time, every time.Duration) rate {
	if r.Every == every {
		return r
	}
	if ahead := r.Reserved.Sub(now); ahead > 0 && r.Every > 0 {
		r.Reserved = now.Add(time.Duration(min(float64(ahead)*float64(every)/float64(r.Every), 1<<62)))
	}
	if latest := now.Add(every); r.Next.After(latest) {
		r.Next = latest
	}
	r.Every = every
	return r
}

// expires returns when r has no effect any more.
func (r rate) expires() time.Time { return limiter.Later(r.Next, r.Reserved) }

// tolerance is how early an attempt with a reservation may begin, to make up for the time lost by others that were
// late. With permitTTL, and blockTTL at high rates, any minute holds at most the attempts of 63 seconds or, below one
// a second, one attempt more.
func tolerance(every time.Duration) time.Duration {
	const allowed = 63 * time.Second
	early := allowed - allowed%every - time.Minute - permitTTL
	switch {
	case every > time.Second:
		return max(2*time.Second, every/2)
	case every <= blockInterval:
		return early - blockTTL
	}
	return early
}

// reservationInterval is the time between two reservations: a fiftieth less than between two attempts, so that a few
// attempts wait where a reservation is not used, and the rate is used up. Where the tolerance covers less than two
// intervals, those who come too early would only wait twice.
func reservationInterval(every time.Duration) time.Duration {
	if tolerance(every) < 2*every {
		return every
	}
	return every - every/50
}

// A block holds slots of a high rate that this process has taken in advance: as many as it used in the second before.
type block struct {
	free    int
	until   time.Time
	filling bool // a request for more is under way

	thisSecond, lastSecond int // requests
	secondStart            time.Time
}

// acquireRate asks the row under k for a slot, and returns until when it may be used, or when to ask again.
func (l *Limits) acquireRate(ctx context.Context, k storage.Key, perSecond float64, reserved bool) (until, retryAt time.Time, err error) {
	every := limiter.Interval(perSecond)
	wanted := 0
	if every <= blockInterval {
		free := false
		if free, wanted = l.fromBlock(k); free {
			return l.clock().Add(permitTTL), time.Time{}, nil
		}
	}
	var at time.Time
	var wait time.Duration
	extra, granted := 0, false
	err = l.rows.change(ctx, k, batchWait, func(v value, now time.Time) (value, bool) {
		at = l.clock()
		next, retryAt := v.rate.reserve(now, every, reserved)
		extra, granted = 0, retryAt.IsZero()
		if wait = retryAt.Sub(now); granted {
			next, extra = next.extra(now, wanted)
		}
		return value{rate: next}, true
	})
	if wanted > 0 {
		l.fillBlock(k, extra, at)
	}
	switch {
	case err != nil:
		return until, retryAt, err
	case !granted:
		return until, at.Add(max(wait, 0)), nil
	}
	return at.Add(permitTTL), retryAt, nil
}

// fromBlock takes a slot of the block. If it has none, it returns how many to take for it, 0 if another request does.
func (l *Limits) fromBlock(k storage.Key) (free bool, wanted int) {
	r := l.rows.row(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	b, now := &r.block, l.clock()
	if elapsed := now.Sub(b.secondStart); elapsed >= time.Second {
		if b.lastSecond = b.thisSecond; elapsed >= 2*time.Second {
			b.lastSecond = 0
		}
		b.thisSecond, b.secondStart = 0, now
	}
	b.thisSecond++
	if b.free > 0 && now.Before(b.until) {
		b.free--
		return true, 0
	}
	if b.free = 0; b.filling {
		return false, 0
	}
	b.filling = b.lastSecond > 0
	return false, b.lastSecond
}

// fillBlock sets the block to n slots taken at a time.
func (l *Limits) fillBlock(k storage.Key, n int, at time.Time) {
	r := l.rows.row(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.block.free, r.block.until, r.block.filling = n, at.Add(blockTTL), false
}
