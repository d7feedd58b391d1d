package gateway

import "errors"

// The errors that callers decide by. api.statusOf turns them into HTTP.
var (
	ErrUnauthorized = errors.New("credentials are missing or wrong") // HTTP 401
	ErrForbidden    = errors.New("not allowed")                      // HTTP 403
	ErrUnreadable   = errors.New("unreadable")                       // HTTP 400
	ErrLimit        = errors.New("limit reached")                    // HTTP 429, or 409 for counts
)
