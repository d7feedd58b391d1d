package main

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// A batchHandler is what Lambda calls with the messages of one queue.
type batchHandler = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

// byQueue returns a batchHandler that calls the handler of the batch's queue. Handlers are by queue URL. All messages of
// a batch are of the same queue, so the ARN of the first one decides. A batch of an unknown queue is an error, so that
// Lambda keeps its messages.
func byQueue(handlers map[string]batchHandler) batchHandler {
	byName := make(map[string]batchHandler, len(handlers))
	for url, h := range handlers {
		byName[path.Base(url)] = h
	}
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		if len(e.Records) == 0 {
			return events.SQSEventResponse{}, nil
		}
		arn := e.Records[0].EventSourceARN
		h, ok := byName[arn[strings.LastIndexByte(arn, ':')+1:]]
		if !ok {
			return events.SQSEventResponse{}, fmt.Errorf("messages of queue %q: not the events, the retry or the slow queue", arn)
		}
		return h(ctx, e)
	}
}
