package limiter

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestPlacesComeNoFasterThanTheirRate takes places in pages, at any pace, with any
// pauses and at any rate, and counts what falls into each second.
func TestPlacesComeNoFasterThanTheirRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Pacer
		rate := rapid.SampledFrom([]float64{0, MinRate, 0.1, 1, 7, 50, 667, 2000, 1e6}).Draw(t, "rate")
		p.SetRate(rate, 0)
		now, end := noon, time.Time{}
		perSecond := map[int64]int{}
		for range rapid.IntRange(1, 600).Draw(t, "pages") {
			for range rapid.IntRange(0, 100).Draw(t, "rows") {
				if !p.FullUntil(now).IsZero() {
					break
				}
				at := p.Take(now)
				if at.Before(now) || at.Before(end) || at.Sub(now) > MaxAhead {
					t.Fatalf("place %v at %v, the one before ended at %v; want it after both, at most %v ahead", at, now, end, MaxAhead)
				}
				end = at.Add(p.Interval)
				perSecond[at.Unix()]++
			}
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "page took")))
			if next := p.FullUntil(now); !next.IsZero() {
				if !next.After(now) || next.After(p.Next) {
					t.Fatalf("goes on at %v, now is %v and the next place %v", next, now, p.Next)
				}
				now = next
			}
		}
		for second, n := range perSecond {
			if most := int(time.Second/p.Interval) + 1; n > most {
				t.Fatalf("%d places in second %d, want at most %d", n, second, most)
			}
		}
	})
}

func TestPlacesGoOnFromNowIfAWrongClockPutThemFarAhead(t *testing.T) {
	for _, tt := range []struct{ apart, next, want time.Duration }{
		{0, -time.Hour, 0}, {0, 0, 0}, {0, time.Minute, time.Minute}, {0, 2 * MaxAhead, 2 * MaxAhead}, {0, 2*MaxAhead + 1, 0}, {0, 20 * 24 * time.Hour, 0},
		{time.Hour, time.Hour, time.Hour}, {time.Hour, time.Hour + 2*MaxAhead, time.Hour + 2*MaxAhead}, {time.Hour, time.Hour + 2*MaxAhead + 1, 0},
	} {
		p := Pacer{Next: noon.Add(tt.next), Interval: tt.apart}
		if got := p.Take(noon).Sub(noon); got != tt.want {
			t.Errorf("places %v apart, the next one in %v: taken in %v, want in %v", tt.apart, tt.next, got, tt.want)
		}
	}
	if next := (&Pacer{Next: noon.Add(MaxAhead)}).FullUntil(noon); !next.IsZero() {
		t.Errorf("places just so far ahead as they may be go on at %v, want at once", next)
	}
	if next := (&Pacer{Next: noon.Add(MaxAhead + time.Minute)}).FullUntil(noon).Sub(noon); next != MaxAhead/2+time.Minute {
		t.Errorf("places further ahead go on in %v, want in %v", next, MaxAhead/2+time.Minute)
	}
}

func TestPlacesAreAsFastAsAskedWithinTheLimit(t *testing.T) {
	for _, tt := range []struct {
		asked, limit float64
		apart        time.Duration
		atOnce       int
	}{
		{0, 0, 20 * time.Millisecond, 2},
		{2000, 0, 500 * time.Microsecond, 32},
		{100, 0, 10 * time.Millisecond, 3},
		{MinRate, 0, time.Hour, 1},
		{0, 10, 105263157, 1},
		{0, 1000, 1052631, 24},
		{2000, 1000, 1052631, 24},
		{100, 1000, 10 * time.Millisecond, 3},
		{1e12, 0, 0, 32},
	} {
		var p Pacer
		p.SetRate(tt.asked, tt.limit)
		if p.Interval != tt.apart || p.Concurrency() != tt.atOnce {
			t.Errorf("asked for %g within %g: %v apart, %d at once; want %v and %d", tt.asked, tt.limit, p.Interval, p.Concurrency(), tt.apart, tt.atOnce)
		}
	}
}

func TestPlacesAreUsedAtMostTwiceAsFastAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name   string
			rate   float64
			places int           // a page
			took   time.Duration // a page
			pages  int
			want   time.Duration // of rest
		}{
			{"50/s, at once", 50, 100, 0, 10, 10 * time.Second},
			{"50/s, half a page", 50, 49, 0, 1, 0},
			{"100/s, in a while", 100, 100, 200 * time.Millisecond, 10, 3 * time.Second},
			{"slower than the rate", 2000, 100, 60 * time.Millisecond, 100, 0},
			{"nothing found", 50, 0, 0, 100, 0},
			{"one an hour", MinRate, 1, 0, 2, 2 * time.Second},
		} {
			var p Pacer
			p.SetRate(tt.rate, 0)
			began := time.Now()
			for range tt.pages {
				page := time.Now()
				time.Sleep(tt.took)
				p.Throttle(t.Context(), tt.places, page)
			}
			if got := time.Since(began) - time.Duration(tt.pages)*tt.took; got != tt.want {
				t.Errorf("%s: rested %v in %d pages, want %v", tt.name, got, tt.pages, tt.want)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		var p Pacer
		p.SetRate(1, 0)
		began := time.Now()
		if p.Throttle(ended, 100, began); time.Since(began) > 0 {
			t.Errorf("rested %v though the context had ended", time.Since(began))
		}
	})
}

// TestSlowStartDoublesEachSecond counts the places that each second lets be taken.
func TestSlowStartDoublesEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begun, taken := Pacer{}, time.Now(), map[int]int{}
		for time.Since(begun) < 5*time.Second {
			l.SetRate(1000, 0)
			n, second := l.SlowStart(t.Context()), int(time.Since(begun)/time.Second)
			for range min(n, 7) {
				if taken[second]++; time.Second/l.Interval > 10<<second {
					t.Fatalf("places %v apart after %d s", l.Interval, second)
				}
				l.Take(time.Now())
			}
		}
		if got, want := fmt.Sprint(taken), "map[0:10 1:20 2:40 3:80 4:160]"; got != want {
			t.Errorf("taken each second: %s, want %s", got, want)
		}
	})
}
