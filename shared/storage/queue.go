package storage

import (
	"context"
	"time"
)

// Limits of SQS that both backends enforce ("Amazon SQS message quotas").
const (
	MaxMessageBytes = 1 << 20 // of one message, and of all messages of one Send
	MaxSend         = 10      // messages a Send
	MaxDelay        = 15 * time.Minute
	MaxReceives     = 5 // a message received so often and not deleted becomes a dead letter
)

// A QueueName is one of the three queues, each with its dead-letter queue.
type QueueName string

const (
	EventsQueue QueueName = "events"
	RetryQueue  QueueName = "retry"
	SlowQueue   QueueName = "slow" // work for endpoints that are not known to be fast
)

// A Message is what is sent. Body holds only characters that SQS allows: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to
type Message struct {
	Body  string
	Delay time.Duration // before it can be received; whole seconds, rounded up
	Group string        // of a fair queue; at most MaxGroupChars, may be empty
}

// A Received is a message that came out of a queue. Two handlers may have the same one at the same time. Queues give
// messages ids that mean nothing here: a redriven message gets a new one.
type Received struct {
	Body     string
	Receipt  string // names this message within its batch
	Receives int    // how often it was received, including this time
}

// A Queue delivers messages at least once, in any order, perhaps late. It is safe for concurrent use.
type Queue interface {
	// Send returns one error per message. Nil: the message is durable. Not nil: it may still arrive. More than MaxSend
	// messages, or more than MaxMessageBytes in all, return ErrTooLarge for each.
	Send(ctx context.Context, q QueueName, ms []Message) []error

	// Depth returns about how many messages the queue holds.
	Depth(ctx context.Context, q QueueName) (Depth, error)

	// Redrive starts to move q's dead letters back to q, where they have new ids and no receives.
	Redrive(ctx context.Context, q QueueName) error
}

// Depth counts the messages of a queue. The numbers are approximate.
type Depth struct {
	Waiting  int // can be received now
	InFlight int // with a handler
	Delayed  int // until their delay is over
	Dead     int // in the dead-letter queue
}

// A Handler gets at most 10 messages and returns the receipts of those that it did not finish, which are received
// again; the others are deleted. After an error all are received again.
type Handler func(ctx context.Context, ms []Received) (unfinished []string, err error)
