package gateway

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"ringback/shared/egress"
)

func TestAllowanceIsTheLeastOfAllLimits(t *testing.T) {
	for _, tt := range []struct {
		r      Registration
		l      Limits
		atOnce int
		rate   float64
	}{
		{Registration{}, Limits{}, 50, 0},
		{Registration{Rate: 2}, Limits{}, 50, 2},
		{Registration{}, Limits{DeliveriesPerSecond: 3}, 50, 3},
		{Registration{Rate: 2}, Limits{DeliveriesPerSecond: 3}, 50, 2},
		{Registration{Rate: 4}, Limits{DeliveriesPerSecond: 3}, 50, 3},
		{Registration{Concurrency: 1}, Limits{}, 1, 0},
		{Registration{Concurrency: 60}, Limits{}, 50, 0},
		{Registration{}, Limits{Concurrency: 200}, 100, 0},
	} {
		if got := tt.r.allowance(tt.l, 200); got != (allowance{tt.atOnce, tt.rate}) {
			t.Errorf("rate %v and %d at once, within %+v: %+v; want %d at once, rate %v", tt.r.Rate, tt.r.Concurrency, tt.l, got, tt.atOnce, tt.rate)
		}
	}
	if got := (&Registration{}).allowance(Limits{}, 3); got.atOnce != 1 {
		t.Errorf("of 3 POSTs at once a registration may have %d, want half", got.atOnce)
	}
}

// TestRateGivesEachItsPlace has attempts come at once, and others after a pause;
// one that waited for its place already takes no other.
func TestRateGivesEachItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, start := newPace(), time.Now()
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
			leave, w := p.enter(t.Context(), turn{registration: "reg_1", allowance: allowance{atOnce: 100, rate: 2}, paced: step.paced})
			switch {
			case step.want == 0 && (leave == nil || w != (wait{})):
				t.Errorf("attempt %d waits for %+v, want it to begin", n, w)
			case step.want > 0 && (leave != nil || w.at.Sub(start) != step.want || w.turn != 0):
				t.Errorf("attempt %d begins %v, or has a place after %v; want %v", n, leave != nil, w.at.Sub(start), step.want)
			}
		}
	})
}

// TestFirstAttemptsStayAwayFromASlowEndpoint has timeouts come in a row.
func TestFirstAttemptsStayAwayFromASlowEndpoint(t *testing.T) {
	p := newPace()
	enter := func(first bool) func(Attempt) {
		leave, w := p.enter(t.Context(), turn{registration: "reg_1", allowance: allowance{atOnce: 1}, first: first})
		if leave == nil && w != (wait{}) {
			t.Errorf("a slow endpoint: wait for %+v, want nothing said", w)
		}
		return leave
	}
	for n := range slowAfter {
		leave := enter(true)
		if leave == nil {
			t.Fatalf("after %d timeouts a first attempt may not begin", n)
		}
		leave(Attempt{At: noon, Class: egress.Timeout})
	}
	if enter(true) != nil {
		t.Errorf("after %d timeouts a first attempt may begin", slowAfter)
	}
	later := enter(false)
	if later == nil {
		t.Fatal("a later attempt may not begin, though none is under way")
	}
	later(Attempt{At: noon, Class: egress.OK})
	if enter(true) == nil {
		t.Error("after an acceptance a first attempt may not begin")
	}
}

// TestPlaceIsHandedOnInOrder has two attempts wait for the one that is under way.
func TestPlaceIsHandedOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		one := turn{registration: "reg_1", allowance: allowance{atOnce: 1}}
		first, _ := p.enter(t.Context(), one)
		p.mood("reg_1").took = time.Millisecond
		var order []int
		entered := make(chan func(Attempt))
		for n := range 2 {
			go func() {
				leave, w := p.enter(t.Context(), one)
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
		time.Sleep(patience / 2)
		first(Attempt{At: time.Now(), Class: egress.OK})
		second := <-entered
		synctest.Wait()
		if len(order) != 1 || order[0] != 0 {
			t.Errorf("after one left %v began, want the first that waits", order)
		}
		second(Attempt{})
		(<-entered)(Attempt{})
		if m := p.mood("reg_1"); m.posting != 0 || len(m.waiting) != 0 {
			t.Errorf("%d under way and %d waiting when all have left", m.posting, len(m.waiting))
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
		{"one that just began", 0, 0, patience, patience},
		{"one that began a second ago", patience, 0, patience, 2 * patience},
		{"one that began longer ago", patience + time.Millisecond, 0, 0, patience + time.Millisecond},
		{"as the invocation ends", 0, 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPace()
			one := turn{registration: "reg_1", allowance: allowance{atOnce: 1}}
			leave, _ := p.enter(t.Context(), one)
			time.Sleep(tt.since)
			ctx, cancel := context.WithCancel(t.Context())
			if tt.ends > 0 {
				ctx, cancel = context.WithTimeout(t.Context(), tt.ends)
			}
			defer cancel()
			start := time.Now()
			second, w := p.enter(ctx, one)
			if took := time.Since(start); second != nil || took != tt.want || !w.at.IsZero() || w.turn != tt.turn {
				t.Errorf("behind %s: began %v after %v, told %+v; want to be sent away after %v, for %v", tt.name, second != nil, took, w, tt.want, tt.turn)
			}
			if m := p.mood("reg_1"); len(m.waiting) != 0 || m.posting != 1 {
				t.Errorf("behind %s: %d wait and %d are under way, want none and one", tt.name, len(m.waiting), m.posting)
			}
			leave(Attempt{})
			if m := p.mood("reg_1"); m.posting != 0 {
				t.Errorf("behind %s: %d are under way when all have left", tt.name, m.posting)
			}
		})
	}
}

// TestWaitingIsWorthItWhereATurnIsNear has a third attempt come where one may be
// under way and one waits: its turn comes after two that take so long.
func TestWaitingIsWorthItWhereATurnIsNear(t *testing.T) {
	for took, waits := range map[time.Duration]time.Duration{patience / 2: patience, patience/2 + 1: 0} {
		synctest.Test(t, func(t *testing.T) {
			p := newPace()
			one := turn{registration: "reg_1", allowance: allowance{atOnce: 1}}
			leave, _ := p.enter(t.Context(), one)
			p.mood("reg_1").took = took
			go p.enter(t.Context(), one)
			synctest.Wait()
			start := time.Now()
			if third, _ := p.enter(t.Context(), one); third != nil || time.Since(start) != waits {
				t.Errorf("where an attempt takes %v: began %v after %v, want it to be sent away after %v", took, third != nil, time.Since(start), waits)
			}
			leave(Attempt{})
			time.Sleep(2 * patience)
		})
	}
}

// TestEndpointThatMovesIsWaitedFor has an attempt end, and the next one, which
// waited for it, be under way when a third comes.
func TestEndpointThatMovesIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		one := turn{registration: "reg_1", allowance: allowance{atOnce: 1}}
		first, _ := p.enter(t.Context(), one)
		time.Sleep(patience / 2)
		entered := make(chan func(Attempt))
		go func() {
			leave, _ := p.enter(t.Context(), one)
			entered <- leave
		}()
		time.Sleep(patience * 4 / 10)
		first(Attempt{})
		second := <-entered
		time.Sleep(patience * 6 / 10)
		go func() {
			time.Sleep(patience / 2)
			second(Attempt{})
		}()
		if third, w := p.enter(t.Context(), one); third == nil {
			t.Errorf("sent away for %v, though one ended a moment ago", w.turn)
		}
	})
}

// TestThoseSentAwayAreForgottenOnce counts the time since it was last asked, not
// since the first.
func TestThoseSentAwayAreForgottenOnce(t *testing.T) {
	m := mood{took: 10 * time.Second, moved: noon, turned: noon}
	for range 100 {
		m.away(10, noon)
	}
	for n, want := range []time.Duration{time.Minute, time.Minute} { // 50 of them have asked since
		if got := m.away(10, noon.Add(5*time.Second)); got != want {
			t.Errorf("ask %d after 5s: a turn in %v, want %v", n, got, want)
		}
	}
}

// TestEndpointsAreLookedAtOneByOne wants that what is known of one says nothing of
// another, and that nothing is known of most.
func TestEndpointsAreLookedAtOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		for _, c := range []egress.Class{egress.OK, egress.Timeout, egress.DNS} {
			leave, _ := p.enter(t.Context(), turn{registration: "reg_1", allowance: allowance{atOnce: 1}})
			leave(Attempt{At: time.Now(), Class: c, Took: 8 * time.Second})
			time.Sleep(time.Second)
		}
		got := p.look("reg_1")
		if got.failures != 2 || got.timeouts != 0 || time.Since(got.accepted) != 3*time.Second {
			t.Errorf("%d failures, %d timeouts, accepted %v ago; want 2, 0 and 3s", got.failures, got.timeouts, time.Since(got.accepted))
		}
		if other := p.look("reg_2"); other.failures != 0 || !other.accepted.IsZero() {
			t.Errorf("of an endpoint that was never called: %+v", other)
		}
		if took := p.mood("reg_1").took.Round(time.Millisecond); took != 2641*time.Millisecond { // 8 s × (1 − (7/8)³)
			t.Errorf("an attempt takes %v, want what three of 8s make of it", took)
		}
	})
}
