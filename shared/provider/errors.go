package provider

import "net/http"

// A refusal is an error that a Reply tells of, under an HTTP status.
type refusal struct {
	text   string
	status int
}

func (r *refusal) Error() string { return r.text }

// The errors that a Reply tells of. What wraps none of them is answered as ErrUnavailable is.
var (
	ErrNotFound     = &refusal{"not found", http.StatusNotFound}
	ErrMethod       = &refusal{"method not allowed", http.StatusMethodNotAllowed}
	ErrSignature    = &refusal{"signature does not match", http.StatusUnauthorized}
	ErrUnauthorized = &refusal{"credentials are missing or wrong", http.StatusUnauthorized}
	ErrForbidden    = &refusal{"not allowed", http.StatusForbidden}
	ErrTooLarge     = &refusal{"too large", http.StatusRequestEntityTooLarge}
	ErrUnreadable   = &refusal{"unreadable", http.StatusBadRequest}
	ErrCoding       = &refusal{"compressed", http.StatusUnsupportedMediaType}
	ErrLoop         = &refusal{"callback came from this gateway", http.StatusLoopDetected}
	ErrUnavailable  = &refusal{"try again later", http.StatusServiceUnavailable}
)
