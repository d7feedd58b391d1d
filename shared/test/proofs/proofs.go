// Package proofs says how long a test that searches goes on.
//
// Three lengths exist. With -short, a search shows that it can find something.
// By default it takes seconds. At full length it proves what the pages claim, in
// minutes:
//
//	RINGBACK_PROOFS=full go test -timeout 60m ./...
//
// .ci/run plays this one.
package proofs

import (
	"os"
	"testing"
)

// Full reports whether RINGBACK_PROOFS asks for the proofs at full length.
func Full() bool {
	return os.Getenv("RINGBACK_PROOFS") == "full"
}

// Length returns the one of three lengths that this run is for. Unit and
// meaning are the caller's: seeds, rows, a duration. It may be called after
// flags are parsed, that is in a test.
func Length[T any](short, usual, full T) T {
	switch {
	case Full():
		return full
	case testing.Short():
		return short
	default:
		return usual
	}
}

// Long skips a test of seconds with -short.
func Long(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds")
	}
}
