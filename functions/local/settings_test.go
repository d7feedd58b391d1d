package main

import (
	"strings"
	"testing"
)

// TestOperatorKeyOfTheEnvironmentIsReadAsPasted sets it with and without white
// space around it, as it comes from a file or a form.
func TestOperatorKeyOfTheEnvironmentIsReadAsPasted(t *testing.T) {
	key := strings.Repeat("k", 32)
	for _, tt := range []struct{ set, want string }{{key, key}, {" " + key + "\n", key}, {key[1:] + "\n", ""}} {
		_, got, where, err := settings{data: t.TempDir()}.secrets(func(string) string { return tt.set }, false)
		if got != tt.want || (err == nil) != (tt.want != "") || err == nil && where != "in RINGBACK_OPERATOR_KEY" {
			t.Errorf("RINGBACK_OPERATOR_KEY=%q: key %q, %s, %v; want %q", tt.set, got, where, err, tt.want)
		}
	}
}
