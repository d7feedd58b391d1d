package api_test

import (
	"strings"
	"testing"
)

// TestUnknownFieldIsToldWhatThereIs wants the names that an object may hold,
// and not the one that was sent: it may be a secret in the wrong place.
func TestUnknownFieldIsToldWhatThereIs(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name string
		body object
		want string
	}{
		{"of the body", object{"provider": "direct", "name": "D", planted: 1}, `unexpected property: want allow, basic, `},
		{"of an object in it", object{"provider": "direct", "name": "D", "basic": object{"login": "a", "password": "b", planted: 1}}, `unexpected property: want login, password`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := w.want(422, operatorKey, "POST", "/v1/sources", tt.body).raw
			if !strings.Contains(got, tt.want) || strings.Contains(got, planted) {
				t.Errorf("answer %s: want %q in it, and no %q", got, tt.want, planted)
			}
		})
	}
}
