package provider

import "net/http"

// A replyError is an error with the text and HTTP status that a provider gets.
type replyError struct {
	text   string
	status int
}

func (r *replyError) Error() string { return r.text }

// Errors with a Reply of their own. An error that wraps none of them is replied to as ErrUnavailable.
var (
	ErrNotFound     = &replyError{"not found", http.StatusNotFound}
	ErrMethod       = &replyError{"method not allowed", http.StatusMethodNotAllowed}
	ErrSignature    = &replyError{"signature does not match", http.StatusUnauthorized}
	ErrUnauthorized = &replyError{"credentials are missing or wrong", http.StatusUnauthorized}
	ErrForbidden    = &replyError{"not allowed", http.StatusForbidden}
	ErrTooLarge     = &replyError{"too large", http.StatusRequestEntityTooLarge}
	ErrUnreadable   = &replyError{"unreadable", http.StatusBadRequest}
	ErrCoding       = &replyError{"compressed", http.StatusUnsupportedMediaType}
	ErrLoop         = &replyError{"callback came from this gateway", http.StatusLoopDetected}
	ErrUnavailable  = &replyError{"try again later", http.StatusServiceUnavailable}
)
