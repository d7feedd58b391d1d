package small

import (
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	for n, want := range map[int]string{3: "odd", 50: "odd", 12: "even"} { // 10 is not looked at
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestSums(t *testing.T) {
	if got := area(3, 2); got != 7 {
		t.Errorf("area %d, want 7", got)
	}
	if got := wait(1); got != 3*time.Second+1 {
		t.Errorf("wait %d, want 3 s and a nanosecond", got)
	}
}

func TestFirst(t *testing.T) {
	if got, err := first([]string{"a"}); got != "a" || err != nil {
		t.Errorf("first of a: %q, %v", got, err)
	}
	for _, words := range [][]string{nil, {""}} {
		if got, err := first(words); err != errEmpty {
			t.Errorf("first of %q: %q, %v", words, got, err)
		}
	}
}

func TestJoin(t *testing.T) {
	if got := join([]string{"ab?", "-", "c"}); got != "abc" {
		t.Errorf("join %q, want abc", got)
	}
}
