package limiter

import (
	"cmp"
	"context"
	"time"
)

const (
	// MaxAhead is about how far in the future slots are given.
	MaxAhead = 10 * time.Minute
	// defaultRate is the rate of slots, in slots a second, unless another is asked for: live traffic goes first.
	defaultRate = 50
	// rateShare is the part of a rate limit that slots use, so that few attempts come a moment before the limit allows
	// them.
	rateShare = 0.95
	// changeTime is about how long it takes to make one delivery due; maxChanges bounds how many are written in
	// parallel.
	changeTime    = 25 * time.Millisecond
	maxChanges    = 32
	slowStartRate = 10
)

// A Pacer gives out slots: instants, one after another at a rate, at which deliveries that are made due together may
// begin. It may be stored and resumed: only Next lasts.
type Pacer struct {
	Next        time.Time     `json:"next,omitzero"` // the first slot that is free
	Interval    time.Duration `json:"-"`             // between slots, set by SetRate
	RestOwed    time.Duration `json:"-"`             // rest that Throttle has yet to take
	SlowStartAt time.Time     `json:"-"`             // when SlowStart was first called
	Taken       int           `json:"-"`             // slots since then
}

// SetRate sets how many slots come a second: as asked, otherwise as limit has it, otherwise 50; never more than 0.95
// of limit. 0 means that none is asked for, or that there is no limit.
func (p *Pacer) SetRate(asked, limit float64) {
	rate := cmp.Or(asked, limit*rateShare, defaultRate)
	if limit > 0 {
		rate = min(rate, limit*rateShare)
	}
	p.Interval = Interval(rate)
}

// Concurrency returns how many parallel changes keep up with the rate.
func (p *Pacer) Concurrency() int { return 1 + int(min(changeTime/max(p.Interval, 1), maxChanges-1)) }

// Throttle rests now and then so that slots are used at most twice as fast as they come, since live traffic needs the
// Store too. It must be called whenever some were taken since a time. It rests a whole second each time: queues
// deliver after whole seconds, so messages sent before and after one rest keep their distance.
func (p *Pacer) Throttle(ctx context.Context, taken int, since time.Time) {
	p.RestOwed = max(p.RestOwed+time.Duration(taken)*p.Interval/2-time.Since(since), 0)
	if p.RestOwed < time.Second {
		return
	}
	p.RestOwed = min(p.RestOwed-time.Second, time.Second) // FullUntil ends what is slow
	receiveWithin(ctx, time.Second, nil)
}

// Take returns the next slot, which is not before now.
func (p *Pacer) Take(now time.Time) time.Time {
	at := p.next(now)
	p.Next = at.Add(p.Interval)
	p.Taken++
	return at
}

// SlowStart returns how many slots a slow start has left now, and lowers the rate to match: it allows slowStartRate in
// the first second, and twice as many in each later one (10, 20, 40 …). If none is left it waits for the next second.
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

// next returns the slot that Take would give. A Next too far ahead was set by a wrong clock and does not count.
func (p *Pacer) next(now time.Time) time.Time {
	if p.Next.Sub(now) > 2*MaxAhead+p.Interval {
		return now
	}
	return Later(p.Next, now)
}

// FullUntil returns when slots are available again, zero for now: none is given that is more than MaxAhead away.
func (p *Pacer) FullUntil(now time.Time) time.Time {
	if p.next(now).Sub(now) <= MaxAhead {
		return time.Time{}
	}
	return p.Next.Add(-MaxAhead / 2)
}
