package provider

import (
	"errors"
	"net/http"
)

// replyErrorOf returns the first replyError that err wraps, otherwise ErrUnavailable.
func replyErrorOf(err error) *replyError {
	if r, ok := errors.AsType[*replyError](err); ok {
		return r
	}
	return ErrUnavailable
}

// StatusOf returns the HTTP status for err: 200 for nil, 503 for an error that wraps none of this package's.
func StatusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return replyErrorOf(err).status
}

// Reason returns the text of the error of this package that err wraps, otherwise that of ErrUnavailable, and "" for
// nil. It holds nothing of the callback.
func Reason(err error) string {
	if err == nil {
		return ""
	}
	return replyErrorOf(err).text
}

// ReplyFor returns a Reply without body to a callback that ended with err: the status, Allow with a 405, and
// Retry-After (5 s) with a 503.
func ReplyFor(err error) Reply {
	r := Reply{StatusCode: StatusOf(err)}
	switch r.StatusCode {
	case http.StatusMethodNotAllowed:
		r.Header = map[string]string{"Allow": http.MethodPost}
	case http.StatusServiceUnavailable:
		r.Header = map[string]string{"Retry-After": "5"}
	}
	return r
}
