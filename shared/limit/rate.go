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
func (l rate) reserve(now time.Time, every time.Duration, inTurn bool) (_ rate, turn time.Time) {
	l = l.withInterval(now, every)
	early := time.Duration(0)
	if inTurn || every <= blockInterval {
		early = tolerance(every)
	}
	if !l.Next.After(now.Add(early)) && (inTurn || !l.Reserved.After(now)) {
		l.Next = limiter.Later(l.Next, now).Add(every)
		return l, time.Time{}
	}
	turn = limiter.Later(l.Reserved, l.Next)
	l.Reserved = turn.Add(reservationInterval(every))
	return l, turn
}

// extra returns l after at most n places more were taken that nobody else wants: as many as are free at now.
func (l rate) extra(now time.Time, n int) (rate, int) {
	if l.Reserved.After(now) {
		return l, 0
	}
	n = max(min(n, int(now.Add(tolerance(l.Every)/2).Sub(l.Next)/l.Every)), 0)
	l.Next = l.Next.Add(time.Duration(n) * l.Every)
	return l, n
}

// withInterval returns l as it is under another rate: the turns that were given count as
// many, and nobody waits for a place at the former one.
func (l rate) withInterval(now time.Time, every time.Duration) rate {
	if l.Every == every {
		return l
	}
	if ahead := l.Reserved.Sub(now); ahead > 0 && l.Every > 0 {
		l.Reserved = now.Add(time.Duration(min(float64(ahead)*float64(every)/float64(l.Every), 1<<62)))
	}
	if most := now.Add(every); l.Next.After(most) {
		l.Next = most
	}
	l.Every = every
	return l
}

// expires returns when l says nothing any more.
func (l rate) expires() time.Time { return limiter.Later(l.Next, l.Reserved) }

// tolerance is how early an attempt in its turn may begin: as much as others before it came late. With
// placeLasts, and blockLasts where there are blocks, it makes a minute hold no more than what belongs to 63
// seconds, or below one a second one attempt more.
func tolerance(every time.Duration) time.Duration {
	const most = 63 * time.Second
	whole := most - most%every - time.Minute - permitTTL
	switch {
	case every > time.Second:
		return max(2*time.Second, every/2)
	case every <= blockInterval:
		return whole - blockTTL
	}
	return whole
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

	asked, before int // in this second, and in the one before
	second        time.Time
}

// acquireRate asks the row under k for a place, and returns until when it may be used, or the turn that was given instead.
func (l *Limits) acquireRate(ctx context.Context, k storage.Key, perSecond float64, inTurn bool) (until, turn time.Time, err error) {
	every := limiter.Interval(perSecond)
	most := 0
	if every <= blockInterval {
		free := false
		if free, most = l.fromBlock(k); free {
			return l.clock().Add(permitTTL), time.Time{}, nil
		}
	}
	var at time.Time
	var wait time.Duration
	more, given := 0, false
	err = l.rows.change(ctx, k, gatherTime, func(v value, now time.Time) (value, bool) {
		at = l.clock()
		next, turn := v.rate.reserve(now, every, inTurn)
		more, given = 0, turn.IsZero()
		if wait = turn.Sub(now); given {
			next, more = next.extra(now, most)
		}
		return value{rate: next}, true
	})
	if most > 0 {
		l.fillBlock(k, more, at)
	}
	switch {
	case err != nil:
		return until, turn, err
	case !given:
		return until, at.Add(max(wait, 0)), nil
	}
	return at.Add(permitTTL), turn, nil
}

// fromBlock takes a place of the block. Without one it returns how many the process is to take, 0 if another does.
func (l *Limits) fromBlock(k storage.Key) (free bool, more int) {
	r := l.rows.row(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	b, now := &r.block, l.clock()
	if over := now.Sub(b.second); over >= time.Second {
		if b.before = b.asked; over >= 2*time.Second {
			b.before = 0
		}
		b.asked, b.second = 0, now
	}
	b.asked++
	if b.free > 0 && now.Before(b.until) {
		b.free--
		return true, 0
	}
	if b.free = 0; b.filling {
		return false, 0
	}
	b.filling = b.before > 0
	return false, b.before
}

// fillBlock adds what was taken at a time.
func (l *Limits) fillBlock(k storage.Key, n int, at time.Time) {
	r := l.rows.row(k)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.block.free, r.block.until, r.block.filling = n, at.Add(blockTTL), false
}
