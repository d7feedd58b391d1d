package quantile

import (
	"math"
	"testing"
	"time"
)

func TestQuantileBetweenTwoValuesLiesBetweenThem(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	for _, tt := range []struct {
		name   string
		values []float64
		q      float64
		want   float64
	}{
		{"median of none", nil, 0.5, math.NaN()},
		{"median of one", []float64{7}, 0.5, 7},
		{"median of two", []float64{1, 2}, 0.5, 1.5},
		{"median of three", []float64{1, 2, 30}, 0.5, 2},
		{"median of four", []float64{1, 2, 3, 10}, 0.5, 2.5},
		{"median of eight", []float64{1, 2, 3, 4, 6, 7, 8, 90}, 0.5, 5},
		{"lowest", []float64{1, 2, 3, 10}, 0, 1},
		{"highest", []float64{1, 2, 3, 10}, 1, 10},
		{"p99 of one", []float64{7}, 0.99, 7},
		{"p99 of a hundred is not the highest", hundred, 0.99, 99.01},
		{"p95 of a hundred", hundred, 0.95, 95.05},
	} {
		got := Of(tt.values, tt.q)
		if math.Abs(got-tt.want) > 1e-9 || math.IsNaN(got) != math.IsNaN(tt.want) {
			t.Errorf("%s: Of(…, %v) = %v, want %v", tt.name, tt.q, got, tt.want)
		}
	}
}

func TestQuantileOfDurationsIsInNanoseconds(t *testing.T) {
	took := []time.Duration{time.Millisecond, 2 * time.Millisecond}
	if got := time.Duration(Of(took, 0.5)); got != 1500*time.Microsecond {
		t.Errorf("median of %v = %v, want 1.5ms", took, got)
	}
}
