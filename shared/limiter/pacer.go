package limiter

import (
	"cmp"
	"context"
	"time"
)

const (
	// MaxAhead is how far ahead places are given, about.
	MaxAhead = 10 * time.Minute
	// defaultRate is the rate of places where nothing else is asked for, so that live traffic goes first.
	defaultRate = 50
	// rateShare is the part of a limit that places use up, so that few attempts come a
	// moment before the limit has a place for them.
	rateShare = 0.95
	// changeTime is how long it takes, about, to change what is made due, and
	// mostChanges how many are to be under way at most.
	changeTime    = 25 * time.Millisecond
	maxChanges    = 32
	slowStartRate = 10
)

// A Pacer is the instants at which what is made due ahead of its time may begin, one after another at a rate:
// the places in it. It may be stored and gone on with: Next is all that lasts.
type Pacer struct {
	Next        time.Time     `json:"next,omitzero"` // not before then
	Interval    time.Duration `json:"-"`             // as SetRate has it
	RestOwed    time.Duration `json:"-"`             // of rest
	SlowStartAt time.Time     `json:"-"`             // of a slow start
	Taken       int           `json:"-"`             // places since then
}

// SetRate has places come so many a second: as asked for, else as limit has it,
// else 50; never more than 0.95 of limit, which is zero if there is none.
func (p *Pacer) SetRate(asked, limit float64) {
	rate := cmp.Or(asked, limit*rateShare, defaultRate)
	if limit > 0 {
		rate = min(rate, limit*rateShare)
	}
	p.Interval = Interval(rate)
}

// Concurrency returns how many changes at the same time keep up with the rate.
func (p *Pacer) Concurrency() int { return 1 + int(min(changeTime/max(p.Interval, 1), maxChanges-1)) }

// Throttle waits now and then, called whenever some places were made use of since a time, so that they are so no
// more than twice as fast as they come: live traffic needs the Store too. It waits for a second each: queues
// deliver after whole seconds, so those that one rest parts keep their distance.
func (p *Pacer) Throttle(ctx context.Context, taken int, since time.Time) {
	p.RestOwed = max(p.RestOwed+time.Duration(taken)*p.Interval/2-time.Since(since), 0)
	if p.RestOwed < time.Second {
		return
	}
	p.RestOwed = min(p.RestOwed-time.Second, time.Second) // Full ends what is slow
	receiveWithin(ctx, time.Second, nil)
}

// Take returns the next place, which is not before now.
func (p *Pacer) Take(now time.Time) time.Time {
	at := p.next(now)
	p.Next = at.Add(p.Interval)
	p.Taken++
	return at
}

// SlowStart returns how many places may be taken by now of a line that starts slowly: slowStart in the first second, and
// twice as many in each one after that. It has them come no faster, and waits for the next second if there are none.
func (p *Pacer) SlowStart(ctx context.Context) int {
	if p.SlowStartAt.IsZero() {
		p.SlowStartAt, p.Taken = time.Now(), 0
	}
	since := time.Since(p.SlowStartAt)
	rate := slowStartRate << min(since/time.Second, 20)
	p.Interval = max(p.Interval, Interval(float64(rate)))
	n := 2*rate - slowStartRate - p.Taken
	if n <= 0 {
		receiveWithin(ctx, time.Second-since%time.Second, nil)
	}
	return max(n, 0)
}

// next returns which place Take would give. A Next further ahead than any is was put there by a clock that was wrong.
func (p *Pacer) next(now time.Time) time.Time {
	if p.Next.Sub(now) > 2*MaxAhead+p.Interval {
		return now
	}
	return Later(p.Next, now)
}

// FullUntil returns when to go on taking places; zero for at once: none is given that is further away than Ahead.
func (p *Pacer) FullUntil(now time.Time) time.Time {
	if p.next(now).Sub(now) <= MaxAhead {
		return time.Time{}
	}
	return p.Next.Add(-MaxAhead / 2)
}
