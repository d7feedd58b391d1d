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

// A handler's context ends this much before Lambda ends the invocation, which leaves time to record interrupted work
// and to respond.
const (
	httpMargin  = 300 * time.Millisecond
	queueMargin = 2 * time.Second
)

// Start calls handler, made by HTTP, SQS or Schedule, for each of Lambda's events, and does not return. After each
// invocation it writes b's metrics. Before the process ends it closes b's connections and then calls each of onExit.
// Nothing runs between invocations, since Lambda freezes the process there.
func Start(b *Backend, handler any, onExit ...func()) {
	lambda.StartWithOptions(flushing{lambda.NewHandler(handler), b.Metrics},
		lambda.WithEnableSIGTERM(append([]func(){b.Close}, onExit...)...))
}

// flushing is a handler that writes the metrics of each invocation.
type flushing struct {
	lambda.Handler
	metrics *Metrics
}

func (f flushing) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer f.metrics.Flush() // the error is dropped: metrics that cannot be written must not make Lambda repeat the work
	return f.Handler.Invoke(ctx, payload)
}

// SQS adapts h to Lambda's calls with a batch of messages. The event source mapping must have ReportBatchItemFailures:
// without it Lambda deletes the messages that h returned to be received again. An error or a panic of h fails the whole
// batch, and CloudWatch counts it as an error of the function.
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

// received converts the batch. A receipt is the message id, since Lambda wants ids back. A receive count that is no
// number is taken as 1.
func received(e events.SQSEvent) []storage.Received {
	ms := make([]storage.Received, len(e.Records))
	for i, r := range e.Records {
		n, _ := strconv.Atoi(r.Attributes["ApproximateReceiveCount"])
		ms[i] = storage.Received{Body: r.Body, Receipt: r.MessageId, Receives: max(n, 1)}
	}
	return ms
}

// handle returns a panic of h as an error, since Lambda ends the process after a panic.
func handle(ctx context.Context, h storage.Handler, ms []storage.Received) (again []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handle %d messages: panic: %v\n%s", len(ms), p, debug.Stack())
		}
	}()
	return h(ctx, ms)
}

// Schedule adapts f to the calls of EventBridge Scheduler, whose input it ignores.
func Schedule(f func(context.Context) error) func(context.Context, json.RawMessage) error {
	return func(ctx context.Context, _ json.RawMessage) error {
		ctx, cancel := before(ctx, queueMargin)
		defer cancel()
		return f(ctx)
	}
}

// before returns a context that ends margin before ctx does.
func before(ctx context.Context, margin time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-margin))
}
