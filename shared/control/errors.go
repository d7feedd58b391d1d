package control

import (
	"errors"
	"fmt"
	"time"
)

// The errors, besides those of package storage, that callers decide by.
var (
	ErrUnauthorized = errors.New("credentials are missing or wrong")
	ErrForbidden    = errors.New("not allowed")
	ErrLimit        = errors.New("limit reached") // of counts
	ErrUnreadable   = errors.New("unreadable")    // a question that cannot be answered as it is asked
)

// A RateLimitError says that a tenant does something more often than it may. It is ErrLimit to errors.Is.
type RateLimitError struct {
	Code       string        // for programs; it stays the same
	What       string        // such as "calls"
	Limit      string        // such as "20 a second"
	RetryAfter time.Duration // when it may again
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%s: %v: want at most %s", e.What, ErrLimit, e.Limit)
}

func (e *RateLimitError) Is(target error) bool { return target == ErrLimit }
