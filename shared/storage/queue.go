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
	MaxReceives     = 5 // received so often and not finished: dead-letter queue
)

// A QueueName is one of the three queues, each with its dead-letter queue.
type QueueName string

const (
	EventsQueue QueueName = "events"
	RetryQueue  QueueName = "retry"
	SlowQueue   QueueName = "slow" // of what waits for endpoints that are not known to be fast
)

// A Message is what is sent. Body holds only characters that SQS carries: #x9 | #xA | #xD | #x20 to #xD7FF |
// #xE000 to #xFFFD | #x10000 to #x10FFFF ("SendMessage" in the Amazon SQS API Reference).
type Message struct {
	Body  string
	Delay time.Duration // until it is first received; whole seconds, rounded up
	Group string        // of a fair queue; at most 128 characters; may be empty
}

// Received is a message that came out of a queue. The same one may be with
// two handlers at once. Its queue id means nothing: a redrive gives a new one.
type Received struct {
	Body     string
	Receipt  string // names this receipt within the batch
	Receives int    // how often it was received, this time included
}

// A Queue carries messages at least once, in any order, and late. It is safe for concurrent use.
type Queue interface {
	// Send returns one error per message. Nil: the message is durable. Not nil: it may arrive all the same.
	// More than MaxSend messages, or more than MaxMessageBytes in all, are refused with ErrTooLarge for each.
	Send(ctx context.Context, q QueueName, ms []Message) []error

	// Depth tells about how many messages wait.
	Depth(ctx context.Context, q QueueName) (Depth, error)

	// Redrive starts to move q's dead letters back to q, where they come with new ids and start at one receive.
	Redrive(ctx context.Context, q QueueName) error
}

// Depth counts the messages of a queue. The figures are approximate.
type Depth struct {
	Waiting  int // could be received now
	InFlight int // are with a handler
	Delayed  int // wait for their time
	Dead     int // lie in the dead-letter queue
}

// A Handler gets at most 10 messages and returns the receipts of those that
// must come again; the others are deleted. An error makes all come again.
type Handler func(ctx context.Context, ms []Received) (unfinished []string, err error)
