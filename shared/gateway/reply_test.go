package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ringback/shared/gateway"
	"ringback/shared/storage"
)

func TestEachErrorHasItsStatusAndAReasonWithoutDetails(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		header map[string]string
	}{
		{nil, 200, nil},
		{storage.ErrNotFound, 404, nil},
		{gateway.ErrMethod, 405, map[string]string{"Allow": "POST"}},
		{gateway.ErrSignature, 401, nil},
		{gateway.ErrUnauthorized, 401, nil},
		{gateway.ErrForbidden, 403, nil},
		{gateway.ErrUnreadable, 400, nil},
		{storage.ErrInvalid, 400, nil},
		{storage.ErrTooLarge, 413, nil},
		{storage.ErrConflict, 409, nil},
		{gateway.ErrLimit, 429, map[string]string{"Retry-After": "5"}},
		{gateway.ErrLoop, 508, nil},
		{storage.ErrUnavailable, 503, map[string]string{"Retry-After": "5"}},
		{errors.New("disk is full"), 503, map[string]string{"Retry-After": "5"}},
	} {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			err := tt.err
			if err != nil {
				err = fmt.Errorf("callback of somebody: %w", err)
			}
			want := gateway.Reply{StatusCode: tt.status, Header: tt.header}
			if diff := cmp.Diff(want, gateway.Refuse(err)); diff != "" {
				t.Errorf("Refuse(%v), -want +got:\n%s", err, diff)
			}
			if got := gateway.Reason(err); strings.Contains(got, "somebody") || strings.Contains(got, "disk") {
				t.Errorf("Reason(%v) = %q, want no detail", err, got)
			}
			if got := gateway.Reason(err); (got == "") != (err == nil) {
				t.Errorf("Reason(%v) = %q", err, got)
			}
		})
	}
}
