package storage

import "errors"

// The errors that callers decide by.
var (
	ErrNotFound    = errors.New("not found")
	ErrConflict    = errors.New("conflict")
	ErrInvalid     = errors.New("invalid")
	ErrTooLarge    = errors.New("too large")
	ErrUnavailable = errors.New("try again later")
)
