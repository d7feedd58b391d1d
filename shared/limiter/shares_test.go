package limiter

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTenantTakesNoMoreThanIsFree has tenants take as much as they may, one after
// the other, and in turn.
func TestTenantTakesNoMoreThanIsFree(t *testing.T) {
	for _, tt := range []struct {
		tenants []string
		inTurn  bool
		want    []int
	}{
		{[]string{"a"}, false, []int{128}},
		{[]string{"a", "b"}, false, []int{128, 64}},
		{[]string{"a", "b"}, true, []int{86, 85}},
		{[]string{"a", "b", "c"}, true, []int{64, 64, 64}},
	} {
		p, got := NewShares(256, true), make([]int, len(tt.tenants))
		for range 256 {
			for i, tenant := range tt.tenants {
				for p.TryAcquire(tenant) {
					if got[i]++; tt.inTurn {
						break
					}
				}
			}
		}
		for i := range got {
			if got[i] != tt.want[i] {
				t.Errorf("%v, in turn %v: they hold %d of 256, want %d", tt.tenants, tt.inTurn, got, tt.want)
				break
			}
		}
		for i, tenant := range tt.tenants {
			for range got[i] {
				p.Release(tenant)
			}
		}
		if p.free != 256 || len(p.shares) != 0 {
			t.Errorf("%v: %d free and %d shares when all have left", tt.tenants, p.free, len(p.shares))
		}
	}
}

// TestPlaceGoesToTheFirstThatMayHaveIt has two tenants wait for a place, of which
// the first has its share.
func TestPlaceGoesToTheFirstThatMayHaveIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewShares(3, false)
		p.TryAcquire("a")
		p.TryAcquire("b")
		p.TryAcquire("c")
		var got []string
		for _, tenant := range []string{"a", "d"} {
			go func() {
				if p.Waiter(tenant, 1).Acquire(t.Context(), MaxQueueWait) {
					got = append(got, tenant)
				}
			}()
			synctest.Wait()
		}
		p.Release("b")
		synctest.Wait()
		if len(got) != 1 || got[0] != "d" {
			t.Errorf("the place goes to %v, want d, who has none", got)
		}
		time.Sleep(MaxQueueWait)
		synctest.Wait()
		if len(got) != 1 || len(p.waiting) != 0 {
			t.Errorf("after a second %v have one and %d wait, want d and nobody", got, len(p.waiting))
		}
	})
}

// TestNobodyWaitsForPlacesThatDoNotMove asks for a place while its tenant's are
// held, and for how long it waits.
func TestNobodyWaitsForPlacesThatDoNotMove(t *testing.T) {
	for _, tt := range []struct {
		name  string
		since time.Duration // the tenant took its place
		ends  time.Duration // of the invocation, in
		want  time.Duration
	}{
		{"just taken", 0, time.Minute, MaxQueueWait},
		{"taken a second ago", MaxQueueWait, time.Minute, MaxQueueWait},
		{"taken longer ago", MaxQueueWait + 1, time.Minute, 0},
		{"as the invocation ends", 0, MaxQueueWait / 2, MaxQueueWait / 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewShares(2, false)
			p.TryAcquire("a")
			time.Sleep(tt.since)
			ctx, cancel := context.WithTimeout(t.Context(), tt.ends)
			defer cancel()
			start := time.Now()
			if got := p.Waiter("a", 1).Acquire(ctx, MaxQueueWait); got || time.Since(start) != tt.want || len(p.waiting) != 0 {
				t.Errorf("%s: got one %v after %v, %d wait; want none after %v", tt.name, got, time.Since(start), len(p.waiting), tt.want)
			}
		})
	}
}

// TestTenantThatIsAloneWaitsOn asks for a second place of two while a tenant's own is
// left and taken again and again, or not.
func TestTenantThatIsAloneWaitsOn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		lone     bool
		patience time.Duration
		other    time.Duration // since when another tenant took a place; 0: none did
		moves    time.Duration // for so long the tenant's place does
		want     time.Duration
	}{
		{"alone", true, MaxQueueWait, 0, time.Hour, 2*time.Minute - timeReserve},
		{"alone, told not to wait", true, 0, 0, time.Hour, 2*time.Minute - timeReserve},
		{"where nobody waits on", false, MaxQueueWait, 0, time.Hour, MaxQueueWait},
		{"where nobody waits on, told not to wait", false, 0, 0, time.Hour, 0},
		{"until nothing moves", true, MaxQueueWait, 0, 10 * time.Second, 10*time.Second + MaxQueueWait},
		{"another was there lately", true, MaxQueueWait, soleTenantAfter - 2*MaxQueueWait, time.Hour, MaxQueueWait},
		{"another was there lately, told not to wait", true, 0, soleTenantAfter - 2*MaxQueueWait, time.Hour, 0},
		{"another was there long ago", true, MaxQueueWait, soleTenantAfter, time.Hour, 2*time.Minute - timeReserve},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewShares(2, tt.lone)
			if tt.other > 0 {
				p.TryAcquire("b")
				p.Release("b")
			}
			p.TryAcquire("a")
			time.Sleep(tt.other)
			p.Release("a")
			p.TryAcquire("a")
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			var mover sync.WaitGroup
			mover.Go(func() {
				for ctx.Err() == nil && time.Since(start) < tt.moves {
					time.Sleep(MaxQueueWait / 4)
					p.mu.Lock()
					p.shares["a"] = share{1, time.Now()}
					p.mu.Unlock()
				}
			})
			got := p.Waiter("a", 1).Acquire(ctx, tt.patience)
			took := time.Since(start)
			cancel()
			mover.Wait()
			if got || took < tt.want || took > tt.want+MaxQueueWait || len(p.waiting) != 0 {
				t.Errorf("%s: got one %v after %v, %d wait; want none after %v", tt.name, got, took, len(p.waiting), tt.want)
			}
		})
	}
}

// TestSeekerKeepsItsTurn has three events wait for two places each, the third of another
// tenant, while the only one falls free time and again.
func TestSeekerKeepsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewShares(1, false)
		p.TryAcquire("a")
		var got []string
		for _, s := range []struct{ event, tenant string }{{"a1", "a"}, {"a2", "a"}, {"b1", "b"}} {
			go func() {
				places := p.Waiter(s.tenant, 2)
				for range 2 {
					if places.Acquire(t.Context(), MaxQueueWait) {
						got = append(got, s.event)
					}
				}
			}()
			synctest.Wait()
		}
		for _, tenant := range []string{"a", "a", "a", "a", "a", "b"} {
			p.Release(tenant)
			synctest.Wait()
		}
		if want := []string{"a1", "a1", "a2", "a2", "b1", "b1"}; !slices.Equal(got, want) || len(p.waiting) != 0 {
			t.Errorf("places go to %v, %d wait; want them in the order of coming, %v, and nobody", got, len(p.waiting), want)
		}
	})
}

// TestEachSeekerGetsWhatItWants has many seek many of few places at once.
func TestEachSeekerGetsWhatItWants(t *testing.T) {
	p := NewShares(4, true)
	var seekers sync.WaitGroup
	for i := range 16 {
		seekers.Go(func() {
			tenant := string(rune('a' + i%3))
			for range 200 {
				places := p.Waiter(tenant, 3)
				for n := range 3 {
					if !places.Acquire(t.Context(), time.Hour) {
						t.Errorf("%s did not get its place %d", tenant, n)
						continue
					}
					runtime.Gosched()
					p.Release(tenant)
				}
			}
		})
	}
	seekers.Wait()
	if p.free != 4 || len(p.shares) != 0 || len(p.waiting) != 0 {
		t.Errorf("%d free, %d shares, %d wait when all have left; want 4, none and nobody", p.free, len(p.shares), len(p.waiting))
	}
}
