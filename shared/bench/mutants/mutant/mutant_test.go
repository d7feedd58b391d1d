package mutant

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOneMutantIsOn(t *testing.T) {
	on = 2
	t.Cleanup(func() { on = 0 })
	for _, tt := range []struct {
		name              string
		written, mutated  float64
		wantOff, wantOnIt float64
	}{
		{"Add", Add(1, 6.0, 2), Add(2, 6.0, 2), 8, 4},
		{"Sub", Sub(1, 6.0, 2), Sub(2, 6.0, 2), 4, 8},
		{"Mul", Mul(1, 6.0, 2), Mul(2, 6.0, 2), 12, 3},
		{"Div", Div(1, 6.0, 2), Div(2, 6.0, 2), 3, 12},
		{"Pick", Pick(1, 6.0, 2), Pick(2, 6.0, 2), 6, 2},
	} {
		if tt.written != tt.wantOff || tt.mutated != tt.wantOnIt {
			t.Errorf("%s is %v, and %v if its mutant is on; want %v and %v", tt.name, tt.written, tt.mutated, tt.wantOff, tt.wantOnIt)
		}
	}
}

func TestWhatIsReachedIsNotedOnce(t *testing.T) {
	reached = filepath.Join(t.TempDir(), "reached")
	t.Cleanup(func() { reached = "" })
	for _, n := range []int{30, 4, 30, 4} {
		On(n)
	}
	if got, err := os.ReadFile(reached); string(got) != "30\n4\n" || err != nil {
		t.Errorf("noted %q, %v, want 30 and 4", got, err)
	}
}
