package pace

import (
	"cmp"
	"context"
	"time"
)

const (
	// Ahead is how far ahead places are given, about.
	Ahead = 10 * time.Minute
	// placesRate is the rate of places where nothing else is asked for, so that live traffic goes first.
	placesRate = 50
	// within is the part of a limit that places use up, so that few attempts come a
	// moment before the limit has a place for them.
	within = 0.95
	// changeTakes is how long it takes, about, to change what is made due, and
	// mostChanges how many are to be under way at most.
	changeTakes = 25 * time.Millisecond
	mostChanges = 32
	slowStart   = 10
)

// A Line is the instants at which what is made due ahead of its time may begin, one after another at a rate:
// the places in it. It may be stored and gone on with: Next is all that lasts.
type Line struct {
	Next  time.Time     `json:"next,omitzero"` // not before then
	Apart time.Duration `json:"-"`             // as SetRate has it
	Owed  time.Duration `json:"-"`             // of rest
	Begun time.Time     `json:"-"`             // of a slow start
	Taken int           `json:"-"`             // places since then
}

// SetRate has places come so many a second: as asked for, else as limit has it,
// else 50; never more than 0.95 of limit, which is zero if there is none.
func (l *Line) SetRate(asked, limit float64) {
	rate := cmp.Or(asked, limit*within, placesRate)
	if limit > 0 {
		rate = min(rate, limit*within)
	}
	l.Apart = Apart(rate)
}

// AtOnce returns how many changes at the same time keep up with the rate.
func (l *Line) AtOnce() int { return 1 + int(min(changeTakes/max(l.Apart, 1), mostChanges-1)) }

// Rest waits now and then, called whenever some places were made use of since a time, so that they are so no
// more than twice as fast as they come: live traffic needs the Store too. It waits for a second each: queues
// deliver after whole seconds, so those that one rest parts keep their distance.
func (l *Line) Rest(ctx context.Context, places int, since time.Time) {
	l.Owed = max(l.Owed+time.Duration(places)*l.Apart/2-time.Since(since), 0)
	if l.Owed < time.Second {
		return
	}
	l.Owed = min(l.Owed-time.Second, time.Second) // Full ends what is slow
	comesWithin(ctx, time.Second, nil)
}

// Take returns the next place, which is not before now.
func (l *Line) Take(now time.Time) time.Time {
	at := l.first(now)
	l.Next = at.Add(l.Apart)
	l.Taken++
	return at
}

// Slowly returns how many places may be taken by now of a line that starts slowly: slowStart in the first second, and
// twice as many in each one after that. It has them come no faster, and waits for the next second if there are none.
func (l *Line) Slowly(ctx context.Context) int {
	if l.Begun.IsZero() {
		l.Begun, l.Taken = time.Now(), 0
	}
	since := time.Since(l.Begun)
	rate := slowStart << min(since/time.Second, 20)
	l.Apart = max(l.Apart, Apart(float64(rate)))
	n := 2*rate - slowStart - l.Taken
	if n <= 0 {
		comesWithin(ctx, time.Second-since%time.Second, nil)
	}
	return max(n, 0)
}

// first returns which place Take would give. A Next further ahead than any is was put there by a clock that was wrong.
func (l *Line) first(now time.Time) time.Time {
	if l.Next.Sub(now) > 2*Ahead+l.Apart {
		return now
	}
	return Later(l.Next, now)
}

// Full returns when to go on taking places; zero for at once: none is given that is further away than Ahead.
func (l *Line) Full(now time.Time) time.Time {
	if l.first(now).Sub(now) <= Ahead {
		return time.Time{}
	}
	return l.Next.Add(-Ahead / 2)
}
