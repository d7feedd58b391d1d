package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"ringback/shared/storage"
)

// Margins between the end that a handler sees in its context and the one that
// Lambda sets: time to record what was cut off and to answer.
const (
	httpMargin  = 300 * time.Millisecond
	queueMargin = 2 * time.Second
)

// Start hands Lambda's events to handler, one of HTTP, SQS and Schedule, and does not return. After each
// invocation it writes b's metrics; before the process ends it closes b's connections and calls ended, in
// this order. Nothing runs between invocations, since Lambda freezes the process there.
func Start(b *Backend, handler any, ended ...func()) {
	lambda.StartWithOptions(flushing{lambda.NewHandler(handler), b.Metrics},
		lambda.WithEnableSIGTERM(append([]func(){b.Close}, ended...)...))
}

// flushing writes the metrics of each invocation.
type flushing struct {
	lambda.Handler
	metrics *Metrics
}

func (f flushing) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer f.metrics.Flush() // a line that stdout does not take is no reason to do the work again
	return f.Handler.Invoke(ctx, payload)
}

// SQS returns h as what Lambda calls with a batch of messages. It needs ReportBatchItemFailures in
// the event source mapping, without which Lambda deletes what h asked for again. An error of h, or
// a panic, fails the whole batch and counts as an error of the function.
func SQS(h storage.Handler) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		ctx, cancel := before(ctx, queueMargin)
		defer cancel()
		var resp events.SQSEventResponse
		again, err := handle(ctx, h, received(e))
		if err != nil {
			return resp, err
		}
		for _, receipt := range again {
			resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: receipt})
		}
		return resp, nil
	}
}

// received names each message of the batch by its message id, which Lambda
// wants back. A count that cannot be read is taken for the first.
func received(e events.SQSEvent) []storage.Received {
	ms := make([]storage.Received, len(e.Records))
	for i, r := range e.Records {
		n, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"])
		ms[i] = storage.Received{Body: r.Body, Receipt: r.MessageId, Receives: max(n, 1)}
	}
	return ms
}

// handle turns a panic of h into an error: Lambda would end the process for it.
func handle(ctx context.Context, h storage.Handler, ms []storage.Received) (again []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handle %d messages: panic: %v\n%s", len(ms), p, debug.Stack())
		}
	}()
	return h(ctx, ms)
}

// Schedule returns f as what EventBridge Scheduler calls; its input is ignored.
func Schedule(f func(context.Context) error) func(context.Context, json.RawMessage) error {
	return func(ctx context.Context, _ json.RawMessage) error {
		ctx, cancel := before(ctx, queueMargin)
		defer cancel()
		return f(ctx)
	}
}

// before returns ctx, ending margin earlier.
func before(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-margin))
}
