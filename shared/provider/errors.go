package provider

import "errors"

// The errors that a Reply tells of. What wraps none of them is answered as
// ErrUnavailable is.
var (
	ErrNotFound     = errors.New("not found")                        // HTTP 404
	ErrMethod       = errors.New("method not allowed")               // HTTP 405
	ErrSignature    = errors.New("signature does not match")         // HTTP 401
	ErrUnauthorized = errors.New("credentials are missing or wrong") // HTTP 401
	ErrForbidden    = errors.New("not allowed")                      // HTTP 403
	ErrTooLarge     = errors.New("too large")                        // HTTP 413
	ErrUnreadable   = errors.New("unreadable")                       // HTTP 400
	ErrCoding       = errors.New("compressed")                       // HTTP 415
	ErrLoop         = errors.New("callback came from this gateway")  // HTTP 508
	ErrUnavailable  = errors.New("try again later")                  // HTTP 503
)
