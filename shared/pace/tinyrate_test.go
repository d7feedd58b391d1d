package pace

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTinyRateIsOneAnHour has a row of a former release ask for a rate whose
// interval no duration can hold.
func TestTinyRateIsOneAnHour(t *testing.T) {
	for _, rate := range []float64{1e-11, 1e-300, 1.0 / 7200} {
		synctest.Test(t, func(t *testing.T) {
			p, start := New(), time.Now()
			turn := Turn{Registration: "reg_1", Allowance: Allowance{AtOnce: 100, Rate: rate}}
			if leave, w := p.Enter(t.Context(), turn); leave == nil {
				t.Errorf("at %v a second the first waits until %v", rate, w.At)
			}
			if leave, w := p.Enter(t.Context(), turn); leave != nil || w.At.Sub(start) != time.Hour {
				t.Errorf("at %v a second the second begins: %v, or waits for %v; want an hour", rate, leave != nil, w.At.Sub(start))
			}
		})
	}
}
