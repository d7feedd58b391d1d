// Package architecture holds the tests that keep the shape of the house: which
// folders there are, and which of them may import which.
package architecture
