package gatewaytest

import (
	"errors"
	"testing"
)

// Must returns v, and ends the test if err is not nil:
//
//	s := Must(c.CreateSource(ctx, id, change))(t)
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// MustPage is Must for a page of a list.
func MustPage[T any](v T, _ string, err error) func(testing.TB) T { return Must(v, err) }

// ErrOf returns the error of a call.
func ErrOf[T any](_ T, err error) error { return err }

// WantErr fails the test unless err wraps want, or is nil if that is.
func WantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// IDs returns the id of each of vs.
func IDs[T any](vs []T, id func(T) string) []string {
	out := []string{}
	for _, v := range vs {
		out = append(out, id(v))
	}
	return out
}
