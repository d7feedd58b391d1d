package gateway

import "ringback/shared/message"

// ErrUnreadable is of a message that no handler can read.
var ErrUnreadable = message.ErrUnreadable
