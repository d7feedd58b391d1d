// Package quantile tells what the commands that measure say of many figures.
package quantile

import "math"

// Of returns the q-quantile of ascending values, q from 0 to 1: 0.5 is the
// median. One that falls between two values lies on the line between them, as
// R and NumPy have it unless told otherwise, so that the median of 1, 2, 3 and
// 10 is 2.5. Of no values it is not a number.
//
// It is definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical
// Packages", 1996, https://doi.org/10.2307/2684934.
func Of[T ~int64 | ~float64](ascending []T, q float64) float64 {
	if len(ascending) == 0 {
		return math.NaN()
	}
	whole, part := math.Modf(q * float64(len(ascending)-1))
	i := int(whole)
	below, above := float64(ascending[i]), float64(ascending[min(i+1, len(ascending)-1)])
	return below + part*(above-below)
}
