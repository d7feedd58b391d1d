package gateway

import "errors"

// ErrUnreadable is of a message that no handler can read.
var ErrUnreadable = errors.New("unreadable")
