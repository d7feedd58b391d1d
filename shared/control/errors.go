package control

import (
	"errors"
	"fmt"
	"time"
)

// Errors that callers decide by, besides those of package storage.
var (
	ErrUnauthorized = errors.New("credentials are missing or wrong")
	ErrForbidden    = errors.New("not allowed")
	ErrLimit        = errors.New("limit reached") // of counts
	ErrUnreadable   = errors.New("unreadable")    // a request that cannot be read
)

// A RateLimitError says that a tenant does something more often than it may. errors.Is reports it as ErrLimit.
type RateLimitError struct {
	Code       string        // for programs; it stays the same
	What       string        // such as "calls"
	Limit      string        // such as "20 a second"
	RetryAfter time.Duration // how long to wait
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%s: %v: want at most %s", e.What, ErrLimit, e.Limit)
}

func (e *RateLimitError) Is(target error) bool { return target == ErrLimit }
