package gateway

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/egress"
)

func TestHalfOfAProcessIsLeftToOtherRegistrations(t *testing.T) {
	for _, tt := range []struct{ own, tenant, process, want int }{
		{0, 0, 256, 50}, {0, 1000, 256, 128}, {1000, 1000, 256, 128}, {7, 1000, 256, 7}, {0, 0, 1, 1},
	} {
		r := Registration{Concurrency: tt.own}
		if got := r.allowance(Limits{Concurrency: tt.tenant}, tt.process).atOnce; got != tt.want {
			t.Errorf("limits of %d and %d in a process of %d: %d at once, want %d", tt.own, tt.tenant, tt.process, got, tt.want)
		}
	}
}

// TestAttemptsWaitWhereTheirTurnIsNear has a hundred attempts at once for a
// registration that may make ten: those of a fast endpoint all get their turn
// in the process, of a slow one only those that need not wait long. The others
// hear how long it would be.
func TestAttemptsWaitWhereTheirTurnIsNear(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration
		want int64 // attempts that were made
	}{
		{"fast", 20 * time.Millisecond, 100},
		{"so slow that the seventh round would begin too late", 190 * time.Millisecond, 60},
		{"about as slow as patience lasts", 900 * time.Millisecond, 20},
		{"slower", 1500 * time.Millisecond, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPace()
				turn := turn{registration: "reg", allowance: allowance{atOnce: 10}}
				accepted := Attempt{At: time.Now(), Class: egress.OK, Took: tt.took}
				for range 50 { // so long until it is known how long they take
					leave, _ := p.enter(t.Context(), turn)
					leave(accepted)
				}
				var made atomic.Int64
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						leave, w := p.enter(t.Context(), turn)
						if leave == nil {
							if w.turn < tt.took*9/10 {
								t.Errorf("a turn in %v, want not before an attempt has ended, which takes %v", w.turn, tt.took)
							}
							return
						}
						time.Sleep(tt.took) // of the bubble's clock
						made.Add(1)
						leave(accepted)
					})
				}
				wg.Wait()
				if got := made.Load(); got != tt.want {
					t.Errorf("%d of 100 attempts made, want %d", got, tt.want)
				}
			})
		})
	}
}

// TestAttemptThatWasNotMadeTellsNoPace leaves without an attempt, as where none
// may be made after all.
func TestAttemptThatWasNotMadeTellsNoPace(t *testing.T) {
	p := newPace()
	turn := turn{registration: "reg", allowance: allowance{atOnce: 1}}
	made := Attempt{At: noon, Class: egress.OK, Took: time.Second}
	for _, a := range []Attempt{made, {}, {At: noon, Class: egress.Internal}} {
		leave, _ := p.enter(t.Context(), turn)
		leave(a)
	}
	if got := p.mood("reg").took; got != made.Took/8 {
		t.Errorf("pace of %v after one attempt of %v, want an eighth", got, made.Took)
	}
}

// TestTurnComesAfterThoseSentAwayBefore sends attempts away from an endpoint
// that takes 10 s for each of ten.
func TestTurnComesAfterThoseSentAwayBefore(t *testing.T) {
	m := mood{took: 10 * time.Second, moved: noon, turned: noon}
	want := func(at, turn time.Duration) {
		t.Helper()
		if got := m.away(10, noon.Add(at)).Round(time.Second); got != turn {
			t.Errorf("sent away after %v: a turn in %v, want %v", at, got, turn)
		}
	}
	for i := range 50 {
		want(0, time.Duration(i/10+1)*10*time.Second)
	}
	for range 550 {
		want(0, nearTurn)
	}
	for range 8400 { // of so many, ten a second look
		m.away(10, noon)
	}
	want(0, farTurn)
	m.moved = noon.Add(time.Minute)
	want(time.Minute, farTurn-time.Minute)
	m.moved = noon.Add(time.Hour)
	want(time.Hour, 10*time.Second)
	m.took, m.moved = 50*time.Millisecond, noon.Add(time.Hour+time.Second) // it became faster
	want(time.Hour+time.Second, 0)
}
