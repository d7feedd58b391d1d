package provider_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/provider"
)

func TestEachErrorHasItsStatusAndAReasonWithoutDetails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		header map[string]string
	}{
		{nil, 200, nil},
		{provider.ErrNotFound, 404, nil},
		{provider.ErrMethod, 405, map[string]string{"Allow": "POST"}},
		{provider.ErrSignature, 401, nil},
		{provider.ErrUnauthorized, 401, nil},
		{provider.ErrForbidden, 403, nil},
		{provider.ErrUnreadable, 400, nil},
		{provider.ErrTooLarge, 413, nil},
		{provider.ErrLoop, 508, nil},
		{provider.ErrUnavailable, 503, map[string]string{"Retry-After": "5"}},
		{errors.New("disk is full"), 503, map[string]string{"Retry-After": "5"}},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			err := tt.err
			if err != nil {
				err = fmt.Errorf("callback of somebody: %w", err)
			}
			want := provider.Reply{StatusCode: tt.status, Header: tt.header}
			if diff := cmp.Diff(want, provider.ReplyFor(err)); diff != "" {
				t.Errorf("Refuse(%v), -want +got:\n%s", err, diff)
			}
			if got := provider.Reason(err); strings.Contains(got, "somebody") || strings.Contains(got, "disk") {
				t.Errorf("Reason(%v) = %q, want no detail", err, got)
			}
			if got := provider.Reason(err); (got == "") != (err == nil) {
				t.Errorf("Reason(%v) = %q", err, got)
			}
		})
	}
}
