package pace

import (
	"context"
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
		p, got := NewPlaces(256), make([]int, len(tt.tenants))
		for range 256 {
			for i, of := range tt.tenants {
				for p.Take(of) {
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
		for i, of := range tt.tenants {
			for range got[i] {
				p.Leave(of)
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
		p := NewPlaces(3)
		p.Take("a")
		p.Take("b")
		p.Take("c")
		var got []string
		for _, of := range []string{"a", "d"} {
			go func() {
				if p.Await(t.Context(), of, Patience) {
					got = append(got, of)
				}
			}()
			synctest.Wait()
		}
		p.Leave("b")
		synctest.Wait()
		if len(got) != 1 || got[0] != "d" {
			t.Errorf("the place goes to %v, want d, who has none", got)
		}
		time.Sleep(Patience)
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
		{"just taken", 0, time.Minute, Patience},
		{"taken a second ago", Patience, time.Minute, Patience},
		{"taken longer ago", Patience + 1, time.Minute, 0},
		{"as the invocation ends", 0, Patience / 2, Patience / 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := NewPlaces(2)
			p.Take("a")
			time.Sleep(tt.since)
			ctx, cancel := context.WithTimeout(t.Context(), tt.ends)
			defer cancel()
			start := time.Now()
			if got := p.Await(ctx, "a", Patience); got || time.Since(start) != tt.want || len(p.waiting) != 0 {
				t.Errorf("%s: got one %v after %v, %d wait; want none after %v", tt.name, got, time.Since(start), len(p.waiting), tt.want)
			}
		})
	}
}
