package limiter

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

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
				p := New()
				turn := Request{Registration: "reg", Allowance: Allowance{Concurrency: 10}, Slow: true}
				accepted := Outcome{Attempted: true, Succeeded: true, Took: tt.took}
				for range 50 { // so long until it is known how long they take
					leave, _ := p.Acquire(t.Context(), turn)
					leave(accepted)
				}
				var made atomic.Int64
				var wg sync.WaitGroup
				for range 100 {
					wg.Go(func() {
						leave, w := p.Acquire(t.Context(), turn)
						if leave == nil {
							if w.After < tt.took*9/10 {
								t.Errorf("a turn in %v, want not before an attempt has ended, which takes %v", w.After, tt.took)
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
	p := New()
	turn := Request{Registration: "reg", Allowance: Allowance{Concurrency: 1}}
	made := Outcome{Attempted: true, Succeeded: true, Took: quickLatency}
	for _, a := range []Outcome{made, {}} {
		leave, _ := p.Acquire(t.Context(), turn)
		leave(a)
	}
	if got := getOrAdd(p.endpoints, "reg").latency; got != made.Took/8 {
		t.Errorf("pace of %v after one attempt of %v, want an eighth", got, made.Took)
	}
}

// TestTurnComesAfterThoseSentAwayBefore sends attempts away from an endpoint
// that takes 10 s for each of ten.
func TestTurnComesAfterThoseSentAwayBefore(t *testing.T) {
	m := endpoint{latency: 10 * time.Second, lastChange: noon, deferredAt: noon}
	want := func(at, turn time.Duration) {
		t.Helper()
		if got := m.deferOne(10, noon.Add(at)).Round(time.Second); got != turn {
			t.Errorf("sent away after %v: a turn in %v, want %v", at, got, turn)
		}
	}
	for i := range 50 {
		want(0, time.Duration(i/10+1)*10*time.Second)
	}
	for range 550 {
		want(0, usualRetryAfter)
	}
	for range 8400 { // of so many, ten a second look
		m.deferOne(10, noon)
	}
	want(0, maxRetryAfter)
	m.lastChange = noon.Add(time.Minute)
	want(time.Minute, maxRetryAfter-time.Minute)
	m.lastChange = noon.Add(time.Hour)
	want(time.Hour, 10*time.Second)
	m.latency, m.lastChange = 50*time.Millisecond, noon.Add(time.Hour+time.Second) // it became faster
	want(time.Hour+time.Second, 0)
}
