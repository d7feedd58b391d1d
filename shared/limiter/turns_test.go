package limiter

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRateGivesEachItsPlace has attempts come at once, and others after a pause;
// one that waited for its place already takes no other.
func TestRateGivesEachItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := New(), time.Now()
		for n, step := range []struct {
			after time.Duration // since the step before
			paced bool
			want  time.Duration // of its place, from the start on; 0: it may begin
		}{
			{0, false, 0}, {0, false, 500 * time.Millisecond}, {0, false, time.Second}, {0, true, 0},
			{time.Second, false, 1500 * time.Millisecond}, {time.Second, false, 0}, {0, false, 2500 * time.Millisecond},
			{time.Hour, false, 0}, {0, false, time.Hour + 2*time.Second + 500*time.Millisecond},
		} {
			time.Sleep(step.after)
			leave, w := p.Acquire(t.Context(), Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 100, Rate: 2}, RateGranted: step.paced})
			switch {
			case step.want == 0 && (leave == nil || w != (Wait{})):
				t.Errorf("attempt %d waits for %+v, want it to begin", n, w)
			case step.want > 0 && (leave != nil || w.At.Sub(start) != step.want || w.After != 0):
				t.Errorf("attempt %d begins %v, or has a place after %v; want %v", n, leave != nil, w.At.Sub(start), step.want)
			}
		}
	})
}

// TestTinyRateIsOneAnHour has a row of a former release ask for a rate whose
// interval no duration can hold.
func TestTinyRateIsOneAnHour(t *testing.T) {
	for _, rate := range []float64{1e-11, 1e-300, 1.0 / 7200} {
		synctest.Test(t, func(t *testing.T) {
			p, start := New(), time.Now()
			turn := Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 100, Rate: rate}}
			if leave, w := p.Acquire(t.Context(), turn); leave == nil {
				t.Errorf("at %v a second the first waits until %v", rate, w.At)
			}
			if leave, w := p.Acquire(t.Context(), turn); leave != nil || w.At.Sub(start) != time.Hour {
				t.Errorf("at %v a second the second begins: %v, or waits for %v; want an hour", rate, leave != nil, w.At.Sub(start))
			}
		})
	}
}

// TestSlowEndpointIsFastAgainAfterQuickAttempts has an endpoint turn slow twice,
// and respond fast each second in between.
func TestSlowEndpointIsFastAgainAfterQuickAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		attempt := func(o Outcome) (begins bool) {
			leave, w := p.Acquire(t.Context(), Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}})
			if begins = leave != nil; !begins {
				if w != (Wait{Slow: true}) {
					t.Errorf("a slow endpoint: told %+v, want that it is slow", w)
				}
				leave, _ = p.Acquire(t.Context(), Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}, Slow: true})
			}
			if o.slow() {
				time.Sleep(max(o.Took, slowLatency))
			}
			leave(o)
			return begins
		}
		fast := Outcome{Attempted: true, Succeeded: true, Took: quickLatency - 1}
		for _, tt := range []struct {
			slow  Outcome
			trial time.Duration
		}{
			{Outcome{Attempted: true, Succeeded: true, Took: slowLatency}, firstProbation},
			{Outcome{Attempted: true, Took: 15 * time.Second}, 2 * firstProbation},
			{Outcome{Interrupted: true}, 4 * firstProbation},
		} {
			attempt(fast)
			for range minSlowRun {
				if !attempt(tt.slow) {
					t.Fatal("an attempt of a fast endpoint may not begin")
				}
			}
			attempt(fast)
			time.Sleep(time.Hour)
			for range minSlowRun {
				attempt(tt.slow) // the trial begins anew
			}
			begun := time.Now()
			for !attempt(fast) {
				time.Sleep(time.Second)
			}
			if took := time.Since(begun) - time.Second; took != tt.trial {
				t.Errorf("after %+v it is fast again in %v, want %v", tt.slow, took, tt.trial)
			}
			if p.Slow("reg_1") {
				t.Error("it counts as slow, though its attempts may begin")
			}
		}
	})
}

// TestFewQuickAttemptsProveNothing has an endpoint respond fast once in a trial.
func TestFewQuickAttemptsProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := endpoint{}
		for n := range minSlowRun {
			if m.slow {
				t.Errorf("after %d slow attempts it is slow, want after %d", n, minSlowRun)
			}
			time.Sleep(slowLatency)
			m.classify(Outcome{Interrupted: true}, time.Now())
		}
		for n := range minQuickRun {
			if !m.slow {
				t.Fatalf("after %d attempts it is fast, want after %d", n, minQuickRun)
			}
			time.Sleep(firstProbation)
			m.classify(Outcome{Attempted: true, Succeeded: true}, time.Now())
		}
		if m.slow {
			t.Errorf("after %d attempts it is slow", minQuickRun)
		}
	})
}

// TestSlowAttemptsOfAMomentMakeNothingSlow has many end at once.
func TestSlowAttemptsOfAMomentMakeNothingSlow(t *testing.T) {
	for took, want := range map[time.Duration]bool{slowLatency: false, minSlowTime - 1: false, minSlowTime: true} {
		m := endpoint{}
		for range 100 {
			m.classify(Outcome{Attempted: true, Succeeded: true, Took: took}, noon)
		}
		if m.slow != want {
			t.Errorf("after a hundred that took %v and ended at once it is slow: %v, want %v", took, m.slow, want)
		}
	}
}

// TestOneInTwentyMakesNothingSlow has an endpoint be slow now and then, refuse and be
// neither slow nor quick: in between, and in its trial.
func TestOneInTwentyMakesNothingSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, turned := range []bool{false, true} {
			m := endpoint{slow: turned, timesSlowed: 1}
			for n := range 200 {
				time.Sleep(time.Second)
				switch {
				case n%20 == 0:
					m.classify(Outcome{Attempted: true, Succeeded: true, Took: slowLatency}, time.Now())
				case n%20 == 1:
					m.classify(Outcome{Attempted: true}, time.Now())
				case n%20 == 2:
					m.classify(Outcome{Attempted: true, Succeeded: true, Took: quickLatency}, time.Now())
				default:
					m.classify(Outcome{Attempted: true, Succeeded: true}, time.Now())
				}
				if want := turned && n < 63; m.slow != want {
					t.Fatalf("after %d attempts it is slow: %v, want %v", n+1, m.slow, want)
				}
			}
			if m.timesSlowed != 0 {
				t.Errorf("it turned slow %d times after %d attempts, want that forgotten", m.timesSlowed, m.quickInRow)
			}
		}
	})
}

// TestRunIsOfOnePath has an endpoint be quick outside the slow queue, and then in it.
func TestRunIsOfOnePath(t *testing.T) {
	p := New()
	for n, want := range []int{1, 2, 1, 2, 1} {
		leave, _ := p.Acquire(t.Context(), Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}, Slow: n == 2 || n == 3})
		leave(Outcome{Attempted: true, Succeeded: true})
		if got := p.Stats("reg_1").Quick; got != want {
			t.Errorf("after %d attempts %d in a row, want %d", n+1, got, want)
		}
	}
}

// TestPlaceIsHandedOnInOrder has two attempts wait for the one that is under way.
func TestPlaceIsHandedOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		one := Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}}
		first, _ := p.Acquire(t.Context(), one)
		getOrAdd(p.endpoints, "reg_1").latency = time.Millisecond
		var order []int
		entered := make(chan func(Outcome))
		for n := range 2 {
			go func() {
				leave, w := p.Acquire(t.Context(), one)
				order = append(order, n)
				if leave == nil {
					t.Errorf("attempt %d is sent away for %v", n, w)
				}
				entered <- leave
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatal("two attempts are under way where one may be")
		}
		time.Sleep(MaxQueueWait / 2)
		first(Outcome{Attempted: true, Succeeded: true})
		second := <-entered
		synctest.Wait()
		if len(order) != 1 || order[0] != 0 {
			t.Errorf("after one left %v began, want the first that waits", order)
		}
		second(Outcome{})
		(<-entered)(Outcome{})
		if m := getOrAdd(p.endpoints, "reg_1"); m.inFlight != 0 || len(m.queue) != 0 {
			t.Errorf("%d under way and %d waiting when all have left", m.inFlight, len(m.queue))
		}
	})
}

// TestNobodyWaitsForLongerThanPatience has the attempt that is under way take
// long, and the invocation end.
func TestNobodyWaitsForLongerThanPatience(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since time.Duration // the attempt under way began
		ends  time.Duration // of the invocation, in; 0: never
		want  time.Duration // of waiting
		turn  time.Duration // that is told
	}{
		{"one that just began", 0, 0, MaxQueueWait, MaxQueueWait},
		{"one that began a second ago", MaxQueueWait, 0, MaxQueueWait, 2 * MaxQueueWait},
		{"one that began longer ago", MaxQueueWait + time.Millisecond, 0, 0, MaxQueueWait + time.Millisecond},
		{"as the invocation ends", 0, 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := New()
			one := Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}}
			leave, _ := p.Acquire(t.Context(), one)
			time.Sleep(tt.since)
			ctx, cancel := context.WithCancel(t.Context())
			if tt.ends > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), tt.ends)
			}
			defer cancel()
			start := time.Now()
			second, w := p.Acquire(ctx, one)
			if took := time.Since(start); second != nil || took != tt.want || !w.At.IsZero() || w.After != tt.turn {
				t.Errorf("behind %s: began %v after %v, told %+v; want to be sent away after %v, for %v", tt.name, second != nil, took, w, tt.want, tt.turn)
			}
			if m := getOrAdd(p.endpoints, "reg_1"); len(m.queue) != 0 || m.inFlight != 1 {
				t.Errorf("behind %s: %d wait and %d are under way, want none and one", tt.name, len(m.queue), m.inFlight)
			}
			leave(Outcome{})
			if m := getOrAdd(p.endpoints, "reg_1"); m.inFlight != 0 {
				t.Errorf("behind %s: %d are under way when all have left", tt.name, m.inFlight)
			}
		})
	}
}

// TestWaitingIsWorthItWhereATurnIsNear has a third attempt come where one may be
// under way and one waits: its turn comes after two that take so long.
func TestWaitingIsWorthItWhereATurnIsNear(t *testing.T) {
	for took, waits := range map[time.Duration]time.Duration{MaxQueueWait / 2: MaxQueueWait, MaxQueueWait/2 + 1: 0} {
		synctest.Test(t, func(t *testing.T) {
			p := New()
			one := Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}}
			leave, _ := p.Acquire(t.Context(), one)
			getOrAdd(p.endpoints, "reg_1").latency = took
			go p.Acquire(t.Context(), one)
			synctest.Wait()
			start := time.Now()
			if third, _ := p.Acquire(t.Context(), one); third != nil || time.Since(start) != waits {
				t.Errorf("where an attempt takes %v: began %v after %v, want it to be sent away after %v", took, third != nil, time.Since(start), waits)
			}
			leave(Outcome{})
			time.Sleep(2 * MaxQueueWait)
		})
	}
}

// TestEndpointThatMovesIsWaitedFor has an attempt end, and the next one, which
// waited for it, be under way when a third comes.
func TestEndpointThatMovesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		one := Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}}
		first, _ := p.Acquire(t.Context(), one)
		time.Sleep(MaxQueueWait / 2)
		entered := make(chan func(Outcome))
		go func() {
			leave, _ := p.Acquire(t.Context(), one)
			entered <- leave
		}()
		time.Sleep(MaxQueueWait * 4 / 10)
		first(Outcome{})
		second := <-entered
		time.Sleep(MaxQueueWait * 6 / 10)
		go func() {
			time.Sleep(MaxQueueWait / 2)
			second(Outcome{})
		}()
		if third, w := p.Acquire(t.Context(), one); third == nil {
			t.Errorf("sent away for %v, though one ended a moment ago", w.After)
		}
	})
}

// TestThoseSentAwayAreForgottenOnce counts the time since it was last asked, not
// since the first.
func TestThoseSentAwayAreForgottenOnce(t *testing.T) {
	m := endpoint{latency: 10 * time.Second, lastChange: noon, deferredAt: noon}
	for range 100 {
		m.deferOne(10, noon)
	}
	for n, want := range []time.Duration{time.Minute, time.Minute} { // 50 of them have asked since
		if got := m.deferOne(10, noon.Add(5*time.Second)); got != want {
			t.Errorf("ask %d after 5s: a turn in %v, want %v", n, got, want)
		}
	}
}

// TestEndpointsAreLookedAtOneByOne wants that what is known of one says nothing of
// another, and that nothing is known of most.
func TestEndpointsAreLookedAtOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New()
		for _, o := range []Outcome{{Succeeded: true}, {}, {}} {
			leave, _ := p.Acquire(t.Context(), Request{Registration: "reg_1", Allowance: Allowance{Concurrency: 1}, Slow: true})
			o.Attempted, o.Took = true, 8*time.Second
			leave(o)
			time.Sleep(time.Second)
		}
		got := p.Stats("reg_1")
		if got.Failures != 2 || time.Since(got.LastSuccess) != 3*time.Second {
			t.Errorf("%d failures, accepted %v ago; want 2 and 3s", got.Failures, time.Since(got.LastSuccess))
		}
		if other := p.Stats("reg_2"); other.Failures != 0 || !other.LastSuccess.IsZero() {
			t.Errorf("of an endpoint that was never called: %+v", other)
		}
		if took := getOrAdd(p.endpoints, "reg_1").latency.Round(time.Millisecond); took != 2641*time.Millisecond { // 8 s × (1 − (7/8)³)
			t.Errorf("an attempt takes %v, want what three of 8s make of it", took)
		}
	})
}
