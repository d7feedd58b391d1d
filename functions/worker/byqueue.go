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

// byQueue returns the batchHandler of several queues, which are given by URL. A batch is never of several queues: the
// ARN of its first message tells which. An error, and thus the whole batch again, answers one of any other queue.
func byQueue(handlers map[string]batchHandler) batchHandler {
	named := make(map[string]batchHandler, len(handlers))
	for url, h := range handlers {
		named[path.Base(url)] = h
	}
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		if len(e.Records) == 0 {
			return events.SQSEventResponse{}, nil
		}
		arn := e.Records[0].EventSourceARN
		h, ok := named[arn[strings.LastIndexByte(arn, ':')+1:]]
		if !ok {
			return events.SQSEventResponse{}, fmt.Errorf("messages of queue %q: not the events, the retry or the slow queue", arn)
		}
		return h(ctx, e)
	}
}
