package provider

import (
	"errors"
	"net/http"
)

// refusals lists what a caller may be told, and under which HTTP status. The
// first that an error wraps counts.
var refusals = [...]struct {
	err    error
	status int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrMethod, http.StatusMethodNotAllowed},
	{ErrSignature, http.StatusUnauthorized},
	{ErrUnauthorized, http.StatusUnauthorized},
	{ErrForbidden, http.StatusForbidden},
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrUnreadable, http.StatusBadRequest},
	{ErrCoding, http.StatusUnsupportedMediaType},
	{ErrLoop, http.StatusLoopDetected},
	{ErrUnavailable, http.StatusServiceUnavailable},
}

// StatusOf returns the HTTP status for err: 200 for nil, and 503 for an error
// that wraps none of this package's.
func StatusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.status
		}
	}
	return http.StatusServiceUnavailable
}

// Reason returns a few words on err that hold nothing of the callback: the
// text of the error of this package that err wraps, else that of ErrUnavailable.
// It is empty for nil.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.err.Error()
		}
	}
	return ErrUnavailable.Error()
}

// Refuse returns the Reply to a callback of which err became, without a body:
// the status, Allow with a 405 and Retry-After (5 s) with a 503.
func Refuse(err error) Reply {
	r := Reply{StatusCode: StatusOf(err)}
	switch r.StatusCode {
	case http.StatusMethodNotAllowed:
		r.Header = map[string]string{"Allow": http.MethodPost}
	case http.StatusServiceUnavailable:
		r.Header = map[string]string{"Retry-After": "5"}
	}
	return r
}
