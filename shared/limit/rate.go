package limit

import (
	"context"
	"time"

	"ringback/shared/limiter"
	"ringback/shared/storage"
)

const (
	// blockInterval is the time between two attempts from which on a process takes places in blocks: ten a second.
	blockInterval = time.Second / 10
	// blockTTL is how long a block may be used.
	blockTTL = time.Second
	// gatherTime is how long a process gathers those who ask before it writes again.
	gatherTime = 100 * time.Millisecond
)

// A rate is what the row of a rate says: when the next attempt may begin (the theoretical arrival time of
// GCRA, ITU-T I.371, annex A), and until when turns were given to those that had to wait. A turn is no place:
// it says when to ask again. So what never comes, or late, takes no place of others, and nothing is asked for
// in vain for ever where all come late.
type rate struct {
	Next     time.Time     `json:"next,omitzero"`
	Reserved time.Time     `json:"end,omitzero"`    // of the turns
	Every    time.Duration `json:"every,omitempty"` // attempt
}

// reserve returns l after somebody asked at now to begin, and when his turn is if he
// may not. Whoever has no turn begins after those who have one.
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

// extra returns l after at most n places more were taken that nobody else wants: as many as are free at now.
func (r rate) extra(now time.Time, n int) (rate, int) {
	if r.Reserved.After(now) {
		return r, 0
	}
	n = max(min(n, int(now.Add(tolerance(r.Every)/2).Sub(r.Next)/r.Every)), 0)
	r.Next = r.Next.Add(time.Duration(n) * r.Every)
	return r, n
}

// withInterval returns l as it is under another rate: the turns that were given count as
// many, and nobody waits for a place at the former one.
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

// expires returns when l says nothing any more.
func (r rate) expires() time.Time { return limiter.Later(r.Next, r.Reserved) }

// tolerance is how early an attempt in its turn may begin: as much as others before it came late. With
// placeLasts, and blockLasts where there are blocks, it makes a minute hold no more than what belongs to 63
// seconds, or below one a second one attempt more.
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

// reservationInterval is the time between two turns: a fiftieth less than between two attempts, so that some wait where a turn is not
// used, and the rate is. Where the slack takes up few, those who come too early would only wait twice.
func reservationInterval(every time.Duration) time.Duration {
	if tolerance(every) < 2*every {
		return every
	}
	return every - every/50
}

// A block are places of a high rate that this process has taken, as many as it asked for in the second before.
type block struct {
	free    int
	until   time.Time
	filling bool // more are asked for

	thisSecond, lastSecond int // in this second, and in the one before
	secondStart            time.Time
}

// acquireRate asks the row under k for a place, and returns until when it may be used, or the turn that was given instead.
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
	err = l.rows.change(ctx, k, gatherTime, func(v value, now time.Time) (value, bool) {
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

// fromBlock takes a place of the block. Without one it returns how many the process is to take, 0 if another does.
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

// fillBlock adds what was taken at a time.
func (l *Limits) fillBlock(k storage.Key, n int, at time.Time) {
	r := l.rows.row(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.block.free, r.block.until, r.block.filling = n, at.Add(blockTTL), false
}
