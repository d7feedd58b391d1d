package limit

import (
	"maps"
	"testing"
	"time"
)

// TestLeasesEndByThemselves takes and gives back leases of at most two.
func TestLeasesEndByThemselves(t *testing.T) {
	end := noon.Add(time.Minute)
	ls, _ := leases{}.acquire("a", 2, noon, end)
	ls, ok := ls.acquire("b", 2, noon, end.Add(1))
	if !ok || len(ls.Held) != 2 {
		t.Fatalf("after two of two were taken: %v, %v", ls, ok)
	}
	before := maps.Clone(ls.Held)
	for _, tt := range []struct {
		name string
		n    int
		now  time.Time
		want bool
	}{
		{"all are taken", 2, noon, false},
		{"more may be", 3, noon, true},
		{"fewer may be", 1, noon, false},
		{"a moment before they end", 2, end.Add(-time.Millisecond), false},
		{"they have ended", 2, end, true},
	} {
		after, ok := ls.acquire("c", tt.n, tt.now, tt.now.Add(time.Minute))
		if _, held := after.Held["c"]; ok != tt.want || held != ok {
			t.Errorf("%s: %v, %v; want %v", tt.name, after, ok, tt.want)
		}
	}
	back, ok := ls.release("a")
	if _, ended := back.release("a"); !ok || ended || len(back.Held) != 1 {
		t.Errorf("one was given back: %v, %v, and again: %v; want one left, true, false", back, ok, ended)
	}
	if !maps.Equal(ls.Held, before) {
		t.Errorf("the leases as they were are %v now, want %v", ls.Held, before)
	}
	if got := back.expires(); !got.Equal(end) {
		t.Errorf("the last lease ends %v, want %v", got, end)
	}
}
