package control

import "errors"

// The errors, besides those of package storage, that callers decide by.
var (
	ErrUnauthorized = errors.New("credentials are missing or wrong")
	ErrForbidden    = errors.New("not allowed")
	ErrLimit        = errors.New("limit reached") // of counts
	ErrUnreadable   = errors.New("unreadable")    // a question that cannot be answered as it is asked
)
