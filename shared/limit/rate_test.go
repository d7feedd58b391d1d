package limit

import (
	"math/rand/v2"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const second = time.Second

// TestLineGivesPlacesAndTurns asks one after another.
func TestLineGivesPlacesAndTurns(t *testing.T) {
	type ask struct {
		at     time.Duration // after noon
		inTurn bool
		turn   time.Duration // after noon; -1: it begins
	}
	for _, tt := range []struct {
		name  string
		every time.Duration
		asks  []ask
	}{
		{"one after the other", second, []ask{{0, false, -1}, {second, false, -1}, {5 * second, false, -1}}},
		{"at once", second, []ask{{0, false, -1}, {0, false, second}, {0, false, 1980 * time.Millisecond}, {second, true, -1}, {2 * second, true, -1}}},
		{"who has no turn is last", second, []ask{{0, false, -1}, {0, false, second}, {1500 * time.Millisecond, false, 1980 * time.Millisecond}, {1600 * time.Millisecond, true, -1}}},
		{"turns that are not used", second, []ask{{0, false, -1}, {0, false, second}, {10 * second, false, -1}}},
		{"all come late", second, []ask{{0, false, -1}, {0, false, second}, {0, false, 1980 * time.Millisecond}, {60 * second, true, -1}, {61 * second, true, -1}}},
		{"many come late at once", second, []ask{{60 * second, true, -1}, {60 * second, true, -1}, {60 * second, true, -1}, {60 * second, true, 63 * second}}},
		{"one an hour", time.Hour, []ask{{0, false, -1}, {0, false, time.Hour}, {0, false, 2 * time.Hour}, {time.Hour + 20*time.Minute, true, -1}, {2 * time.Hour, true, -1}, {2 * time.Hour, true, 200 * time.Minute}}},
		{"20 a second", second / 20, []ask{{0, false, -1}, {0, false, -1}, {0, true, -1}}},
	} {
		l := rate{}
		for i, a := range tt.asks {
			var turn time.Time
			l, turn = l.reserve(noon.Add(a.at), tt.every, a.inTurn)
			if got := turn.Sub(noon); a.turn < 0 && !turn.IsZero() || a.turn >= 0 && got != a.turn {
				t.Errorf("%s: ask %d at %v: a turn at %v (or none, if that is far off), want %v (-1ns: it begins)", tt.name, i, a.at, got, a.turn)
			}
		}
	}
}

// TestRateThatIsChangedMovesTheLine changes the rate while 100 have turns.
func TestRateThatIsChangedMovesTheLine(t *testing.T) {
	waiting := rate{Next: noon.Add(3 * second), Reserved: noon.Add(100 * second), Every: second}
	for _, tt := range []struct {
		every time.Duration
		want  rate
	}{
		{second, waiting},
		{second / 10, rate{noon.Add(second / 10), noon.Add(10 * second), second / 10}},
		{time.Hour, rate{noon.Add(3 * second), noon.Add(100 * time.Hour), time.Hour}},
	} {
		if got := waiting.withInterval(noon, tt.every); got != tt.want {
			t.Errorf("at one in %v the line is %+v, want %+v", tt.every, got, tt.want)
		}
	}
	most := rate{Reserved: noon.Add(100 * 365 * 24 * time.Hour), Every: time.Millisecond}
	if got := most.withInterval(noon, time.Hour); !got.Reserved.After(most.Reserved) {
		t.Errorf("a line of a hundred years is over at %v after the rate fell, want later", got.Reserved)
	}
}

// TestMoreIsTakenOnlyOfWhatIsFree takes a block.
func TestMoreIsTakenOnlyOfWhatIsFree(t *testing.T) {
	every := second / 100
	for _, tt := range []struct {
		l    rate
		n    int
		want int
	}{
		{rate{Next: noon, Every: every}, 20, 20},
		{rate{Next: noon, Every: every}, 200, 50},
		{rate{Next: noon.Add(second / 4), Every: every}, 200, 25},
		{rate{Next: noon.Add(second), Every: every}, 200, 0},
		{rate{Next: noon, Reserved: noon.Add(1), Every: every}, 20, 0},
	} {
		l, n := tt.l.extra(noon, tt.n)
		if want := tt.l.Next.Add(time.Duration(tt.want) * every); n != tt.want || !l.Next.Equal(want) {
			t.Errorf("%+v: %d of %d more, next at %v; want %d, %v", tt.l, n, tt.n, l.Next, tt.want, want)
		}
	}
}

// TestNoMinuteIsOverItsRate asks in turn all the time, and uses each place as late as
// may be: the places are those of a line that anybody asks.
func TestNoMinuteIsOverItsRate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, perMinute := range []int{20, 60, 90, 240, 600, 6000} {
		l, every := rate{}, time.Minute/time.Duration(perMinute)
		var taken []time.Time
		for now := noon; now.Before(noon.Add(3 * time.Minute)); now = now.Add(time.Duration(rng.Int64N(int64(every)))) {
			after, turn := l.reserve(now, every, rng.IntN(10) > 0)
			if l = after; turn.IsZero() {
				taken = append(taken, now)
			}
			if rng.IntN(10*perMinute) == 0 {
				now = now.Add(20 * second) // nobody asks
			}
		}
		late := permitTTL
		if every <= blockInterval {
			late += blockTTL
		}
		most, from := 0, 0
		for i, at := range taken {
			for !taken[from].After(at.Add(-time.Minute - late)) {
				from++
			}
			most = max(most, i-from+1)
		}
		if bound := perMinute + max(perMinute/20, 1); most > bound || most < perMinute {
			t.Errorf("%d a minute: up to %d, want no more than %d", perMinute, most, bound)
		}
	}
}

// TestBlockIsUsedInItsSecond has a process ask for places of a high rate.
func TestBlockIsUsedInItsSecond(t *testing.T) {
	now := noon
	clock := func() time.Time { return now }
	rs, k := New(nil, clock), rateKey
	ask := func(what string, free bool, more int) {
		t.Helper()
		if gotFree, gotMore := rs.fromBlock(k); gotFree != free || gotMore != more {
			t.Errorf("%s: %v, %d more are asked for; want %v, %d", what, gotFree, gotMore, free, more)
		}
	}
	ask("the first", false, 0)
	ask("the second", false, 0)
	now = now.Add(second)
	ask("a second later", false, 2)
	ask("while those are asked for", false, 0)
	rs.fillBlock(k, 2, now)
	ask("of the block", true, 0)
	now = now.Add(blockTTL)
	ask("after the block", false, 3)
	rs.fillBlock(k, 0, now)
	ask("where nothing was free", false, 3)
	now = now.Add(2 * second)
	ask("after a second in which nobody asked", false, 0)
}
